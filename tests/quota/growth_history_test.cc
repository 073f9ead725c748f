// History over days, restarts, torn files, full disks and wrong clocks; and how large it becomes.
#include "quota/growth_history.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

#include <gtest/gtest.h>

#include "tests/quota/temp_folder.h"

namespace hosting {
namespace {

constexpr int32_t kToday = 20454;  // 2026-01-01
constexpr uint64_t kMiB = 1 << 20;

class GrowthHistoryTest : public ::testing::Test {
 protected:
  GrowthHistoryTest() { Restart(); }

  void Restart() {
    history_ = std::make_unique<GrowthHistory>(
        folder(), [this](LogLevel, const std::string& text) { log_ += text + "\n"; });
    history_->Load(now());
  }
  [[nodiscard]] std::string folder() const { return folder_.path() + "/growth"; }
  [[nodiscard]] int64_t now() const { return int64_t{hour_} * 3600; }
  bool Add(const std::string& account, uint64_t mail, uint64_t delivered = 0, uint64_t gone = 0) {
    GrowthRecord record;
    record.key = GrowthKey(account);
    record.hour = hour_;
    record.mail = mail;
    record.delivered = delivered;
    record.removed_pop3 = gone;
    const bool begins = history_->Add(record);
    history_->Write(0);
    return begins;
  }
  // Of each day's end: "DAY:MiB ...", days counted from the first.
  std::string Points(const std::string& account) {
    std::string text;
    for (const GrowthPoint& point : history_->Points(GrowthKey(account), now())) {
      text += std::to_string(point.day - kToday) + ":" + std::to_string(point.bytes / kMiB) + " ";
    }
    return text;
  }
  std::vector<GrowthRecord> Records(const std::string& file) {
    std::vector<GrowthRecord> records;
    const std::string bytes = history_->files().Read(file, 0, kGrowthRecordBytes);
    for (size_t at = 0; at < bytes.size(); at += kGrowthRecordBytes) {
      if (const auto record =
              DecodeGrowthRecord(std::string_view(bytes).substr(at, kGrowthRecordBytes))) {
        records.push_back(*record);
      }
    }
    return records;
  }

  TempFolder folder_;
  std::unique_ptr<GrowthHistory> history_;
  std::string log_;
  uint32_t hour_ = kToday * 24;
};

TEST_F(GrowthHistoryTest, DaysEndWithTheirLastHour) {
  for (int i = 0; i < 3 * 24; ++i, ++hour_) {
    EXPECT_EQ(Add("a", static_cast<uint64_t>(i) * kMiB), i == 24 || i == 48) << i;
  }
  EXPECT_EQ(Points("a"), "0:23 1:47 2:71 ");  // it is the fourth day
  hour_ -= 10;
  EXPECT_EQ(Points("a"), "0:23 1:47 ");
  EXPECT_EQ(Points("b"), "");
}

TEST_F(GrowthHistoryTest, AnHourCountsOnce) {
  Add("a", kMiB);
  Add("a", 9 * kMiB);
  hour_ += 24;
  EXPECT_EQ(Points("a"), "0:1 ");
}

TEST_F(GrowthHistoryTest, OutlastsRestarts) {
  for (int i = 0; i < 4 * 24; ++i, ++hour_) {
    Add("a", static_cast<uint64_t>(i) * kMiB);
    Add("b", 5 * kMiB);
    if (i % 7 == 0) {
      Restart();
    }
  }
  EXPECT_EQ(Points("a"), "0:23 1:47 2:71 3:95 ");
  EXPECT_EQ(Points("b"), "0:5 1:5 2:5 3:5 ");
  Restart();
  EXPECT_EQ(Points("a"), "0:23 1:47 2:71 3:95 ");
  EXPECT_EQ(log_, "");
}

TEST_F(GrowthHistoryTest, HoursWithoutChangeAreNotWrittenButOnceADay) {
  for (int i = 0; i < 2 * 24; ++i, ++hour_) {
    Add("a", i < 30 ? kMiB : 2 * kMiB);
  }
  EXPECT_EQ(Records(GrowthFiles::NameOf(GrowthFile::kHours, kToday)).size(), 1U);
  EXPECT_EQ(Records(GrowthFiles::NameOf(GrowthFile::kHours, kToday + 1)).size(), 2U);
  EXPECT_EQ(Records(GrowthFiles::NameOf(GrowthFile::kDays, kToday)).size(), 1U);
}

TEST_F(GrowthHistoryTest, ServiceAwayForDays) {
  Add("a", kMiB);
  hour_ += 24 * 5;
  EXPECT_TRUE(Add("a", 6 * kMiB));
  hour_ += 24;
  EXPECT_EQ(Points("a"), "0:1 5:6 ");
  Restart();
  EXPECT_EQ(Points("a"), "0:1 5:6 ");
}

TEST_F(GrowthHistoryTest, ShareOfMailThatStays) {
  const uint64_t key = GrowthKey("a");
  EXPECT_FALSE(history_->KeptPercent(key));
  Add("a", 0, 1000, 1000);  // long ago
  EXPECT_FALSE(history_->KeptPercent(key));
  for (int i = 1; i <= 60; ++i) {
    hour_ += 24;
    Add("a", 0, 1000 + static_cast<uint64_t>(i) * 100, 1000 + static_cast<uint64_t>(i) * 75);
    if (i == 30) {
      Restart();
    }
  }
  EXPECT_EQ(history_->KeptPercent(key), 25U);
  hour_ += 24;
  Add("a", 0, 7100, 90000);  // all of the years before was cleaned up
  EXPECT_EQ(history_->KeptPercent(key), 0U);
  hour_ += 1;
  Add("a", 0, 5, 0);  // a new ledger
  EXPECT_FALSE(history_->KeptPercent(key));
}

TEST_F(GrowthHistoryTest, KeepsABoundedNumberOfFiles) {
  for (int day = 0; day < 500; ++day, hour_ += 24) {
    if (Add("a", static_cast<uint64_t>(day))) {
      history_->AddSource({1, static_cast<uint32_t>(kToday + day - 1), 5});
    }
  }
  const auto& files = history_->files();
  EXPECT_EQ(files.List(GrowthFile::kHours).size(), 15U);
  EXPECT_EQ(files.List(GrowthFile::kDays).size(), 15U);
  EXPECT_EQ(files.List(GrowthFile::kSources).size(), 5U);
  EXPECT_GE(files.List(GrowthFile::kHours).front(),
            GrowthFiles::NameOf(GrowthFile::kHours, kToday + 485));
  // 400 days are there.
  EXPECT_LE(files.List(GrowthFile::kDays).front(),
            GrowthFiles::NameOf(GrowthFile::kDays, kToday + 100));
  EXPECT_LE(files.List(GrowthFile::kSources).front(),
            GrowthFiles::NameOf(GrowthFile::kSources, kToday + 410));
}

TEST_F(GrowthHistoryTest, TornTailsAndDamageCostOneRecord) {
  for (int i = 0; i < 6; ++i, hour_ += 24) {
    Add("a", static_cast<uint64_t>(i) * kMiB);
  }
  const std::string path = folder() + "/" + GrowthFiles::NameOf(GrowthFile::kDays, kToday);
  const auto size = std::filesystem::file_size(path);
  ASSERT_EQ(size, 5 * kGrowthRecordBytes);
  for (const uint64_t torn : {size - 1, size - kGrowthRecordBytes + 1}) {
    std::filesystem::resize_file(path, torn);
    Restart();
    // What yesterday's end was is in the file of hours, too.
    EXPECT_EQ(Points("a"), "0:0 1:1 2:2 3:3 5:5 ");
  }
  Add("a", 6 * kMiB);  // cuts the torn one off
  EXPECT_EQ(std::filesystem::file_size(path) % kGrowthRecordBytes, 0U);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(kGrowthRecordBytes + 20);
  file.put('x');
  file.close();
  Restart();
  EXPECT_EQ(Points("a"), "0:0 2:2 3:3 5:5 ");
  std::ofstream(path, std::ios::binary) << std::string(10000, 'z');
  std::ofstream(folder() + "/days.9999-99") << "not ours";
  std::ofstream(folder() + "/days.2026-01.old") << "not ours";
  Restart();
  hour_ += 24;
  Add("a", 7 * kMiB);
  EXPECT_NE(Points("a"), "");
}

TEST_F(GrowthHistoryTest, AFullDiskIsToldAndForgotten) {
  Add("a", kMiB);
  // A limit of this process stands for the disk's: 100 bytes, so that the second record is torn.
  struct rlimit before {};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = {100, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  ++hour_;
  Add("a", 2 * kMiB);
  ++hour_;
  Add("a", 3 * kMiB);
  setrlimit(RLIMIT_FSIZE, &before);
  (void)std::signal(SIGXFSZ, handler);
  EXPECT_EQ(std::count(log_.begin(), log_.end(), '\n'), 1) << log_;  // once a minute
  EXPECT_NE(log_.find("history of growth is missing"), std::string::npos);
  ++hour_;
  Add("a", 4 * kMiB);
  const auto records = Records(GrowthFiles::NameOf(GrowthFile::kHours, kToday));
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[1].mail, 4 * kMiB);
  hour_ += 24;
  EXPECT_EQ(Points("a"), "0:4 ");  // memory had it all
}

TEST_F(GrowthHistoryTest, AFolderThatCannotBeMadeIsNoHarm) {
  GrowthHistory history("/proc/none/growth",
                        [this](LogLevel, const std::string& text) { log_ += text; });
  history.Load(now());
  GrowthRecord record;
  record.hour = hour_;
  EXPECT_FALSE(history.Add(record));
  history.Write(0);
  EXPECT_NE(log_, "");
}

TEST_F(GrowthHistoryTest, AWrongClockIsSurvived) {
  for (int i = 0; i < 5; ++i, hour_ += 24) {
    Add("a", static_cast<uint64_t>(i) * kMiB);
  }
  const uint32_t right = hour_;
  hour_ += 24 * 1000;
  Add("a", 99 * kMiB);
  hour_ += 24;
  Add("a", 99 * kMiB);
  hour_ = right;
  Add("a", 5 * kMiB);
  hour_ += 24;
  Add("a", 6 * kMiB);
  EXPECT_EQ(Points("a"), "0:0 1:1 2:2 3:3 4:4 5:5 ");
  Restart();
  EXPECT_EQ(Points("a"), "0:0 1:1 2:2 3:3 4:4 5:5 ");
}

TEST(GrowthRecord, BytesAreAsDocumented) {
  GrowthRecord record;
  record.key = 0x0807060504030201;
  record.hour = 0x0c0b0a09;
  record.mail = 0x060504030201;
  record.web = UINT64_MAX;  // more than there is room for
  const std::string bytes = Encode(record);
  ASSERT_EQ(bytes.size(), kGrowthRecordBytes);
  EXPECT_EQ(bytes.substr(0, 18),
            "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x01\x02\x03\x04\x05\x06");
  EXPECT_EQ(bytes.substr(18, 6), std::string(6, '\xff'));
  record.web = (1ULL << 48) - 1;
  EXPECT_EQ(DecodeGrowthRecord(bytes), record);
  EXPECT_EQ(Encode(GrowthSource{}).size(), kGrowthSourceBytes);
  EXPECT_NE(GrowthKey(SourceId{"a", SourceKind::kMail, "b"}),
            GrowthKey(SourceId{"a", SourceKind::kWeb, "b"}));
}

// docs/growth.md's figures: LBOX_GROWTH_ACCOUNTS=8000 writes 400 days of them, hour by hour for the
// last 14.
TEST_F(GrowthHistoryTest, Size) {
  const char* const wanted = getenv("LBOX_GROWTH_ACCOUNTS");
  const int accounts = wanted == nullptr ? 20 : atoi(wanted);
  const int sources = 6;
  std::vector<uint64_t> keys;
  for (int i = 0; i < accounts; ++i) {
    keys.push_back(GrowthKey("account" + std::to_string(i)));
  }
  const uint32_t end = hour_ + 431 * 24;
  for (; hour_ < end; hour_ += hour_ + 15 * 24 < end ? 24 : 1) {
    for (const uint64_t key : keys) {
      GrowthRecord record;
      record.key = key;
      record.hour = hour_;
      record.mail = hour_;
      if (history_->Add(record)) {
        for (int i = 0; i < sources; ++i) {
          history_->AddSource({key + static_cast<uint64_t>(i), hour_ / 24 - 1, hour_});
        }
      }
    }
    history_->Write(0);
  }
  uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder())) {
    bytes += file.file_size();
  }
  const auto begin = std::chrono::steady_clock::now();
  Restart();
  const std::chrono::duration<double, std::milli> load = std::chrono::steady_clock::now() - begin;
  printf("%d accounts, %d sources: %.1f MB, loaded in %.0f ms\n", accounts, accounts * sources,
         static_cast<double>(bytes) / 1e6, load.count());
  EXPECT_EQ(history_->accounts(), static_cast<size_t>(accounts));
  // 15 days of 24 records, 15 months of 31, 5 months of 31 for each source.
  EXPECT_LE(bytes,
            static_cast<uint64_t>(accounts) * ((15 * 24 + 15 * 31) * 64 + sources * 5 * 31 * 24));
  EXPECT_GE(history_->Points(keys[0], now()).size(), static_cast<size_t>(kForecastDays + 2));
}

}  // namespace
}  // namespace hosting
