#include "storage/lmdb_status.h"

#include <lmdb.h>

namespace lbox {

Status LmdbStatus(int error, const std::string& what) {
  const std::string message = what + ": " + mdb_strerror(error);
  switch (error) {
    case MDB_NOTFOUND:
      return Status(Code::kNotFound, message);
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
      return Status(Code::kFull, message);
    case MDB_VERSION_MISMATCH:
      return Status(Code::kUnsupported, message);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
      return Status(Code::kCorruption, message);
    case MDB_BAD_VALSIZE:
      return Status(Code::kInvalid, message);
    case MDB_READERS_FULL:
    case MDB_PANIC:
    case MDB_MAP_RESIZED:
      return Status(Code::kUnavailable, message);
    default:
      return error > 0 ? Status::FromErrno(what, error) : Status(Code::kIo, message);
  }
}

}  // namespace lbox
