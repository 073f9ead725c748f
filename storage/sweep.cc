#include "storage/sweep.h"

#include <string_view>
#include <vector>

#include "storage/file_ids.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// Unlinks what `superfluous` says in a directory.
template <typename Predicate>
Status Clear(Env& env, const std::string& directory, Predicate superfluous) {
  const std::string prefix = directory + "/";
  std::vector<std::string> names;
  LBOX_RETURN_IF_ERROR(env.List(directory, [&](const std::string& name) {
    if (superfluous(name)) {
      names.push_back(name);
    }
  }));
  for (const std::string& name : names) {
    Status status = env.Unlink(prefix + name);
    if (!status.ok() && status.code() != Code::kNotFound) {
      return status;
    }
  }
  return {};
}

}  // namespace

Result<bool> Sweep(StoreImpl& store, bool large) {
  LBOX_ASSIGN_OR_RETURN(const auto exclusive, store.lock->TryExclusive());
  if (!exclusive) {
    return false;
  }
  // Reading first makes sure that CURRENT and the index agree about the generation.
  NamedFiles named;
  LBOX_RETURN_IF_ERROR(
      store.Read([&](Txn& txn) -> Status { return ReadNamedFiles(txn, large, &named); }));
  LBOX_RETURN_IF_ERROR(
      Clear(store.env, store.folder + "/tmp", [](const std::string&) { return true; }));
  LBOX_RETURN_IF_ERROR(Clear(store.env, store.folder + "/p", [&](const std::string& name) {
    const auto id = FileIdOf(name, kPackNameDigits);
    return id.has_value() && !named.packs.contains(*id);
  }));
  const std::string index = "index." + std::to_string(store.index->generation());
  const auto old_generation = [&](const std::string& name) {
    return name.starts_with("index.") && name != index && name != index + "-lock" &&
           name.find_first_not_of("0123456789", 6) >=
               name.size() - (name.ends_with("-lock") ? 5 : 0);
  };
  bool any = false;
  LBOX_RETURN_IF_ERROR(store.env.List(
      store.folder, [&](const std::string& name) { any = any || old_generation(name); }));
  if (any && store.options.sync) {
    // Durable after this: CURRENT, which another process may have switched without living to see it
    // so.
    LBOX_RETURN_IF_ERROR(store.env.SyncDirectory(store.folder));
  }
  LBOX_RETURN_IF_ERROR(Clear(store.env, store.folder, old_generation));
  if (large) {
    LBOX_RETURN_IF_ERROR(Clear(store.env, store.folder + "/l", [&](const std::string& name) {
      const auto id = FileIdOf(name, kLargeNameDigits);
      return id.has_value() && !named.bodies.contains(*id);
    }));
  }
  return true;
}

}  // namespace lbox
