// What the tests of the store share: a folder of their own, bodies, shorthand for saving and
// reading.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "storage/store.h"

namespace lbox::testing {

// Where tests keep their files: in memory if there is room, so that what they flush does not wait
// for a disk. TEST_TMPDIR overrides.
inline std::string TestRoot() {
  struct statvfs info {};
  const bool memory = getenv("TEST_TMPDIR") == nullptr && access("/dev/shm", W_OK) == 0 &&
                      statvfs("/dev/shm", &info) == 0 &&
                      info.f_bavail * info.f_frsize > uint64_t{2} << 30;
  return memory ? "/dev/shm/" : ::testing::TempDir();
}

// A new folder, removed with all in it.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = TestRoot() + "lbox.XXXXXX";
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    if (owner_ == getpid()) {
      std::error_code ignored;
      std::filesystem::remove_all(path_, ignored);
    }
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  const pid_t owner_ = getpid();
};

// Where the zeros begin at which a file ends: a pack has some to spare behind its last record.
inline size_t UsedBytes(std::string_view bytes) {
  return bytes.find_last_not_of('\0') + 1;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
  ASSERT_TRUE(out.good()) << path;
}

inline std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline Guid MakeGuid(uint64_t number) {
  Guid guid;
  for (int i = 0; i < 8; i++) {
    guid.bytes[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  }
  guid.bytes[0] = 0x5a;
  return guid;
}

inline StoreOptions OptionsFor(const std::string& path) {
  StoreOptions options;
  options.path = path;
  options.sync = false;
  return options;
}

inline std::shared_ptr<Store> MustOpen(const StoreOptions& options) {
  auto store = Store::Open(options);
  EXPECT_TRUE(store.ok()) << store.status().message();
  return store.ok() ? store.value() : nullptr;
}

inline Guid MustCreate(Store& store, uint64_t number) {
  MailboxCreate create;
  create.guid = MakeGuid(number);
  create.name = "Box" + std::to_string(number);
  create.uid_validity = 1000 + static_cast<uint32_t>(number);
  const Status status = store.CreateMailbox(create);
  EXPECT_TRUE(status.ok()) << status.message();
  return create.guid;
}

inline Result<std::unique_ptr<StagedBody>> Stage(Store& store, const std::string& text) {
  auto writer = store.NewBody();
  if (!writer.ok()) {
    return writer.status();
  }
  if (Status status = (*writer)->Append(text.data(), text.size()); !status.ok()) {
    return status;
  }
  return (*writer)->Finish(text.size(), text.size());
}

// The UID.
inline Result<uint32_t> SaveText(Store& store, const Guid& mailbox, const std::string& text,
                                 const std::vector<std::string>& keywords = {}) {
  auto staged = Stage(store, text);
  if (!staged.ok()) {
    return staged.status();
  }
  NewMessage message;
  message.staged = staged->get();
  message.guid = MakeGuid(std::hash<std::string>()(text));
  message.received = 1700000000;
  message.saved = 1700000001;
  message.keywords = keywords;
  auto result = store.Save(mailbox, 1, {&message, 1}, {});
  if (!result.ok()) {
    return result.status();
  }
  return message.uid;
}

inline Result<std::string> ReadText(BodyReader& reader) {
  std::string text;
  char buffer[5000];
  for (;;) {
    auto got = reader.Read(text.size(), buffer, sizeof(buffer));
    if (!got.ok()) {
      return got.status();
    }
    if (*got == 0) {
      return text;
    }
    text.append(buffer, *got);
  }
}

inline Result<std::string> LoadText(Store& store, const Guid& mailbox, uint32_t uid) {
  auto reader = store.OpenBody(mailbox, uid);
  if (!reader.ok()) {
    return reader.status();
  }
  return ReadText(**reader);
}

inline Change Expunge(uint32_t first, uint32_t last) {
  Change change;
  change.kind = Change::Kind::kExpunge;
  change.uid1 = first;
  change.uid2 = last;
  return change;
}

inline Change AddFlags(uint32_t first, uint32_t last, uint8_t flags) {
  Change change;
  change.uid1 = first;
  change.uid2 = last;
  change.add_flags = flags;
  return change;
}

// Text that compresses badly: `size` bytes from `seed`, in lines.
inline std::string Noise(size_t size, uint64_t seed) {
  std::string text = "Subject: noise\r\n\r\n";
  uint64_t state = seed * 2654435761u + 88172645463325252u;
  while (text.size() < size) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    for (int i = 0; i < 8; i++) {
      text += static_cast<char>(33 + ((state >> (8 * i)) & 0xff) % 94);
    }
    if (text.size() % 72 < 8) {
      text += "\r\n";
    }
  }
  text.resize(size);
  return text;
}

}  // namespace lbox::testing
