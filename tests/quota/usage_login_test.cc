#include "quota/usage_login.h"

#include <gtest/gtest.h>

namespace hosting {
namespace {

constexpr int64_t kDay = 86400;

class Verdicts : public testing::Test {
 protected:
  Verdicts() {
    package.name = "small";
    effective.package = &package;
  }
  wire::Verdict Of(const std::string& user, int64_t now, const std::string& service = "imap") {
    login.set_user(user);
    login.set_service(service);
    return verdicts.Of(options, effective, login, now);
  }

  ProtocolOptions options;
  Package package;
  Effective effective;
  wire::Login login;
  LoginVerdicts verdicts;
};

TEST_F(Verdicts, AWarningIsGivenOnceADay) {
  package.access[kImap] = package.access[kPop3] = {Access::kWarn, 1};
  EXPECT_NE(Of("ann", kDay).text(), "");
  EXPECT_EQ(Of("ann", kDay).text(), "");
  EXPECT_EQ(Of("ann", kDay).access(), wire::Verdict::WARN);
  EXPECT_NE(Of("bob", kDay).text(), "");
  EXPECT_NE(Of("ann", kDay, "pop3").text(), "");
  EXPECT_EQ(Of("ann", 2 * kDay - 1).text(), "");
  EXPECT_NE(Of("ann", 2 * kDay).text(), "");
}

TEST_F(Verdicts, ARestoredSessionIsNotWarnedButTheNextOneIs) {
  package.access[kImap] = {Access::kWarn, 1};
  login.set_quiet(true);
  EXPECT_EQ(Of("ann", kDay).text(), "");
  login.set_quiet(false);
  EXPECT_NE(Of("ann", kDay).text(), "");
}

TEST_F(Verdicts, ADenialIsToldEachTime) {
  package.access[kImap] = {Access::kDeny, 1};
  login.set_quiet(true);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Of("ann", kDay).access(), wire::Verdict::DENY);
    EXPECT_NE(Of("ann", kDay).text(), "");
  }
  EXPECT_EQ(Of("ann", kDay, "lmtp").access(), wire::Verdict::ALLOW);
  login.set_exempt(true);
  EXPECT_EQ(Of("ann", kDay).access(), wire::Verdict::ALLOW);
}

TEST_F(Verdicts, OfNoAccount) {
  EXPECT_EQ(verdicts.Of(options, std::nullopt, login, 0).access(), wire::Verdict::ALLOW);
}

}  // namespace
}  // namespace hosting
