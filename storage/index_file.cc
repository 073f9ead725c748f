#include "storage/index_file.h"

#include <algorithm>
#include <vector>

#include "storage/advice.h"
#include "storage/coding.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// LMDB 0.9 on a 64-bit little-endian host. A page starts with its number (8), padding (2), flags
// (2) and the ends of its free space (2 + 2), then offsets of its nodes (2 each). A meta page goes
// on with magic (4), version (4), address (8), map size (8), the two tables that LMDB keeps for
// itself (48 each: the free list, and the table of tables), last page (8), transaction (8).
constexpr uint32_t kMagic = 0xBEEFC0DE;
constexpr size_t kPageHeaderBytes = 16, kFlagsAt = 10, kLowerAt = 12;
constexpr size_t kMagicAt = 16, kFreeTableAt = 40, kMainTableAt = 88, kLastPageAt = 136,
                 kTransactionAt = 144, kMetaBytes = 152;
constexpr uint16_t kMetaPage = 8, kLeafPage = 2;
// A table: page size or padding (4), flags (2), depth (2), counts (8 each): branch, leaf, overflow
// pages, entries; root page (8).
constexpr size_t kTableRootAt = 40, kTableBytes = 48;
constexpr uint64_t kNoPage = UINT64_MAX;
// A node: data size (4), flags (2), key size (2), key, data.
constexpr size_t kNodeHeaderBytes = 8;
constexpr uint16_t kNodeIsTable = 2;

// A transaction may take pages at the end of the file, free them again and never write them.
// IndexEnv sees to the file's size after each commit, so that the file lacks them only where a
// process was killed between the two.
constexpr uint64_t kUnwrittenPages = 1024;

class IndexFile {
 public:
  IndexFile(File& file, std::string path) : file_(file), path_(std::move(path)) {}

  // Nothing keeps others from committing meanwhile, which may replace any page once its meta page
  // has been read: the file is damaged when it is found so twice without a change in between.
  Result<IndexFileInfo> Read() {
    std::vector<uint8_t> before;
    for (;;) {
      auto info = ReadOnce();
      if (info.ok() || info.status().code() != Code::kCorruption || meta_ == before) {
        return info;
      }
      before = meta_;
    }
  }

 private:
  Result<IndexFileInfo> ReadOnce() {
    meta_.assign(1, 0);
    LBOX_RETURN_IF_ERROR(ReadMetas());
    // After the meta page: what it refers to was written before it.
    LBOX_ASSIGN_OR_RETURN(info_.file_bytes, file_.Size());
    if (info_.file_bytes + kUnwrittenPages * info_.page_bytes < info_.used_bytes) {
      return Damaged("it is shorter than its header says");
    }
    LBOX_RETURN_IF_ERROR(CheckRoot(LoadLittle<uint64_t>(&meta_[kFreeTableAt + kTableRootAt])));
    const auto main_root = LoadLittle<uint64_t>(&meta_[kMainTableAt + kTableRootAt]);
    LBOX_RETURN_IF_ERROR(CheckRoot(main_root));
    LBOX_RETURN_IF_ERROR(CheckTables(main_root));
    return info_;
  }

  Status Damaged(const char* why) const {
    return Status(Code::kCorruption, path_ + " is damaged (" + why + "); " + kRunRepair);
  }

  Status ReadBytes(uint64_t offset, std::vector<uint8_t>& bytes, size_t size) {
    bytes.resize(size);
    LBOX_ASSIGN_OR_RETURN(const size_t got, file_.ReadAt(offset, bytes.data(), size));
    return got == size ? Status() : Damaged("it is cut short");
  }

  // The newer one is in meta_ afterwards.
  Status ReadMetas() {
    uint64_t transactions[2] = {};
    for (int i = 0; i < 2; i++) {
      std::vector<uint8_t> meta;
      LBOX_RETURN_IF_ERROR(ReadBytes(i == 0 ? 0 : info_.page_bytes, meta, kMetaBytes));
      if (LoadLittle<uint32_t>(&meta[kMagicAt]) != kMagic ||
          (LoadLittle<uint16_t>(&meta[kFlagsAt]) & kMetaPage) == 0) {
        return Damaged("its header is overwritten");
      }
      const auto page_bytes = LoadLittle<uint32_t>(&meta[kFreeTableAt]);
      if (i == 0) {
        info_.page_bytes = page_bytes;
      }
      if (page_bytes != info_.page_bytes || page_bytes < 512 || page_bytes > 65536 ||
          (page_bytes & (page_bytes - 1)) != 0) {
        return Damaged("its header is wrong");
      }
      transactions[i] = LoadLittle<uint64_t>(&meta[kTransactionAt]);
      if (i == 0 || transactions[1] > transactions[0]) {
        meta_ = std::move(meta);
      }
    }
    // They take turns, even ones in the first. Otherwise the older one might pass for the newer,
    // and what was committed last would be gone unnoticed.
    const uint64_t newest = std::max(transactions[0], transactions[1]);
    if (newest != 0 &&
        (transactions[newest % 2] != newest || transactions[1 - newest % 2] != newest - 1)) {
      return Damaged("its two headers do not follow one another");
    }
    const auto last_page = LoadLittle<uint64_t>(&meta_[kLastPageAt]);
    if (last_page == 0 || last_page >= UINT64_MAX / info_.page_bytes - kUnwrittenPages) {
      return Damaged("its header is wrong");
    }
    info_.used_bytes = (last_page + 1) * info_.page_bytes;
    return {};
  }

  Status CheckRoot(uint64_t page) const {
    if (page == kNoPage) {
      return {};
    }
    return page >= 2 && page < info_.used_bytes / info_.page_bytes &&
                   (page + 1) * info_.page_bytes <= info_.file_bytes
               ? Status()
               : Damaged("a table lies beyond its end");
  }

  // The few tables are all on one page.
  Status CheckTables(uint64_t main_root) {
    if (main_root == kNoPage) {
      return {};  // a file that was just created
    }
    std::vector<uint8_t> page;
    LBOX_RETURN_IF_ERROR(ReadBytes(main_root * info_.page_bytes, page, info_.page_bytes));
    const auto lower = LoadLittle<uint16_t>(&page[kLowerAt]);
    if ((LoadLittle<uint16_t>(&page[kFlagsAt]) & kLeafPage) == 0 || lower < kPageHeaderBytes ||
        lower > page.size()) {
      return Damaged("its list of tables is overwritten");
    }
    for (size_t at = kPageHeaderBytes; at + 2 <= lower; at += 2) {
      const size_t node = LoadLittle<uint16_t>(&page[at]);
      if (node + kNodeHeaderBytes > page.size()) {
        return Damaged("its list of tables is wrong");
      }
      const auto data_bytes = LoadLittle<uint32_t>(&page[node]);
      const auto flags = LoadLittle<uint16_t>(&page[node + 4]);
      const size_t table = node + kNodeHeaderBytes + LoadLittle<uint16_t>(&page[node + 6]);
      if ((flags & kNodeIsTable) == 0 || data_bytes != kTableBytes ||
          table + kTableBytes > page.size()) {
        return Damaged("its list of tables is wrong");
      }
      LBOX_RETURN_IF_ERROR(CheckRoot(LoadLittle<uint64_t>(&page[table + kTableRootAt])));
    }
    return {};
  }

  File& file_;
  const std::string path_;
  IndexFileInfo info_;
  std::vector<uint8_t> meta_;
};

}  // namespace

Result<IndexFileInfo> ReadIndexFile(Env& env, const std::string& path) {
  LBOX_ASSIGN_OR_RETURN(const auto file, env.OpenRead(path));
  return IndexFile(*file, path).Read();
}

}  // namespace lbox
