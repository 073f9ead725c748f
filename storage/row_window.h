// RowWindow: rows of messages that are asked for one after the other, read many at a time.
//
// Purpose: POP3's UIDL and LIST, dsync and expunges ask for each message of a mailbox on its own; a
// transaction for each costs more than the row. Ownership: of one mailbox that is open; keeps
// copies, no transaction. Process rules: one thread. What it has may be older than the store:
// sizes, dates and GUIDs of a message never change, flags do and are not to be taken from here;
// Clear() forgets the rest (POP3 UIDLs) and what was expunged meanwhile. Failure modes: those of
// Store::Lookup.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/store.h"

namespace lbox {

class RowWindow {
 public:
  struct Row {
    Message message;
    MessageExtra extra;
  };

  // Good until the next call.
  Result<const Row*> Get(Store& store, const Guid& mailbox, uint32_t uid);
  void Clear();

 private:
  Status Fill(Store& store, const Guid& mailbox, uint32_t uid, size_t rows);

  std::vector<Row> rows_;  // ascending
  size_t next_ = 0;        // after the last one that was asked for
  uint32_t asked_ = 0;     // UID of the last call
  size_t ahead_ = 1;       // rows that are read at once
};

}  // namespace lbox
