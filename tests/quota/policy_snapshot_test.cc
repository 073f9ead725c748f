#include "quota/policy_snapshot.h"

#include <filesystem>
#include <random>

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "tests/quota/policy_support.h"

namespace hosting {
namespace {

// A policy in which every field has any value that it may have, or none.
class RandomPolicy {
 public:
  explicit RandomPolicy(uint32_t seed) : random_(seed) {}

  PolicySnapshot Make() {
    PolicySnapshot snapshot;
    snapshot.generation = Number();
    snapshot.file = {Number(),
                     Number(),
                     Number(),
                     static_cast<int64_t>(Number()),
                     static_cast<int64_t>(Number()),
                     Number()};
    ServiceOptions& service = snapshot.policy.service;
    service = {Numbers(), Numbers(), Numbers(), Numbers(), Small(), Small(), Coin(),
               Small(),   Coin(),    Coin(),    Small(),   Small(), Texts()};
    snapshot.policy.protocols = MakeProtocols();
    snapshot.policy.warnings.from = Text();
    for (const std::string& language : Texts()) {
      GrowthTexts& texts = snapshot.policy.warnings.texts.emplace_back();
      texts.language = language;
      texts.phrases[random_() % kGrowthPhrases] = Text();
    }
    for (uint32_t i = random_() % 5; i > 0; --i) {
      snapshot.policy.packages.push_back(MakePackage());
    }
    for (uint32_t i = random_() % 9; i > 0; --i) {
      snapshot.policy.accounts.push_back(MakeAccount());
    }
    return snapshot;
  }

 private:
  bool Coin() { return random_() % 2 == 0; }
  uint32_t Small() { return static_cast<uint32_t>(Number()); }
  uint64_t Number() { return random_() >> (random_() % 64); }
  std::string Text() {
    std::string text(random_() % 20, 'x');
    for (char& c : text) {
      c = static_cast<char>(' ' + random_() % 95);
    }
    return text + "é";
  }
  template <typename T>
  std::optional<T> Maybe(T value) {
    return Coin() ? std::optional<T>(value) : std::nullopt;
  }
  std::vector<uint32_t> Numbers() {
    std::vector<uint32_t> numbers(random_() % 4);
    for (uint32_t& number : numbers) {
      number = Small();
    }
    return numbers;
  }
  std::vector<std::string> Texts() {
    std::vector<std::string> texts(random_() % 4);
    for (std::string& text : texts) {
      text = Text();
    }
    return texts;
  }
  KeyLines Lines() {
    KeyLines lines{};
    if (Coin()) {
      for (Line& line : lines) {
        line = Small();
      }
    }
    return lines;
  }
  void MakeAccess(AccessRule (&access)[kProtocols]) {
    for (AccessRule& rule : access) {
      if (Coin()) {
        rule = {static_cast<Access>(random_() % 3), Small(), Small()};
      }
    }
  }
  ProtocolOptions MakeProtocols() {
    ProtocolOptions options{
        Numbers(), Small(), {},     Small(), Coin(), Small(), static_cast<Answer>(random_() % 3),
        Text(),    Small(), Text(), Text(),  {}};
    for (const char* const network : {"192.0.2.0/24", "2001:db8::/32", "::1"}) {
      if (Coin()) {
        options.exempt_networks.push_back(*Network::Parse(network));
      }
    }
    for (const std::string& language : Texts()) {
      options.texts.push_back({language, Text(), Text(), {Text(), Text(), Text(), Text(), Text()}});
    }
    return options;
  }
  Package MakePackage() {
    Package package;
    package.name = Text();
    package.line = Small();
    package.lines = Lines();
    package.limit = Number();
    package.mailbox_limit = Number();
    package.message_limit = Number();
    package.grace = Number();
    package.over_limit = static_cast<OverLimit>(random_() % 3);
    package.hard_limit = Number();
    if (Coin()) {
      package.overage = {*Money::Parse("12.345"), "EUR", 1 + Number() / 2,
                         static_cast<Basis>(random_() % 3), static_cast<Rounding>(random_() % 3)};
    }
    package.enforce = Coin();
    MakeAccess(package.access);
    package.pop3_retention =
        Maybe(Retention{Small(), Coin(), Coin(), Coin(), Small(), Text(), Text(), Text(), Small()});
    package.pop3_dele = {static_cast<DeleMeans>(random_() % 3), Small(), Coin()};
    package.pop3_into_inbox = Coin();
    package.warn_percent = Numbers();
    package.warn_days = Small();
    package.warn_weekly_percent = Small();
    package.warn_overage = Maybe(*Money::Parse("0.125"));
    package.web_interval = Small();
    for (bool& on : package.warn) {
      on = Coin();
    }
    return package;
  }
  Account MakeAccount() {
    Account account;
    account.name = Text();
    account.line = Small();
    account.lines = Lines();
    account.package = Text();
    account.domains = Texts();
    account.users = Texts();
    account.web_roots = Texts();
    account.web_exclude = Texts();
    for (const std::string& name : Texts()) {
      account.external.push_back({name, Small()});
    }
    account.time_zone = Text();
    account.contact = Text();
    account.uid = Maybe(Small());
    account.extra_space = Maybe(Number());
    account.mailbox_limit = Maybe(Number());
    account.limit = Maybe(Number());
    account.enforce = Maybe(Coin());
    MakeAccess(account.access);
    account.language = Text();
    for (const std::string& user : Texts()) {
      UserRule rule;
      rule.user = user;
      rule.line = Small();
      rule.lines = Lines();
      rule.mailbox_limit = Maybe(Number());
      MakeAccess(rule.access);
      account.user_rules.push_back(rule);
    }
    return account;
  }

  std::mt19937_64 random_;
};

bool Same(const PolicySnapshot& a, const PolicySnapshot& b) {
  return a.generation == b.generation && a.file == b.file && a.policy == b.policy;
}

TEST(PolicySnapshot, EveryFieldComesBack) {
  for (uint32_t seed = 0; seed < 500; ++seed) {
    const PolicySnapshot snapshot = RandomPolicy(seed).Make();
    const std::string bytes = EncodeSnapshot(snapshot);
    const auto decoded = DecodeSnapshot(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status().message();
    ASSERT_TRUE(Same(*decoded, snapshot)) << "seed " << seed;
    ASSERT_EQ(EncodeSnapshot(*decoded), bytes);
    ASSERT_EQ(DecodeSnapshotHeader(bytes)->generation, snapshot.generation);
    PolicySnapshot later = snapshot;
    ++later.generation;
    ASSERT_EQ(WithGeneration(bytes, later.generation), EncodeSnapshot(later));
  }
}

// A field that is added to the policy without being added to the snapshot does not compile here:
// add it to policy_snapshot.proto, to both functions in policy_snapshot.cc and to RandomPolicy,
// then here.
TEST(PolicySnapshot, NoFieldIsForgotten) {
  Policy policy;
  [[maybe_unused]] auto& [l1, l2, l3, l4, l5] = policy;
  ProtocolOptions protocols;
  [[maybe_unused]] auto& [q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11, q12] = protocols;
  ProtocolTexts texts;
  [[maybe_unused]] auto& [t1, t2, t3, t4] = texts;
  NoticeTexts notices;
  [[maybe_unused]] auto& [n1, n2, n3, n4, n5] = notices;
  ServiceOptions service;
  [[maybe_unused]] auto& [s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13] = service;
  Package package;
  [[maybe_unused]] auto& [p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11, p12, p13, p14, p15, p16,
                          p17, p18, p19, p20, p21] = package;
  Overage overage;
  [[maybe_unused]] auto& [o1, o2, o3, o4, o5] = overage;
  Retention retention;
  [[maybe_unused]] auto& [r1, r2, r3, r4, r5, r6, r7, r8, r9] = retention;
  Pop3Dele dele;
  [[maybe_unused]] auto& [d1, d2, d3] = dele;
  Account account;
  [[maybe_unused]] auto& [a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16,
                          a17, a18, a19] = account;
  ExternalSource source;
  [[maybe_unused]] auto& [e1, e2] = source;
  UserRule rule;
  [[maybe_unused]] auto& [u1, u2, u3, u4, u5] = rule;
  AccessRule access;
  [[maybe_unused]] auto& [c1, c2, c3] = access;
}

TEST(PolicySnapshot, EveryFlippedByteIsSeen) {
  const std::string good = EncodeSnapshot(RandomPolicy(7).Make());
  ASSERT_GT(good.size(), 200U);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    ASSERT_FALSE(DecodeSnapshot(bad).ok()) << "byte " << i;
  }
}

TEST(PolicySnapshot, EveryLengthButItsOwnIsRefused) {
  const std::string good = EncodeSnapshot(RandomPolicy(7).Make());
  for (size_t size = 0; size < good.size(); ++size) {
    const auto decoded = DecodeSnapshot(good.substr(0, size));
    ASSERT_FALSE(decoded.ok()) << size;
    ASSERT_EQ(decoded.status().code(), Code::kCorruption);
  }
  EXPECT_FALSE(DecodeSnapshot(good + "x").ok());
}

TEST(PolicySnapshot, SaysWhatIsWrong) {
  std::string bytes = EncodeSnapshot(RandomPolicy(7).Make());
  EXPECT_EQ(DecodeSnapshot("").status().message(), "policy snapshot does not begin as one");
  EXPECT_EQ(DecodeSnapshot(bytes.substr(0, 100)).status().message(),
            "policy snapshot has 60 bytes after its header, not " +
                std::to_string(bytes.size() - kSnapshotHeader));
  bytes.back() = static_cast<char>(~bytes.back());
  EXPECT_EQ(DecodeSnapshot(bytes).status().message(),
            "policy snapshot does not match its checksum");
  bytes[8] = 3;
  EXPECT_EQ(DecodeSnapshot(bytes).status().message(),
            "policy snapshot has format 3, this program knows 2");
  EXPECT_EQ(DecodeSnapshot(bytes).status().code(), Code::kUnsupported);
}

TEST(PolicySnapshotFile, IsReplacedWhole) {
  const TemporaryFolder folder;
  const std::string path = folder / "policy.snapshot";
  EXPECT_EQ(ReadSnapshot(path).status().code(), Code::kNotFound);
  PolicySnapshot snapshot = RandomPolicy(3).Make();
  ASSERT_TRUE(WriteSnapshot(path, snapshot).ok());
  EXPECT_TRUE(Same(*ReadSnapshot(path), snapshot));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);

  WriteFile(path + ".tmp", "of a writer that died");
  snapshot = RandomPolicy(4).Make();
  ASSERT_TRUE(WriteSnapshot(path, snapshot).ok());
  EXPECT_TRUE(Same(*ReadSnapshot(path), snapshot));
  EXPECT_EQ(ReadSnapshotHeader(path)->generation, snapshot.generation);
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(PolicySnapshotFile, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "policy.snapshot";
  EXPECT_NE(WriteSnapshot(folder / "none/p", {}).message().find("none/p.tmp"), std::string::npos);
  WriteFile(path, "short");
  EXPECT_EQ(ReadSnapshot(path).status().message(),
            path + ": policy snapshot does not begin as one");
  EXPECT_EQ(ReadSnapshotHeader(path).status().code(), Code::kCorruption);
}

}  // namespace
}  // namespace hosting
