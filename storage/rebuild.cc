#include "storage/rebuild.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>

#include "storage/coding.h"
#include "storage/index.h"
#include "storage/index_copy.h"
#include "storage/index_copy_upkeep.h"
#include "storage/journal.h"
#include "storage/open_checks.h"
#include "storage/quarantine.h"
#include "storage/rebuild_gather.h"
#include "storage/rebuild_replay.h"
#include "storage/rebuild_settle.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

constexpr uint64_t kSpareMapBytes = 32 * kMiB;
constexpr uint64_t kEachRecordBytes = 400;  // of index, generously

std::vector<uint64_t> IndexFiles(Env& env, const std::string& folder, Status& status) {
  std::vector<uint64_t> generations;
  constexpr std::string_view kPrefix = "index.";
  status = env.List(folder, [&](const std::string& name) {
    uint64_t generation = 0;
    const char* const end = name.data() + name.size();
    if (name.starts_with(kPrefix)) {
      const auto result = std::from_chars(name.data() + kPrefix.size(), end, generation);
      if (result.ec == std::errc() && result.ptr == end) {
        generations.push_back(generation);
      }
    }
  });
  std::sort(generations.begin(), generations.end());
  return generations;
}

class Rebuild {
 public:
  Rebuild(const StoreOptions& options, RebuildReport& report)
      : options_(options),
        env_(options.env != nullptr ? *options.env : *Env::Default()),
        folder_(options.path),
        report_(report),
        quarantine_({&env_, folder_, options.mode, options.gid, options.sync}) {}

  // Under the exclusive lock.
  Status Run(StoreLock& lock) {
    index_options_.env = &env_;
    index_options_.lock = &lock;
    index_options_.mode = options_.mode;
    index_options_.gid = options_.gid;
    index_options_.sync = false;  // flushed once, at the end
    index_options_.max_map_bytes = options_.max_map_bytes;
    LBOX_RETURN_IF_ERROR(FindGenerations());
    LBOX_ASSIGN_OR_RETURN(rest_, GatherRemainders(env_, folder_, uuid_, report_));
    // What was made so far is nobody's: a failure leaves nothing, a cut something that is swept.
    Status status = BuildInAMapThatFits();
    if (status.ok()) {
      status = Publish();
    }
    if (!status.ok() && !published_) {
      RemoveIndex(report_.new_generation);
    }
    return status;
  }

 private:
  void Note(const std::string& text) { report_.notes.push_back(text); }

  Status FindGenerations() {
    Status status;
    old_files_ = IndexFiles(env_, folder_, status);
    LBOX_RETURN_IF_ERROR(status);
    uint64_t highest = old_files_.empty() ? 0 : old_files_.back();
    const auto current = ReadCurrent(env_, folder_);
    if (current.ok()) {
      uuid_ = current->uuid;
      report_.old_generation = current->generation;
      highest = std::max(highest, current->generation);
    } else if (current.status().code() == Code::kNotFound ||
               current.status().code() == Code::kCorruption) {
      Note(current.status().message());
    } else {
      return current.status();  // a newer format, above all
    }
    report_.new_generation = highest + 1;
    return {};
  }

  // --- the rows
  // ----------------------------------------------------------------------------------

  Status BuildInAMapThatFits() {
    uint64_t map = kSpareMapBytes + (rest_.copy_rows + rest_.saves.size()) * kEachRecordBytes;
    for (const JournalFrame& frame : rest_.frames) {
      map += frame.record.copies.size() * kEachRecordBytes;
    }
    const RebuildReport before = report_;
    for (;;) {
      IndexEnv index(index_options_, IndexPath(folder_, report_.new_generation));
      RemoveIndex(report_.new_generation);
      LBOX_RETURN_IF_ERROR(index.Create(NextMapBytes(map)));
      const uint64_t had = index.map_bytes();
      Status status = Build(index);
      if (status.ok() && options_.sync) {
        // Durable after this: all rows.
        status = index.Flush();
      }
      if (status.code() != Code::kFull || had < map) {
        return status;
      }
      report_ = before;
      map *= 2;
    }
  }

  Status Build(IndexEnv& index) {
    RebuildState state;
    state.env = &env_;
    state.folder = folder_;
    state.now = time(nullptr);
    state.places = rest_.places;
    state.report = &report_;
    MetaRow meta;
    meta.uuid = rest_.uuid;
    if (rest_.copy.has_value()) {
      meta.next_body_id = rest_.copy_meta.next_body_id;
      meta.next_mailbox_id = rest_.copy_meta.next_mailbox_id;
      meta.next_pack_id = rest_.copy_meta.next_pack_id;
    }
    RebuildTxn txns(index, meta);
    LBOX_RETURN_IF_ERROR(MakePackRows(txns));
    if (rest_.copy.has_value()) {
      LBOX_RETURN_IF_ERROR(LoadCopy(txns));
    }
    LBOX_RETURN_IF_ERROR(Replay(txns, state));
    report_.tail_doubtful = TailDoubtful();
    RebuildJumps jumps;
    jumps.next_uids = report_.tail_doubtful || report_.journal_gap || report_.damaged_bytes != 0 ||
                      report_.lost_count != 0;
    LBOX_RETURN_IF_ERROR(SettleRebuild(txns, state, rest_.packs, jumps));
    large_ = std::move(state.large);
    return Finish(txns);
  }

  // For what is released on the way; they never run empty.
  Status MakePackRows(RebuildTxn& txns) {
    LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns.Get());
    PackRow row;
    row.tail = uint64_t{1} << 61;
    row.live_bytes = uint64_t{1} << 60;
    row.live_count = uint32_t{1} << 31;
    LBOX_RETURN_IF_ERROR(txn->PutPack(0, row));
    for (const FoundPack& pack : rest_.packs) {
      LBOX_RETURN_IF_ERROR(txn->PutPack(pack.id, row));
    }
    return {};
  }

  Status LoadCopy(RebuildTxn& txns) {
    const auto visit = [&](CopyTable table, std::span<const uint8_t> key,
                           std::span<const uint8_t> value) -> Status {
      LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns.Get());
      LBOX_RETURN_IF_ERROR(LoadRow(*txn, table, key, value));
      return txns.Done();
    };
    return ReadIndexCopy(env_, folder_ + "/" + kIndexCopyName, visit).status();
  }

  Status LoadRow(Txn& txn, CopyTable table, std::span<const uint8_t> key,
                 std::span<const uint8_t> value) {
    switch (table) {
      case CopyTable::kMailbox: {
        LBOX_ASSIGN_OR_RETURN(const MailboxRow row, DecodeMailboxRow(value));
        if (key.size() != sizeof(uint32_t)) {
          return Status(Code::kCorruption, "index.copy: wrong key length");
        }
        LBOX_RETURN_IF_ERROR(txn.PutMailboxGuid(row.guid, LoadBig<uint32_t>(key.data())));
        return PutRaw(txn, txn.tables().mailbox, key, value);
      }
      case CopyTable::kMailboxCold:
        return PutRaw(txn, txn.tables().mailbox_cold, key, value);
      case CopyTable::kMessage:
        return PutRaw(txn, txn.tables().message, key, value);
      case CopyTable::kExtra:
        return PutRaw(txn, txn.tables().extra, key, value);
      case CopyTable::kBody: {
        LBOX_ASSIGN_OR_RETURN(BodyRow row, DecodeBodyRow(value));
        uint64_t id = 0;
        if (key.size() != sizeof(id)) {
          return Status(Code::kCorruption, "index.copy: wrong key length");
        }
        memcpy(&id, key.data(), sizeof(id));
        // Packs may have been rewritten since: where it is now. 0: nowhere.
        const auto place = rest_.places.find(id);
        row.pack = place == rest_.places.end() ? 0 : place->second.pack;
        row.offset = place == rest_.places.end() ? 0 : place->second.offset;
        return txn.PutBody(id, row);
      }
      default:
        return {};
    }
  }

  static Status PutRaw(Txn& txn, MDB_dbi table, std::span<const uint8_t> key,
                       std::span<const uint8_t> value) {
    // LMDB takes them by non-const pointer and does not write to them.
    MDB_val k{key.size(), const_cast<uint8_t*>(key.data())};
    MDB_val v{value.size(), const_cast<uint8_t*>(value.data())};
    const int rc = mdb_put(txn.raw(), table, &k, &v, 0);
    return rc == 0 ? Status() : txn.Failed(rc, "copying a row");
  }

  // All later transactions in order.
  Status Replay(RebuildTxn& txns, RebuildState& state) {
    RebuildReplay replay(txns, state);
    bool gap = rest_.journal_missing;
    uint64_t previous = rest_.copy.has_value() ? rest_.copy_meta.journaled : 0;
    auto frame = rest_.frames.begin();
    auto save = rest_.saves.begin();
    std::vector<FoundRecord> records;
    while (frame != rest_.frames.end() || save != rest_.saves.end()) {
      uint64_t number = UINT64_MAX;
      if (frame != rest_.frames.end()) {
        number = frame->transaction;
      }
      if (save != rest_.saves.end()) {
        number = std::min(number, save->transaction);
      }
      records.clear();
      while (save != rest_.saves.end() && save->transaction == number) {
        records.push_back(*save++);
      }
      const JournalFrame* now = nullptr;
      if (frame != rest_.frames.end() && frame->transaction == number) {
        now = &*frame++;
        gap = gap || now->previous != previous;
        previous = number;
      }
      LBOX_RETURN_IF_ERROR(replay.Transaction(now, records, !gap, !gap));
    }
    report_.journal_gap = gap;
    return replay.Finish();
  }

  // After a power cut the journal may lack its end.
  bool TailDoubtful() {
    const uint32_t boot = BootOf(env_);
    return boot == 0 || rest_.last_boot != boot ||
           (!rest_.copy.has_value() && rest_.frames.empty());
  }

  Status Finish(RebuildTxn& txns) {
    LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns.Get());
    MetaRow& meta = txn->meta;
    meta.transaction = rest_.highest_transaction + kNumberJump;
    meta.next_body_id = std::max(meta.next_body_id, rest_.highest_body + 1) + kNumberJump;
    meta.journal = rest_.last_journal;
    JournalFile journal({&env_, folder_, options_.mode, options_.gid, options_.sync});
    LBOX_RETURN_IF_ERROR(journal.Begin(meta));
    // Nothing leads from the old journals to here.
    meta.journaled = meta.transaction;
    meta.copied = 0;
    meta.copied_at = 0;
    meta.changed = static_cast<uint32_t>(std::clamp<uint64_t>(meta.messages, 1, UINT32_MAX));
    return txns.Commit();
  }

  // --- in place of the old index
  // ------------------------------------------------------------------

  Status Publish() {
    LBOX_RETURN_IF_ERROR(SetAside());
    if (options_.sync) {
      // Durable after this: the names of the new index and journal.
      LBOX_RETURN_IF_ERROR(env_.SyncDirectory(folder_));
    }
    // From here on the old index is not to be used any more: those that have it open notice.
    published_ = true;
    for (const uint64_t generation : old_files_) {
      Status status = env_.Unlink(IndexPath(folder_, generation));
      if (!status.ok() && status.code() != Code::kNotFound) {
        return status;
      }
      RemoveIndex(generation);  // its lock file
    }
    return WriteCurrent(env_, folder_, {report_.new_generation, rest_.uuid}, options_.mode,
                        options_.gid, options_.sync);
  }

  // Second names for what is replaced; what nothing refers to is moved.
  Status SetAside() {
    for (const uint64_t generation : old_files_) {
      LBOX_RETURN_IF_ERROR(Keep("index." + std::to_string(generation)));
    }
    LBOX_RETURN_IF_ERROR(Keep(kIndexCopyName));
    LBOX_ASSIGN_OR_RETURN(const auto journals, ListJournals(env_, folder_));
    for (const uint32_t number : journals) {
      if (number <= rest_.last_journal) {
        LBOX_RETURN_IF_ERROR(Keep("journal." + std::to_string(number)));
      }
    }
    for (const FoundPack& pack : rest_.packs) {
      if (pack.records == 0) {
        const std::string path = PackPathOf(folder_, pack.id);
        LBOX_ASSIGN_OR_RETURN(const FileInfo info, env_.Stat(path));
        if (info.size > 0) {
          Note(path + " has no legible record; it is set aside");
          LBOX_RETURN_IF_ERROR(
              quarantine_.Move(path, "pack-" + path.substr(path.find_last_of('/') + 1)));
        }
      }
    }
    if (report_.lost_count != 0 || report_.damaged_bytes != 0) {
      LBOX_RETURN_IF_ERROR(SetLargeBodiesAside());
    }
    // There is a folder now.
    LBOX_RETURN_IF_ERROR(quarantine_.Write("report.txt", ""));
    report_.quarantine = quarantine_.path();
    return quarantine_.Write("report.txt", ToText(report_));
  }

  Status Keep(const std::string& name) {
    const Status status = quarantine_.Keep(folder_ + "/" + name, name);
    return status.code() == Code::kNotFound ? Status() : status;
  }

  // They may be those of lost messages.
  Status SetLargeBodiesAside() {
    std::vector<std::string> names;
    LBOX_RETURN_IF_ERROR(env_.List(folder_ + "/l", [&](const std::string& name) {
      uint64_t id = 0;
      const char* const end = name.data() + name.size();
      const auto result = std::from_chars(name.data(), end, id, 16);
      if (name.size() == 16 && result.ec == std::errc() && result.ptr == end &&
          !large_.contains(id)) {
        names.push_back(name);
      }
    }));
    for (const std::string& name : names) {
      LBOX_RETURN_IF_ERROR(quarantine_.Move(folder_ + "/l/" + name, "large-" + name));
    }
    if (!names.empty()) {
      Note(std::to_string(names.size()) + " files of l/ belong to no message; they are set aside");
    }
    return {};
  }

  void RemoveIndex(uint64_t generation) {
    const std::string path = IndexPath(folder_, generation);
    (void)env_.Unlink(path);
    (void)env_.Unlink(path + "-lock");
  }

  const StoreOptions options_;
  Env& env_;
  const std::string folder_;
  RebuildReport& report_;
  Quarantine quarantine_;
  IndexOptions index_options_;
  Guid uuid_;
  std::vector<uint64_t> old_files_;  // generations
  Remainders rest_;
  std::unordered_set<uint64_t> large_;
  bool published_ = false;
};

// For the next time.
Status CopyIndex(const StoreOptions& options) {
  StoreOptions existing = options;
  existing.create = false;
  LBOX_ASSIGN_OR_RETURN(const auto store, Store::Open(existing));
  StoreImpl& impl = StoreImpl::Of(*store);
  const auto upkeep = impl.lock->TryUpkeep();
  return upkeep ? TakeIndexCopy(impl) : Status();
}

void List(std::string& text, const char* title, const std::vector<RebuildMessage>& messages,
          uint64_t count) {
  if (count == 0) {
    return;
  }
  text += "\n" + std::string(title) + ": " + std::to_string(count) + "\n";
  for (const RebuildMessage& message : messages) {
    text += "  mailbox " + ToHex(message.mailbox) + " UID " + std::to_string(message.uid) +
            " GUID " + ToHex(message.guid) + ": " + message.text + "\n";
  }
  if (messages.size() < count) {
    text += "  and " + std::to_string(count - messages.size()) + " more\n";
  }
}

}  // namespace

std::string ToText(const RebuildReport& report) {
  std::string text = "The index was made anew: generation " +
                     std::to_string(report.new_generation) + ", " +
                     std::to_string(report.messages) + " messages.\n";
  text += report.copy_used ? "Begun with an index copy as of transaction " +
                                 std::to_string(report.copy_transaction) + ".\n"
                           : "There was no usable index copy.\n";
  text += "Records in packs: " + std::to_string(report.records) +
          "; in the journal since: " + std::to_string(report.journal_records) + ".\n";
  if (report.journal_gap) {
    text += "The journal is not complete: what was expunged after the gap is back (" +
            std::to_string(report.removals_left_out) + " removals known of were left out).\n";
  }
  if (report.tail_doubtful) {
    text +=
        "The journal's last seconds may be missing: flag changes and removals of that time "
        "may be undone.\n";
  }
  for (const std::string& note : report.notes) {
    text += "Note: " + note + "\n";
  }
  for (const RebuildMailbox& box : report.mailboxes) {
    std::string name = box.name;
    std::replace(name.begin(), name.end(), '\0', '/');
    text += "\nMailbox " + ToHex(box.guid) + " \"" + name + "\"" +
            (box.name_known ? "" : " (its name is not known)") + ": " +
            std::to_string(box.messages) + " messages, " + std::to_string(box.lost) + " lost, " +
            std::to_string(box.doubtful) + " doubtful; UIDVALIDITY " +
            std::to_string(box.uid_validity) + (box.uid_validity_kept ? "" : " (new)") +
            ", next UID " + std::to_string(box.next_uid) + "\n";
  }
  List(text, "Lost messages", report.lost, report.lost_count);
  List(text, "Doubtful messages", report.doubtful, report.doubtful_count);
  return text;
}

Status RebuildIndex(const StoreOptions& given, RebuildReport* report) {
  *report = {};
  StoreOptions options = given;
  while (options.path.size() > 1 && options.path.ends_with('/')) {
    options.path.pop_back();
  }
  Env& env = options.env != nullptr ? *options.env : *Env::Default();
  LBOX_RETURN_IF_ERROR(CheckFileSystem(options.path, options.allow_fuse));
  if (const auto info = env.Stat(options.path); info.ok()) {
    LBOX_RETURN_IF_ERROR(CheckOwner(options.path, *info));
  }
  LBOX_ASSIGN_OR_RETURN(const Remains remains, FindRemains(env, options.path));
  if (!remains.any) {
    return Status(Code::kNotFound, "there is no store at " + options.path);
  }
  LBOX_RETURN_IF_ERROR(CheckFolders(env, options.path));
  {
    const std::string path = options.path + "/lock";
    LBOX_ASSIGN_OR_RETURN(auto file, env.Create(path, false, options.mode, options.gid));
    StoreLock lock(std::move(file), path);
    LBOX_ASSIGN_OR_RETURN(const auto exclusive, lock.Exclusive());
    LBOX_RETURN_IF_ERROR(Rebuild(options, *report).Run(lock));
  }
  if (const Status status = CopyIndex(options); !status.ok()) {
    report->notes.push_back("no index copy was taken: " + status.message());
  }
  return {};
}

}  // namespace lbox
