#include "storage/index_shrink.h"

#include "storage/address_space.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr uint64_t kWorthBytes = 8 * kMiB;
constexpr size_t kRowsPerTransaction = 20000;
constexpr MDB_dbi Tables::*kAllTables[] = {
    &Tables::meta,         &Tables::mailbox, &Tables::mailbox_cold,
    &Tables::mailbox_guid, &Tables::message, &Tables::extra,
    &Tables::body,         &Tables::pack,    &Tables::pending};

// Pages are packed, but not perfectly.
uint64_t CopyBytes(const IndexSize& size) {
  const uint64_t live = size.used - size.free;
  return live + live / 4 + kMiB;
}

struct CursorCloser {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};

// Writes rows in the order of their keys, a bounded number to a transaction.
class Copier {
 public:
  explicit Copier(IndexEnv& to) : to_(to) {}

  Status Table(Txn& from, MDB_dbi Tables::*table) {
    MDB_cursor* raw = nullptr;
    int rc = mdb_cursor_open(from.raw(), from.tables().*table, &raw);
    if (rc != 0) {
      return from.Failed(rc, "reading all rows");
    }
    const std::unique_ptr<MDB_cursor, CursorCloser> cursor(raw);
    const unsigned flags = table == &Tables::message ? MDB_APPENDDUP : MDB_APPEND;
    MDB_val key{}, value{};
    while ((rc = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT)) == 0) {
      LBOX_RETURN_IF_ERROR(Begin());
      rc = mdb_put(txn_->raw(), to_.tables().*table, &key, &value, flags);
      if (rc != 0) {
        return txn_->Failed(rc, "copying a row");
      }
      if (++rows_ % kRowsPerTransaction == 0) {
        LBOX_RETURN_IF_ERROR(Commit());
      }
    }
    return rc == MDB_NOTFOUND ? Status() : from.Failed(rc, "reading all rows");
  }

  Status Finish(const MetaRow& meta) {
    LBOX_RETURN_IF_ERROR(Begin());
    txn_->meta = meta;
    LBOX_RETURN_IF_ERROR(txn_->StoreMeta());
    return Commit();
  }

 private:
  Status Begin() {
    if (txn_ != nullptr) {
      return {};
    }
    MDB_txn* raw = nullptr;
    const int rc = to_.BeginWrite(&raw);
    if (rc != 0) {
      return LmdbStatus(rc, "writing " + to_.path());
    }
    txn_ = std::make_unique<Txn>(raw, to_, true);
    return {};
  }
  Status Commit() {
    Status status = txn_->Commit();
    txn_.reset();
    return status;
  }

  IndexEnv& to_;
  std::unique_ptr<Txn> txn_;
  uint64_t rows_ = 0;
};

Status Remove(Env& env, const std::string& path) {
  for (const char* suffix : {"", "-lock"}) {
    Status status = env.Unlink(path + suffix);
    if (!status.ok() && status.code() != Code::kNotFound) {
      return status;
    }
  }
  return {};
}

// Step 1.
Status CopyTo(StoreImpl& store, Txn& from, const std::string& path, uint64_t map_bytes) {
  LBOX_RETURN_IF_ERROR(Remove(store.env, path));
  IndexOptions options = store.index->options();
  options.sync = false;  // flushed once, at the end
  IndexEnv to(options, path);
  LBOX_RETURN_IF_ERROR(to.Create(map_bytes));
  {
    Copier copier(to);
    for (const auto table : kAllTables) {
      LBOX_RETURN_IF_ERROR(copier.Table(from, table));
    }
    MetaRow meta = from.meta;
    meta.transaction = from.number();  // as the old generation will say
    LBOX_RETURN_IF_ERROR(copier.Finish(meta));
  }
  if (!store.options.sync) {
    return {};
  }
  // Durable after this: the new generation, and its name.
  LBOX_RETURN_IF_ERROR(to.Flush());
  return store.env.SyncDirectory(store.folder);
}

}  // namespace

IndexSize IndexSizeOf(Txn& txn, bool always_count) {
  const uint64_t page = txn.index().page_bytes();
  IndexSize size{txn.index().TakenPages() * page, 0};
  if (always_count || size.used > kWorthBytes) {
    size.free = txn.FreePages() * page;
  }
  return size;
}

bool WorthShrinking(const IndexSize& size, bool exhaustive) {
  return exhaustive ? size.used > kMiB && size.free > size.used / 4
                    : size.used > kWorthBytes && size.free > size.used / 2;
}

bool CanShrinkHere(const IndexSize& size) {
  const uint64_t left = AddressSpaceLeft();
  return left == kNoLimit || left > NextMapBytes(CopyBytes(size)) + kKeepAddressSpace;
}

std::chrono::milliseconds ShrinkTime(const IndexSize& size) {
  return std::chrono::milliseconds(20 + (size.used - size.free) / (100 * 1000));  // 100 MB a second
}

Result<bool> ShrinkIndex(StoreImpl& store, bool exhaustive) {
  LBOX_ASSIGN_OR_RETURN(const auto exclusive, store.lock->TryExclusive());
  if (!exclusive) {
    return false;
  }
  bool done = false;
  std::string old_path, new_path;
  CurrentFile next;
  const auto work = [&](Txn& txn) -> Status {
    done = false;
    const IndexSize size = IndexSizeOf(txn, true);
    txn.unchanged = !WorthShrinking(size, exhaustive) || !CanShrinkHere(size);
    if (txn.unchanged) {
      return {};
    }
    next = {store.index->generation() + 1, store.index->uuid()};
    old_path = txn.index().path();
    new_path = IndexPath(store.folder, next.generation);
    LBOX_RETURN_IF_ERROR(CopyTo(store, txn, new_path, NextMapBytes(CopyBytes(size))));
    // Step 2 is the commit of this.
    txn.meta.superseded = true;
    done = true;
    return {};
  };
  if (Status status = store.Write(Purpose::kDelete, work); !status.ok()) {
    // Whether the mark was committed is known to the next who looks; until then the copy stays.
    if (!done) {
      (void)Remove(store.env, new_path);
    }
    return status;
  }
  if (!done) {
    return false;
  }
  store.index->Close();
  // Step 3.
  LBOX_RETURN_IF_ERROR(WriteCurrent(store.env, store.folder, next, store.options.mode,
                                    store.options.gid, store.options.sync));
  // Step 4. What stays is swept.
  (void)Remove(store.env, old_path);
  store.upkeep.shrink = false;
  return true;
}

}  // namespace lbox
