#include "plugin/migrate-rows.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include "plugin/migrate-text.h"
#include "quota/descriptor.h"

namespace lbox::migrate {
namespace {

constexpr char kList[] =
    "U\t5000\t5000\t/home/a\tmaildir\t/home/a/Maildir\n"
    "B\tArchive\tg2\t7\t3\t1\n"
    "M\t2\tguid-c\t\t1000\t8\twork \t20\thash-c\n"
    "B\tINBOX\tg1\t9\t12\t3\n"
    "M\t1\tguid-a\tuidl-1\t1000\t0\t\t10\thash-a\n"
    "M\t4\tguid-b\t\t1001\t1\tlater work \t11\thash-b\n"
    "M\t11\tguid-d\t\t1002\t0\t\t12\thash-d\n"
    "S\tArchive\n"
    "S\tINBOX\n"
    "E\n";

// A list that can be read from a descriptor.
class List {
 public:
  explicit List(const std::string& text) : file_(memfd_create("list", 0)) {
    EXPECT_EQ(write(file_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    (void)lseek(file_.get(), 0, SEEK_SET);
  }
  [[nodiscard]] int get() const { return file_.get(); }

 private:
  hosting::Descriptor file_;
};

Comparison Compared(const std::string& source, const std::string& copy, Strictness strictness,
                    const Uids& known = {}) {
  const List source_list(source), copy_list(copy);
  RowReader source_rows(source_list.get()), copy_rows(copy_list.get());
  return Compare(source_rows, copy_rows, strictness, known);
}

std::string With(const std::string& from, const std::string& to) {
  std::string text = kList;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(MigrateRows, TheSameIsTheSame) {
  for (const auto strictness : {Strictness::kAll, Strictness::kFlowing}) {
    const Comparison result = Compared(kList, kList, strictness);
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.differences.count, 0U);
    EXPECT_EQ(result.messages, 4U);
    EXPECT_EQ(result.bodies, 4U);
    EXPECT_EQ(result.bytes, 53U);
    EXPECT_EQ(result.verified, (Uids{{"g1", 11}, {"g2", 2}}));
    EXPECT_EQ(result.next, (Uids{{"g1", 12}, {"g2", 3}}));
  }
}

TEST(MigrateRows, EachDifferenceIsSeen) {
  const struct {
    const char *from, *to, *text;
    bool flowing;  // counts also while mail flows
  } cases[] = {
      {"hash-b", "hash-x", "mailbox INBOX, UID 4: hash", true},
      {"\t11\thash-b", "\t13\thash-b", "mailbox INBOX, UID 4: size", true},
      {"guid-c", "guid-x", "mailbox Archive, UID 2: GUID", true},
      {"uidl-1", "uidl-2", "mailbox INBOX, UID 1: POP3 UIDL", true},
      {"\t1001\t", "\t1003\t", "mailbox INBOX, UID 4: received date", true},
      {"\t1001\t1\t", "\t1001\t0\t", "mailbox INBOX, UID 4: flags", false},
      {"later work ", "work ", "mailbox INBOX, UID 4: keywords", false},
      {"M\t11\tguid-d", "M\t10\tguid-d", "mailbox INBOX, UID 10: only in the copy", false},
      {"M\t4\tguid-b\t\t1001\t1\tlater work \t11\thash-b\n", "", "mailbox INBOX, UID 4: missing",
       false},
      {"INBOX\tg1\t9", "INBOX\tg1\t8", "mailbox INBOX: UIDVALIDITY", false},
      {"INBOX\tg1\t9\t12", "INBOX\tg1\t9\t11", "mailbox INBOX: UIDNEXT", false},
      {"INBOX\tg1", "INBOX\tgx", "mailbox INBOX: GUID", false},
      {"\t12\t3\n", "\t12\t4\n", "mailbox INBOX: messages", false},
      {"B\tArchive", "B\tArchives", "mailbox Archive: missing", false},
      {"S\tArchive\n", "", "subscription Archive: missing", false},
      {"S\tINBOX\n", "S\tINBOX\nS\tMore\n", "subscription More: only in the copy", false},
  };
  for (const auto& test : cases) {
    const Comparison all = Compared(kList, With(test.from, test.to), Strictness::kAll);
    ASSERT_GT(all.differences.count, 0U) << test.text;
    EXPECT_TRUE(all.differences.texts[0].starts_with(test.text)) << all.differences.texts[0];
    const Comparison flowing = Compared(kList, With(test.from, test.to), Strictness::kFlowing);
    EXPECT_EQ(flowing.differences.count > 0, test.flowing) << test.text;
    EXPECT_TRUE(flowing.complete);
  }
}

TEST(MigrateRows, UidNextMayBeHigherInTheCopy) {
  EXPECT_EQ(Compared(kList, With("\t9\t12\t", "\t9\t20\t"), Strictness::kAll).differences.count,
            0U);
}

TEST(MigrateRows, VerifiedEndsWhereAMessageIsMissing) {
  const auto verified = [](const char* from, const char* to) {
    return Compared(kList, With(from, to), Strictness::kFlowing).verified["g1"];
  };
  EXPECT_EQ(verified("M\t4\tguid-b\t\t1001\t1\tlater work \t11\thash-b\n", ""), 1U);
  EXPECT_EQ(verified("M\t11\tguid-d\t\t1002\t0\t\t12\thash-d\n", ""), 4U);
  EXPECT_EQ(verified("hash-a", "hash-x"), 0U);
}

TEST(MigrateRows, BodiesNotReadHaveToBeKnown) {
  const std::string unread = With("\t10\thash-a", "\t-\t-");
  EXPECT_EQ(Compared(unread, unread, Strictness::kAll, {{"g1", 1}}).differences.count, 0U);
  const Comparison unknown = Compared(unread, unread, Strictness::kAll);
  ASSERT_EQ(unknown.differences.count, 1U);
  EXPECT_EQ(unknown.differences.texts[0], "mailbox INBOX, UID 1: the body was not read");
}

TEST(MigrateRows, AListThatEndsEarlyIsIncomplete) {
  const std::string text = kList;
  for (size_t size = 0; size < text.size() - 1; ++size) {
    EXPECT_FALSE(Compared(kList, text.substr(0, size), Strictness::kAll).complete) << size;
  }
}

TEST(MigrateRows, LateMail) {
  const Uids before = {{"g1", 5}, {"g2", 3}};
  Uids next = before;
  const List grown(kList), late(kList), copy(With("guid-d", "guid-z"));
  RowReader grown_rows(grown.get()), late_rows(late.get()), copy_rows(copy.get());
  EXPECT_EQ(Grown(grown_rows, next), std::vector<std::string>{"INBOX"});
  EXPECT_EQ(next, (Uids{{"g1", 12}, {"g2", 3}}));
  std::set<std::string> guids = Late(late_rows, before);
  EXPECT_EQ(guids, std::set<std::string>{"guid-d"});
  RemoveFound(copy_rows, guids);
  EXPECT_EQ(guids.size(), 1U);
}

TEST(MigrateText, FieldsAreReadAsWritten) {
  const std::vector<std::string> fields = {"", "a\tb", "c\nd\re", std::string("\0\001", 2), "end"};
  const std::string line = JoinFields(fields);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(SplitFields(line), fields);
}

TEST(MigrateText, Shown) {
  EXPECT_EQ(ShownBytes(1023), "1023 B");
  EXPECT_EQ(ShownBytes(3 << 19), "1.5 MiB");
  EXPECT_EQ(ShownSeconds(61), "1:01");
  EXPECT_EQ(ShownSeconds(3661), "1:01:01");
  EXPECT_EQ(LastLine("a\nb \n"), "b");
  EXPECT_EQ(ToNumber("12"), 12U);
  EXPECT_FALSE(ToNumber("12x"));
  EXPECT_FALSE(ToNumber(""));
}

}  // namespace
}  // namespace lbox::migrate
