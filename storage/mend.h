// Mending a store whose index can be read: totals, and messages whose bodies are damaged.
//
// Purpose: the part of repair (storage/repair.h) that works on a store in use, by ordinary
// transactions. A damaged message is removed after all that is left of it is in the quarantine and
// the report there names it; packs that are no chain of records any more are rewritten. Failure: as
// the calls of the store; what was done until then stays done. Crash rule: at each point nothing is
// removed that is not safely in the quarantine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "storage/quarantine.h"
#include "storage/status.h"
#include "storage/store_check.h"
#include "storage/store_impl.h"

namespace lbox {

// Makes the totals of the store, its mailboxes and packs, and the reference counts of its bodies
// what the rows add up to.
Status Recount(StoreImpl& store);

struct Mended {
  uint64_t removed = 0;            // messages
  std::vector<std::string> lines;  // of the report
};
// Removes the messages that `findings` tell of (Damage::kMessage), rewrites packs. `alive` is
// called now and then.
Result<Mended> RemoveDamaged(StoreImpl& store, const std::vector<Finding>& findings,
                             Quarantine& quarantine, const std::function<void()>& alive);

}  // namespace lbox
