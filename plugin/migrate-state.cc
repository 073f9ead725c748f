#include "plugin/migrate-state.h"

#include <array>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

constexpr std::string_view kFormat = "lbox-migrate-state-1";
constexpr std::array<const char*, 5> kPhases = {"none", "copying", "switching", "switched", "done"};

// A file name for any user name.
std::string FileName(const std::string& user) {
  std::string name;
  for (const char c : user) {
    const auto octet = static_cast<unsigned char>(c);
    if (std::isalnum(octet) != 0 || c == '@' || c == '-' || c == '_' ||
        (c == '.' && !name.empty())) {
      name += c;
    } else {
      constexpr std::string_view kDigits = "0123456789abcdef";
      name += {'%', kDigits[octet >> 4], kDigits[octet & 15]};
    }
  }
  return name;
}

Status WriteFile(const std::string& path, const std::string& text) {
  const hosting::Descriptor file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return Status::FromErrno("creating " + path, errno);
  }
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t written = write(file.get(), left.data(), left.size());
    if (written < 0) {
      return Status::FromErrno("writing " + path, errno);
    }
    left.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(file.get()) == 0 ? Status() : Status::FromErrno("flushing " + path, errno);
}

uint64_t* NumberOf(State& state, std::string_view key) {
  const std::array<std::pair<std::string_view, uint64_t*>, 5> numbers = {
      {{"messages", &state.messages},
       {"bytes-before", &state.bytes_before},
       {"bytes-after", &state.bytes_after},
       {"seconds", &state.seconds},
       {"closed-milliseconds", &state.closed_milliseconds}}};
  for (const auto& [name, number] : numbers) {
    if (name == key) {
      return number;
    }
  }
  return nullptr;
}

bool Take(State& state, const std::vector<std::string>& fields) {
  const std::string& key = fields[0];
  if (fields.size() == 3 && key == "next") {
    const auto uid = ToNumber(fields[2]);
    state.next[fields[1]] = static_cast<uint32_t>(uid.value_or(0));
    return uid.has_value();
  }
  if (fields.size() != 2) {
    return false;
  }
  if (key == "phase") {
    for (size_t i = 0; i < kPhases.size(); ++i) {
      if (fields[1] == kPhases[i]) {
        state.phase = static_cast<Phase>(i);
        return true;
      }
    }
    return false;
  }
  if (key == "source" || key == "target" || key == "token") {
    (key == "source" ? state.source : key == "target" ? state.target : state.token) = fields[1];
    return true;
  }
  uint64_t* number = NumberOf(state, key);
  const auto value = ToNumber(fields[1]);
  if (number != nullptr && value) {
    *number = *value;
  }
  return number != nullptr && value;
}

}  // namespace

const char* PhaseName(Phase phase) {
  return kPhases[static_cast<size_t>(phase)];
}

std::string State::Encode() const {
  std::string text(kFormat);
  text += "\n";
  const auto line = [&text](const std::vector<std::string>& fields) {
    text += JoinFields(fields) + "\n";
  };
  line({"phase", PhaseName(phase)});
  line({"source", source});
  line({"target", target});
  line({"token", token});
  line({"messages", std::to_string(messages)});
  line({"bytes-before", std::to_string(bytes_before)});
  line({"bytes-after", std::to_string(bytes_after)});
  line({"seconds", std::to_string(seconds)});
  line({"closed-milliseconds", std::to_string(closed_milliseconds)});
  for (const auto& [guid, uid] : next) {
    line({"next", guid, std::to_string(uid)});
  }
  return text;
}

Result<State> State::Decode(std::string_view text) {
  State state;
  std::istringstream lines{std::string(text)};
  std::string line;
  if (!std::getline(lines, line) || line != kFormat) {
    return Status(Code::kUnsupported, "it is not of this version of lbox");
  }
  while (std::getline(lines, line)) {
    if (!Take(state, SplitFields(line))) {
      return Status(Code::kCorruption, "it has a line that is not understood: " + line);
    }
  }
  return state;
}

Result<StateFile> StateFile::Open(const std::string& folder, const std::string& user) {
  hosting::Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) {
    return Status::FromErrno("opening " + folder, errno);
  }
  const std::string path = folder + "/" + FileName(user);
  const std::string lock_path = path + ".lock";
  hosting::Descriptor lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) {
    return Status::FromErrno("creating " + lock_path, errno);
  }
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Status(Code::kBusy, "another doveadm lbox migrate is moving this user");
  }
  return StateFile(path + ".state", std::move(lock), std::move(directory));
}

Result<State> StateFile::Load() const {
  std::ifstream file(path_, std::ios::binary);
  if (!file) {
    return errno == ENOENT ? Result<State>(State()) : Status::FromErrno("reading " + path_, errno);
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto state = State::Decode(text);
  if (!state.ok()) {
    return Status(state.status().code(), path_ + ": " + state.status().message());
  }
  return state;
}

Status StateFile::Save(const State& state) const {
  const std::string temporary = path_ + ".new";
  if (Status status = WriteFile(temporary, state.Encode()); !status.ok()) {
    return status;
  }
  if (rename(temporary.c_str(), path_.c_str()) != 0) {
    return Status::FromErrno("renaming " + temporary, errno);
  }
  // Durable after this.
  return fsync(folder_.get()) == 0 ? Status()
                                   : Status::FromErrno("flushing the folder of " + path_, errno);
}

}  // namespace lbox::migrate
