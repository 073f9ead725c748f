// The look at an index file before LMDB maps it.
#include "storage/index_file.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "storage/coding.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/unit/fault_env.h"

namespace lbox::fuzz {
namespace {

class MemoryFile final : public File {
 public:
  explicit MemoryFile(const std::string& bytes) : bytes_(bytes) {}
  Result<size_t> ReadAt(uint64_t offset, void* data, size_t size) override {
    const size_t from = std::min<uint64_t>(offset, bytes_.size());
    size = std::min(size, bytes_.size() - from);
    memcpy(data, bytes_.data() + from, size);
    return size;
  }
  Status WriteAt(uint64_t, const void*, size_t) override { return Refused(); }
  Status Sync() override { return Refused(); }
  Result<uint64_t> Size() override { return uint64_t{bytes_.size()}; }
  int descriptor() const override { return -1; }

 private:
  static Status Refused() { return Status(Code::kInvalid, "not to be written"); }
  const std::string& bytes_;
};

// Every file has these bytes.
class OneFileEnv final : public testing::FaultEnv {
 public:
  explicit OneFileEnv(const std::string& bytes) : bytes_(bytes) {}
  Result<std::unique_ptr<File>> OpenRead(const std::string&) override {
    return std::unique_ptr<File>(std::make_unique<MemoryFile>(bytes_));
  }

 private:
  const std::string& bytes_;
};

template <typename T>
void Put(std::string& bytes, size_t at, T value) {
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + at, value);
}

}  // namespace

// Two meta pages and one with the tables, as LMDB 0.9 writes them.
std::vector<std::string> Seeds() {
  constexpr size_t kPage = 512;
  std::string file(3 * kPage, '\0');
  for (size_t meta = 0; meta < 2; meta++) {
    const size_t at = meta * kPage;
    Put<uint64_t>(file, at, meta);
    Put<uint16_t>(file, at + 10, 8);
    Put<uint32_t>(file, at + 16, 0xBEEFC0DE);
    Put<uint32_t>(file, at + 20, 1);
    Put<uint32_t>(file, at + 40, kPage);
    Put<uint64_t>(file, at + 40 + 40, UINT64_MAX);
    Put<uint64_t>(file, at + 88 + 40, 2);
    Put<uint64_t>(file, at + 136, 2);
    Put<uint64_t>(file, at + 144, meta);
  }
  const size_t page = 2 * kPage;
  Put<uint64_t>(file, page, 2);
  Put<uint16_t>(file, page + 10, 2);
  Put<uint16_t>(file, page + 12, 18);
  Put<uint16_t>(file, page + 14, 400);
  Put<uint16_t>(file, page + 16, 400);
  Put<uint32_t>(file, page + 400, 48);
  Put<uint16_t>(file, page + 404, 2);
  Put<uint16_t>(file, page + 406, 4);
  Put<uint64_t>(file, page + 412 + 40, 2);
  return {file};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  lbox::fuzz::OneFileEnv env(bytes);
  const auto info = lbox::ReadIndexFile(env, "index.1");
  if (info.ok()) {
    lbox::fuzz::reached++;
    lbox::fuzz::Require(info->page_bytes >= 512 && info->used_bytes >= info->page_bytes,
                        "sizes that cannot be");
  }
  return 0;
}
