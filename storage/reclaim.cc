#include "storage/reclaim.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <vector>

#include <unistd.h>

#include "storage/pack_scan.h"
#include "storage/status_macros.h"
#include "storage/upkeep.h"

namespace lbox {
namespace {

constexpr size_t kCopyBytes = 1024 * 1024;

struct Victim {
  uint32_t id = 0;
  PackRow row;
};

// One live record and where it goes.
struct Move {
  uint64_t body_id = 0;
  uint32_t from_pack = 0, from = 0, to = 0, span = 0;
};

// The cheapest first: little to copy.
Result<std::vector<Victim>> ChooseVictims(StoreImpl& store, bool exhaustive) {
  std::vector<Victim> all;
  const auto work = [&](Txn& txn) -> Status {
    all.clear();
    const bool small = txn.meta.pack_bytes < kSmallStoreBytes;
    return txn.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      if (WorthRewriting(row, small, exhaustive) && !store.upkeep.damaged_packs.contains(id)) {
        all.push_back({id, row});
      }
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  std::sort(all.begin(), all.end(),
            [](const Victim& a, const Victim& b) { return a.row.live_bytes < b.row.live_bytes; });
  uint64_t live = 0;
  size_t count = 0;
  while (count < all.size() &&
         (count == 0 || live + all[count].row.live_bytes <= kReclaimStepBytes)) {
    live += all[count++].row.live_bytes;
  }
  all.resize(count);
  return all;
}

// From here on nothing is appended to the victims.
Status Retire(StoreImpl& store, const std::vector<Victim>& victims) {
  const auto is_active = [&](const MetaRow& meta) {
    return std::any_of(victims.begin(), victims.end(),
                       [&](const Victim& victim) { return victim.id == meta.active_pack; });
  };
  return store.Write(Purpose::kDelete, [&](Txn& txn) -> Status {
    txn.unchanged = !is_active(txn.meta);
    txn.meta.active_pack = 0;
    return {};
  });
}

class Reclaim {
 public:
  explicit Reclaim(StoreImpl& store)
      : store_(store), tmp_path_(store.packs.TmpPath("reclaim." + std::to_string(getpid()))) {}
  ~Reclaim() {
    if (file_ != nullptr) {
      (void)store_.env.Unlink(tmp_path_);  // what stays is swept
    }
  }
  Reclaim(const Reclaim&) = delete;
  Reclaim& operator=(const Reclaim&) = delete;

  // What the index says is in the pack, whatever else is: for a pack that is no chain of records
  // any more.
  Status RunUnscanned(uint32_t pack) {
    bool gone = false;
    const auto work = [&](Txn& txn) -> Status {
      moves_.clear();
      const Status status = txn.GetPack(pack).status();
      gone = status.code() == Code::kNotFound;
      if (gone || !status.ok()) {
        return gone ? Status() : status;
      }
      return txn.ForEachBody([&](uint64_t id, const BodyRow& row) -> Status {
        if (row.pack == pack) {
          moves_.push_back({id, pack, row.offset, 0, row.record_bytes});
        }
        return {};
      });
    };
    LBOX_RETURN_IF_ERROR(store_.Read(work));
    if (gone) {
      return {};
    }
    std::sort(moves_.begin(), moves_.end(),
              [](const Move& a, const Move& b) { return a.from < b.from; });
    victims_.push_back(pack);
    if (!moves_.empty()) {
      LBOX_RETURN_IF_ERROR(CopyAll());
    }
    return Repoint();
  }

  // A damaged pack is passed over, and reported in the end.
  Status Run(const std::vector<Victim>& victims) {
    Status damage;
    for (const Victim& victim : victims) {
      Status status = FindLive(victim.id);
      if (status.code() == Code::kCorruption) {
        store_.upkeep.damaged_packs.insert(victim.id);
        damage = status;
      } else if (!status.ok()) {
        return status;
      }
    }
    if (!victims_.empty()) {
      if (!moves_.empty()) {
        LBOX_RETURN_IF_ERROR(CopyAll());
      }
      LBOX_RETURN_IF_ERROR(Repoint());
    }
    return damage;
  }

 private:
  // The live records of a pack, as one read transaction sees it.
  Status FindLive(uint32_t pack) {
    std::vector<Move> moves;
    bool gone = false;
    const auto work = [&](Txn& txn) -> Status {
      moves.clear();
      const auto row = txn.GetPack(pack);
      if (row.status().code() == Code::kNotFound) {
        gone = true;
        return {};
      }
      LBOX_RETURN_IF_ERROR(row.status());
      LBOX_ASSIGN_OR_RETURN(const auto file, store_.packs.OpenRead(pack));
      uint64_t bytes = 0;
      const std::string path = store_.packs.PackPath(pack);
      const PackScan scan{*file, path, row->tail, txn.meta.uuid};
      const auto visit = [&](uint64_t offset, uint64_t span, const PackRecord& record, size_t,
                             uint32_t check) -> Status {
        const auto body = txn.GetBody(record.body_id);
        if (body.status().code() == Code::kNotFound ||
            (body.ok() && (body->pack != pack || body->offset != offset))) {
          return {};
        }
        LBOX_RETURN_IF_ERROR(body.status());
        if (body->record_bytes != span || body->header_check != check) {
          return Status(Code::kCorruption, path + " at " + std::to_string(offset) +
                                               ": another record than the index says");
        }
        moves.push_back(
            {record.body_id, pack, static_cast<uint32_t>(offset), 0, static_cast<uint32_t>(span)});
        bytes += span;
        return {};
      };
      LBOX_RETURN_IF_ERROR(ScanPack(scan, visit));
      if (moves.size() != row->live_count || bytes != row->live_bytes) {
        return Status(Code::kCorruption,
                      path + " holds " + std::to_string(moves.size()) + " messages in use (" +
                          std::to_string(bytes) + " bytes), the index says " +
                          std::to_string(row->live_count) + " (" + std::to_string(row->live_bytes) +
                          " bytes); it is left as it is. Check the store");
      }
      return {};
    };
    LBOX_RETURN_IF_ERROR(store_.Read(work));
    if (!gone) {
      victims_.push_back(pack);
      moves_.insert(moves_.end(), moves.begin(), moves.end());
    }
    return {};
  }

  // Neighbours are copied together.
  Status CopyAll() {
    (void)store_.env.Unlink(tmp_path_);
    LBOX_ASSIGN_OR_RETURN(
        file_, store_.env.Create(tmp_path_, true, store_.options.mode, store_.options.gid));
    for (size_t first = 0; first < moves_.size();) {
      size_t next = first;
      uint64_t size = 0;
      do {
        moves_[next].to = static_cast<uint32_t>(tail_ + size);
        size += moves_[next++].span;
      } while (next < moves_.size() && moves_[next].from_pack == moves_[first].from_pack &&
               moves_[next].from == moves_[next - 1].from + moves_[next - 1].span &&
               size + moves_[next].span <= kCopyBytes);
      LBOX_RETURN_IF_ERROR(Copy(moves_[first], size));
      tail_ += size;
      first = next;
    }
    // Durable after this: the copy, under a name that does not last.
    return store_.options.sync ? file_->Sync() : Status();
  }

  Status Copy(const Move& start, uint64_t size) {
    LBOX_ASSIGN_OR_RETURN(const auto from, store_.packs.OpenRead(start.from_pack));
    buffer_.resize(size);
    LBOX_ASSIGN_OR_RETURN(const size_t got, from->ReadAt(start.from, buffer_.data(), size));
    if (got != size) {
      return Status(Code::kCorruption,
                    store_.packs.PackPath(start.from_pack) + " is shorter than the index says");
    }
    return file_->WriteAt(tail_, buffer_.data(), size);
  }

  Status Repoint() {
    for (size_t done = 0; !lost_;) {
      size_t end = done;
      const auto work = [&](Txn& txn) { return RepointSome(txn, done, end); };
      LBOX_RETURN_IF_ERROR(store_.Write(Purpose::kDelete, work));
      if (end == moves_.size()) {
        return {};
      }
      done = end;
    }
    return {};
  }

  Status RepointSome(Txn& txn, size_t begin, size_t& end) {
    std::map<uint32_t, PackRow> rows;
    if (begin == 0 && !moves_.empty()) {
      LBOX_RETURN_IF_ERROR(Place(txn));
      rows[placed_].tail = tail_;
      rows[placed_].created = static_cast<uint32_t>(time(nullptr));
      txn.meta.pack_bytes += tail_;
    } else if (!moves_.empty()) {
      const auto row = txn.GetPack(placed_);
      if (row.status().code() == Code::kNotFound) {
        // All that was moved so far has been expunged, and the new pack with it. The rest is still
        // where it was.
        lost_ = txn.unchanged = true;
        return {};
      }
      LBOX_ASSIGN_OR_RETURN(rows[placed_], row);
    }
    end = std::min(moves_.size(), begin + kBatchRows);
    for (size_t i = begin; i < end; i++) {
      LBOX_RETURN_IF_ERROR(RepointOne(txn, moves_[i], rows));
    }
    for (const auto& [id, row] : rows) {
      LBOX_RETURN_IF_ERROR(txn.PutPack(id, row));
    }
    return end == moves_.size() ? DropOld(txn) : Status();
  }

  // Gives the copy its name, which is a second one: should the transaction fail, the id may become
  // another process's, and whatever is in p/ by a name that no row has is garbage to it.
  Status Place(Txn& txn) {
    placed_ = txn.meta.next_pack_id++;
    const std::string path = store_.packs.PackPath(placed_);
    store_.packs.Forget(placed_);
    if (Status status = store_.env.Unlink(path); !status.ok() && status.code() != Code::kNotFound) {
      return status;
    }
    LBOX_RETURN_IF_ERROR(store_.env.Link(tmp_path_, path));
    // Durable after this: the name of the new pack.
    return store_.packs.SyncPackNames();
  }

  Status RepointOne(Txn& txn, const Move& move, std::map<uint32_t, PackRow>& rows) {
    auto body = txn.GetBody(move.body_id);
    if (body.status().code() == Code::kNotFound ||
        (body.ok() && (body->pack != move.from_pack || body->offset != move.from))) {
      return {};  // expunged, or moved by another process, since
    }
    LBOX_RETURN_IF_ERROR(body.status());
    if (!rows.contains(move.from_pack)) {
      LBOX_ASSIGN_OR_RETURN(rows[move.from_pack], txn.GetPack(move.from_pack));
    }
    PackRow& from = rows[move.from_pack];
    PackRow& to = rows[placed_];
    if (from.live_count == 0 || from.live_bytes < move.span) {
      return Status(Code::kCorruption, store_.packs.PackPath(move.from_pack) +
                                           " would have less than nothing in use; check the store");
    }
    from.live_count--;
    from.live_bytes -= move.span;
    to.live_count++;
    to.live_bytes += move.span;
    body->pack = placed_;
    body->offset = move.to;
    return txn.PutBody(move.body_id, *body);
  }

  // In the last transaction: packs without a live record go, the new one among them if all was
  // expunged meanwhile.
  Status DropOld(Txn& txn) {
    std::vector<uint32_t> candidates = victims_;
    if (placed_ != 0) {
      candidates.push_back(placed_);
    }
    for (const uint32_t id : candidates) {
      const auto row = txn.GetPack(id);
      if (row.status().code() == Code::kNotFound) {
        continue;
      }
      LBOX_RETURN_IF_ERROR(row.status());
      if (row->live_count > 0) {
        // The new pack, or an old one that another process has appended to because it was made
        // active again.
        if (id == placed_ && txn.meta.active_pack == 0 && row->tail < kPackBytes) {
          txn.meta.active_pack = id;
        }
        continue;
      }
      LBOX_RETURN_IF_ERROR(txn.DeletePack(id));
      txn.meta.pack_bytes -= row->tail;
      LBOX_RETURN_IF_ERROR(txn.AddPending({FileKind::kPack, id}));
    }
    return {};
  }

  StoreImpl& store_;
  const std::string tmp_path_;
  std::vector<uint32_t> victims_;
  std::vector<Move> moves_;
  std::unique_ptr<File> file_;
  std::string buffer_;
  uint64_t tail_ = 0;
  uint32_t placed_ = 0;
  bool lost_ = false;
};

}  // namespace

Result<bool> ReclaimStep(StoreImpl& store, bool exhaustive) {
  LBOX_ASSIGN_OR_RETURN(const auto victims, ChooseVictims(store, exhaustive));
  if (victims.empty()) {
    store.upkeep.packs.clear();
    return false;
  }
  // The copy is a file that no row names: no sweep meanwhile.
  LBOX_ASSIGN_OR_RETURN(const auto shared, store.lock->Shared());
  LBOX_RETURN_IF_ERROR(Retire(store, victims));
  Reclaim reclaim(store);
  LBOX_RETURN_IF_ERROR(reclaim.Run(victims));
  return true;
}

Status RewritePack(StoreImpl& store, uint32_t pack) {
  LBOX_ASSIGN_OR_RETURN(const auto shared, store.lock->Shared());
  LBOX_RETURN_IF_ERROR(Retire(store, {{pack, {}}}));
  return Reclaim(store).RunUnscanned(pack);
}

}  // namespace lbox
