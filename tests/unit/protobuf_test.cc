// What storage/ writes field by field is what libprotobuf makes of the same values by cold.proto
// and journal.proto, byte for byte; and it reads what libprotobuf may write.
#include "storage/protobuf.h"

#include <gtest/gtest.h>

#include "cold.pb.h"
#include "journal.pb.h"
#include "storage/journal_record.h"
#include "storage/pack_record.h"
#include "storage/rows.h"
#include "tests/unit/test_support.h"

namespace lbox {
namespace {

constexpr size_t kCheckBytes = 4;  // behind a cold value

class ProtobufTest : public ::testing::Test {
 protected:
  // Zero, small, at its limit, anything.
  template <typename T>
  T Number() {
    const T values[] = {0, 1, 127, 128, static_cast<T>(-1), static_cast<T>(random_.Next())};
    return values[random_.Below(std::size(values))];
  }
  std::string Text() {
    std::string text(random_.Below(3) == 0 ? 0 : random_.Below(200), '\0');
    for (char& c : text) {
      c = static_cast<char>(random_.Next());
    }
    return text;
  }
  std::vector<std::string> Texts() {
    std::vector<std::string> texts(random_.Below(4));
    for (std::string& text : texts) {
      text = Text();
    }
    return texts;
  }
  Guid Id() {
    Guid guid;
    for (uint8_t& byte : guid.bytes) {
      byte = static_cast<uint8_t>(random_.Next());
    }
    return random_.Below(4) == 0 ? Guid() : guid;
  }
  static std::string Bytes(const Guid& guid) { return {guid.bytes.begin(), guid.bytes.end()}; }

  JournalCopy Copy() {
    JournalCopy copy;
    copy.message.uid = Number<uint32_t>();
    copy.message.body_id = Number<uint64_t>();
    copy.message.guid = Id();
    copy.message.received = Number<int64_t>();
    copy.message.saved = Number<uint32_t>();
    copy.message.flags = Number<uint8_t>();
    copy.message.cause = static_cast<Cause>(random_.Below(5));
    copy.message.physical_size = Number<uint32_t>();
    copy.message.virtual_size = Number<uint32_t>();
    copy.keywords = Texts();
    copy.original_guid = Text();
    copy.pop3_uidl = Text();
    copy.pop3_order = Number<uint32_t>();
    copy.source_mailbox = Id();
    copy.source_uid = Number<uint32_t>();
    return copy;
  }
  static void Fill(pb::JournalCopy& to, const JournalCopy& from) {
    to.set_uid(from.message.uid);
    to.set_body_id(from.message.body_id);
    to.set_guid(Bytes(from.message.guid));
    to.set_received(from.message.received);
    to.set_saved(from.message.saved);
    to.set_flags(from.message.flags);
    to.set_cause(static_cast<uint32_t>(from.message.cause));
    to.set_physical_size(from.message.physical_size);
    to.set_virtual_size(from.message.virtual_size);
    for (const std::string& keyword : from.keywords) {
      to.add_keywords(keyword);
    }
    to.set_original_guid(from.original_guid);
    to.set_pop3_uidl(from.pop3_uidl);
    to.set_pop3_order(from.pop3_order);
    to.set_source_mailbox(Bytes(from.source_mailbox));
    to.set_source_uid(from.source_uid);
  }
  Change AChange() {
    Change change;
    change.kind = static_cast<Change::Kind>(
        random_.Below(static_cast<uint64_t>(Change::Kind::kRetrieved) + 1));
    change.uid1 = Number<uint32_t>();
    change.uid2 = Number<uint32_t>();
    change.add_flags = Number<uint8_t>();
    change.remove_flags = Number<uint8_t>();
    change.text = Text();
    change.time = Number<uint32_t>();
    return change;
  }
  static void Fill(pb::JournalChange& to, const Change& from) {
    to.set_kind(static_cast<uint32_t>(from.kind));
    to.set_uid1(from.uid1);
    to.set_uid2(from.uid2);
    to.set_add_flags(from.add_flags);
    to.set_remove_flags(from.remove_flags);
    to.set_text(from.text);
    to.set_time(from.time);
  }

  Random random_{26};
};

TEST_F(ProtobufTest, MailboxCold) {
  for (int i = 0; i < 2000; i++) {
    const MailboxCold cold{Text(), Texts()};
    pb::MailboxCold message;
    message.set_name(cold.name);
    for (const std::string& keyword : cold.keywords) {
      message.add_keywords(keyword);
    }
    const std::string bytes = EncodeCold(cold);
    ASSERT_EQ(bytes.substr(0, bytes.size() - kCheckBytes), message.SerializeAsString());
    const auto back = DecodeMailboxCold(lbox::Bytes(bytes));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->name, cold.name);
    EXPECT_EQ(back->keywords, cold.keywords);
  }
}

TEST_F(ProtobufTest, MessageExtra) {
  for (int i = 0; i < 2000; i++) {
    MessageExtra extra;
    extra.original_guid = Text();
    extra.pop3_uidl = Text();
    extra.pop3_order = Number<uint32_t>();
    for (uint64_t n = random_.Below(5); n > 0; n--) {
      extra.keywords.push_back(Number<uint32_t>());
    }
    pb::MessageExtra message;
    message.set_original_guid(extra.original_guid);
    message.set_pop3_uidl(extra.pop3_uidl);
    message.set_pop3_order(extra.pop3_order);
    for (const uint32_t keyword : extra.keywords) {
      message.add_keywords(keyword);
    }
    const std::string bytes = EncodeCold(extra);
    ASSERT_EQ(bytes.substr(0, bytes.size() - kCheckBytes), message.SerializeAsString());
    const auto back = DecodeMessageExtra(lbox::Bytes(bytes));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->original_guid, extra.original_guid);
    EXPECT_EQ(back->pop3_uidl, extra.pop3_uidl);
    EXPECT_EQ(back->pop3_order, extra.pop3_order);
    EXPECT_EQ(back->keywords, extra.keywords);
  }
}

TEST_F(ProtobufTest, RecordExtra) {
  for (int i = 0; i < 2000; i++) {
    PackRecord record;
    record.keywords = Texts();
    record.original_guid = Text();
    record.pop3_uidl = Text();
    record.pop3_order = Number<uint32_t>();
    record.uid_validity = Number<uint32_t>();
    record.mailbox_name = Text();
    pb::RecordExtra message;
    for (const std::string& keyword : record.keywords) {
      message.add_keywords(keyword);
    }
    message.set_original_guid(record.original_guid);
    message.set_pop3_uidl(record.pop3_uidl);
    message.set_pop3_order(record.pop3_order);
    message.set_uid_validity(record.uid_validity);
    message.set_mailbox_name(record.mailbox_name);
    const std::string bytes = EncodePackRecord(record);
    ASSERT_EQ(bytes.substr(kPackRecordFixedBytes), message.SerializeAsString());
    const auto back = DecodePackRecord(lbox::Bytes(bytes));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->keywords, record.keywords);
    EXPECT_EQ(back->original_guid, record.original_guid);
    EXPECT_EQ(back->pop3_uidl, record.pop3_uidl);
    EXPECT_EQ(back->pop3_order, record.pop3_order);
    EXPECT_EQ(back->uid_validity, record.uid_validity);
    EXPECT_EQ(back->mailbox_name, record.mailbox_name);
  }
}

TEST_F(ProtobufTest, JournalRecord) {
  for (int i = 0; i < 2000; i++) {
    JournalFrame frame;
    JournalRecord& record = frame.record;
    pb::JournalRecord message;
    message.set_mailbox(Bytes(record.mailbox = Id()));
    message.set_next_uid(record.next_uid = Number<uint32_t>());
    message.set_saved(record.saved = Number<uint32_t>());
    for (uint64_t n = random_.Below(4); n > 0; n--) {
      Fill(*message.add_changes(), record.changes.emplace_back(AChange()));
      Fill(*message.add_copies(), record.copies.emplace_back(Copy()));
    }
    if (random_.Below(2) == 0) {
      record.state =
          JournalState{Id(), Text(), Number<uint32_t>(), Number<uint32_t>(), Number<uint64_t>()};
      pb::JournalState& state = *message.mutable_state();
      state.set_guid(Bytes(record.state->guid));
      state.set_name(record.state->name);
      state.set_uid_validity(record.state->uid_validity);
      state.set_first_recent_uid(record.state->first_recent_uid);
      state.set_modseq_ceiling(record.state->modseq_ceiling);
    }
    message.set_removed(record.removed = random_.Below(2) == 0);
    const auto bytes = EncodeJournalFrame(frame);
    ASSERT_TRUE(bytes.ok());
    const std::string expected = message.SerializeAsString();
    ASSERT_EQ(bytes->substr(kJournalFrameBytes, expected.size()), expected);
    const auto back = DecodeJournalFrame(lbox::Bytes(*bytes));
    ASSERT_TRUE(back.ok());
    const auto again = EncodeJournalFrame(*back);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, *bytes);
  }
}

TEST_F(ProtobufTest, PassesOverWhatItDoesNotKnow) {
  // 7: unknown; 3: of another kind; 4: not packed, then packed.
  std::string bytes;
  protozero::pbf_writer out(bytes);
  out.add_string(7, "later");
  out.add_string(3, "no number");
  out.add_uint32(4, 40);
  const std::vector<uint32_t> packed{41, 42};
  out.add_packed_uint32(4, packed.begin(), packed.end());
  out.add_fixed32(2, 5);
  uint32_t number = 6;
  std::string text = "untouched";
  std::vector<uint32_t> numbers;
  EXPECT_TRUE(ReadProtobuf(lbox::Bytes(bytes), [&](ProtobufField& field) {
    field.Bytes(2, text);
    field.Number(3, number);
    field.Each(4, numbers);
  }));
  EXPECT_EQ(number, 6u);
  EXPECT_EQ(text, "untouched");
  EXPECT_EQ(numbers, (std::vector<uint32_t>{40, 41, 42}));
}

TEST_F(ProtobufTest, RefusesWhatIsCutShort) {
  pb::MessageExtra message;
  message.set_original_guid(std::string(300, 'g'));
  message.add_keywords(1000);
  const std::string whole = message.SerializeAsString();
  size_t refused = 0;
  for (size_t size = 0; size <= whole.size(); size++) {
    pb::MessageExtra read;
    const bool valid = read.ParseFromString(whole.substr(0, size));
    const bool ours = ReadProtobuf(lbox::Bytes(std::string_view(whole).substr(0, size)),
                                   [](ProtobufField& field) {
                                     std::string text;
                                     std::vector<uint32_t> numbers;
                                     field.Bytes(1, text);
                                     field.Each(4, numbers);
                                   });
    EXPECT_EQ(ours, valid) << size;
    refused += valid ? 0 : 1;
  }
  EXPECT_GT(refused, 300u);
}

}  // namespace
}  // namespace lbox
