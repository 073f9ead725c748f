#include "storage/status.h"

#include <cerrno>
#include <system_error>

namespace lbox {
namespace {

Code CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case ENOSPC:
    case EDQUOT:
      return Code::kNoSpace;
    case EACCES:
    case EPERM:
      return Code::kPermission;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
      return Code::kUnavailable;
    case EEXIST:
      return Code::kAborted;
    default:
      return Code::kIo;
  }
}

}  // namespace

Status Status::FromErrno(std::string_view what, int error) {
  std::string message(what);
  message += ": ";
  message += std::generic_category().message(error);
  return Status(CodeOf(error), std::move(message));
}

}  // namespace lbox
