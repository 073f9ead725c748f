// PlaceWindow: where the bodies of messages are that are read one after the other, looked up many
// at a time.
//
// Purpose: FETCH and SEARCH open each message of a mailbox on its own; a transaction for each, with
// the system calls around it, costs more than reading the header. Ownership: one per open store;
// keeps copies, no transaction. Process rules: one thread. What it has is of the newest transaction
// as far as this process's map of the index tells, without a system call; who finds another record
// than it says (the index was replaced, and packs rewritten since) calls Clear() and asks again.
// Failure: kNotFound: no such mailbox or message. kCorruption: its row or its body's row is
// damaged; that of another message is none of this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/record_reader.h"
#include "storage/status.h"
#include "storage/types.h"

namespace lbox {

class StoreImpl;

// One message, whatever was read before.
Result<RecordPlace> LocateRecord(StoreImpl& store, const Guid& mailbox, uint32_t uid);

class PlaceWindow {
 public:
  Result<RecordPlace> Get(StoreImpl& store, const Guid& mailbox, uint32_t uid);
  void Clear();
  // For tests: takes what it has for what the newest transaction of the store says.
  void BelieveFrom(const StoreImpl& store);

 private:
  struct Place {
    uint32_t uid = 0;
    RecordPlace record;
  };
  Status Fill(StoreImpl& store, const Guid& mailbox, uint32_t uid);

  Guid mailbox_;
  uint64_t generation_ = 0, transaction_ = 0;  // that places_ is of
  std::vector<Place> places_;                  // ascending
  uint32_t asked_ = 0;                         // UID of the last call
  size_t ahead_ = 1;                           // places that are looked up at once
  bool read_ahead_ = false;                    // the index was, into the page cache
};

}  // namespace lbox
