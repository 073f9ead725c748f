#include "storage/check_spare.h"

#include <string>
#include <unordered_set>
#include <utility>

#include "storage/file_ids.h"
#include "storage/index_copy.h"
#include "storage/journal.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr int kTries = 5;  // while another process takes an index copy

// As of one read transaction.
Result<MetaRow> ReadMeta(StoreImpl& store) {
  MetaRow meta;
  LBOX_RETURN_IF_ERROR(store.Read([&](Txn& txn) -> Status {
    meta = txn.meta;
    return {};
  }));
  return meta;
}

Status IndexCopy(StoreImpl& store, const MetaRow& meta) {
  if (meta.copied == 0) {
    return {};  // the first is still to be taken
  }
  const std::string path = store.folder + "/" + kIndexCopyName;
  const auto ignore = [](CopyTable, std::span<const uint8_t>, std::span<const uint8_t>) {
    return Status();
  };
  const auto info = ReadIndexCopy(store.env, path, ignore);
  if (info.status().code() == Code::kNotFound) {
    return Status(Code::kCorruption, path + " is missing");
  }
  LBOX_RETURN_IF_ERROR(info.status());
  if (info->store != meta.uuid) {
    return Status(Code::kCorruption, path + " belongs to another store");
  }
  return info->transaction >= meta.copied
             ? Status()
             : Status(Code::kCorruption, path + " is older than the index says");
}

// The frames of the journal in use follow one another up to its committed tail.
Status Journal(StoreImpl& store, const MetaRow& meta) {
  if (meta.journal == 0 || meta.journal_tail == 0) {
    return {};
  }
  const std::string path = JournalPath(store.folder, meta.journal);
  LBOX_ASSIGN_OR_RETURN(const auto file, store.env.OpenRead(path));
  std::string bytes(meta.journal_tail, '\0');
  LBOX_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(0, bytes.data(), bytes.size()));
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(bytes.data()), got);
  for (size_t at = 0; at < bytes.size();) {
    const auto damaged = [&](const std::string& why) {
      std::string text = path;
      text.append(" at ").append(std::to_string(at)).append(": ").append(why);
      return Status(Code::kCorruption, text);
    };
    if (got - at < kJournalFrameBytes) {
      return damaged("it is cut off");
    }
    const auto span = JournalFrameSpan(data.subspan(at));
    if (!span.ok()) {
      return damaged(span.status().message());
    }
    if (*span > got - at) {
      return damaged("it is cut off");
    }
    const auto frame = DecodeJournalFrame(data.subspan(at, *span));
    if (!frame.ok()) {
      return damaged(frame.status().message());
    }
    if (frame->store != meta.uuid) {
      return damaged("a frame of another store");
    }
    at += *span;
  }
  return {};
}

// kCorruption: what a rebuild could not use.
Status Look(StoreImpl& store, const MetaRow& meta) {
  LBOX_RETURN_IF_ERROR(IndexCopy(store, meta));
  const Status status = Journal(store, meta);
  return status.code() == Code::kNotFound ? Status(Code::kCorruption, status.message()) : status;
}

// Files in a directory whose names are ids and which `known` has not.
Status Unknown(StoreImpl& store, const char* directory, size_t digits,
               const std::unordered_set<uint64_t>& known, const std::vector<std::string>& names,
               std::vector<Finding>* findings) {
  for (const std::string& name : names) {
    const auto id = FileIdOf(name, digits);
    const std::string path = store.folder + directory + name;
    if (!id.has_value() || known.contains(*id)) {
      continue;
    }
    const auto info = store.env.Stat(path);
    if (info.status().code() == Code::kNotFound) {
      continue;
    }
    LBOX_RETURN_IF_ERROR(info.status());
    Finding finding;
    finding.damage = Damage::kOrphan;
    finding.text = path + ": " + std::to_string(info->size) +
                   " bytes that belong to no message; doveadm purge removes them";
    findings->push_back(std::move(finding));
  }
  return {};
}

}  // namespace

Status CheckSpare(StoreImpl& store, std::vector<Finding>* findings) {
  Status status;
  for (int i = 0; i < kTries; i++) {
    LBOX_ASSIGN_OR_RETURN(const MetaRow meta, ReadMeta(store));
    status = Look(store, meta);
    if (status.ok()) {
      return {};
    }
  }
  if (status.code() != Code::kCorruption && status.code() != Code::kUnsupported) {
    return status;
  }
  Finding finding;
  finding.damage = Damage::kSpare;
  finding.text = status.message() + " (needed only when the index is lost)";
  findings->push_back(std::move(finding));
  return {};
}

Status FindOrphans(StoreImpl& store, std::vector<Finding>* findings) {
  std::vector<std::string> packs, bodies;
  LBOX_RETURN_IF_ERROR(
      store.env.List(store.folder + "/p", [&](const std::string& name) { packs.push_back(name); }));
  LBOX_RETURN_IF_ERROR(store.env.List(store.folder + "/l",
                                      [&](const std::string& name) { bodies.push_back(name); }));
  {
    // Whoever was saving then has ended, and its rows are there.
    const auto nobody = store.lock->Exclusive();
    if (nobody.status().code() == Code::kBusy) {
      return {};
    }
    LBOX_RETURN_IF_ERROR(nobody.status());
  }
  NamedFiles known;
  const auto look = [&](Txn& txn) -> Status {
    LBOX_RETURN_IF_ERROR(ReadNamedFiles(txn, true, &known));
    return txn.ForEachPending([&](const PendingFile& file) -> Status {
      (file.kind == FileKind::kPack ? known.packs : known.bodies).insert(file.id);
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(store.Read(look));
  LBOX_RETURN_IF_ERROR(Unknown(store, "/p/", kPackNameDigits, known.packs, packs, findings));
  return Unknown(store, "/l/", kLargeNameDigits, known.bodies, bodies, findings);
}

}  // namespace lbox
