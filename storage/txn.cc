#include "storage/txn.h"

#include <array>
#include <cstring>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr char kMetaKey[] = "store";

// LMDB takes keys by non-const pointer and does not write to them.
MDB_val Val(const void* data, size_t size) {
  return {size, const_cast<void*>(data)};
}
MDB_val Val(std::span<const uint8_t> bytes) {
  return Val(bytes.data(), bytes.size());
}
std::span<const uint8_t> Bytes(const MDB_val& val) {
  return {static_cast<const uint8_t*>(val.mv_data), val.mv_size};
}
std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::array<uint8_t, 4> BigKey(uint32_t id) {
  std::array<uint8_t, 4> key;
  StoreBig(key.data(), id);
  return key;
}

std::array<uint8_t, 8> ExtraKey(uint32_t mailbox, uint32_t uid) {
  std::array<uint8_t, 8> key;
  StoreBig(key.data(), mailbox);
  StoreBig(key.data() + 4, uid);
  return key;
}

std::array<uint8_t, 9> PendingKey(const PendingFile& file) {
  std::array<uint8_t, 9> key;
  key[0] = static_cast<uint8_t>(file.kind);
  StoreBig(key.data() + 1, file.id);
  return key;
}

std::string MailboxName(uint32_t id) {
  return "mailbox " + std::to_string(id);
}
std::string ExtraName(uint32_t mailbox, uint32_t uid) {
  return MailboxName(mailbox) + " uid " + std::to_string(uid);
}
std::string BodyName(uint64_t id) {
  return "body " + std::to_string(id);
}
std::string PackName(uint32_t id) {
  return "pack " + std::to_string(id);
}

// What LMDB needs for a row of no bytes.
constexpr uint64_t kLeastRowBytes = 8;

uint64_t CountFreePages(MDB_txn* txn) {
  constexpr MDB_dbi kFreeTable = 0;  // LMDB's own: transaction -> count, page numbers
  MDB_cursor* cursor = nullptr;
  if (mdb_cursor_open(txn, kFreeTable, &cursor) != 0) {
    return 0;
  }
  uint64_t pages = 0;
  MDB_val key{}, value{};
  while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
    if (value.mv_size >= sizeof(uint64_t)) {
      pages += LoadLittle<uint64_t>(static_cast<const uint8_t*>(value.mv_data));
    }
  }
  mdb_cursor_close(cursor);
  return pages;
}

Status WrongKey(const char* row) {
  return Status(Code::kCorruption, std::string(row) + " row: wrong key length");
}

}  // namespace

Txn::Txn(MDB_txn* txn, IndexEnv& index, bool writable)
    : txn_(txn), index_(index), writable_(writable) {}

Txn::~Txn() {
  if (!writable_) {
    index_.EndRead();
  } else if (txn_ != nullptr) {
    mdb_txn_abort(txn_);
  }
}

Status Txn::Commit() {
  assert(writable_);
  MDB_txn* txn = txn_;
  txn_ = nullptr;  // gone, however it ends
  MDB_env* const env = mdb_txn_env(txn);
  mdb_env_set_flags(env, MDB_NOMETASYNC, redoable ? 1 : 0);
  const int rc = mdb_txn_commit(txn);
  mdb_env_set_flags(env, MDB_NOMETASYNC, 0);
  return rc == 0 ? Status() : Failed(rc, "committing");
}

uint64_t Txn::FreePages() {
  if (!writable_) {
    return CountFreePages(txn_);
  }
  // LMDB does not show the free list to a write transaction. Beside one, a read transaction sees
  // what it started from.
  MDB_txn* read = nullptr;
  if (index_.BeginRead(&read) != 0) {
    return 0;
  }
  const uint64_t pages = CountFreePages(read);
  index_.EndRead();
  return pages;
}

Status Txn::Failed(int error, const std::string& action) {
  if (error == MDB_MAP_FULL) {
    map_full_ = true;
  }
  return LmdbStatus(error, index_.path() + ": " + action);
}

Status Txn::Damaged(const Status& status, const std::string& id) {
  return Status(status.code(), index_.path() + ": " + id + ": " + status.message());
}

Result<std::span<const uint8_t>> Txn::Get(MDB_dbi table, MDB_val key, const char* row,
                                          const std::string& id) {
  MDB_val value{};
  const int rc = mdb_get(txn_, table, &key, &value);
  if (rc != 0) {
    return Failed(rc, std::string("reading the ") + row + " row of " + id);
  }
  return Bytes(value);
}

Status Txn::Put(MDB_dbi table, MDB_val key, std::span<const uint8_t> value, unsigned flags,
                const char* row) {
  MDB_val data = Val(value);
  const int rc = mdb_put(txn_, table, &key, &data, flags);
  return rc == 0 ? Status() : Failed(rc, std::string("writing a ") + row + " row");
}

Status Txn::Delete(MDB_dbi table, MDB_val key, const char* row, bool ok_when_absent) {
  const int rc = mdb_del(txn_, table, &key, nullptr);
  if (rc == 0 || (rc == MDB_NOTFOUND && ok_when_absent)) {
    return {};
  }
  return Failed(rc, std::string("removing a ") + row + " row");
}

Status Txn::ForEach(MDB_dbi table, const char* row,
                    const std::function<Status(std::span<const uint8_t> key,
                                               std::span<const uint8_t> value)>& visit) {
  MDB_cursor* cursor = nullptr;
  int rc = mdb_cursor_open(txn_, table, &cursor);
  if (rc != 0) {
    return Failed(rc, std::string("reading all ") + row + " rows");
  }
  Status status;
  MDB_val key{}, value{};
  // A damaged page may lead back to an earlier one, for ever.
  uint64_t rows = 0;
  const uint64_t most_rows = index_.TakenPages() * index_.page_bytes() / kLeastRowBytes;
  while (status.ok() && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
    status = ++rows <= most_rows ? visit(Bytes(key), Bytes(value))
                                 : Status(Code::kCorruption, index_.path() + ": more " + row +
                                                                 " rows than there is room for");
  }
  mdb_cursor_close(cursor);
  if (status.ok() && rc != MDB_NOTFOUND) {
    return Failed(rc, std::string("reading all ") + row + " rows");
  }
  return status;
}

// --- meta
// ------------------------------------------------------------------------------------------

Status Txn::LoadMeta() {
  auto bytes = Get(tables().meta, Val(kMetaKey, sizeof(kMetaKey) - 1), "meta", "the store");
  if (!bytes.ok()) {
    if (bytes.status().code() != Code::kNotFound) {
      return bytes.status();
    }
    return Status(Code::kCorruption, index_.path() + ": the meta row is missing");
  }
  auto row = DecodeMetaRow(bytes.value());
  if (!row.ok()) {
    return Damaged(row.status(), "the store");
  }
  meta = row.value();
  return {};
}

Status Txn::StoreMeta() {
  return Put(tables().meta, Val(kMetaKey, sizeof(kMetaKey) - 1), Encode(meta), 0, "meta");
}

// --- mailbox
// ---------------------------------------------------------------------------------------

Result<uint32_t> Txn::FindMailbox(const Guid& guid) {
  MDB_val key = Val(guid.bytes), value{};
  const int rc = mdb_get(txn_, tables().mailbox_guid, &key, &value);
  if (rc == MDB_NOTFOUND) {
    return Status(Code::kNotFound, "no mailbox " + ToHex(guid) + " in this store");
  }
  if (rc != 0) {
    return Failed(rc, "looking up mailbox " + ToHex(guid));
  }
  if (value.mv_size != 4) {
    return WrongKey("mailbox_guid");
  }
  return LoadBig<uint32_t>(static_cast<const uint8_t*>(value.mv_data));
}

Result<MailboxRow> Txn::GetMailbox(uint32_t id) {
  const auto key = BigKey(id);
  LBOX_ASSIGN_OR_RETURN(const auto bytes,
                        Get(tables().mailbox, Val(key), "mailbox", MailboxName(id)));
  auto row = DecodeMailboxRow(bytes);
  return row.ok() ? row : Damaged(row.status(), MailboxName(id));
}

Result<MailboxCold> Txn::GetCold(uint32_t id) {
  const auto key = BigKey(id);
  LBOX_ASSIGN_OR_RETURN(const auto bytes,
                        Get(tables().mailbox_cold, Val(key), "mailbox_cold", MailboxName(id)));
  auto row = DecodeMailboxCold(bytes);
  return row.ok() ? row : Damaged(row.status(), MailboxName(id));
}

Status Txn::PutMailbox(uint32_t id, const MailboxRow& row) {
  return Put(tables().mailbox, Val(BigKey(id)), Encode(row), 0, "mailbox");
}

Status Txn::PutCold(uint32_t id, const MailboxCold& cold) {
  const std::string bytes = EncodeCold(cold);
  return Put(tables().mailbox_cold, Val(BigKey(id)), Bytes(bytes), 0, "mailbox_cold");
}

Status Txn::PutMailboxGuid(const Guid& guid, uint32_t id) {
  return Put(tables().mailbox_guid, Val(guid.bytes), BigKey(id), 0, "mailbox_guid");
}

Status Txn::DeleteMailboxGuid(const Guid& guid) {
  return Delete(tables().mailbox_guid, Val(guid.bytes), "mailbox_guid", false);
}

uint64_t Txn::CountMailboxGuids() {
  MDB_stat stat{};
  mdb_stat(txn_, tables().mailbox_guid, &stat);
  return stat.ms_entries;
}

Status Txn::DeleteMailbox(uint32_t id) {
  LBOX_RETURN_IF_ERROR(Delete(tables().mailbox_cold, Val(BigKey(id)), "mailbox_cold", false));
  return Delete(tables().mailbox, Val(BigKey(id)), "mailbox", false);
}

Status Txn::ForEachMailbox(const std::function<Status(uint32_t id, const MailboxRow&)>& visit) {
  return ForEach(tables().mailbox, "mailbox", [&](auto key, auto value) -> Status {
    if (key.size() != 4) {
      return WrongKey("mailbox");
    }
    const auto id = LoadBig<uint32_t>(key.data());
    auto row = DecodeMailboxRow(value);
    return row.ok() ? visit(id, row.value()) : Damaged(row.status(), MailboxName(id));
  });
}

// --- extra
// -----------------------------------------------------------------------------------------

Result<MessageExtra> Txn::GetExtra(uint32_t mailbox, uint32_t uid) {
  const auto key = ExtraKey(mailbox, uid);
  LBOX_ASSIGN_OR_RETURN(const auto bytes,
                        Get(tables().extra, Val(key), "extra", ExtraName(mailbox, uid)));
  auto row = DecodeMessageExtra(bytes);
  return row.ok() ? row : Damaged(row.status(), ExtraName(mailbox, uid));
}

Status Txn::PutExtra(uint32_t mailbox, uint32_t uid, const MessageExtra& extra) {
  const std::string bytes = EncodeCold(extra);
  return Put(tables().extra, Val(ExtraKey(mailbox, uid)), Bytes(bytes), 0, "extra");
}

Status Txn::DeleteExtra(uint32_t mailbox, uint32_t uid) {
  return Delete(tables().extra, Val(ExtraKey(mailbox, uid)), "extra", true);
}

Status Txn::ForEachExtra(
    const std::function<Status(uint32_t mailbox, uint32_t uid, const MessageExtra&)>& visit) {
  return ForEach(tables().extra, "extra", [&](auto key, auto value) -> Status {
    if (key.size() != 8) {
      return WrongKey("extra");
    }
    const auto mailbox = LoadBig<uint32_t>(key.data());
    const auto uid = LoadBig<uint32_t>(key.data() + 4);
    auto row = DecodeMessageExtra(value);
    return row.ok() ? visit(mailbox, uid, row.value())
                    : Damaged(row.status(), ExtraName(mailbox, uid));
  });
}

// --- body
// ------------------------------------------------------------------------------------------

Result<BodyRow> Txn::GetBody(uint64_t id) {
  LBOX_ASSIGN_OR_RETURN(const auto bytes,
                        Get(tables().body, Val(&id, sizeof(id)), "body", BodyName(id)));
  auto row = DecodeBodyRow(bytes);
  return row.ok() ? row : Damaged(row.status(), BodyName(id));
}

Status Txn::PutBody(uint64_t id, const BodyRow& row) {
  return Put(tables().body, Val(&id, sizeof(id)), Encode(row), 0, "body");
}

Status Txn::AppendBody(uint64_t id, const BodyRow& row) {
  return Put(tables().body, Val(&id, sizeof(id)), Encode(row), MDB_APPEND, "body");
}

Status Txn::DeleteBody(uint64_t id) {
  return Delete(tables().body, Val(&id, sizeof(id)), "body", false);
}

Status Txn::ForEachBody(const std::function<Status(uint64_t id, const BodyRow&)>& visit) {
  return ForEach(tables().body, "body", [&](auto key, auto value) -> Status {
    uint64_t id = 0;
    if (key.size() != sizeof(id)) {
      return WrongKey("body");
    }
    memcpy(&id, key.data(), sizeof(id));
    auto row = DecodeBodyRow(value);
    return row.ok() ? visit(id, row.value()) : Damaged(row.status(), BodyName(id));
  });
}

// --- pack
// ------------------------------------------------------------------------------------------

Result<PackRow> Txn::GetPack(uint32_t id) {
  LBOX_ASSIGN_OR_RETURN(const auto bytes,
                        Get(tables().pack, Val(&id, sizeof(id)), "pack", PackName(id)));
  auto row = DecodePackRow(bytes);
  return row.ok() ? row : Damaged(row.status(), PackName(id));
}

Status Txn::PutPack(uint32_t id, const PackRow& row) {
  packs_put_.emplace_back(id, row);
  return Put(tables().pack, Val(&id, sizeof(id)), Encode(row), 0, "pack");
}

Status Txn::DeletePack(uint32_t id) {
  return Delete(tables().pack, Val(&id, sizeof(id)), "pack", false);
}

Status Txn::ForEachPack(const std::function<Status(uint32_t id, const PackRow&)>& visit) {
  return ForEach(tables().pack, "pack", [&](auto key, auto value) -> Status {
    uint32_t id = 0;
    if (key.size() != sizeof(id)) {
      return WrongKey("pack");
    }
    memcpy(&id, key.data(), sizeof(id));
    auto row = DecodePackRow(value);
    return row.ok() ? visit(id, row.value()) : Damaged(row.status(), PackName(id));
  });
}

// --- pending
// ---------------------------------------------------------------------------------------

Status Txn::AddPending(const PendingFile& file) {
  removed_.push_back(file);
  return Put(tables().pending, Val(PendingKey(file)), {}, 0, "pending");
}

Status Txn::RemovePending(const PendingFile& file) {
  return Delete(tables().pending, Val(PendingKey(file)), "pending", true);
}

Status Txn::ForEachPending(const std::function<Status(const PendingFile&)>& visit) {
  return ForEach(tables().pending, "pending", [&](auto key, auto) -> Status {
    if (key.size() != 9) {
      return WrongKey("pending");
    }
    return visit({static_cast<FileKind>(key[0]), LoadBig<uint64_t>(key.data() + 1)});
  });
}

}  // namespace lbox
