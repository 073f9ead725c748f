#include "tests/fault/damage_store.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/store_testing.h"

namespace lbox::testing {

namespace fs = std::filesystem;

namespace {

class Maker {
 public:
  Maker(Store& store, uint64_t seed) : store_(store), seed_(seed) {}

  void Save(const Guid& box, const std::string& text, const std::vector<std::string>& keywords = {},
            const std::string& uidl = "") {
    auto staged = Stage(store_, text);
    ASSERT_TRUE(staged.ok()) << staged.status().message();
    NewMessage message;
    message.staged = staged->get();
    message.guid = MakeGuid(seed_ * 1000 + ++guids_);
    message.received = 1700000000;
    message.flags = static_cast<uint8_t>(guids_ % 0x20);
    message.keywords = keywords;
    message.pop3_uidl = uidl;
    const auto saved = store_.Save(box, 1, {&message, 1}, {});
    ASSERT_TRUE(saved.ok()) << saved.status().message();
    made.push_back({box, message.uid, message.guid, message.flags, text});
  }

  void Copy(const Expected& source, const Guid& box) {
    NewMessage message;
    message.source_mailbox = source.mailbox;
    message.source_uid = source.uid;
    message.guid = MakeGuid(seed_ * 1000 + ++guids_);
    const auto saved = store_.Save(box, 1, {&message, 1}, {});
    ASSERT_TRUE(saved.ok()) << saved.status().message();
    made.push_back({box, message.uid, message.guid, 0, source.text});
  }

  void Remove(size_t index) {
    const Expected gone = made[index];
    ASSERT_TRUE(store_.Apply(gone.mailbox, {{Expunge(gone.uid, gone.uid)}}).ok());
    made[index].removed = true;
  }

  std::vector<Expected> made;

 private:
  Store& store_;
  const uint64_t seed_;
  uint64_t guids_ = 0;
};

std::string Text(size_t size, uint64_t seed) {
  return "From: ann@example.org\r\nMessage-ID: <" + std::to_string(seed) + "@damage.example>\r\n" +
         Noise(size, seed);
}

}  // namespace

std::vector<Expected> MakeDamageStore(const std::string& path, uint64_t seed) {
  const auto store = MustOpen(OptionsFor(path));
  if (store == nullptr) {
    return {};
  }
  Maker maker(*store, seed);
  const uint64_t first = seed * 100000;
  const Guid boxes[] = {MustCreate(*store, seed * 10 + 1), MustCreate(*store, seed * 10 + 2),
                        MustCreate(*store, seed * 10 + 3)};
  for (uint64_t i = 0; i < 8; i++) {
    maker.Save(boxes[i % 2], Text(300 + 100 * i, first + i),
               i % 3 == 0 ? std::vector<std::string>{"work"} : std::vector<std::string>{},
               i == 4 ? "uidl-of-old" : "");
  }
  maker.Save(boxes[2], Text(180'000, first + 20));  // a file of its own
  maker.Save(boxes[0], Text(200'000, first + 21));
  maker.Copy(maker.made[1], boxes[2]);
  maker.Remove(5);
  maker.Remove(2);
  return std::move(maker.made);
}

size_t Present(const std::vector<Expected>& messages) {
  return static_cast<size_t>(std::count_if(messages.begin(), messages.end(),
                                           [](const Expected& one) { return !one.removed; }));
}

Readings ReadEverything(Store& store, const std::vector<Expected>& messages) {
  Readings readings;
  std::map<Guid, std::map<uint32_t, const Expected*>> boxes;
  for (const Expected& expected : messages) {
    boxes[expected.mailbox][expected.uid] = &expected;
  }
  const auto wrong = [&](const Guid& mailbox, uint32_t uid, const std::string& what) {
    readings.wrong.push_back(ToHex(mailbox) + " UID " + std::to_string(uid) + ": " + what);
  };
  for (const auto& [mailbox, expected] : boxes) {
    (void)store.Scan(mailbox, 1, UINT32_MAX, [&](const Message& message, const MessageExtra*) {
      const auto known = expected.find(message.uid);
      if (known == expected.end()) {
        wrong(mailbox, message.uid, "is listed, and never was there");
      } else if (known->second->removed) {
        readings.back++;
      } else if (known->second->guid != message.guid || known->second->flags != message.flags) {
        wrong(mailbox, message.uid, "is listed as another message, or with other flags");
      }
      return true;
    });
    for (const auto& [uid, one] : expected) {
      const auto text = LoadText(store, mailbox, uid);
      if (one->removed) {
        if (text.ok() && *text != one->text) {
          wrong(mailbox, uid, "other bytes");
        }
        continue;
      }
      if (text.ok()) {
        (*text == one->text) ? void(readings.right++) : wrong(mailbox, uid, "other bytes");
      } else if (text.status().code() == Code::kNotFound) {
        readings.missing++;
      } else {
        readings.refused++;
        if (text.status().code() != Code::kCorruption) {
          wrong(mailbox, uid, "not called damaged: " + text.status().message());
        }
      }
    }
  }
  return readings;
}

Files Load(const std::string& folder) {
  Files files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder)] = ReadFile(entry.path());
    }
  }
  return files;
}

void Restore(const std::string& folder, const Files& files) {
  fs::remove_all(folder);
  for (const char* name : {"/p", "/l", "/tmp"}) {
    fs::create_directories(folder + name);
  }
  for (const auto& [name, bytes] : files) {
    WriteFile(folder + "/" + name, bytes);
  }
}

void Poke(const std::string& path, size_t offset, char byte) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0) << path;
  ASSERT_EQ(pwrite(fd, &byte, 1, static_cast<off_t>(offset)), 1) << path;
  close(fd);
}

size_t Stride(size_t usual) {
  const char* given = getenv("LBOX_DAMAGE_STRIDE");
  return given != nullptr ? std::max<size_t>(strtoul(given, nullptr, 10), 1) : usual;
}

size_t First() {
  const char* given = getenv("LBOX_DAMAGE_FIRST");
  return given != nullptr ? strtoul(given, nullptr, 10) : 0;
}

}  // namespace lbox::testing
