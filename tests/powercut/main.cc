// powercut PATH UID GID: mounts a disk whose power may be cut at PATH, its root that user's.
//
// Commands come on standard input, one on a line, each answered by one line, "ok ..." or
// "error ..."; at its end the disk is unmounted and gone.
//
//   hold                   the power goes: no call comes to an end any more, until "off"
//   off                    from now on every call fails and nothing changes
//   boot KIND SEED         (when off) unmounts, drops what is not durable (KIND: dropped prefix
//   torn
//                          names scattered), mounts again
//   lie on|off             flushes are acknowledged and not done, or done again
//   fail ERROR FIRST COUNT all|space
//                          calls that change something fail from the FIRST (from 1) on: ERROR is a
//                          number of errno, or 0 for short writes; see faults.h
//   faults                 answers "ok CALLS FAILED" since the last "fail"
//   pending                answers "ok N": changes that are not durable
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>

#include <poll.h>
#include <unistd.h>

#include "tests/powercut/mount.h"

namespace lbox::powercut {
namespace {

std::string Boot(Mount& mount, std::istream& words) {
  std::string name;
  uint64_t seed = 0;
  words >> name >> seed;
  for (const CutKind kind : kAllCuts) {
    if (mount.off() && words && name == CutName(kind)) {
      mount.Stop();
      mount.volume().Cut(kind, seed);
      mount.faults().Set({});
      mount.set_off(false);
      mount.Start();
      return "ok";
    }
  }
  return "error: boot KIND SEED, when the power is off";
}

std::string Fail(Mount& mount, std::istream& words) {
  Faults::Plan plan;
  std::string calls;
  words >> plan.error >> plan.first >> plan.count >> calls;
  if (!words || (calls != "all" && calls != "space")) {
    return "error: fail ERROR FIRST COUNT all|space";
  }
  plan.calls = calls == "all" ? Faults::Calls::kAll : Faults::Calls::kSpace;
  mount.faults().Set(plan);
  return "ok";
}

std::string Do(Mount& mount, const std::string& line, bool* held) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  if (word == "hold" || word == "off") {
    mount.set_off(word == "off");
    *held = word == "hold";
    return "ok";
  }
  if (word == "boot") {
    return Boot(mount, words);
  }
  if (word == "lie") {
    words >> word;
    mount.volume().set_lying(word == "on");
    return "ok";
  }
  if (word == "fail") {
    return Fail(mount, words);
  }
  if (word == "faults") {
    return "ok " + std::to_string(mount.faults().calls()) + " " +
           std::to_string(mount.faults().failed());
  }
  if (word == "pending") {
    return "ok " + std::to_string(mount.volume().pending());
  }
  return "error: unknown command " + word;
}

void Answer(const std::string& text) {
  puts(text.c_str());
  fflush(stdout);
}

void Run(const char* path, uid_t uid, gid_t gid) {
  Volume volume(uid, gid);
  Faults faults;
  Mount mount(volume, faults, path);
  mount.Start();
  Answer("ok mounted");
  std::string line;
  bool held = false;
  for (;;) {
    pollfd waits[] = {{STDIN_FILENO, POLLIN, 0}, {held ? -1 : mount.fd(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) {
      throw std::runtime_error("poll() failed");
    }
    if (waits[1].revents != 0) {
      mount.Serve();
    }
    if (waits[0].revents == 0) {
      continue;
    }
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) <= 0) {
      return;
    }
    if (byte != '\n') {
      line += byte;
      continue;
    }
    Answer(Do(mount, line, &held));
    line.clear();
  }
}

}  // namespace
}  // namespace lbox::powercut

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: powercut PATH UID GID\n");
    return 64;
  }
  try {
    lbox::powercut::Run(argv[1], static_cast<uid_t>(strtoul(argv[2], nullptr, 10)),
                        static_cast<gid_t>(strtoul(argv[3], nullptr, 10)));
  } catch (const std::exception& error) {
    printf("error: %s\n", error.what());
    return 1;
  }
  return 0;
}
