#include "quota/removal_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <vector>

#include "quota/descriptor.h"

namespace hosting {
namespace {

constexpr size_t kMaxValue = 255;  // bytes of a text
constexpr size_t kFields = 10;
constexpr int kMode = 0600;
constexpr int64_t kDay = 86400;

std::string Clean(std::string_view value) {
  std::string clean(value.substr(0, kMaxValue));
  for (char& c : clean) {
    c = static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return clean;
}

template <typename T>
bool TakeNumber(std::string_view text, T* number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), *number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::string OldPath(const std::string& path) {
  return path + ".old";
}

Status Failed(const std::string& what, const std::string& path) {
  return Status::FromErrno(what + " " + path, errno);
}

// The time of the first entry; 0: there is none.
int64_t FirstTime(int fd) {
  char text[32];
  const ssize_t size = pread(fd, text, sizeof text, 0);
  int64_t at = 0;
  const std::string_view line(text, size > 0 ? static_cast<size_t>(size) : 0);
  return TakeNumber(line.substr(0, line.find('\t')), &at) ? at : 0;
}

bool WantsRotation(int fd, const struct stat& info, int64_t now) {
  const int64_t first = FirstTime(fd);
  return static_cast<uint64_t>(info.st_size) >= kMaxJournalFile ||
         (first != 0 && now - first >= kJournalDays * kDay);
}

// Opens and locks the file that has the name; begins another one when its time has come.
Status OpenLocked(const std::string& path, int64_t now, Descriptor* file) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    *file =
        Descriptor(open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kMode));
    if (!file->valid()) {
      return Failed("opening", path);
    }
    if (flock(file->get(), LOCK_EX) < 0) {
      return Failed("locking", path);
    }
    struct stat opened {
    }, named{};
    if (fstat(file->get(), &opened) < 0) {
      return Failed("looking at", path);
    }
    if (stat(path.c_str(), &named) < 0 || named.st_ino != opened.st_ino) {
      continue;  // another process has just begun a new one
    }
    if (!WantsRotation(file->get(), opened, now)) {
      return {};
    }
    if (rename(path.c_str(), OldPath(path).c_str()) < 0) {
      return Failed("renaming", path);
    }
  }
  return Status(Code::kUnavailable, "cannot lock " + path);
}

Status ReadFile(const std::string& path, int64_t since,
                const std::function<void(const Removal&)>& visit) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return errno == ENOENT ? Status() : Failed("reading", path);
  }
  for (std::string line; std::getline(file, line);) {
    Removal removal;
    if (DecodeRemoval(line, &removal) && removal.at >= since) {
      visit(removal);
    }
  }
  return {};
}

}  // namespace

std::string EncodeRemoval(const Removal& removal) {
  std::string line = std::to_string(removal.at);
  for (const std::string* text :
       {&removal.session, &removal.protocol, &removal.address, &removal.rule, &removal.mailbox}) {
    line += '\t' + Clean(*text);
  }
  line += '\t' + std::to_string(removal.uid) + '\t' + std::to_string(removal.size);
  return line + '\t' + Clean(removal.to) + '\t' + Clean(removal.message_id) + '\n';
}

bool DecodeRemoval(std::string_view line, Removal* removal) {
  if (line.ends_with('\n')) {
    line.remove_suffix(1);
  }
  std::vector<std::string_view> fields;
  for (size_t at = 0; at <= line.size();) {
    const size_t end = std::min(line.find('\t', at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  if (fields.size() != kFields || !TakeNumber(fields[0], &removal->at) ||
      !TakeNumber(fields[6], &removal->uid) || !TakeNumber(fields[7], &removal->size)) {
    return false;
  }
  removal->session = Clean(fields[1]);
  removal->protocol = Clean(fields[2]);
  removal->address = Clean(fields[3]);
  removal->rule = Clean(fields[4]);
  removal->mailbox = Clean(fields[5]);
  removal->to = Clean(fields[8]);
  removal->message_id = Clean(fields[9]);
  return true;
}

Status AppendRemovals(const std::string& path, std::span<const Removal> removals, int64_t now) {
  std::string lines;
  for (const Removal& removal : removals) {
    lines += EncodeRemoval(removal);
  }
  if (lines.empty()) {
    return {};
  }
  Descriptor file;
  if (Status status = OpenLocked(path, now, &file); !status.ok()) {
    return status;
  }
  struct stat info {};
  char last = '\n';
  if (fstat(file.get(), &info) == 0 && info.st_size > 0 &&
      pread(file.get(), &last, 1, info.st_size - 1) == 1 && last != '\n') {
    lines.insert(0, 1, '\n');  // a full disk has cut the line before
  }
  const ssize_t written = write(file.get(), lines.data(), lines.size());
  if (written < 0 || static_cast<size_t>(written) != lines.size()) {
    return Failed("writing", path);
  }
  return {};
}

Status ForEachRemoval(const std::string& path, int64_t since,
                      const std::function<void(const Removal&)>& visit) {
  Status status = ReadFile(OldPath(path), since, visit);
  return status.ok() ? ReadFile(path, since, visit) : status;
}

}  // namespace hosting
