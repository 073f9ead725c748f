#include "storage/repair.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>
#include <span>
#include <utility>

#include "storage/child.h"
#include "storage/current_file.h"
#include "storage/index_copy_upkeep.h"
#include "storage/mend.h"
#include "storage/open_checks.h"
#include "storage/quarantine.h"
#include "storage/rebuild.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/verify.h"
#include "storage/wire.h"

namespace lbox {
namespace {

constexpr int kMostRounds =
    7;  // CURRENT, index, counts, messages, index copy, a late comer, a last look
constexpr size_t kFirstRecordBytes = 64 * 1024;

enum Kind : char { kLine, kFolder, kLost, kRestored, kFailed };

// The child's side: tells its parent what it does.
class Teller {
 public:
  explicit Teller(ChildPipe& pipe) : pipe_(pipe) {}
  void Line(const std::string& text) { pipe_.Send(kLine, text); }
  void Folder(const std::string& path) {
    if (!path.empty()) {
      pipe_.Send(kFolder, path);
    }
  }
  void Lost(uint64_t messages) {
    WireWriter out;
    out.Number(messages);
    pipe_.Send(kLost, out.bytes());
  }
  void Restored() { pipe_.Send(kRestored, {}); }
  void Alive() { pipe_.Alive(); }

 private:
  ChildPipe& pipe_;
};

FileOptions FilesOf(const StoreOptions& options) {
  return {options.env != nullptr ? options.env : Env::Default(), options.path, options.mode,
          options.gid, options.sync};
}

bool Has(const CheckReport& report, Damage damage) {
  return std::any_of(report.findings.begin(), report.findings.end(),
                     [&](const Finding& finding) { return finding.damage == damage; });
}

// --- CURRENT

// Generations whose index files are there, the oldest first.
Result<std::set<uint64_t>> Generations(Env& env, const std::string& folder) {
  constexpr std::string_view kPrefix = "index.";
  std::set<uint64_t> generations;
  LBOX_RETURN_IF_ERROR(env.List(folder, [&](const std::string& name) {
    uint64_t number = 0;
    const char* const end = name.data() + name.size();
    if (name.starts_with(kPrefix) && name.size() > kPrefix.size()) {
      const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, number);
      if (parsed.ec == std::errc() && parsed.ptr == end && number > 0) {
        generations.insert(number);
      }
    }
  }));
  return generations;
}

// The meta row of one index file.
Result<MetaRow> ReadMeta(const IndexOptions& options, const std::string& path) {
  IndexEnv env(options, path);
  LBOX_RETURN_IF_ERROR(env.Open(0));
  MDB_txn* raw = nullptr;
  if (const int rc = env.BeginRead(&raw); rc != 0) {
    return LmdbStatus(rc, "reading " + path);
  }
  Txn txn(raw, env, false);
  LBOX_RETURN_IF_ERROR(txn.LoadMeta());
  return txn.meta;
}

// Whether records of this store are what the packs hold; also when they hold nothing.
Result<bool> PacksAreOf(Env& env, const std::string& folder, const Guid& uuid) {
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(
      env.List(folder + "/p", [&](const std::string& name) { names.push_back(name); }));
  const std::string prefix = folder + "/p/";
  bool others = false;
  for (const std::string& name : names) {
    const auto file = env.OpenRead(prefix + name);
    if (!file.ok()) {
      continue;
    }
    std::string bytes(kFirstRecordBytes, '\0');
    const auto got = (*file)->ReadAt(0, bytes.data(), bytes.size());
    const std::span data(reinterpret_cast<const uint8_t*>(bytes.data()), got.ok() ? *got : 0);
    const auto size = PackRecordHeaderBytes(data);
    if (!size.ok() || *size > data.size()) {
      continue;
    }
    if (const auto record = DecodePackRecord(data.first(*size)); record.ok()) {
      if (record->store == uuid) {
        return true;
      }
      others = true;
    }
  }
  return !others;
}

// Writes CURRENT anew when it is CURRENT that is wrong, and an index of the store that the packs
// belong to tells what it has to say. The oldest generation that is not superseded is the one in
// use.
Status RestoreCurrent(const StoreOptions& options, Teller& teller) {
  const FileOptions files = FilesOf(options);
  Env& env = *files.env;
  const std::string lock_path = options.path + "/lock";
  LBOX_ASSIGN_OR_RETURN(auto lock_file, env.Create(lock_path, false, options.mode, options.gid));
  StoreLock lock(std::move(lock_file), lock_path);
  lock.LeaveNoMark();
  LBOX_ASSIGN_OR_RETURN(const auto exclusive, lock.Exclusive());
  IndexOptions index;
  index.env = &env;
  index.lock = &lock;
  index.mode = options.mode;
  index.gid = options.gid;
  index.sync = options.sync;
  const auto current = ReadCurrent(env, options.path);
  Status wrong = current.status();
  if (current.ok()) {
    const std::string path = IndexPath(options.path, current->generation);
    const auto named = env.Stat(path).ok() ? ReadMeta(index, path)
                                           : Result<MetaRow>(Status(Code::kNotFound, "no " + path));
    if (named.ok() ? named->uuid == current->uuid : named.status().code() != Code::kNotFound) {
      return {};  // not CURRENT is wrong, but the index
    }
    wrong = named.ok() ? Status(Code::kCorruption, "it named the store " + ToHex(current->uuid))
                       : named.status();
  } else if (wrong.code() != Code::kNotFound && wrong.code() != Code::kCorruption) {
    return wrong;
  }
  LBOX_ASSIGN_OR_RETURN(const auto generations, Generations(env, options.path));
  for (const uint64_t generation : generations) {
    teller.Alive();
    const auto meta = ReadMeta(index, IndexPath(options.path, generation));
    if (!meta.ok() || meta->superseded) {
      continue;
    }
    LBOX_ASSIGN_OR_RETURN(const bool ours, PacksAreOf(env, options.path, meta->uuid));
    if (!ours) {
      continue;
    }
    Quarantine quarantine(files);
    Status kept = quarantine.Keep(options.path + "/CURRENT", "CURRENT");
    if (!kept.ok() && kept.code() != Code::kNotFound) {
      return kept;
    }
    LBOX_RETURN_IF_ERROR(WriteCurrent(env, options.path, {generation, meta->uuid}, options.mode,
                                      options.gid, options.sync));
    const std::string line = "CURRENT was written anew: generation " + std::to_string(generation) +
                             "; the old one: " + wrong.message();
    if (kept.ok()) {
      LBOX_RETURN_IF_ERROR(quarantine.Write("report.txt", line + "\n"));
      teller.Folder(quarantine.path());
    }
    teller.Line(line);
    teller.Restored();
    return {};
  }
  return {};  // no index does: rebuilding makes both
}

// --- the parent

class Repair {
 public:
  Repair(const RepairOptions& options, RepairReport& report) : options_(options), report_(report) {}

  Status Run() {
    Env& env = *FilesOf(options_.store).env;
    LBOX_RETURN_IF_ERROR(Exists(env));
    LBOX_RETURN_IF_ERROR(CheckFolders(env, options_.store.path));
    bool looked_at_current = false;
    for (int round = 0; round < kMostRounds; round++) {
      LBOX_ASSIGN_OR_RETURN(report_.after, Verify());
      const CheckReport& found = report_.after;
      if (found.findings.empty()) {
        return {};
      }
      report_.damaged = true;
      if (Has(found, Damage::kIndex)) {
        if (!std::exchange(looked_at_current, true)) {
          Status status =
              InChild([&](Teller& teller) { return RestoreCurrent(options_.store, teller); });
          if (!status.ok() && status.code() != Code::kCorruption) {
            return status;
          }
          if (restored_) {
            continue;
          }
        }
        if (report_.rebuilt) {
          return Status(Code::kCorruption, options_.store.path +
                                               ": the index that was rebuilt is not good: " +
                                               found.findings.front().text);
        }
        LBOX_RETURN_IF_ERROR(Rebuild(found));
      } else if (Has(found, Damage::kCounts) || Has(found, Damage::kMessage) ||
                 Has(found, Damage::kDeadSpace)) {
        LBOX_RETURN_IF_ERROR(InChild([&](Teller& teller) { return Mend(found.findings, teller); }));
      } else if (Has(found, Damage::kSpare)) {
        LBOX_RETURN_IF_ERROR(
            InChild([&](Teller& teller) { return CopyAnew(found.findings, teller); }));
      } else {
        return {};  // what cannot be read cannot be repaired
      }
    }
    return {};
  }

 private:
  Status Exists(Env& env) const {
    LBOX_ASSIGN_OR_RETURN(const Remains remains, FindRemains(env, options_.store.path));
    return remains.any ? Status()
                       : Status(Code::kNotFound, "there is no store at " + options_.store.path);
  }

  Result<CheckReport> Verify() {
    VerifyOptions verify;
    verify.store = options_.store;
    verify.check.progress = options_.progress;
    verify.check.spare = true;
    verify.patience = options_.patience;
    return VerifyStore(verify);
  }

  Status Mend(const std::vector<Finding>& findings, Teller& teller) const {
    StoreOptions mine = options_.store;
    mine.create = false;
    LBOX_ASSIGN_OR_RETURN(const auto store, StoreImpl::Open(mine, Opening::kExamine));
    store->packs.KeepUnknown();
    const FileOptions files = FilesOf(mine);
    LBOX_RETURN_IF_ERROR(files.env->MakeDirectory(mine.path + "/tmp",
                                                  mine.mode | ((mine.mode & 0444) >> 2), mine.gid));
    for (const Finding& finding : findings) {
      if (finding.damage == Damage::kCounts) {
        LBOX_RETURN_IF_ERROR(Recount(*store));
        teller.Line("counted anew: " + finding.text);
        return {};  // the next round sees whether anything else is wrong
      }
    }
    Quarantine quarantine(files);
    const auto mended = RemoveDamaged(*store, findings, quarantine, [&] { teller.Alive(); });
    teller.Folder(quarantine.path());
    LBOX_RETURN_IF_ERROR(mended.status());
    for (const std::string& line : mended->lines) {
      teller.Line(line);
    }
    teller.Lost(mended->removed);
    return {};
  }

  // A new index copy and a new journal.
  Status CopyAnew(const std::vector<Finding>& findings, Teller& teller) const {
    StoreOptions mine = options_.store;
    mine.create = false;
    LBOX_ASSIGN_OR_RETURN(const auto store, StoreImpl::Open(mine, Opening::kExamine));
    const FileOptions files = FilesOf(mine);
    LBOX_RETURN_IF_ERROR(files.env->MakeDirectory(mine.path + "/tmp",
                                                  mine.mode | ((mine.mode & 0444) >> 2), mine.gid));
    const auto upkeep = store->lock->TryUpkeep();
    if (!upkeep) {
      return Status(Code::kBusy, mine.path + ": another process is freeing disk; try again");
    }
    LBOX_RETURN_IF_ERROR(TakeIndexCopy(*store));
    for (const Finding& finding : findings) {
      if (finding.damage == Damage::kSpare) {
        teller.Line("no mail lost, a new index copy was taken: " + finding.text);
      }
    }
    return {};
  }

  Status Rebuild(const CheckReport& found) {
    for (const Finding& finding : found.findings) {
      report_.lines.push_back("index: " + finding.text);
    }
    report_.rebuilt = true;
    return InChild([&](Teller& teller) -> Status {
      RebuildReport rebuilt;
      const Status status = RebuildIndex(options_.store, &rebuilt);
      teller.Folder(rebuilt.quarantine);
      LBOX_RETURN_IF_ERROR(status);
      const std::string text = ToText(rebuilt);
      for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        teller.Line(text.substr(at, end - at));
        at = end + 1;
      }
      teller.Lost(rebuilt.lost_count);
      return {};
    });
  }

  Status InChild(const std::function<Status(Teller&)>& work) {
    Status failed;
    const auto run = [&](ChildPipe& pipe) {
      Teller teller(pipe);
      if (const Status status = work(teller); !status.ok()) {
        WireWriter out;
        out.Number(static_cast<uint64_t>(status.code()));
        out.Text(status.message());
        pipe.Send(kFailed, out.bytes());
      }
    };
    const auto receive = [&](char kind, std::string_view bytes) {
      WireReader in(bytes);
      if (kind == kLine) {
        report_.lines.emplace_back(bytes);
      } else if (kind == kFolder) {
        report_.folders.emplace_back(bytes);
      } else if (kind == kLost) {
        report_.lost += in.Number();
      } else if (kind == kRestored) {
        restored_ = true;
      } else if (kind == kFailed) {
        const auto code = static_cast<Code>(in.Number());
        failed = Status(code, in.Text());
      }
    };
    // No limit: reading a store's packs may take long, and killing a repair helps nobody.
    LBOX_ASSIGN_OR_RETURN(const ChildEnd end,
                          RunInChild(run, receive, {.patience = std::chrono::hours(24)}));
    if (end.kind != ChildEnd::Kind::kDone) {
      return Status(Code::kCorruption,
                    "repairing " + options_.store.path + ": the process at it " + end.how);
    }
    return failed;
  }

  const RepairOptions& options_;
  RepairReport& report_;
  bool restored_ = false;  // CURRENT
};

}  // namespace

Status RepairStore(const RepairOptions& options, RepairReport* report) {
  return Repair(options, *report).Run();
}

}  // namespace lbox
