// Apply and DeleteMailbox: changes to messages that exist, in transactions of bounded size.
//
// A transaction copies every page it touches before the old ones are free: all at once, a change to
// a large mailbox would double the index. Where even the usual size does not fit, because the map
// is at its limit or the disk is full, smaller ones are tried: what they free serves the next.
#include <algorithm>

#include "storage/mailbox_writer.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

constexpr uint32_t kFewestRows = 16;

// Changes that need no room once they are done. Flags are among them: a client that wants to delete
// sets \Deleted first.
bool TakesNoRoom(std::span<const Change> changes) {
  return std::all_of(changes.begin(), changes.end(), [](const Change& change) {
    return change.kind == Change::Kind::kExpunge || change.kind == Change::Kind::kFlags ||
           change.kind == Change::Kind::kKeywordRemove;
  });
}

// Where in a list of changes the next transaction goes on.
struct Position {
  size_t change = 0;
  uint32_t uid = 0;
};

// Applies up to `budget` rows' worth.
Status ApplySome(MailboxWriter& writer, std::span<const Change> changes, uint32_t budget,
                 Position& position) {
  while (position.change < changes.size()) {
    LBOX_ASSIGN_OR_RETURN(const auto progress,
                          writer.Apply(changes[position.change], position.uid, budget));
    if (!progress.done) {
      position.uid = progress.next_uid;
      return {};
    }
    position = {position.change + 1, 0};
  }
  return {};
}

// Runs `step` until it says that it is done, with smaller budgets when map or disk are full.
Status InSteps(const std::function<Result<bool>(uint32_t budget)>& step) {
  for (uint32_t budget = kBatchRows;;) {
    const auto done = step(budget);
    if (done.ok()) {
      if (*done) {
        return {};
      }
    } else if ((done.status().code() == Code::kFull || done.status().code() == Code::kNoSpace) &&
               budget > kFewestRows) {
      budget /= 4;
    } else {
      return done.status();
    }
  }
}

}  // namespace

Result<ApplyResult> Store::Apply(const Guid& mailbox, std::span<const Change> changes) {
  StoreImpl& store = StoreImpl::Of(*this);
  const bool no_room = TakesNoRoom(changes);
  ApplyResult result;
  Position position;
  bool first = true;
  const auto step = [&](uint32_t budget) -> Result<bool> {
    Position reached;
    uint64_t expunged = 0;
    const auto work = [&](Txn& txn) -> Status {
      reached = position;
      MailboxWriter writer(txn);
      LBOX_RETURN_IF_ERROR(writer.Load(mailbox));
      if (first) {
        result.before = writer.row().change;
      }
      LBOX_RETURN_IF_ERROR(ApplySome(writer, changes, budget, reached));
      LBOX_RETURN_IF_ERROR(writer.Finish());
      // Committed even when nothing is left to be done: what another process did may be there to
      // see without being durable, if its disk failed.
      txn.unchanged = changes.empty();
      result.change = writer.row().change;
      expunged = writer.expunged();
      return {};
    };
    LBOX_RETURN_IF_ERROR(no_room ? store.WriteDeletion(work) : store.Write(Purpose::kSave, work));
    position = reached;
    first = false;
    result.expunged += expunged;
    return position.change == changes.size();
  };
  LBOX_RETURN_IF_ERROR(InSteps(step));
  return result;
}

Status Store::DeleteMailbox(const Guid& mailbox) {
  StoreImpl& store = StoreImpl::Of(*this);
  bool gone = false;
  const auto step = [&](uint32_t budget) -> Result<bool> {
    bool done = false;
    const auto work = [&](Txn& txn) -> Status {
      MailboxWriter writer(txn);
      const Status found = writer.Load(mailbox);
      if (found.code() == Code::kNotFound) {
        gone = done = true;  // and committed, as above
        return {};
      }
      LBOX_RETURN_IF_ERROR(found);
      uint32_t left = budget;
      LBOX_ASSIGN_OR_RETURN(const auto progress, writer.Expunge(0, UINT32_MAX, left));
      LBOX_RETURN_IF_ERROR(writer.Finish());
      done = progress.done;
      if (!done) {
        return {};
      }
      txn.journal.mailbox = mailbox;
      txn.journal.removed = true;
      LBOX_RETURN_IF_ERROR(txn.DeleteMailboxGuid(mailbox));
      return txn.DeleteMailbox(writer.id());
    };
    LBOX_RETURN_IF_ERROR(store.WriteDeletion(work));
    return done;
  };
  LBOX_RETURN_IF_ERROR(InSteps(step));
  return gone ? Status(Code::kNotFound, "no mailbox " + ToHex(mailbox)) : Status();
}

}  // namespace lbox
