// Opening a store, creating it first when it is not there, refusing what must not be touched.
//
// Crash rule: a store exists once CURRENT does, which is written last. Until then CREATING marks
// that whatever else is there was never used, so that creating can begin again; without that mark,
// files without CURRENT are the rest of a store and refused. A store with CREATING is opened only
// after all names on the way to CURRENT are durable.
#include <cerrno>
#include <chrono>
#include <ctime>
#include <map>
#include <random>

#include <sys/random.h>

#include "storage/advice.h"
#include "storage/index_walk.h"
#include "storage/open_checks.h"
#include "storage/redo.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"
#include "storage/upgrade.h"
#include "storage/upkeep.h"

namespace lbox {
namespace {

// Longest that opening waits for a look into the index, which takes some 50 ms for each 100,000
// messages. Who has not seen the end of it by then opens the index all the same.
constexpr std::chrono::milliseconds kLookFirst{1000};

// Who may read a file may search its directory.
uint32_t DirectoryMode(uint32_t mode) {
  return mode | ((mode & 0444) >> 2);
}

Status MakeDirectories(Env& env, const std::string& path, uint32_t mode, int64_t gid) {
  if (env.Stat(path).ok()) {
    return {};
  }
  const size_t slash = path.find_last_of('/');
  if (slash != std::string::npos && slash > 0) {
    LBOX_RETURN_IF_ERROR(MakeDirectories(env, path.substr(0, slash), mode, gid));
  }
  return env.MakeDirectory(path, mode, gid);
}

Result<Guid> NewUuid() {
  Guid uuid;
  for (;;) {
    const ssize_t got = getrandom(uuid.bytes.data(), uuid.bytes.size(), 0);
    if (got == static_cast<ssize_t>(uuid.bytes.size())) {
      break;
    }
    if (got < 0 && errno != EINTR) {
      return Status::FromErrno("getrandom() failed", errno);
    }
  }
  // RFC 4122, version 4.
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

Status RestOfAStore(const std::string& folder) {
  return Status(
      Code::kCorruption,
      folder +
          "/CURRENT is missing, though other files of a store are there; restore the "
          "whole store from a backup, or move the folder away to start an empty one, or " +
          kRunRepair);
}

Status NoStore(const std::string& folder) {
  return Status(Code::kNotFound, "there is no store at " + folder);
}

Status IgnoreAbsent(const Status& status) {
  return status.code() == Code::kNotFound ? Status() : status;
}

// Whether CURRENT is there.
Result<bool> CheckPlace(Env& env, const StoreOptions& options) {
  if (!options.path.starts_with('/')) {
    return Status(Code::kInvalid,
                  "the path of a store must be absolute, not \"" + options.path + "\"");
  }
  LBOX_RETURN_IF_ERROR(CheckFileSystem(options.path, options.allow_fuse));
  for (const std::string& path : {options.path, options.path + "/CURRENT"}) {
    const auto info = env.Stat(path);
    if (!info.ok()) {
      return info.status().code() == Code::kNotFound ? Result<bool>(false) : info.status();
    }
    LBOX_RETURN_IF_ERROR(CheckOwner(path, *info));
    if (info->directory != (path == options.path)) {
      return Status(Code::kInvalid,
                    path + (info->directory ? " is a directory" : " is not a directory"));
    }
  }
  return true;
}

IndexOptions IndexOptionsOf(StoreImpl& store) {
  IndexOptions options;
  options.env = &store.env;
  options.lock = store.lock.get();
  options.mode = store.options.mode;
  options.gid = store.options.gid;
  options.sync = store.options.sync;
  options.max_map_bytes = store.options.max_map_bytes;
  return options;
}

// Under the exclusive lock, with no CURRENT there.
Status Create(StoreImpl& store) {
  Env& env = store.env;
  const std::string& folder = store.folder;
  const uint32_t mode = store.options.mode;
  const int64_t gid = store.options.gid;
  const bool sync = store.options.sync;
  LBOX_RETURN_IF_ERROR(env.Create(folder + "/" + kCreatingName, false, mode, gid).status());
  if (sync) {
    // Durable after this: the mark that what follows is unfinished.
    LBOX_RETURN_IF_ERROR(env.SyncDirectory(folder));
  }
  for (const char* name : {"/p", "/l", "/tmp"}) {
    LBOX_RETURN_IF_ERROR(env.MakeDirectory(folder + name, DirectoryMode(mode), gid));
  }
  const std::string index_path = IndexPath(folder, 1);
  LBOX_RETURN_IF_ERROR(IgnoreAbsent(env.Unlink(index_path)));
  LBOX_RETURN_IF_ERROR(IgnoreAbsent(env.Unlink(index_path + "-lock")));
  LBOX_ASSIGN_OR_RETURN(const Guid uuid, NewUuid());
  LBOX_RETURN_IF_ERROR(store.index->Create(uuid));
  store.index->Close();
  LBOX_RETURN_IF_ERROR(MakeReserve(store));
  if (sync) {
    // Durable after this: all that CURRENT will say is there.
    LBOX_RETURN_IF_ERROR(env.SyncDirectory(folder));
  }
  LBOX_RETURN_IF_ERROR(WriteCurrent(env, folder, {1, uuid}, mode, gid, sync));
  return {};  // Open goes on with FinishCreating
}

// As long as CREATING is there, who created the store may not have come to the end: what it named
// may be seen and yet not be durable.
Status FinishCreating(StoreImpl& store) {
  const std::string mark = store.folder + "/" + kCreatingName;
  if (const auto info = store.env.Stat(mark); !info.ok()) {
    return IgnoreAbsent(info.status());
  }
  // Durable after this: all names on the way to CURRENT, whoever made them. Not all parents need be
  // readable.
  std::string path = mark;
  while (store.options.sync && path != "/") {
    const size_t slash = path.find_last_of('/');
    path = slash == 0 ? "/" : path.substr(0, slash);
    if (Status status = store.env.SyncDirectory(path);
        !status.ok() && status.code() != Code::kPermission) {
      return status;
    }
  }
  return IgnoreAbsent(store.env.Unlink(mark));
}

Result<std::unique_ptr<File>> OpenLock(StoreImpl& store, bool create) {
  const std::string path = store.folder + "/lock";
  if (!create) {
    return store.env.OpenReadWrite(path);
  }
  return store.env.Create(path, false, store.options.mode, store.options.gid);
}

Status UseLock(StoreImpl& store, std::unique_ptr<File> file) {
  store.lock = std::make_unique<StoreLock>(std::move(file), store.folder + "/lock");
  store.index = std::make_unique<Index>(IndexOptionsOf(store), store.folder);
  return {};
}

// There is no CURRENT, or there was none a moment ago.
Status CreateUnlessThere(StoreImpl& store) {
  LBOX_ASSIGN_OR_RETURN(Remains remains, FindRemains(store.env, store.folder));
  auto lock = OpenLock(store, false);
  if (lock.status().code() == Code::kNotFound) {
    if (remains.any && !remains.creating) {
      return RestOfAStore(store.folder);
    }
    if (!store.options.create) {
      return NoStore(store.folder);
    }
    LBOX_RETURN_IF_ERROR(MakeDirectories(store.env, store.folder, DirectoryMode(store.options.mode),
                                         store.options.gid));
    lock = OpenLock(store, true);
  }
  if (!lock.ok()) {
    return lock.status();
  }
  LBOX_RETURN_IF_ERROR(UseLock(store, std::move(lock.value())));
  LBOX_ASSIGN_OR_RETURN(const auto exclusive, store.lock->Exclusive());
  const auto current = ReadCurrent(store.env, store.folder);
  if (current.ok() || current.status().code() != Code::kNotFound) {
    return current.ok() ? Status() : current.status();
  }
  LBOX_ASSIGN_OR_RETURN(remains, FindRemains(store.env, store.folder));
  if (remains.any && !remains.creating) {
    return RestOfAStore(store.folder);
  }
  return store.options.create ? Create(store) : NoStore(store.folder);
}

// Every pack is there and holds what was committed; else the store is damaged, and opened all the
// same. A pack may go while this looks, rewritten by another process. `longer`: the active pack
// goes on behind what was committed.
Status CheckPacks(StoreImpl& store, bool* longer) {
  std::map<uint32_t, std::string> suspects;
  const auto look = [&](Txn& txn) -> Status {
    return txn.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      const std::string path = store.packs.PackPath(id);
      const auto info = store.env.Stat(path);
      if (info.ok() && info->size >= row.tail) {
        *longer = *longer || (id == txn.meta.active_pack && info->size > row.tail);
        return {};
      }
      if (!info.ok() && info.status().code() != Code::kNotFound) {
        return info.status();
      }
      suspects[id] = path +
                     (info.ok() ? " has " + std::to_string(info->size) + " bytes"
                                : std::string(" is missing")) +
                     ", the index says " + std::to_string(row.tail) + " bytes with " +
                     std::to_string(row.live_count) +
                     " messages (a store must be copied as a whole, not while in use)";
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(store.Read(look));
  if (suspects.empty()) {
    return {};
  }
  return store.Read([&](Txn& txn) -> Status {
    for (const auto& [id, text] : suspects) {
      const Status status = txn.GetPack(id).status();
      LBOX_RETURN_IF_ERROR(IgnoreAbsent(status));
      if (status.ok()) {
        store.damage.push_back(text);
        store.packs.KeepUnknown();
      }
    }
    return {};
  });
}

// Reads all of the index, in a child, when a process died that had it open.
Status LookFirst(StoreImpl& store) {
  const auto dead = store.lock->DeadMarks();
  if (dead.empty()) {
    return {};
  }
  // When it fails the marks stay, for the next opener.
  LBOX_RETURN_IF_ERROR(TryIndex(store.options, kLookFirst));
  store.lock->RemoveMarks(dead);
  return {};
}

}  // namespace

Result<std::shared_ptr<StoreImpl>> StoreImpl::Open(const StoreOptions& options, Opening opening) {
  const std::shared_ptr<StoreImpl> store(new StoreImpl(options));
  Env& env = store->env;
  LBOX_ASSIGN_OR_RETURN(const bool there, CheckPlace(env, store->options));
  if (!there) {
    LBOX_RETURN_IF_ERROR(CreateUnlessThere(*store));
  }
  LBOX_RETURN_IF_ERROR(CheckFolders(env, store->folder));
  if (store->lock == nullptr) {
    auto lock = OpenLock(*store, false);
    if (lock.status().code() == Code::kNotFound) {
      // Nothing is made in a store that a newer version has written.
      LBOX_RETURN_IF_ERROR(ReadCurrent(env, store->folder).status());
      lock = OpenLock(*store, true);
    }
    LBOX_RETURN_IF_ERROR(lock.status());
    LBOX_RETURN_IF_ERROR(UseLock(*store, std::move(lock.value())));
  }
  if (opening == Opening::kUse) {
    LBOX_RETURN_IF_ERROR(LookFirst(*store));
  } else {
    store->lock->LeaveNoMark();
  }
  LBOX_RETURN_IF_ERROR(store->index->Open());
  if (opening == Opening::kExamine) {
    return store;
  }
  bool longer = false;
  LBOX_RETURN_IF_ERROR(CheckPacks(*store, &longer));
  // From here on something may be written.
  LBOX_RETURN_IF_ERROR(UpgradeStore(*store));
  if (longer) {
    LBOX_RETURN_IF_ERROR(RedoSaves(*store));
  }
  LBOX_RETURN_IF_ERROR(
      env.MakeDirectory(store->folder + "/tmp", DirectoryMode(options.mode), options.gid));
  LBOX_RETURN_IF_ERROR(FinishCreating(*store));
  StagingOptions staging;
  staging.env = &env;
  staging.directory = store->folder + "/tmp";
  staging.large_directory = store->folder + "/l";
  staging.mode = options.mode;
  staging.gid = options.gid;
  staging.sync = options.sync;
  store->staging = StagingArea::Create(staging);
  if (store->damage.empty()) {
    LBOX_RETURN_IF_ERROR(LookForUpkeep(*store, std::chrono::steady_clock::now()));
  }
  return store;
}

}  // namespace lbox
