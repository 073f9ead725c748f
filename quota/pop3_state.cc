#include "quota/pop3_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "quota/descriptor.h"

namespace hosting {

Pop3State ReadPop3State(const std::string& path) {
  std::ifstream file(path);
  Pop3State state;
  std::string name;
  for (int64_t value = 0; file >> name >> value;) {
    (name == "noticed" ? state.noticed : name == "warned" ? state.warned : value) = value;
  }
  return state;
}

Status WritePop3State(const std::string& path, const Pop3State& state) {
  const std::string text = "noticed " + std::to_string(state.noticed) + "\nwarned " +
                           std::to_string(state.warned) + "\n";
  const std::string temporary = path + "." + std::to_string(getpid());
  Descriptor file(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid() ||
      write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      rename(temporary.c_str(), path.c_str()) < 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return Status::FromErrno("writing " + path, error);
  }
  return {};
}

}  // namespace hosting
