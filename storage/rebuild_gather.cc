#include "storage/rebuild_gather.h"

#include <algorithm>
#include <cstring>

#include "storage/journal.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

class Gather {
 public:
  Gather(Env& env, std::string folder, const Guid& uuid, RebuildReport& report)
      : env_(env), folder_(std::move(folder)), report_(report) {
    all_.uuid = uuid;
  }

  Result<Remainders> Run() {
    LBOX_RETURN_IF_ERROR(Copy());
    LBOX_RETURN_IF_ERROR(Journals());
    LBOX_RETURN_IF_ERROR(Packs());
    if (all_.uuid.empty()) {
      return Status(Code::kNotFound, "there is no store at " + folder_);
    }
    return std::move(all_);
  }

 private:
  void Note(const std::string& text) { report_.notes.push_back(text); }

  Status Copy() {
    const std::string path = folder_ + "/" + kIndexCopyName;
    MetaRow meta;
    const auto visit = [&](CopyTable table, std::span<const uint8_t> key,
                           std::span<const uint8_t> value) -> Status {
      all_.copy_rows++;
      if (table == CopyTable::kMeta) {
        LBOX_ASSIGN_OR_RETURN(meta, DecodeMetaRow(value));
      } else if (table == CopyTable::kBody && key.size() == sizeof(uint64_t)) {
        uint64_t id = 0;
        memcpy(&id, key.data(), sizeof(id));
        LBOX_ASSIGN_OR_RETURN(const BodyRow row, DecodeBodyRow(value));
        checks_[id] = row.header_check;
      }
      return {};
    };
    const auto info = ReadIndexCopy(env_, path, visit);
    if (info.ok() && meta.transaction == info->transaction && meta.uuid == info->store &&
        (all_.uuid.empty() || all_.uuid == info->store)) {
      all_.uuid = info->store;
      all_.copy = *info;
      all_.copy_meta = meta;
      all_.highest_transaction = meta.transaction;
      all_.highest_body = meta.next_body_id - 1;
      all_.last_boot = meta.boot;
      report_.copy_used = true;
      report_.copy_transaction = info->transaction;
      report_.copy_time = info->time;
      return {};
    }
    checks_.clear();
    all_.copy_rows = 0;
    if (info.ok()) {
      Note(path + " belongs to another store");
      return {};
    }
    const Code code = info.status().code();
    if (code != Code::kNotFound && code != Code::kCorruption && code != Code::kUnsupported) {
      return info.status();
    }
    Note(code == Code::kNotFound ? path + " is missing" : info.status().message());
    return {};
  }

  Status Journals() {
    LBOX_ASSIGN_OR_RETURN(const auto numbers, ListJournals(env_, folder_));
    const uint32_t needed = all_.copy.has_value() ? all_.copy_meta.journal : 1;
    all_.journal_missing = std::find(numbers.begin(), numbers.end(), needed) == numbers.end();
    if (all_.journal_missing) {
      Note(JournalPath(folder_, needed) + " is missing");
    }
    for (const uint32_t number : numbers) {
      all_.last_journal = number;
      uint64_t skipped = 0;
      const auto take = [&](JournalFrame frame) -> Status {
        all_.uuid = frame.store;
        if (!all_.copy.has_value() || frame.transaction > all_.copy->transaction) {
          all_.frames.push_back(std::move(frame));
        }
        return {};
      };
      LBOX_RETURN_IF_ERROR(
          ReadJournal(env_, JournalPath(folder_, number), all_.uuid, skipped, take));
      if (skipped != 0) {
        Note(JournalPath(folder_, number) + ": " + std::to_string(skipped) + " bytes are damaged");
      }
    }
    std::stable_sort(all_.frames.begin(), all_.frames.end(),
                     [](const auto& a, const auto& b) { return a.transaction < b.transaction; });
    // Of two of one number the earlier never came to its commit.
    const auto same = [](const auto& a, const auto& b) { return a.transaction == b.transaction; };
    const auto end = std::unique(all_.frames.rbegin(), all_.frames.rend(), same);
    all_.frames.erase(all_.frames.begin(), end.base());
    report_.journal_records = all_.frames.size();
    if (!all_.frames.empty()) {
      all_.last_boot = all_.frames.back().boot;
      all_.highest_transaction = std::max(all_.highest_transaction, all_.frames.back().transaction);
    }
    return {};
  }

  Status Packs() {
    auto found = ScanPacks(env_, folder_, all_.uuid);
    if (found.status().code() == Code::kNotFound) {
      Note(folder_ + "/p is missing");
      return {};
    }
    LBOX_RETURN_IF_ERROR(found.status());
    if (all_.uuid.empty()) {
      all_.uuid = found->store;
    }
    all_.packs = std::move(found->packs);
    report_.records = found->records.size();
    for (const FoundPack& pack : all_.packs) {
      report_.damaged_bytes += pack.damaged;
      if (pack.damaged != 0) {
        Note(PackPathOf(folder_, pack.id) + ": " + std::to_string(pack.damaged) +
             " bytes are damaged");
      }
    }
    Choose(found->records);
    return {};
  }

  // Which record is the body's: see "Rebuilding" in docs/format.md.
  void Choose(std::vector<FoundRecord>& records) {
    uint64_t whole = all_.highest_transaction;  // the last transaction with something whole
    for (const FoundRecord& record : records) {
      all_.highest_body = std::max(all_.highest_body, record.body_id);
      all_.highest_transaction = std::max(all_.highest_transaction, record.transaction);
      if (record.frames_whole) {
        whole = std::max(whole, record.transaction);
      }
    }
    // The best of each body first.
    std::sort(records.begin(), records.end(), [](const FoundRecord& a, const FoundRecord& b) {
      if (a.body_id != b.body_id) {
        return a.body_id < b.body_id;
      }
      if (a.transaction != b.transaction) {
        return a.transaction > b.transaction;
      }
      if (a.frames_whole != b.frames_whole) {
        return a.frames_whole;
      }
      return std::pair(a.pack, a.offset) > std::pair(b.pack, b.offset);
    });
    for (size_t i = 0; i < records.size(); i++) {
      const FoundRecord& record = records[i];
      if (all_.places.contains(record.body_id)) {
        continue;
      }
      const auto check = checks_.find(record.body_id);
      if (check != checks_.end()) {
        if (check->second == record.check) {
          all_.places[record.body_id] = record;
        }
        continue;
      }
      const bool late = !all_.copy.has_value() || (record.transaction > all_.copy->transaction &&
                                                   record.body_id >= all_.copy_meta.next_body_id);
      // Torn, and nothing after it: it was never committed.
      const bool torn = !record.frames_whole && record.transaction > whole;
      if (late && !torn) {
        all_.places[record.body_id] = record;
        all_.saves.push_back(record);
      }
    }
    std::sort(all_.saves.begin(), all_.saves.end(), [](const auto& a, const auto& b) {
      return std::pair(a.transaction, a.body_id) < std::pair(b.transaction, b.body_id);
    });
  }

  Env& env_;
  const std::string folder_;
  RebuildReport& report_;
  Remainders all_;
  std::unordered_map<uint64_t, uint32_t> checks_;  // of the records, as the copy's body rows say
};

}  // namespace

Result<Remainders> GatherRemainders(Env& env, const std::string& folder, const Guid& uuid,
                                    RebuildReport& report) {
  return Gather(env, folder, uuid, report).Run();
}

}  // namespace lbox
