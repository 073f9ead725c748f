#include "storage/checksum.h"

#include <gtest/gtest.h>

#include "tests/unit/test_support.h"

namespace lbox {
namespace {

// Values of the reference implementation: another hash would make every store unreadable.
TEST(Checksum, IsXxh3) {
  EXPECT_EQ(Hash64(Bytes("")), 0x2D06800538D394C2u);
  EXPECT_EQ(Hash64(Bytes("abc")), 0x78AF5F94892F3950u);
  EXPECT_EQ(Check32(Bytes("abc")), 0x892F3950u);
}

TEST(Checksum, InPiecesIsTheSame) {
  const std::string data = Incompressible(10000);
  for (const size_t step : {1u, 7u, 64u, 255u, 256u, 1024u, 9999u, 10000u}) {
    Hasher hasher;
    for (size_t at = 0; at < data.size(); at += step) {
      const size_t size = std::min(step, data.size() - at);
      hasher.Update(data.data() + at, size);
      ASSERT_EQ(hasher.Digest(), Hash64(data.data(), at + size));
    }
    hasher.Reset();
    EXPECT_EQ(hasher.Digest(), Hash64(Bytes("")));
  }
}

}  // namespace
}  // namespace lbox
