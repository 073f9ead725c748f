#include "tests/fault/rebuild_support.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "storage/status_macros.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

class NoFile : public File {
 public:
  Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) override {
    const std::string text = "00000000-another-boot\n";
    if (offset != 0 || size < text.size()) {
      return size_t{0};
    }
    std::copy(text.begin(), text.end(), static_cast<char*>(data));
    return text.size();
  }
  Status WriteAt(uint64_t, const void*, size_t) override { return Status(Code::kIo, "no"); }
  Status Sync() override { return {}; }
  Result<uint64_t> Size() override { return uint64_t{0}; }
  [[nodiscard]] int descriptor() const override { return -1; }
};

std::string Quoted(const std::string& text) {
  return '"' + text + '"';
}

}  // namespace

Result<std::unique_ptr<File>> OtherBoot::OpenRead(const std::string& path) {
  if (path.find("boot_id") != std::string::npos) {
    return std::unique_ptr<File>(std::make_unique<NoFile>());
  }
  return base_.OpenRead(path);
}

Result<std::string> TellAll(Store& store, bool next_uids) {
  LBOX_ASSIGN_OR_RETURN(auto boxes, store.ListMailboxes());
  std::sort(boxes.begin(), boxes.end(),
            [](const auto& a, const auto& b) { return a.guid < b.guid; });
  std::ostringstream out;
  for (const MailboxInfo& box : boxes) {
    out << ToHex(box.guid) << ' ' << Quoted(box.name) << " validity " << box.uid_validity
        << " recent " << box.first_recent_uid << " messages " << box.messages << " bytes "
        << box.physical_bytes << ' ' << box.virtual_bytes << ' ' << box.stored_bytes;
    if (next_uids) {
      out << " next " << box.next_uid;
    }
    out << '\n';
    const auto visit = [&](const Message& m, const MessageExtra* extra) {
      std::set<std::string> keywords;
      for (uint32_t i = 0; i < box.keywords.size(); i++) {
        const bool has = i < 32 ? (m.keyword_bits >> i & 1) != 0
                                : extra != nullptr &&
                                      std::count(extra->keywords.begin(), extra->keywords.end(), i);
        if (has) {
          keywords.insert(box.keywords[i]);
        }
      }
      out << "  " << m.uid << ' ' << ToHex(m.guid) << " body " << m.body_id << " received "
          << m.received << " saved " << m.saved << " sizes " << m.physical_size << ' '
          << m.virtual_size << " retrieved " << m.retrieved << " flags " << int{m.flags}
          << " cause " << static_cast<int>(m.cause) << " retrieved " << m.retrieved;
      for (const std::string& keyword : keywords) {
        out << ' ' << keyword;
      }
      if (extra != nullptr) {
        out << ' ' << Quoted(extra->original_guid) << Quoted(extra->pop3_uidl) << extra->pop3_order;
      }
      out << '\n';
      return true;
    };
    LBOX_RETURN_IF_ERROR(store.Scan(box.guid, 1, UINT32_MAX, visit));
  }
  return out.str();
}

void Lose(const std::string& store, const Loss& loss) {
  for (const std::string& name : Names(store)) {
    const bool index = name.starts_with("index.") && name != "index.copy";
    if ((loss.index && index) || (loss.copy && name == "index.copy") ||
        (loss.journal && name.starts_with("journal.")) || (loss.current && name == "CURRENT")) {
      std::filesystem::remove(store + "/" + name);
    }
  }
}

RebuildReport MustRebuild(const StoreOptions& options) {
  RebuildReport report;
  const Status status = RebuildIndex(options, &report);
  EXPECT_TRUE(status.ok()) << status.message() << '\n' << ToText(report);
  return report;
}

void FollowJumps(Driver& driver, bool exact_next_uids) {
  for (auto& [number, box] : driver.model) {
    const auto info = driver.store().GetMailbox(MakeGuid(static_cast<uint64_t>(number)));
    ASSERT_TRUE(info.ok()) << info.status().message();
    EXPECT_GT(info->change, box.change);
    EXPECT_GE(info->next_uid, box.next_uid);
    if (exact_next_uids) {
      EXPECT_EQ(info->next_uid, box.next_uid) << "mailbox " << number;
    }
    box.change = info->change;
    box.next_uid = info->next_uid;
  }
}

std::vector<std::string> Missing(Store& store, const Model& model) {
  std::vector<std::string> problems;
  std::set<uint64_t> bodies;  // hashes
  std::map<Guid, std::map<uint32_t, std::pair<Guid, uint64_t>>> there;
  const auto boxes = store.ListMailboxes();
  if (!boxes.ok()) {
    return {boxes.status().message()};
  }
  std::map<uint64_t, uint64_t> known;  // body id -> hash
  for (const MailboxInfo& info : *boxes) {
    std::vector<Message> messages;
    const auto visit = [&](const Message& message, const MessageExtra*) {
      messages.push_back(message);
      return true;
    };
    if (const Status status = store.Scan(info.guid, 1, UINT32_MAX, visit); !status.ok()) {
      problems.push_back(status.message());
    }
    for (const Message& message : messages) {
      if (!known.contains(message.body_id)) {
        const auto text = LoadText(store, info.guid, message.uid);
        if (!text.ok()) {
          continue;  // lost, if it was promised
        }
        known[message.body_id] = std::hash<std::string>()(*text);
      }
      bodies.insert(known[message.body_id]);
      there[info.guid][message.uid] = {message.guid, known[message.body_id]};
    }
  }
  for (const auto& [number, box] : model) {
    const Guid guid = MakeGuid(static_cast<uint64_t>(number));
    const std::string name = "mailbox " + std::to_string(number);
    const auto info = store.GetMailbox(guid);
    if (info.ok() && info->next_uid < box.next_uid) {
      problems.push_back(name + ": next UID " + std::to_string(info->next_uid) + " instead of " +
                         std::to_string(box.next_uid));
    }
    for (const auto& [uid, message] : box.messages) {
      const auto& messages = there[guid];
      const auto found = messages.find(uid);
      const bool same =
          found != messages.end() && found->second == std::pair(message.guid, message.hash);
      if (found != messages.end() && !same) {
        problems.push_back(name + " UID " + std::to_string(uid) + " is another message");
      } else if (!same && !bodies.contains(message.hash)) {
        problems.push_back(name + " UID " + std::to_string(uid) + " is lost");
      }
    }
  }
  return problems;
}

}  // namespace lbox::testing
