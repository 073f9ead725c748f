#include "storage/store.h"

#include <algorithm>
#include <ctime>

#include <unistd.h>

#include "storage/index_copy_upkeep.h"
#include "storage/registry.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/upkeep.h"

namespace lbox {
namespace {

constexpr size_t kUnlinkedAtOnce = 4;

}  // namespace

Store::~Store() = default;

Result<std::shared_ptr<Store>> Store::Open(const StoreOptions& options) {
  LBOX_ASSIGN_OR_RETURN(std::shared_ptr<Store> store, OpenRegistered(options));
  return store;
}

void Store::KeepIdle(std::shared_ptr<Store> store) {
  lbox::KeepIdle(std::static_pointer_cast<StoreImpl>(std::move(store)));
}

void Store::CloseIdle() {
  lbox::CloseIdle();
}

const std::vector<std::string>& Store::Damage() {
  return StoreImpl::Of(*this).damage;
}

StoreImpl::StoreImpl(const StoreOptions& open_options)
    : options(open_options),
      env(options.env != nullptr ? *options.env : *Env::Default()),
      folder(options.path),
      packs({&env, folder, options.mode, options.gid, options.sync}),
      pid(getpid()),
      uid(geteuid()) {}

StoreImpl::~StoreImpl() {
  Unregister(this);
}

Status StoreImpl::CheckCaller() const {
  if (pid != getpid()) {
    return Status(Code::kUnavailable,
                  "the store " + folder + " was opened before fork(); open it in the child");
  }
  if (uid != geteuid()) {
    return Status(Code::kPermission, "the store " + folder + " was opened as uid " +
                                         std::to_string(uid) + " and is now used as uid " +
                                         std::to_string(geteuid()));
  }
  return {};
}

Status StoreImpl::Read(const Index::Work& work) {
  LBOX_RETURN_IF_ERROR(CheckCaller());
  return index->Read(work);
}

Status StoreImpl::Write(Purpose purpose, const Index::Work& work) {
  LBOX_RETURN_IF_ERROR(CheckCaller());
  std::vector<PendingFile> removed;
  std::vector<std::pair<uint32_t, PackRow>> packs_put;
  const auto noting = [&](Txn& txn) {
    Status status = work(txn);
    removed = txn.removed();
    packs_put = txn.packs_put();
    return status;
  };
  LBOX_RETURN_IF_ERROR(index->Write(purpose, noting));
  upkeep.copy = CopyDue(index->last_meta(), static_cast<uint64_t>(time(nullptr)), boot, false);
  const bool small = index->last_meta().pack_bytes < kSmallStoreBytes;
  for (const auto& [id, row] : packs_put) {
    if (WorthRewriting(row, small, false)) {
      upkeep.packs.insert(id);
    } else {
      upkeep.packs.erase(id);
    }
  }
  UnlinkPending(std::span(removed).first(std::min(removed.size(), kUnlinkedAtOnce)));
  upkeep.pending |= removed.size() > kUnlinkedAtOnce;
  return {};
}

Status StoreImpl::WriteDeletion(const Index::Work& work) {
  const auto noting = [&](Txn& txn) {
    NoteIndexSize(*this, txn);
    return work(txn);
  };
  Status status =
      Write(upkeep.reserve_missing ? Purpose::kDeleteOnFullDisk : Purpose::kDelete, noting);
  if (status.code() != Code::kNoSpace) {
    return status;
  }
  if (upkeep.pending) {
    LBOX_RETURN_IF_ERROR(UnlinkAllPending(std::chrono::steady_clock::time_point::max()));
    status = Write(Purpose::kDelete, noting);
    if (status.code() != Code::kNoSpace) {
      return status;
    }
  }
  if (!env.Unlink(folder + "/" + kReserveName).ok()) {
    return status;  // it was given up already
  }
  upkeep.reserve_missing = true;
  return Write(Purpose::kDeleteOnFullDisk, noting);
}

Status StoreImpl::UnlinkAllPending(std::chrono::steady_clock::time_point deadline) {
  std::vector<PendingFile> pending;
  LBOX_RETURN_IF_ERROR(Read([&](Txn& txn) -> Status {
    pending.clear();
    return txn.ForEachPending([&](const PendingFile& file) -> Status {
      pending.push_back(file);
      return {};
    });
  }));
  upkeep.pending = false;
  for (size_t at = 0; at < pending.size(); at += kUnlinkedAtOnce) {
    if (at > 0 && std::chrono::steady_clock::now() >= deadline) {
      upkeep.pending = true;
      break;
    }
    UnlinkPending(std::span(pending).subspan(at, std::min(kUnlinkedAtOnce, pending.size() - at)));
  }
  return {};
}

void StoreImpl::UnlinkPending(std::span<const PendingFile> files) {
  for (const PendingFile& file : files) {
    if (file.kind == FileKind::kPack) {
      packs.Forget(static_cast<uint32_t>(file.id));
      upkeep.packs.erase(static_cast<uint32_t>(file.id));
    }
    const Status status = env.Unlink(packs.PathOf(file));
    if (status.ok() || status.code() == Code::kNotFound) {
      index->ForgetPending(file);
    } else {
      upkeep.pending = true;
    }
  }
}

}  // namespace lbox
