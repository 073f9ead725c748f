// Random operations on a store, and the same on a model in memory: after each, what the store says
// must be what the model says, and now and then every row, total, record and byte is checked.
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "storage/store_check.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;
using namespace std::chrono_literals;

struct ModelMessage {
  std::string text;
  uint8_t flags = 0;
  std::set<std::string> keywords;
  std::string uidl;
};

struct ModelMailbox {
  std::string name;
  uint32_t uid_validity = 0, next_uid = 1;
  uint64_t change = 0;
  std::map<uint32_t, ModelMessage> messages;
};

class Model {
 public:
  Model(const StoreOptions& options, uint64_t seed)
      : options_(options), random_(seed), store_(MustOpen(options)) {}

  void Run(int operations) {
    for (int i = 0; i < operations && !::testing::Test::HasFailure(); i++) {
      SCOPED_TRACE("operation " + std::to_string(i));
      Step();
      if (i % 100 == 99) {
        Compare(i % 500 == 499);
      }
    }
    Compare(true);
  }

 private:
  uint64_t Random(uint64_t below) { return random_() % below; }

  void Step() {
    if (boxes_.empty() || (boxes_.size() < 8 && Random(60) == 0)) {
      return CreateBox();
    }
    switch (Random(20)) {
      case 0:
        return Random(6) == 0 ? DeleteBox() : UpdateBox();
      case 1:
        return Reopen();
      case 2:
        return Maintain();
      case 3:
      case 4:
      case 5:
        return Copy();
      case 6:
      case 7:
      case 8:
        return Change_();
      case 9:
      case 10:
      case 11:
        return Expunge_();
      default:
        return Save();
    }
  }

  std::pair<const Guid, ModelMailbox>& Pick() {
    return *std::next(boxes_.begin(), static_cast<long>(Random(boxes_.size())));
  }

  void CreateBox() {
    MailboxCreate create;
    create.guid = MakeGuid(++serial_);
    create.name = "Box/" + std::to_string(serial_);
    create.uid_validity = 1 + static_cast<uint32_t>(Random(1000));
    create.next_uid = 1 + static_cast<uint32_t>(Random(5));
    ASSERT_TRUE(store_->CreateMailbox(create).ok());
    EXPECT_EQ(store_->CreateMailbox(create).code(), Code::kInvalid);
    boxes_[create.guid] = {create.name, create.uid_validity, create.next_uid, 1, {}};
  }

  void UpdateBox() {
    auto& [guid, box] = Pick();
    MailboxUpdate update;
    const uint64_t before = box.change;
    if (Random(2) == 0) {
      box.name = "Renamed/" + std::to_string(++serial_);
      update.name = box.name;
    }
    if (Random(2) == 0) {
      update.min_next_uid = box.next_uid + static_cast<uint32_t>(Random(10));
      if (update.min_next_uid > box.next_uid) {
        box.next_uid = update.min_next_uid;
        box.change++;
      }
    }
    ASSERT_TRUE(store_->UpdateMailbox(guid, update).ok());
    EXPECT_EQ(store_->GetMailbox(guid)->change, box.change) << before;
  }

  void DeleteBox() {
    const Guid guid = Pick().first;
    const Status status = store_->DeleteMailbox(guid);
    ASSERT_TRUE(status.ok()) << status.message();
    boxes_.erase(guid);
    EXPECT_EQ(store_->GetMailbox(guid).status().code(), Code::kNotFound);
  }

  void Reopen() {
    store_.reset();
    store_ = MustOpen(options_);
    ASSERT_NE(store_, nullptr);
  }

  void Maintain() {
    const bool exhaustive = Random(4) == 0;
    for (int i = 0; i < 100; i++) {
      const auto more = store_->Maintain(20ms, exhaustive);
      ASSERT_TRUE(more.ok()) << more.status().message();
      if (!*more) {
        return;
      }
    }
    FAIL() << "Maintain does not come to an end";
  }

  std::string NewText() {
    const uint64_t kind = Random(20);
    const uint64_t size = kind == 0  ? 100000 + Random(400000)
                          : kind < 4 ? Random(40000)
                                     : 20 + Random(3000);
    return Noise(size, ++serial_);
  }

  // Up to four messages in one transaction.
  void Save() {
    auto& [guid, box] = Pick();
    std::vector<std::unique_ptr<StagedBody>> bodies;
    std::vector<NewMessage> messages(Random(4) == 0 ? 2 + Random(3) : 1);
    std::vector<ModelMessage> added;
    for (NewMessage& message : messages) {
      ModelMessage model;
      model.text = NewText();
      auto staged = Stage(*store_, model.text);
      ASSERT_TRUE(staged.ok()) << staged.status().message();
      bodies.push_back(std::move(staged.value()));
      message.staged = bodies.back().get();
      message.guid = MakeGuid(++serial_);
      message.flags = model.flags = static_cast<uint8_t>(Random(32));
      for (uint64_t n = Random(4); n > 0; n--) {
        model.keywords.insert("kw" + std::to_string(Random(50)));
      }
      message.keywords.assign(model.keywords.begin(), model.keywords.end());
      if (Random(10) == 0) {
        message.pop3_uidl = model.uidl = "uidl" + std::to_string(serial_);
      }
      added.push_back(model);
    }
    if (Random(10) == 0) {
      messages[0].wanted_uid = box.next_uid + static_cast<uint32_t>(Random(5));
    }
    std::vector<Change> changes;
    if (Random(5) == 0 && !box.messages.empty()) {
      const uint32_t uid = box.messages.begin()->first;
      changes.push_back(Expunge(uid, uid));
      box.messages.erase(uid);
    }
    auto result = store_->Save(guid, 1, messages, changes);
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->change, ++box.change);
    EXPECT_EQ(result->first_uid, box.next_uid);
    for (size_t i = 0; i < messages.size(); i++) {
      EXPECT_GE(messages[i].uid, result->first_uid);
      EXPECT_TRUE(box.messages.emplace(messages[i].uid, added[i]).second);
      box.next_uid = std::max(box.next_uid, messages[i].uid + 1);
    }
  }

  void Copy() {
    auto& [from_guid, from] = Pick();
    auto& [guid, box] = Pick();
    if (from.messages.empty()) {
      return;
    }
    std::vector<NewMessage> messages;
    std::vector<ModelMessage> added;
    auto it = from.messages.lower_bound(static_cast<uint32_t>(Random(from.next_uid)));
    for (uint64_t n = 1 + Random(5); n > 0 && it != from.messages.end(); n--, ++it) {
      NewMessage& message = messages.emplace_back();
      message.source_mailbox = from_guid;
      message.source_uid = it->first;
      message.guid = MakeGuid(++serial_);
      message.cause = Cause::kCopy;
      added.push_back({it->second.text, 0, {}, ""});
    }
    auto result = store_->Save(guid, 1, messages, {});
    ASSERT_TRUE(result.ok()) << result.status().message();
    box.change += messages.empty() ? 0 : 1;
    for (size_t i = 0; i < messages.size(); i++) {
      box.messages[messages[i].uid] = added[i];
      box.next_uid = std::max(box.next_uid, messages[i].uid + 1);
    }
    NewMessage gone;
    gone.source_mailbox = from_guid;
    gone.source_uid = from.next_uid + 5;
    EXPECT_EQ(store_->Save(guid, 1, {&gone, 1}, {}).status().code(), Code::kNotFound);
  }

  Change RandomChange(const ModelMailbox& box) {
    Change change;
    change.uid1 = static_cast<uint32_t>(Random(box.next_uid + 1));
    change.uid2 = change.uid1 + static_cast<uint32_t>(Random(4) == 0 ? Random(50) : Random(3));
    switch (Random(4)) {
      case 0:
        change.kind = Change::Kind::kKeywordAdd;
        change.text = "kw" + std::to_string(Random(60));
        break;
      case 1:
        change.kind = Change::Kind::kKeywordRemove;
        change.text = "kw" + std::to_string(Random(60));
        break;
      case 2:
        change.kind = Change::Kind::kPop3Uidl;
        change.uid2 = change.uid1;
        change.text = Random(2) == 0 ? "" : "new" + std::to_string(++serial_);
        break;
      default:
        change.add_flags = static_cast<uint8_t>(Random(32));
        change.remove_flags = static_cast<uint8_t>(Random(32));
        break;
    }
    return change;
  }

  void Change_() {
    auto& [guid, box] = Pick();
    std::vector<Change> changes;
    bool any = false;
    for (uint64_t n = 1 + Random(3); n > 0; n--) {
      changes.push_back(RandomChange(box));
      any |= ApplyToModel(box, changes.back());
    }
    auto result = store_->Apply(guid, changes);
    ASSERT_TRUE(result.ok()) << result.status().message();
    box.change += any ? 1 : 0;
    EXPECT_EQ(result->change, box.change);
    EXPECT_EQ(result->expunged, 0u);
  }

  static bool ApplyToModel(ModelMailbox& box, const Change& change) {
    bool any = false;
    for (auto it = box.messages.lower_bound(change.uid1);
         it != box.messages.end() && it->first <= change.uid2; ++it) {
      ModelMessage& message = it->second;
      switch (change.kind) {
        case Change::Kind::kFlags: {
          const auto flags =
              static_cast<uint8_t>((message.flags & ~change.remove_flags) | change.add_flags);
          any |= flags != message.flags;
          message.flags = flags;
          break;
        }
        case Change::Kind::kKeywordAdd:
          any |= message.keywords.insert(change.text).second;
          break;
        case Change::Kind::kKeywordRemove:
          any |= message.keywords.erase(change.text) > 0;
          break;
        default:
          any |= message.uidl != change.text;
          message.uidl = change.text;
      }
    }
    return any;
  }

  void Expunge_() {
    auto& [guid, box] = Pick();
    const auto first = static_cast<uint32_t>(Random(box.next_uid + 1));
    const auto last = first + static_cast<uint32_t>(Random(10) == 0 ? Random(100) : Random(6));
    const Change change = Expunge(first, last);
    auto result = store_->Apply(guid, {&change, 1});
    ASSERT_TRUE(result.ok()) << result.status().message();
    const uint64_t removed = std::erase_if(box.messages, [&](const auto& entry) {
      return entry.first >= first && entry.first <= last;
    });
    EXPECT_EQ(result->expunged, removed);
    box.change += removed > 0 ? 1 : 0;
    EXPECT_EQ(result->change, box.change);
  }

  void Compare(bool bodies) {
    auto list = store_->ListMailboxes();
    ASSERT_TRUE(list.ok());
    EXPECT_EQ(list->size(), boxes_.size());
    for (const auto& [guid, box] : boxes_) {
      CompareBox(guid, box, bodies);
    }
    auto report = CheckStore(*store_, {true, bodies});
    ASSERT_TRUE(report.ok()) << report.status().message();
    for (const std::string& problem : report->problems) {
      ADD_FAILURE() << problem;
    }
  }

  void CompareBox(const Guid& guid, const ModelMailbox& box, bool bodies) {
    const auto info = store_->GetMailbox(guid);
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->name, box.name);
    EXPECT_EQ(info->uid_validity, box.uid_validity);
    EXPECT_EQ(info->next_uid, box.next_uid);
    EXPECT_EQ(info->change, box.change);
    ASSERT_EQ(info->messages, box.messages.size());
    uint64_t bytes = 0;
    auto it = box.messages.begin();
    const auto visit = [&](const Message& message, const MessageExtra* extra) {
      EXPECT_EQ(message.uid, it->first);
      EXPECT_EQ(message.flags, it->second.flags);
      EXPECT_EQ(message.physical_size, it->second.text.size());
      std::set<std::string> keywords;
      for (uint32_t i = 0; i < 32; i++) {
        if ((message.keyword_bits >> i & 1) != 0) {
          keywords.insert(info->keywords[i]);
        }
      }
      if (extra != nullptr) {
        for (const uint32_t i : extra->keywords) {
          keywords.insert(info->keywords[i]);
        }
      }
      EXPECT_EQ(keywords, it->second.keywords);
      EXPECT_EQ(extra == nullptr ? "" : extra->pop3_uidl, it->second.uidl);
      bytes += message.physical_size;
      ++it;
      return !::testing::Test::HasFailure();
    };
    ASSERT_TRUE(store_->Scan(guid, 1, UINT32_MAX, visit).ok());
    EXPECT_EQ(info->physical_bytes, bytes);
    for (const auto& [uid, message] : box.messages) {
      if (bodies || Random(20) == 0) {
        const auto text = LoadText(*store_, guid, uid);
        ASSERT_TRUE(text.ok()) << text.status().message();
        ASSERT_TRUE(*text == message.text) << "UID " << uid;
      }
    }
  }

  const StoreOptions options_;
  std::mt19937_64 random_;
  std::shared_ptr<Store> store_;
  std::map<Guid, ModelMailbox> boxes_;
  uint64_t serial_ = 0;
};

TEST(StoreModelTest, RandomOperations) {
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const TempFolder folder;
    Model(OptionsFor(folder / "store"), seed).Run(2500);
  }
}

}  // namespace
}  // namespace lbox
