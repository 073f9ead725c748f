#include "storage/store_check.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "storage/message_table.h"
#include "storage/pack_scan.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

class Checker {
 public:
  Checker(StoreImpl& store, CheckReport& report) : store_(store), report_(report) {}

  Status Index(Txn& txn) {
    LBOX_RETURN_IF_ERROR(txn.ForEachMailbox(
        [&](uint32_t id, const MailboxRow& row) { return Mailbox(txn, id, row); }));
    Expect("mailboxes by GUID", txn.CountMailboxGuids(), report_.mailboxes);
    LBOX_RETURN_IF_ERROR(Extras(txn));
    LBOX_RETURN_IF_ERROR(Bodies(txn));
    LBOX_RETURN_IF_ERROR(Packs(txn));
    Totals(txn.meta);
    return {};
  }

  Status Records() {
    for (const auto& [id, found] : packs_) {
      LBOX_RETURN_IF_ERROR(PackRecords(id));
    }
    return {};
  }

  Status EveryBody() {
    for (const auto& [mailbox, uid] : messages_) {
      auto reader = store_.OpenBody(mailbox, uid);
      const Status status = reader.ok() ? (*reader)->Verify() : reader.status();
      if (!status.ok() && status.code() != Code::kNotFound) {
        Problem(status.message());
      }
    }
    return {};
  }

  void RememberMessages() { remember_ = true; }

 private:
  struct BodyUse {
    uint32_t references = 0;
    uint32_t physical_size = 0;
  };
  struct PackUse {
    uint64_t bytes = 0;
    uint32_t count = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // offset, span
  };

  void Problem(const std::string& text) {
    if (report_.problems.size() < kMaxProblems) {
      report_.problems.push_back(text);
    }
  }
  void Expect(const std::string& what, uint64_t said, uint64_t found) {
    if (said != found) {
      Problem(what + ": the index says " + std::to_string(said) + ", found " +
              std::to_string(found));
    }
  }

  Status Mailbox(Txn& txn, uint32_t id, const MailboxRow& row) {
    report_.mailboxes++;
    const std::string name = "mailbox " + ToHex(row.guid);
    const auto by_guid = txn.FindMailbox(row.guid);
    if (!by_guid.ok() || *by_guid != id) {
      Problem(name + " is not found by its GUID");
    }
    if (const auto cold = txn.GetCold(id); !cold.ok()) {
      Problem(name + ": " + cold.status().message());
    }
    uint64_t messages = 0, physical = 0, logical = 0, stored = 0;
    uint32_t last = 0;
    const auto visit = [&](const Message& message) -> Result<bool> {
      if (message.uid <= last) {
        Problem(name + ": UID " + std::to_string(message.uid) + " after " + std::to_string(last));
      }
      last = message.uid;
      messages++;
      physical += message.physical_size;
      logical += message.virtual_size;
      const auto body = txn.GetBody(message.body_id);
      if (!body.ok()) {
        Problem(name + " UID " + std::to_string(message.uid) + ": " + body.status().message());
      } else {
        stored += StoredBytes(*body);
        BodyUse& use = uses_[message.body_id];
        use.references++;
        if (use.references > 1 && use.physical_size != message.physical_size) {
          Problem(name + " UID " + std::to_string(message.uid) + " has another size than its copy");
        }
        use.physical_size = message.physical_size;
      }
      if (message.has_extra) {
        extras_++;
        if (const auto extra = txn.GetExtra(id, message.uid); !extra.ok()) {
          Problem(name + " UID " + std::to_string(message.uid) + ": " + extra.status().message());
        }
      }
      if (remember_) {
        messages_.emplace_back(row.guid, message.uid);
      }
      return true;
    };
    if (const Status status = ScanMessages(txn, id, 0, UINT32_MAX, visit); !status.ok()) {
      Problem(name + ": " + status.message());
    }
    Expect(name + ", messages", row.messages, messages);
    Expect(name + ", physical bytes", row.physical_bytes, physical);
    Expect(name + ", virtual bytes", row.virtual_bytes, logical);
    Expect(name + ", stored bytes", row.stored_bytes, stored);
    if (messages > 0 && row.next_uid <= last) {
      Problem(name + ": next UID " + std::to_string(row.next_uid) + " is not above " +
              std::to_string(last));
    }
    if (id >= txn.meta.next_mailbox_id) {
      Problem(name + " has id " + std::to_string(id) + ", the next is " +
              std::to_string(txn.meta.next_mailbox_id));
    }
    report_.messages += messages;
    physical_ += physical;
    virtual_ += logical;
    return {};
  }

  Status Extras(Txn& txn) {
    uint64_t count = 0;
    LBOX_RETURN_IF_ERROR(txn.ForEachExtra([&](uint32_t, uint32_t, const MessageExtra&) -> Status {
      count++;
      return {};
    }));
    Expect("extra rows", count, extras_);
    return {};
  }

  Status Bodies(Txn& txn) {
    return txn.ForEachBody([&](uint64_t id, const BodyRow& row) -> Status {
      report_.bodies++;
      const auto use = uses_.find(id);
      Expect("body " + std::to_string(id) + ", references", row.references,
             use == uses_.end() ? 0 : use->second.references);
      if (id >= txn.meta.next_body_id) {
        Problem("body " + std::to_string(id) + " is above the next id");
      }
      PackUse& pack = packs_[row.pack];
      pack.bytes += row.record_bytes;
      pack.count++;
      pack.ranges.emplace_back(row.offset, row.record_bytes);
      stored_ += StoredBytes(row);
      if (row.large_id != 0) {
        large_count_++;
        large_bytes_ += LargeBytes(row);
      }
      return {};
    });
  }

  Status Packs(Txn& txn) {
    LBOX_RETURN_IF_ERROR(txn.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      report_.packs++;
      const std::string name = "pack " + std::to_string(id);
      PackUse& use = packs_[id];
      Expect(name + ", live records", row.live_count, use.count);
      Expect(name + ", live bytes", row.live_bytes, use.bytes);
      std::sort(use.ranges.begin(), use.ranges.end());
      uint64_t end = 0;
      for (const auto& [offset, span] : use.ranges) {
        if (offset < end) {
          Problem(name + ": records overlap at " + std::to_string(offset));
        }
        end = uint64_t{offset} + span;
      }
      if (end > row.tail) {
        Problem(name + ": a record lies beyond its tail");
      }
      use.ranges = {};
      pack_bytes_ += row.tail;
      pack_live_ += row.live_bytes;
      if (id >= txn.meta.next_pack_id) {
        Problem(name + " is above the next id");
      }
      return {};
    }));
    Expect("packs", report_.packs, packs_.size());
    if (txn.meta.active_pack != 0 && !packs_.contains(txn.meta.active_pack)) {
      Problem("the active pack " + std::to_string(txn.meta.active_pack) + " has no row");
    }
    return {};
  }

  void Totals(const MetaRow& meta) {
    Expect("messages", meta.messages, report_.messages);
    Expect("physical bytes", meta.physical_bytes, physical_);
    Expect("virtual bytes", meta.virtual_bytes, virtual_);
    Expect("stored bytes", meta.stored_bytes, stored_);
    Expect("pack bytes", meta.pack_bytes, pack_bytes_);
    Expect("live pack bytes", meta.pack_live_bytes, pack_live_);
    Expect("large bodies", meta.large_count, large_count_);
    Expect("large bytes", meta.large_bytes, large_bytes_);
  }

  // Every record in the pack is whole, and each that is live is the one its row describes.
  Status PackRecords(uint32_t id) {
    return store_.Read([&](Txn& txn) -> Status {
      const auto row = txn.GetPack(id);
      if (row.status().code() == Code::kNotFound) {
        return {};  // rewritten or emptied since
      }
      LBOX_RETURN_IF_ERROR(row.status());
      LBOX_ASSIGN_OR_RETURN(const auto file, store_.packs.OpenRead(id));
      uint32_t live = 0;
      const auto visit = [&](uint64_t offset, uint64_t span, const PackRecord& record,
                             size_t header_bytes, uint32_t check) -> Status {
        const auto body = txn.GetBody(record.body_id);
        if (!body.ok() || body->pack != id || body->offset != offset) {
          return body.status().code() == Code::kCorruption ? body.status() : Status();
        }
        live++;
        if (body->record_bytes != span || body->record_header_bytes != header_bytes ||
            body->header_check != check || body->large_id != record.large_id ||
            body->body_stored != record.body_stored) {
          Problem("body " + std::to_string(record.body_id) + " does not match its record in pack " +
                  std::to_string(id));
        }
        if (record.large_id != 0) {
          LargeFile(record);
        }
        return {};
      };
      if (const Status status =
              ScanPack({*file, store_.packs.PackPath(id), row->tail, txn.meta.uuid}, visit);
          !status.ok()) {
        Problem(status.message());
      }
      Expect("pack " + std::to_string(id) + ", records in use", row->live_count, live);
      return {};
    });
  }

  void LargeFile(const PackRecord& record) {
    const std::string path = store_.packs.LargePath(record.large_id);
    const auto info = store_.env.Stat(path);
    if (!info.ok()) {
      Problem(info.status().message());
    } else if (info->size != kLargeHeaderBytes + uint64_t{record.body_stored}) {
      Problem(path + " has " + std::to_string(info->size) + " bytes instead of " +
              std::to_string(kLargeHeaderBytes + uint64_t{record.body_stored}));
    }
  }

  StoreImpl& store_;
  CheckReport& report_;
  bool remember_ = false;
  std::vector<std::pair<Guid, uint32_t>> messages_;
  std::unordered_map<uint64_t, BodyUse> uses_;
  std::map<uint32_t, PackUse> packs_;
  uint64_t extras_ = 0, physical_ = 0, virtual_ = 0, stored_ = 0;
  uint64_t pack_bytes_ = 0, pack_live_ = 0, large_count_ = 0, large_bytes_ = 0;
};

}  // namespace

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options) {
  StoreImpl& impl = StoreImpl::Of(store);
  CheckReport report;
  Checker checker(impl, report);
  if (options.bodies) {
    checker.RememberMessages();
  }
  LBOX_RETURN_IF_ERROR(impl.Read([&](Txn& txn) { return checker.Index(txn); }));
  if (options.records) {
    LBOX_RETURN_IF_ERROR(checker.Records());
  }
  if (options.bodies) {
    LBOX_RETURN_IF_ERROR(checker.EveryBody());
  }
  return report;
}

}  // namespace lbox
