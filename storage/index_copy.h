// The file index.copy: the rows of an index as they were some time ago, each block with its hash.
//
// Purpose: what a rebuild begins with when the index is lost. Not an LMDB file, so that writing it
// takes no second map in a mail process, whose address space is short, and reading it trusts
// nothing: a copy is good as a whole or not at all. Memory: some 5 MiB.
// Failure: kCorruption for a file that is not a whole copy; else as Env.
// Crash rule: a new copy is durable before it gets its name; until then the old one is there.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "storage/env.h"
#include "storage/status.h"
#include "storage/txn.h"

namespace lbox {

inline constexpr char kIndexCopyName[] = "index.copy";

// Which table a row belongs to. Values are on disk.
enum class CopyTable : uint32_t {
  kEnd = 0,
  kMeta = 1,
  kMailbox = 2,
  kMailboxCold = 3,
  kMessage = 4,
  kExtra = 5,
  kBody = 6,
  kPack = 7,
};

struct IndexCopyInfo {
  uint32_t format = 0;  // of the rows
  Guid store;
  uint64_t transaction = 0;  // the last that it has
  int64_t time = 0;          // when it was taken, seconds since 1970 UTC
};

// Writes all rows that `txn` sees to `file`, which is empty. Not flushed. kCorruption: a row is not
// what was written.
Status WriteIndexCopy(Txn& txn, int64_t now, File& file);

// Calls visit for each row in the order of the tables and keys. An error may come after some rows:
// what was visited before is no part of a good copy then.
using CopyVisitor = std::function<Status(CopyTable table, std::span<const uint8_t> key,
                                         std::span<const uint8_t> value)>;
Result<IndexCopyInfo> ReadIndexCopy(Env& env, const std::string& path, const CopyVisitor& visit);

}  // namespace lbox
