// StorageWork: what the benchmarks do with a store, one method an operation.
//
// Purpose: the same work for wall clock (storage_bench, Google Benchmark) and for instruction
// counts (instruction_count). Ownership: makes a store in a folder of its own (below $TMPDIR or
// /tmp) and removes it. One process, one thread. Failure: exits with the store's message; a
// benchmark of what failed would mean nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/store.h"

namespace lbox::bench {

class StorageWork {
 public:
  // A store with one mailbox of `messages` messages. sync: flush as a mail server does.
  StorageWork(uint32_t messages, bool sync);
  ~StorageWork();
  StorageWork(const StorageWork&) = delete;
  StorageWork& operator=(const StorageWork&) = delete;

  void Deliver();       // one message of some 6 kB
  void DeliverBatch();  // 100 messages, one commit
  void ReadHeader();    // of a message somewhere in the mailbox, its file opened anew
  void ReadBody();      // header and body
  void ChangeFlag();    // one message, one commit
  void Expunge();       // the oldest message, one commit; delivers another 1,000 when none is left
  uint64_t Scan();      // all rows; returns how many
  void Copy();          // one message to another mailbox
  void AddMailboxes(uint32_t count);  // empty ones
  uint64_t AccountUsage();            // bytes of all mailboxes, from the mailbox rows
  void Rebuild();  // the index from packs, journal and copy; the store is open again afterwards
  void FillForReclaim();  // 2,000 messages, of which every other one is expunged
  void Reclaim();         // until nothing remains to be done

  [[nodiscard]] uint32_t messages() const { return count_; }

 private:
  uint32_t Add(uint32_t count);
  uint32_t SomeUid();
  void Open();

  std::string folder_;
  StoreOptions options_;
  std::shared_ptr<Store> store_;
  Guid inbox_, other_;
  std::vector<std::string> texts_;
  uint32_t count_ = 0, first_uid_ = 1, next_uid_ = 1;
  uint64_t serial_ = 0, flag_turns_ = 0;
};

}  // namespace lbox::bench
