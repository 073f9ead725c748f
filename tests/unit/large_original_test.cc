// One file for the same large body in several stores, and never two rows of one store with one
// file.
#include "storage/large_original.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "storage/store_impl.h"
#include "tests/unit/fault_env.h"
#include "tests/unit/store_testing.h"

namespace lbox {
namespace {

namespace fs = std::filesystem;
using namespace lbox::testing;

class LargeOriginalTest : public ::testing::Test {
 protected:
  struct User {
    std::string path;
    std::shared_ptr<Store> store;
    Guid box;
  };
  User Make(const std::string& name, StoreOptions options = {}) {
    const StoreOptions base = OptionsFor(folder_ / name);
    options.path = base.path;
    options.sync = base.sync;
    User user{base.path, MustOpen(options), {}};
    user.box = MustCreate(*user.store, 1);
    return user;
  }
  static std::string Body(uint64_t seed = 1) { return Noise(300000, seed); }
  // What stands before the body differs from user to user, as it does when mail is delivered.
  static uint32_t Deliver(User& user, const std::string& body, const std::string& header = "") {
    const auto uid =
        SaveText(*user.store, user.box, "Delivered-To: " + user.path + "\r\n" + header + body);
    EXPECT_TRUE(uid.ok()) << uid.status().message();
    return uid.ok() ? *uid : 0;
  }
  static void Expect(User& user, uint32_t uid, const std::string& body,
                     const std::string& header = "") {
    EXPECT_TRUE(LoadText(*user.store, user.box, uid).value() ==
                "Delivered-To: " + user.path + "\r\n" + header + body);
  }
  static std::vector<fs::path> Files(const User& user) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(user.path + "/l")) {
      files.push_back(entry.path());
    }
    return files;
  }
  // Of the only large body.
  static uint64_t Links(const User& user) {
    const auto files = Files(user);
    EXPECT_EQ(files.size(), 1u);
    return fs::hard_link_count(files.at(0));
  }
  static void Remove(User& user, uint32_t uid) {
    const Change change = Expunge(uid, uid);
    EXPECT_TRUE(user.store->Apply(user.box, {&change, 1}).ok());
    EXPECT_TRUE(user.store->UnlinkDeleted().ok());
  }

  TempFolder folder_;
};

TEST_F(LargeOriginalTest, ManyUsersOneFile) {
  std::vector<User> users;
  std::vector<uint32_t> uids;
  for (int i = 0; i < 10; i++) {
    users.push_back(Make("user" + std::to_string(i)));
    uids.push_back(Deliver(users.back(), Body()));
    EXPECT_TRUE(fs::is_empty(users.back().path + "/tmp"));
  }
  EXPECT_EQ(Links(users[0]), 10u);
  for (int i = 0; i < 10; i++) {
    Expect(users[i], uids[i], Body());
  }
  for (int i = 0; i < 9; i++) {  // the first one too
    Remove(users[i], uids[i]);
    EXPECT_TRUE(Files(users[i]).empty());
    Expect(users[9], uids[9], Body());
  }
  EXPECT_EQ(Links(users[9]), 1u);
}

TEST_F(LargeOriginalTest, NeverTwiceInOneStore) {
  User a = Make("a"), b = Make("b");
  std::vector<uint32_t> in_a, in_b;
  for (int i = 0; i < 3; i++) {
    in_a.push_back(Deliver(a, Body()));
    in_b.push_back(Deliver(b, Body()));
    in_b.push_back(Deliver(b, Body()));
  }
  EXPECT_EQ(Files(a).size(), in_a.size());
  EXPECT_EQ(Files(b).size(), in_b.size());
  while (!in_b.empty()) {
    Remove(b, in_b.back());
    in_b.pop_back();
    for (const uint32_t uid : in_a) {
      Expect(a, uid, Body());
    }
    for (const uint32_t uid : in_b) {
      Expect(b, uid, Body());
    }
  }
}

TEST_F(LargeOriginalTest, NotTwiceWithinOneBatch) {
  User a = Make("a"), b = Make("b");
  Deliver(a, Body());
  const auto one = Stage(*b.store, Body()), other = Stage(*b.store, Body());
  std::vector<NewMessage> messages(2);
  messages[0].staged = one->get();
  messages[1].staged = other->get();
  ASSERT_TRUE(b.store->Save(b.box, 1, messages, {}).ok());
  EXPECT_EQ(Files(b).size(), 2u);
  Remove(b, messages[0].uid);
  EXPECT_TRUE(LoadText(*b.store, b.box, messages[1].uid).value() == Body());
}

TEST_F(LargeOriginalTest, ACopiedStoreHasItAlready) {
  User a = Make("a");
  const uint32_t uid = Deliver(a, Body());
  User b = Make("b");
  fs::copy(Files(a).at(0), b.path + "/l");
  const uint32_t again = Deliver(b, Body());
  EXPECT_EQ(Files(b).size(), 2u);
  EXPECT_EQ(Links(a), 1u);
  Expect(a, uid, Body());
  Expect(b, again, Body());
}

TEST_F(LargeOriginalTest, OnlyWhatIsAlike) {
  User a = Make("a"), b = Make("b");
  Deliver(a, Body(1));
  Deliver(b, Body(2));
  EXPECT_EQ(Links(a), 1u);
  EXPECT_EQ(Links(b), 1u);
  StoreOptions group;
  group.mode = 0660;
  User c = Make("c", group);
  Deliver(c, Body(2));
  EXPECT_EQ(Links(c), 1u) << "files of another mode";
}

// A hash may be made to collide; the bytes decide.
TEST_F(LargeOriginalTest, TheBytesDecide) {
  User a = Make("a"), b = Make("b");
  Deliver(a, Body());
  {
    std::fstream file(Files(a).at(0), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200000);
    file.put('?');
  }
  const uint32_t uid = Deliver(b, Body());
  EXPECT_EQ(Links(b), 1u);
  Expect(b, uid, Body());
}

TEST_F(LargeOriginalTest, TheOriginalIsGone) {
  User a = Make("a"), b = Make("b");
  Remove(a, Deliver(a, Body()));
  Expect(b, Deliver(b, Body()), Body());
  EXPECT_EQ(Links(b), 1u);
}

TEST_F(LargeOriginalTest, WithoutLinksEachHasItsOwn) {
  FaultEnv env;
  StoreOptions options;
  options.env = &env;
  env.before = [](const std::string& call, const std::string&) {
    return call == "link" ? Status(Code::kUnsupported, "no hard links here") : Status();
  };
  User a = Make("a", options), b = Make("b", options);
  Deliver(a, Body());
  const uint32_t uid = Deliver(b, Body());
  EXPECT_EQ(Links(b), 1u);
  Expect(b, uid, Body());
  EXPECT_TRUE(fs::is_empty(b.path + "/tmp"));
}

TEST_F(LargeOriginalTest, WhatIsGivenUpLeavesNothing) {
  User a = Make("a"), b = Make("b");
  Deliver(a, Body());
  { const auto staged = Stage(*b.store, Body()); }
  EXPECT_TRUE(fs::is_empty(b.path + "/tmp"));
  EXPECT_EQ(Links(a), 1u);
}

}  // namespace
}  // namespace lbox
