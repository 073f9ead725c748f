// The journal of removals: what goes in comes out, by many processes, and it stays small.
#include "quota/removal_journal.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "tests/quota/temp_folder.h"

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kNow = 1'700'000'000;

Removal Some(int64_t at, uint32_t uid = 7) {
  return {at,  "session/1", "pop3", "192.0.2.1", "DELE", "Sent \xc3\xbc/x",
          uid, 12345,       "Old",  "<a@b>"};
}

std::vector<Removal> All(const std::string& path, int64_t since = 0) {
  std::vector<Removal> all;
  EXPECT_TRUE(ForEachRemoval(path, since, [&](const Removal& r) { all.push_back(r); }).ok());
  return all;
}

TEST(RemovalJournal, RoundTrip) {
  TempFolder folder;
  const std::string path = folder.path() + "/j";
  EXPECT_TRUE(All(path).empty()) << "no file, no entries";
  const std::vector<Removal> removals = {Some(kNow), Some(kNow + 1), {}};
  ASSERT_TRUE(AppendRemovals(path, removals, kNow).ok());
  EXPECT_EQ(All(path), removals);
  EXPECT_EQ(All(path, kNow + 1).size(), 1U);
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(RemovalJournal, ValuesAreOneLine) {
  Removal removal = Some(kNow);
  removal.message_id = "<a\tb\nc>";
  removal.mailbox = std::string(5000, 'x');
  Removal read;
  ASSERT_TRUE(DecodeRemoval(EncodeRemoval(removal), &read));
  EXPECT_EQ(read.message_id, "<a?b?c>");
  EXPECT_EQ(read.mailbox.size(), 255U);
  for (const char* line : {"", "x", "1\t2", "x\t\t\t\t\t\t1\t1\t\t", "1\t\t\t\t\t\t-1\t1\t\t"}) {
    EXPECT_FALSE(DecodeRemoval(line, &read)) << line;
  }
}

TEST(RemovalJournal, LinesThatAreCutArePassedOver) {
  TempFolder folder;
  const std::string path = folder.path() + "/j";
  std::ofstream(path) << "1700000000\tcut";
  ASSERT_TRUE(AppendRemovals(path, std::vector{Some(kNow)}, kNow).ok());
  EXPECT_EQ(All(path).size(), 1U);
}

TEST(RemovalJournal, StaysSmallAndKeepsThirtyDays) {
  TempFolder folder;
  const std::string path = folder.path() + "/j";
  for (int day = 0; day < 200; ++day) {
    ASSERT_TRUE(AppendRemovals(path, std::vector{Some(kNow + day * kDay)}, kNow + day * kDay).ok());
    const auto all = All(path);
    EXPECT_GE(all.size(), static_cast<size_t>(std::min(day + 1, kJournalDays)));
    EXPECT_LE(all.size(), 2U * kJournalDays + 1);
  }
  const std::vector<Removal> many(1000, Some(kNow + 300 * kDay));
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(AppendRemovals(path, many, kNow + 300 * kDay).ok());
  }
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    bytes += file.file_size();
  }
  EXPECT_LE(bytes, 2 * kMaxJournalFile + 2 * many.size() * 300);
  EXPECT_GT(bytes, kMaxJournalFile);
}

TEST(RemovalJournal, ManyProcesses) {
  TempFolder folder;
  const std::string path = folder.path() + "/j";
  constexpr uint32_t kProcesses = 4, kEach = 300;
  const int64_t before = kNow - 31 * kDay;
  ASSERT_TRUE(AppendRemovals(path, std::vector{Some(before)}, before).ok());
  std::vector<pid_t> children;
  for (uint32_t p = 0; p < kProcesses; ++p) {
    children.push_back(fork());
    if (children.back() == 0) {
      bool good = true;
      for (uint32_t i = 0; i < kEach; ++i) {
        // The first of all begins a new file.
        good = good && AppendRemovals(path, std::vector{Some(kNow, p * kEach + i)}, kNow).ok();
      }
      _exit(good ? 0 : 1);
    }
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(All(path).size(), 1 + kProcesses * kEach);
}

TEST(RemovalJournal, CannotBeWritten) {
  EXPECT_FALSE(AppendRemovals("/nonexistent/j", std::vector{Some(kNow)}, kNow).ok());
  EXPECT_TRUE(AppendRemovals("/nonexistent/j", {}, kNow).ok()) << "nothing to tell";
}

}  // namespace
}  // namespace hosting
