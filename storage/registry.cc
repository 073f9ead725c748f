#include "storage/registry.h"

#include <chrono>
#include <map>
#include <utility>

#include <unistd.h>

#include "storage/env.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

struct Entry {
  std::weak_ptr<StoreImpl> store;
  const StoreImpl* address = nullptr;
  pid_t pid = 0;
};
// An opening looks for what others left behind: saves to be done again, upkeep, damaged packs. So a
// store is opened anew now and then, however many deliveries come.
constexpr std::chrono::seconds kLongestKept{10};

using Key = std::pair<uint64_t, uint64_t>;  // device, inode

// Never destroyed: stores may be closed by destructors that run at exit.
std::map<Key, Entry>& Entries() {
  static auto* entries = new std::map<Key, Entry>;
  return *entries;
}

std::shared_ptr<StoreImpl>& Idle() {
  static auto* idle = new std::shared_ptr<StoreImpl>;
  return *idle;
}

}  // namespace

Result<std::shared_ptr<Store>> OpenRegistered(const StoreOptions& given) {
  StoreOptions options = given;
  while (options.path.size() > 1 && options.path.ends_with('/')) {
    options.path.pop_back();
  }
  std::shared_ptr<StoreImpl> idle = std::exchange(Idle(), nullptr);
  if (idle != nullptr && (idle->options != options || idle->uid != geteuid() ||
                          std::chrono::steady_clock::now() - idle->opened > kLongestKept)) {
    idle.reset();
  }
  Env& env = options.env != nullptr ? *options.env : *Env::Default();
  const std::string lock = options.path + "/lock";
  if (const auto info = env.Stat(lock); info.ok()) {
    const auto it = Entries().find({info->device, info->inode});
    if (it != Entries().end() && it->second.pid == getpid()) {
      if (auto store = it->second.store.lock(); store != nullptr) {
        if (store->uid != geteuid()) {
          return Status(Code::kPermission, "the store " + options.path + " is open as uid " +
                                               std::to_string(store->uid) +
                                               "; this process runs as uid " +
                                               std::to_string(geteuid()));
        }
        return std::shared_ptr<Store>(std::move(store));
      }
    }
  }
  idle.reset();
  LBOX_ASSIGN_OR_RETURN(auto store, StoreImpl::Open(options));
  LBOX_ASSIGN_OR_RETURN(const FileInfo info, env.Stat(lock));
  Entries()[{info.device, info.inode}] = {store, store.get(), getpid()};
  return std::shared_ptr<Store>(std::move(store));
}

void KeepIdle(std::shared_ptr<StoreImpl> store) {
  CloseIdle();
  if (store->damage.empty()) {
    Idle() = std::move(store);
  }
}

void CloseIdle() {
  Idle().reset();
}

void Unregister(const StoreImpl* store) {
  std::erase_if(Entries(), [store](const auto& entry) { return entry.second.address == store; });
}

}  // namespace lbox
