#include "storage/store_check.h"

#include <algorithm>
#include <array>
#include <map>

#include "storage/check_files.h"
#include "storage/check_spare.h"
#include "storage/message_table.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

constexpr uint64_t kRowsBetweenSigns = 1000;

class Checker {
 public:
  Checker(const CheckOptions& options, CheckReport& report) : options_(options), report_(report) {}

  Status Index(Txn& txn) {
    LBOX_RETURN_IF_ERROR(txn.ForEachMailbox(
        [&](uint32_t id, const MailboxRow& row) { return Mailbox(txn, id, row); }));
    Expect("mailboxes by GUID", txn.CountMailboxGuids(), report_.mailboxes, Damage::kIndex);
    LBOX_RETURN_IF_ERROR(Extras(txn));
    LBOX_RETURN_IF_ERROR(Bodies(txn));
    LBOX_RETURN_IF_ERROR(Packs(txn));
    LBOX_RETURN_IF_ERROR(txn.ForEachPending([&](const PendingFile& file) -> Status {
      if (file.kind == FileKind::kPack && packs_.contains(static_cast<uint32_t>(file.id))) {
        Problem("pack " + std::to_string(file.id) + " is in use, and to be removed");
      }
      return {};
    }));
    Totals(txn.meta);
    (void)txn.FreePages();  // reads the list of free pages: an end here is one in a child
    return {};
  }

 private:
  // That a message has a body.
  struct BodyUse {
    uint64_t body_id = 0;
    uint32_t physical_size = 0;
  };
  struct PackUse {
    uint64_t bytes = 0;
    uint32_t count = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // offset, span
  };

  void Problem(const std::string& text, Damage damage = Damage::kIndex) {
    Finding finding;
    finding.damage = damage;
    finding.text = text;
    report_.findings.push_back(std::move(finding));
  }
  void Expect(const std::string& what, uint64_t said, uint64_t found,
              Damage damage = Damage::kCounts) {
    if (said != found) {
      Problem(
          what + ": the index says " + std::to_string(said) + ", found " + std::to_string(found),
          damage);
    }
  }
  void Alive() {
    if (options_.progress && ++rows_ % kRowsBetweenSigns == 0) {
      options_.progress(0, 0);
    }
  }

  Status Mailbox(Txn& txn, uint32_t id, const MailboxRow& row) {
    report_.mailboxes++;
    std::string name = "mailbox " + ToHex(row.guid);
    const auto by_guid = txn.FindMailbox(row.guid);
    if (!by_guid.ok() || *by_guid != id) {
      Problem(name + " is not found by its GUID");
    }
    if (const auto cold = txn.GetCold(id); cold.ok()) {
      name = "mailbox \"" + DisplayName(cold->name) + "\" (" + ToHex(row.guid) + ")";
    } else {
      Problem(name + ": " + cold.status().message());
    }
    uint64_t messages = 0, physical = 0, logical = 0, stored = 0;
    uint32_t last = 0;
    const auto visit = [&](const Message& message) -> Result<bool> {
      Alive();
      last = message.uid;
      messages++;
      physical += message.physical_size;
      logical += message.virtual_size;
      const auto body = txn.GetBody(message.body_id);
      if (!body.ok()) {
        Problem(name + " UID " + std::to_string(message.uid) + ": " + body.status().message());
      } else {
        stored += StoredBytes(*body);
        uses_.push_back({message.body_id, message.physical_size});
      }
      if (message.has_extra) {
        extras_++;
        if (const auto extra = txn.GetExtra(id, message.uid); !extra.ok()) {
          Problem(name + " UID " + std::to_string(message.uid) + ": " + extra.status().message());
        }
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
    Expect("extra rows", count, extras_, Damage::kIndex);
    return {};
  }

  Status Bodies(Txn& txn) {
    std::sort(uses_.begin(), uses_.end(),
              [](const BodyUse& a, const BodyUse& b) { return a.body_id < b.body_id; });
    auto use = uses_.begin();
    return txn.ForEachBody([&](uint64_t id, const BodyRow& row) -> Status {
      report_.bodies++;
      Alive();
      while (use != uses_.end() && use->body_id < id) {
        ++use;
      }
      const auto first = use;
      for (; use != uses_.end() && use->body_id == id; ++use) {
        if (use->physical_size != first->physical_size) {
          Problem("body " + std::to_string(id) + " has messages of different sizes");
        }
      }
      Expect("body " + std::to_string(id) + ", references", row.references,
             static_cast<uint64_t>(use - first), use == first ? Damage::kIndex : Damage::kCounts);
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
      pack_bytes_ += row.tail;
      pack_live_ += row.live_bytes;
      if (id >= txn.meta.next_pack_id) {
        Problem(name + " is above the next id");
      }
      return {};
    }));
    Expect("packs", report_.packs, packs_.size(), Damage::kIndex);
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

  const CheckOptions& options_;
  CheckReport& report_;
  uint64_t rows_ = 0;
  std::vector<BodyUse> uses_;
  std::map<uint32_t, PackUse> packs_;
  uint64_t extras_ = 0, physical_ = 0, virtual_ = 0, stored_ = 0;
  uint64_t pack_bytes_ = 0, pack_live_ = 0, large_count_ = 0, large_bytes_ = 0;
};

}  // namespace

const char* ToString(Damage damage) {
  constexpr std::array<const char*, kDamages> kNames{
      "index", "counts", "message", "dead space", "unreadable", "spare", "orphan"};
  return kNames[static_cast<size_t>(damage)];
}

Result<CheckReport> CheckStore(Store& store, const CheckOptions& options) {
  StoreImpl& impl = StoreImpl::Of(store);
  CheckReport report;
  const auto look = [&](Txn& txn) -> Status {
    report = CheckReport();
    Checker checker(options, report);
    report.bytes = txn.meta.pack_bytes + txn.meta.large_bytes;
    Status status = checker.Index(txn);
    if (status.code() == Code::kCorruption || status.code() == Code::kNotFound) {
      Finding finding;
      finding.text = status.message();
      report.findings.push_back(std::move(finding));
      status = Status();
    }
    return status;
  };
  LBOX_RETURN_IF_ERROR(impl.Read(look));
  const bool contradicts =
      std::any_of(report.findings.begin(), report.findings.end(),
                  [](const Finding& finding) { return finding.damage == Damage::kIndex; });
  if (options.records && !contradicts) {
    LBOX_RETURN_IF_ERROR(CheckFiles(impl, options, &report.findings));
  }
  if (options.spare && !contradicts) {
    LBOX_RETURN_IF_ERROR(CheckSpare(impl, &report.findings));
  }
  if (options.orphans && !contradicts) {
    LBOX_RETURN_IF_ERROR(FindOrphans(impl, &report.findings));
  }
  for (const Finding& finding : report.findings) {
    if (report.problems.size() < kMaxProblems) {
      report.problems.push_back(finding.text);
    }
  }
  return report;
}

}  // namespace lbox
