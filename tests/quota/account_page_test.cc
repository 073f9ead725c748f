#include "quota/account_page.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace hosting {
namespace {

TEST(AccountPage, ReadsWhatWasWritten) {
  AccountPage page{kAccountPageMagic, 0, {}};
  AccountFigures figures;
  figures.mode = AccountFigures::Mode::kBill;
  figures.mail = 1;
  figures.web = 20;
  figures.external = 300;
  figures.hard_limit = 4000;
  WriteAccountPage(page, figures);
  const auto read = ReadAccountPage(page);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->mode, AccountFigures::Mode::kBill);
  EXPECT_EQ(read->total(), 321U);
  EXPECT_EQ(read->hard_limit, 4000U);
}

TEST(AccountPage, AnotherPageOrAHalfWrittenOneIsNotRead) {
  AccountPage page{kAccountPageMagic, 0, {}};
  page.sequence = 1;
  EXPECT_FALSE(ReadAccountPage(page).has_value());
  page.sequence = 2;
  EXPECT_TRUE(ReadAccountPage(page).has_value());
  page.magic = 0;
  EXPECT_FALSE(ReadAccountPage(page).has_value());
}

#ifndef __SANITIZE_THREAD__  // a sequence lock copies what may be changing, and then throws it away
TEST(AccountPage, AReaderNeverSeesHalfAWrite) {
  AccountPage page{kAccountPageMagic, 0, {}};
  std::atomic<bool> end = false;
  std::thread writer([&] {
    AccountFigures figures;
    while (!end) {
      figures.mail = ++figures.web;
      figures.external = figures.messages = figures.web;
      WriteAccountPage(page, figures);
    }
  });
  int read = 0;
  for (int i = 0; i < 200000; ++i) {
    if (const auto figures = ReadAccountPage(page)) {
      ++read;
      ASSERT_EQ(figures->mail, figures->web);
      ASSERT_EQ(figures->external, figures->web);
      ASSERT_EQ(figures->messages, figures->web);
    }
  }
  end = true;
  writer.join();
  EXPECT_GT(read, 0);
}
#endif

}  // namespace
}  // namespace hosting
