// The message table against a map: random additions, changes, removals and scans in several
// mailboxes at once, of sizes around the steps of LMDB's own layout (one row, rows inside the
// parent page, a tree of its own).
#include "storage/message_table.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "storage/index_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

using namespace lbox::testing;

class MessageTableTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = Env::Default()->Create(folder_ / "lock", true, 0600, -1);
    ASSERT_TRUE(file.ok());
    lock_ = std::make_unique<StoreLock>(std::move(file.value()), folder_ / "lock");
    IndexOptions options;
    options.env = Env::Default();
    options.lock = lock_.get();
    options.sync = false;
    index_ = std::make_unique<IndexEnv>(options, folder_ / "index.1");
    const Status status = index_->Create();
    ASSERT_TRUE(status.ok()) << status.message();
  }

  template <typename Work>
  void Write(Work work) {
    MDB_txn* raw = nullptr;
    ASSERT_EQ(index_->BeginWrite(&raw), 0);
    Txn txn(raw, *index_, true);
    work(txn);
    const Status status = txn.Commit();
    ASSERT_TRUE(status.ok()) << status.message();
  }

  template <typename Work>
  void Read(Work work) {
    MDB_txn* raw = nullptr;
    ASSERT_EQ(index_->BeginRead(&raw), 0);
    Txn txn(raw, *index_, false);
    work(txn);
  }

  TempFolder folder_;
  std::unique_ptr<StoreLock> lock_;
  std::unique_ptr<IndexEnv> index_;
};

Message MakeMessage(uint32_t uid, uint64_t salt) {
  Message message;
  message.uid = uid;
  message.body_id = salt;
  message.physical_size = static_cast<uint32_t>(salt * 7);
  message.flags = static_cast<uint8_t>(salt & 0x1f);
  return message;
}

void ExpectSame(const Message& found, const Message& expected) {
  EXPECT_EQ(found.uid, expected.uid);
  EXPECT_EQ(found.body_id, expected.body_id) << "UID " << found.uid;
  EXPECT_EQ(found.physical_size, expected.physical_size);
  EXPECT_EQ(found.flags, expected.flags);
}

using Mailbox = std::map<uint32_t, Message>;

void ExpectScan(Txn& txn, uint32_t id, const Mailbox& model, uint32_t first, uint32_t last) {
  auto expected = model.lower_bound(first);
  const auto visit = [&](const Message& message) -> Result<bool> {
    if (expected == model.end()) {
      ADD_FAILURE() << "unexpected UID " << message.uid;
      return false;
    }
    ExpectSame(message, expected->second);
    ++expected;
    return true;
  };
  const Status status = ScanMessages(txn, id, first, last, visit);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(expected == model.upper_bound(last))
      << "mailbox " << id << " from " << first << " to " << last;
}

TEST_F(MessageTableTest, EmptyMailbox) {
  Write([](Txn& txn) {
    EXPECT_EQ(FindMessage(txn, 1, 1).status().code(), Code::kNotFound);
    MessageCursor cursor(txn, 1);
    EXPECT_FALSE(cursor.Seek(0).value());
    ExpectScan(txn, 1, {}, 0, UINT32_MAX);
  });
}

// Every size from one row to past the first tree, each row looked up, changed, and scanned from.
TEST_F(MessageTableTest, EverySize) {
  Mailbox model;
  for (uint32_t uid = 2; uid <= 400; uid += 2) {
    model[uid] = MakeMessage(uid, uid);
    Write([&](Txn& txn) {
      ASSERT_TRUE(AppendMessage(txn, 5, model[uid]).ok());
      // A neighbour on either side, so that an overrun would show.
      ASSERT_TRUE(AppendMessage(txn, 4, MakeMessage(uid, 1)).ok());
      ASSERT_TRUE(AppendMessage(txn, 6, MakeMessage(uid, 1)).ok());
    });
    Read([&](Txn& txn) {
      for (const auto& [known, message] : model) {
        auto found = FindMessage(txn, 5, known);
        ASSERT_TRUE(found.ok()) << known << " of " << model.size();
        ExpectSame(*found, message);
        EXPECT_EQ(FindMessage(txn, 5, known + 1).status().code(), Code::kNotFound);
        EXPECT_EQ(FindMessage(txn, 5, known - 1).status().code(), Code::kNotFound);
      }
      ExpectScan(txn, 5, model, 0, UINT32_MAX);
      ExpectScan(txn, 5, model, uid, uid);
      ExpectScan(txn, 5, model, uid / 2, uid);
      ExpectScan(txn, 5, model, uid + 1, UINT32_MAX);
    });
  }
}

TEST_F(MessageTableTest, RandomOperations) {
  constexpr uint32_t kMailboxes = 6;
  constexpr int kTransactions = 600;
  std::mt19937_64 random(20240501);
  std::map<uint32_t, Mailbox> model;
  std::map<uint32_t, uint32_t> next;
  // Some mailboxes stay around one row, some around a page, some grow.
  const size_t kTarget[kMailboxes] = {1, 2, 30, 70, 500, 3000};
  for (int t = 0; t < kTransactions; t++) {
    Write([&](Txn& txn) {
      const int operations = 1 + static_cast<int>(random() % 60);
      for (int o = 0; o < operations; o++) {
        const auto id = static_cast<uint32_t>(random() % kMailboxes);
        Mailbox& box = model[id];
        const bool grow = box.size() < kTarget[id];
        const auto pick = [&] {
          auto it = box.lower_bound(static_cast<uint32_t>(random() % (next[id] + 1)));
          return it == box.end() ? box.begin() : it;
        };
        switch (random() % 4) {
          case 0:
          case 1:
            if (grow || random() % 3 == 0) {
              for (uint64_t n = 1 + random() % (grow ? 40 : 2); n > 0; n--) {
                const uint32_t uid = next[id] += 1 + static_cast<uint32_t>(random() % 3);
                box[uid] = MakeMessage(uid, random());
                const Status status = AppendMessage(txn, id, box[uid]);
                ASSERT_TRUE(status.ok()) << status.message();
              }
            } else if (!box.empty()) {
              const auto it = pick();
              MessageCursor cursor(txn, id);
              ASSERT_TRUE(cursor.Seek(it->first).value());
              ASSERT_EQ(cursor.message().uid, it->first);
              ASSERT_TRUE(cursor.Remove().ok());
              box.erase(it);
            }
            break;
          case 2: {  // change a run of rows
            MessageCursor cursor(txn, id);
            const auto from = static_cast<uint32_t>(random() % (next[id] + 2));
            auto it = box.lower_bound(from);
            auto found = cursor.Seek(from);
            ASSERT_TRUE(found.ok());
            for (uint64_t n = 1 + random() % 200; n > 0 && found.value(); n--) {
              ASSERT_TRUE(it != box.end());
              ExpectSame(cursor.message(), it->second);
              if (random() % 2 == 0) {
                it->second = MakeMessage(it->first, random());
                const Status status = cursor.Update(it->second);
                ASSERT_TRUE(status.ok()) << status.message();
              }
              ++it;
              found = cursor.Next();
              ASSERT_TRUE(found.ok());
            }
            if (!found.value()) {
              EXPECT_TRUE(it == box.end());
            }
            break;
          }
          default: {
            const auto first = static_cast<uint32_t>(random() % (next[id] + 2));
            ExpectScan(txn, id, box, first, first + static_cast<uint32_t>(random() % 300));
            break;
          }
        }
      }
    });
    if (HasFailure()) {
      FAIL() << "in transaction " << t;
    }
    if (t % 20 == 0) {
      Read([&](Txn& txn) {
        for (const auto& [id, box] : model) {
          ExpectScan(txn, id, box, 0, UINT32_MAX);
        }
      });
    }
  }
  // Empty all of them, from random ends.
  Write([&](Txn& txn) {
    for (auto& [id, box] : model) {
      while (!box.empty()) {
        auto it = box.lower_bound(static_cast<uint32_t>(random() % (next[id] + 1)));
        if (it == box.end()) {
          it = box.begin();
        }
        MessageCursor cursor(txn, id);
        ASSERT_TRUE(cursor.Seek(it->first).value());
        ASSERT_TRUE(cursor.Remove().ok());
        box.erase(it);
        if (box.size() % 97 == 0) {
          ExpectScan(txn, id, box, 0, UINT32_MAX);
        }
      }
    }
  });
}

}  // namespace
}  // namespace lbox
