#include "quota/heartbeat.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "quota/bytes.h"
#include "quota/descriptor.h"

namespace hosting {
namespace {

constexpr uint32_t kMagic = 0x31746268;
constexpr size_t kBytes = 4 + 8 + 4 + 4 + 8;

std::string PathIn(const std::string& state_folder) {
  return state_folder + "/heartbeat";
}

}  // namespace

Status WriteHeartbeat(const std::string& state_folder, const Heartbeat& beat) {
  const std::string path = PathIn(state_folder);
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file.valid() || fchmod(file.get(), 0644) != 0) {
    return Status::FromErrno("open(" + path + ")", errno);
  }
  ByteWriter out;
  out.Number<uint32_t>(kMagic);
  out.Number<int64_t>(beat.at);
  out.Number<uint32_t>(beat.mail_stale_after);
  out.Number<uint32_t>(beat.tempfail ? 1 : 0);
  const std::string head = out.bytes();
  out.Number<uint64_t>(XXH3_64bits(head.data(), head.size()));
  const std::string bytes = out.bytes();
  return pwrite(file.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size())
             ? Status()
             : Status::FromErrno("write(" + path + ")", errno);
}

Result<Heartbeat> ReadHeartbeat(const std::string& state_folder) {
  const std::string path = PathIn(state_folder);
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) {
    return Status::FromErrno("open(" + path + ")", errno);
  }
  std::string bytes(kBytes, '\0');
  if (read(file.get(), bytes.data(), kBytes) != static_cast<ssize_t>(kBytes)) {
    return Status(Code::kCorruption, path + " is no heartbeat");
  }
  ByteReader in(bytes);
  const auto magic = in.Number<uint32_t>();
  Heartbeat beat;
  beat.at = in.Number<int64_t>();
  beat.mail_stale_after = in.Number<uint32_t>();
  beat.tempfail = in.Number<uint32_t>() != 0;
  if (magic != kMagic || in.Number<uint64_t>() != XXH3_64bits(bytes.data(), kBytes - 8)) {
    return Status(Code::kCorruption, path + " is no heartbeat");
  }
  return beat;
}

bool SaysTempfail(const std::string& spool_folder, int64_t now) {
  const auto beat = ReadHeartbeat(spool_folder + "/..");
  return beat.ok() && beat->tempfail &&
         now - beat->at > static_cast<int64_t>(beat->mail_stale_after) + kHeartbeatSeconds;
}

}  // namespace hosting
