// The files of the journal: appending, as part of a transaction, and reading them when the index is
// lost.
//
// Purpose: together with the packs' records, all that happened to a store since its index copy.
// Ownership: one JournalFile per open Index; it keeps the journal in use open. Processes: appending
// needs the writer lock of the index. Threads: one.
// Failure: a transaction that could not be told is not made (as Env), except that a deletion on a
// full disk is made without a frame; MetaRow::journaled shows it, and so does the next frame.
// Crash rule: a frame is written before its transaction commits and is not flushed, so that a
// delivery or a flag change costs no flush more. A killed process loses nothing. After a power cut
// the index has all, the journal may lack the last seconds; an index copy is taken soon after the
// next boot. Only where the same power cut also destroys the index, a rebuild may undo flag changes
// and removals of the last seconds, and lack copies made then (what they are copies of is there).
// No saved message depends on the journal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/env.h"
#include "storage/file_options.h"
#include "storage/journal_record.h"
#include "storage/rows.h"
#include "storage/status.h"

namespace lbox {

// <folder>/journal.<number>
std::string JournalPath(const std::string& folder, uint32_t number);
// The journals that are there, lowest first.
Result<std::vector<uint32_t>> ListJournals(Env& env, const std::string& folder);

// Tells this boot of the machine from others; 0: unknown.
uint32_t BootOf(Env& env);

// kIfAny: a frame for which there is no room is left out. kNone: none is written.
enum class JournalSpace { kNeeded, kIfAny, kNone };

class JournalFile {
 public:
  explicit JournalFile(FileOptions options) : options_(std::move(options)) {}

  // Begins the next journal in a transaction that is to commit `meta`. Durable after this, when
  // ok: its name.
  Status Begin(MetaRow& meta);
  // Writes what transaction meta.transaction does, if there is something to tell. A frame that is
  // left out takes meta.boot with it: the next upkeep takes an index copy.
  Status Append(MetaRow& meta, const JournalRecord& record, JournalSpace space);
  // The transaction did not commit: what was appended for it never happened, `meta` as it was
  // before.
  void Void(const MetaRow& meta);
  // Closes what is open.
  void Close() { file_.reset(); }

 private:
  Status Open(uint32_t number);
  Status WriteFrame(MetaRow& meta, const JournalRecord& record);

  const FileOptions options_;
  std::unique_ptr<File> file_;
  uint32_t number_ = 0;  // of file_
  uint32_t boot_ = 0;
  bool boot_known_ = false;
  bool appended_ = false;
};

// Calls visit for each whole frame of a journal in the order of the file. What is no frame is
// passed over: `skipped` says how many bytes were before the last frame, and whether frames may
// follow that are of no use is not known. Frames of other stores are no frames.
Status ReadJournal(Env& env, const std::string& path, const Guid& store, uint64_t& skipped,
                   const std::function<Status(JournalFrame)>& visit);

}  // namespace lbox
