#include "storage/index_copy.h"

#include <array>
#include <memory>

#include <lmdb.h>
#include <zstd.h>

#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/status_macros.h"
#include "storage/zstd_context.h"

namespace lbox {
namespace {

constexpr uint32_t kCopyMagic = 0x4358424C;   // "LBXC"
constexpr uint32_t kBlockMagic = 0x4258424C;  // "LBXB"
constexpr size_t kHeaderBytes = 48, kHeaderHashAt = 40;
constexpr size_t kBlockBytes = 32, kBlockHashAt = 24;
constexpr size_t kAlignment = 8;
constexpr size_t kRawBytes = 1024 * 1024;           // a block is written when it has so much
constexpr size_t kMaxRawBytes = 128 * 1024 * 1024;  // of a block that is read
constexpr int kLevel = 1;

struct TableOf {
  CopyTable table;
  MDB_dbi Tables::*handle;
};
constexpr std::array<TableOf, 7> kTables{{
    {CopyTable::kMeta, &Tables::meta},
    {CopyTable::kMailbox, &Tables::mailbox},
    {CopyTable::kMailboxCold, &Tables::mailbox_cold},
    {CopyTable::kMessage, &Tables::message},
    {CopyTable::kExtra, &Tables::extra},
    {CopyTable::kBody, &Tables::body},
    {CopyTable::kPack, &Tables::pack},
}};

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint64_t BlockHash(std::span<const uint8_t> header, std::span<const uint8_t> stored) {
  Hasher hasher;
  hasher.Update(header.data(), kBlockHashAt);
  hasher.Update(stored.data(), stored.size());
  return hasher.Digest();
}

void AddLength(std::string& raw, size_t length) {
  uint8_t bytes[4];
  StoreLittle(bytes, static_cast<uint32_t>(length));
  raw.append(bytes, bytes + sizeof(bytes));
}

struct CursorCloser {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};

// The row is what was written.
bool Whole(CopyTable table, std::span<const uint8_t> key, std::span<const uint8_t> value) {
  if (table != CopyTable::kMessage) {
    return RowSealed(value);
  }
  return key.size() == sizeof(uint32_t) && MessageRowSealed(value, LoadBig<uint32_t>(key.data()));
}

class Writer {
 public:
  explicit Writer(File& file) : file_(file) {}

  Status Header(const MetaRow& meta, int64_t now) {
    std::array<uint8_t, kHeaderBytes> bytes;
    Encoder out(bytes);
    out.U32(kCopyMagic);
    out.U32(meta.format);
    out.Id(meta.uuid);
    out.U64(meta.transaction);
    out.I64(now);
    out.U64(Hash64(std::span(bytes).first(kHeaderHashAt)));
    return Write(bytes.data(), bytes.size());
  }

  Status Table(Txn& txn, const TableOf& table) {
    MDB_cursor* raw = nullptr;
    int rc = mdb_cursor_open(txn.raw(), txn.tables().*table.handle, &raw);
    if (rc != 0) {
      return txn.Failed(rc, "copying all rows");
    }
    const std::unique_ptr<MDB_cursor, CursorCloser> cursor(raw);
    MDB_val key{}, value{};
    while ((rc = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT)) == 0) {
      if (!Whole(table.table, {static_cast<const uint8_t*>(key.mv_data), key.mv_size},
                 {static_cast<const uint8_t*>(value.mv_data), value.mv_size})) {
        return Status(Code::kCorruption, txn.index().path() +
                                             ": a row is damaged; no copy is taken of it. Check "
                                             "the store");
      }
      AddLength(raw_, key.mv_size);
      AddLength(raw_, value.mv_size);
      raw_.append(static_cast<const char*>(key.mv_data), key.mv_size);
      raw_.append(static_cast<const char*>(value.mv_data), value.mv_size);
      rows_++;
      if (raw_.size() >= kRawBytes) {
        LBOX_RETURN_IF_ERROR(Block(table.table));
      }
    }
    if (rc != MDB_NOTFOUND) {
      return txn.Failed(rc, "copying all rows");
    }
    return rows_ > 0 ? Block(table.table) : Status();
  }

  Status End() {
    rows_ = all_rows_;
    return Block(CopyTable::kEnd);
  }

 private:
  Status Block(CopyTable table) {
    std::string stored;
    if (!raw_.empty()) {
      LBOX_ASSIGN_OR_RETURN(stored, CompressFrame(raw_, kLevel));
    }
    std::array<uint8_t, kBlockBytes> header;
    Encoder out(header);
    out.U32(kBlockMagic);
    out.U32(static_cast<uint32_t>(table));
    out.U32(rows_);
    out.U32(static_cast<uint32_t>(raw_.size()));
    out.U32(static_cast<uint32_t>(stored.size()));
    out.Zero(4);
    out.U64(BlockHash(header, Bytes(stored)));
    LBOX_RETURN_IF_ERROR(Write(header.data(), header.size()));
    stored.resize((stored.size() + kAlignment - 1) / kAlignment * kAlignment);
    LBOX_RETURN_IF_ERROR(Write(stored.data(), stored.size()));
    all_rows_ += rows_;
    rows_ = 0;
    raw_.clear();
    return {};
  }

  Status Write(const void* data, size_t size) {
    if (size == 0) {
      return {};
    }
    LBOX_RETURN_IF_ERROR(file_.WriteAt(offset_, data, size));
    offset_ += size;
    return {};
  }

  File& file_;
  uint64_t offset_ = 0;
  std::string raw_;
  uint32_t rows_ = 0, all_rows_ = 0;
};

class Reader {
 public:
  Reader(File& file, std::string path) : file_(file), path_(std::move(path)) {}

  Result<IndexCopyInfo> Header() {
    std::array<uint8_t, kHeaderBytes> bytes;
    LBOX_RETURN_IF_ERROR(Read(bytes));
    Decoder in(bytes);
    IndexCopyInfo info;
    const uint32_t magic = in.U32();
    info.format = in.U32();
    info.store = in.Id();
    info.transaction = in.U64();
    info.time = in.I64();
    if (magic != kCopyMagic || in.U64() != Hash64(std::span(bytes).first(kHeaderHashAt))) {
      return Damaged();
    }
    if (info.format > kStoreFormat) {
      return Status(Code::kUnsupported, path_ + " is of a newer version of lbox");
    }
    return info;
  }

  Status Rows(const CopyVisitor& visit) {
    for (;;) {
      std::array<uint8_t, kBlockBytes> header;
      LBOX_RETURN_IF_ERROR(Read(header));
      Decoder in(header);
      const uint32_t magic = in.U32();
      const uint32_t table = in.U32();
      const uint32_t rows = in.U32();
      const uint32_t raw = in.U32();
      const uint32_t stored = in.U32();
      const bool zero = in.Zero(4);
      if (magic != kBlockMagic || table > static_cast<uint32_t>(CopyTable::kPack) ||
          raw > kMaxRawBytes || stored > ZSTD_compressBound(raw) || !zero) {
        return Damaged();
      }
      stored_.resize((stored + kAlignment - 1) / kAlignment * kAlignment);
      LBOX_RETURN_IF_ERROR(Read(stored_));
      const auto frame = std::span<const uint8_t>(stored_).first(stored);
      if (in.U64() != BlockHash(header, frame)) {
        return Damaged();
      }
      if (table == static_cast<uint32_t>(CopyTable::kEnd)) {
        return rows == all_rows_ && raw == 0 ? Status() : Damaged();
      }
      LBOX_RETURN_IF_ERROR(Unpack(frame, raw));
      LBOX_RETURN_IF_ERROR(Block(static_cast<CopyTable>(table), rows, visit));
      all_rows_ += rows;
    }
  }

 private:
  Status Damaged() const { return Status(Code::kCorruption, path_ + " is damaged"); }

  Status Read(std::span<uint8_t> to) {
    LBOX_ASSIGN_OR_RETURN(const size_t got, file_.ReadAt(offset_, to.data(), to.size()));
    offset_ += got;
    return got == to.size() ? Status() : Damaged();
  }

  Status Unpack(std::span<const uint8_t> frame, size_t raw) {
    const Decompressor context = TakeDecompressor();
    if (context == nullptr) {
      return Status(Code::kUnavailable, "out of memory reading " + path_);
    }
    raw_.resize(raw);
    const size_t size =
        ZSTD_decompressDCtx(context.get(), raw_.data(), raw_.size(), frame.data(), frame.size());
    return ZSTD_isError(size) == 0 && size == raw ? Status() : Damaged();
  }

  Status Block(CopyTable table, uint32_t rows, const CopyVisitor& visit) {
    std::span<const uint8_t> left(raw_);
    for (uint32_t i = 0; i < rows; i++) {
      if (left.size() < 8) {
        return Damaged();
      }
      const size_t key = LoadLittle<uint32_t>(left.data());
      const size_t value = LoadLittle<uint32_t>(left.data() + 4);
      left = left.subspan(8);
      if (key > left.size() || value > left.size() - key) {
        return Damaged();
      }
      if (!Whole(table, left.first(key), left.subspan(key, value))) {
        return Damaged();
      }
      LBOX_RETURN_IF_ERROR(visit(table, left.first(key), left.subspan(key, value)));
      left = left.subspan(key + value);
    }
    return left.empty() ? Status() : Damaged();
  }

  File& file_;
  const std::string path_;
  uint64_t offset_ = 0;
  uint32_t all_rows_ = 0;
  std::vector<uint8_t> stored_, raw_;
};

}  // namespace

Status WriteIndexCopy(Txn& txn, int64_t now, File& file) {
  Writer writer(file);
  LBOX_RETURN_IF_ERROR(writer.Header(txn.meta, now));
  for (const TableOf& table : kTables) {
    LBOX_RETURN_IF_ERROR(writer.Table(txn, table));
  }
  return writer.End();
}

Result<IndexCopyInfo> ReadIndexCopy(Env& env, const std::string& path, const CopyVisitor& visit) {
  LBOX_ASSIGN_OR_RETURN(const auto file, env.OpenRead(path));
  Reader reader(*file, path);
  LBOX_ASSIGN_OR_RETURN(const IndexCopyInfo info, reader.Header());
  LBOX_RETURN_IF_ERROR(reader.Rows(visit));
  return info;
}

}  // namespace lbox
