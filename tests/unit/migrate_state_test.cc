#include "plugin/migrate-state.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "plugin/migrate-place.h"
#include "plugin/migrate-progress.h"

namespace lbox::migrate {
namespace {

class MigrateState : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/migrateXXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
};

TEST_F(MigrateState, IsReadAsSaved) {
  State state;
  state.phase = Phase::kSwitching;
  state.source = "maildir:~/Mail\tdir";
  state.target = "lbox:~/lbox";
  state.token = "abc";
  state.messages = 5;
  state.bytes_before = 1ULL << 40;
  state.next = {{"g1", 7}, {"g2", 4294967295U}};
  {
    const auto file = StateFile::Open(folder_, "../a b@example.com");
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(file->Load()->phase, Phase::kNone);
    ASSERT_TRUE(file->Save(state).ok());
  }
  const auto file = StateFile::Open(folder_, "../a b@example.com");
  const auto read = file->Load();
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->Encode(), state.Encode());
  EXPECT_EQ(read->next, state.next);
  EXPECT_EQ(read->source, state.source);
}

TEST_F(MigrateState, OneAtATime) {
  const auto first = StateFile::Open(folder_, "a");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(StateFile::Open(folder_, "a").status().code(), Code::kBusy);
  EXPECT_TRUE(StateFile::Open(folder_, "b").ok());
}

TEST_F(MigrateState, WhatIsNotUnderstoodIsRefused) {
  const std::string good = State().Encode();
  for (const std::string& text :
       {std::string(), std::string("else\n"), good + "more\tx\n", good + "messages\tx\n",
        good + "phase\tlost\n", good + "next\tg\n"}) {
    EXPECT_FALSE(State::Decode(text).ok()) << text;
  }
}

TEST(MigratePlace, InTheWordsOfEachSeries) {
  const auto place = Place::Parse("maildir:~/Maildir:LAYOUT=fs:INDEX=/var/x");
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->driver, "maildir");
  EXPECT_EQ(place->path, "~/Maildir");
  using Texts = std::vector<std::string>;
  EXPECT_EQ(place->AsOwn(false), (Texts{"-o", "mail_location=" + place->text}));
  EXPECT_EQ(place->AsOther(false), Texts{place->text});
  EXPECT_EQ(place->AsOwn(true), (Texts{"-o", "mail_driver=maildir", "-o", "mail_path=~/Maildir",
                                       "-o", "LAYOUT=fs", "-o", "INDEX=/var/x"}));
  EXPECT_EQ(place->AsOther(true),
            (Texts{"-p", "LAYOUT=fs", "-p", "INDEX=/var/x", "maildir:~/Maildir"}));
  for (const char* bad : {"", "maildir", ":~/x", "maildir:", "maildir:~/x:y"}) {
    EXPECT_FALSE(Place::Parse(bad).ok()) << bad;
  }
}

TEST(MigrateProgress, Eta) {
  Progress progress(10, 100);
  EXPECT_EQ(progress.Eta(100), -1);
  EXPECT_EQ(progress.Bar(100, 200), "[--------------------] 0/10 users");
  progress.Begin("a");
  progress.Begin("b");
  progress.End("skipped", false);
  EXPECT_EQ(progress.Eta(110), -1);
  progress.End("a", true);
  // One and a half in 30 seconds; seven and a half are left.
  EXPECT_EQ(progress.Eta(130), 150);
  progress.Tell("b", "copying, pass 1");
  EXPECT_EQ(progress.Bar(130, 200),
            "[####----------------] 2/10 users, 2:30 left; b: copying, pass 1");
  EXPECT_EQ(progress.Bar(130, 10).size(), 10U);
}

}  // namespace
}  // namespace lbox::migrate
