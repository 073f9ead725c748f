// LedgerJournal: what was changed since the ledger's last commit, in a file that a kill does not
// touch.
//
// Purpose: a report is answered after one write() in place of a flush; ledger_lmdb commits what
// came together, less often. Ownership: of ledger_lmdb, one file beside the environment. Process
// rules: one process, one thread. Failure modes: Status; after a failed Append the file is as
// before. Crash rule: an appended record survives a kill (nothing is flushed). A record belongs to
// one commit of one environment: any other base makes the file void, so what a power cut left of an
// old one is never taken in. A torn record and what follows it is dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "quota/descriptor.h"
#include "quota/status.h"

namespace hosting {

class LedgerJournal {
 public:
  static Result<LedgerJournal> Open(const std::string& path);

  // Calls visit with each whole record when the file belongs to this base.
  Status Replay(const std::string& environment, uint64_t base,
                const std::function<Status(std::string_view record)>& visit);
  // The next Append starts the file anew, for this base: a commit of the environment whose id it is
  // (16 bytes).
  void Restart(const std::string& environment, uint64_t base);
  Status Append(std::string_view record);

 private:
  LedgerJournal(Descriptor file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}
  Status Write(uint64_t offset, std::string_view bytes);

  Descriptor file_;
  std::string path_;
  std::string head_;
  uint64_t end_ = 0;  // 0: nothing was appended since Restart
};

}  // namespace hosting
