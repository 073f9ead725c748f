// LmdbLedger: the ledger on one host, in an LMDB file beside which a journal keeps what was not
// committed yet.
//
// Purpose: the engine behind ledger.h (rows: ledger_rows.h). Ownership: the folder's one owner; a
// second opener gets kBusy. Process rules: one thread, one write transaction that lasts from commit
// to commit; not across fork. Failure modes: kCorruption for damaged rows, kNoSpace, kFull (no
// address space for a larger map), else of the system.
// Crash rule: Save appends to ledger.journal without a flush: a kill loses nothing of it. Commit is
// LMDB's fully synced commit (two flushes): a power cut loses nothing of it. With LMDB's NOMETASYNC
// (one flush) the last commit could be undone, an invoice with it; with none LMDB could be damaged.
// A journal is taken in only over the very commit it was begun on.
#pragma once

#include <memory>
#include <string>

#include "quota/ledger.h"

namespace hosting {

// Opens or makes ledger, ledger-lock and ledger.journal in the folder, which must exist. first_map:
// bytes, to start with; it grows by itself.
Result<std::unique_ptr<Ledger>> OpenLmdbLedger(const std::string& folder,
                                               uint64_t first_map = 32ULL << 20);

}  // namespace hosting
