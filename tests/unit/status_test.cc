#include "storage/status.h"

#include <cerrno>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "storage/types.h"

namespace lbox {
namespace {

TEST(Status, StartsOk) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), Code::kOk);
  EXPECT_EQ(status.message(), "");
}

TEST(Status, KeepsCodeAndMessage) {
  const Status status(Code::kCorruption, "bad bytes");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_EQ(status.message(), "bad bytes");
}

TEST(Status, FromErrno) {
  const struct {
    int error;
    Code code;
    const char* text;
  } cases[] = {
      {ENOENT, Code::kNotFound, "No such file or directory"},
      {ENOTDIR, Code::kNotFound, "Not a directory"},
      {ENOSPC, Code::kNoSpace, "No space left on device"},
      {EDQUOT, Code::kNoSpace, "Disk quota exceeded"},
      {EACCES, Code::kPermission, "Permission denied"},
      {EPERM, Code::kPermission, "Operation not permitted"},
      {ENOMEM, Code::kUnavailable, "Cannot allocate memory"},
      {EMFILE, Code::kUnavailable, "Too many open files"},
      {ENFILE, Code::kUnavailable, "Too many open files in system"},
      {EAGAIN, Code::kUnavailable, "Resource temporarily unavailable"},
      {EEXIST, Code::kAborted, "File exists"},
      {EIO, Code::kIo, "Input/output error"},
      {EROFS, Code::kIo, "Read-only file system"},
      {ELOOP, Code::kIo, "Too many levels of symbolic links"},
  };
  for (const auto& c : cases) {
    const Status status = Status::FromErrno("write(/p) failed", c.error);
    EXPECT_EQ(status.code(), c.code) << c.text;
    EXPECT_EQ(status.message(), std::string("write(/p) failed: ") + c.text);
  }
}

TEST(Result, HoldsAValueOrAStatus) {
  Result<std::unique_ptr<int>> good(std::make_unique<int>(5));
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good.status().ok());
  EXPECT_EQ(*good.value(), 5);
  EXPECT_EQ(**good, 5);

  const Result<std::string> bad(Status(Code::kBusy, "later"));
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.status().code(), Code::kBusy);
  EXPECT_EQ(bad.status().message(), "later");
}

TEST(Guid, ToHex) {
  Guid guid;
  EXPECT_TRUE(guid.empty());
  EXPECT_EQ(ToHex(guid), std::string(32, '0'));
  guid.bytes[0] = 0xAB;
  guid.bytes[15] = 0x09;
  EXPECT_FALSE(guid.empty());
  EXPECT_EQ(ToHex(guid), "ab" + std::string(28, '0') + "09");
}

}  // namespace
}  // namespace lbox
