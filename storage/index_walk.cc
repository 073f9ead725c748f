#include "storage/index_walk.h"

#include <string>

#include "storage/advice.h"
#include "storage/child.h"
#include "storage/message_table.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

enum Kind : char { kStatus };

std::string EncodeStatus(const Status& status) {
  return std::string(1, static_cast<char>(status.code())) + status.message();
}

Status DecodeStatus(std::string_view bytes) {
  const auto code = static_cast<Code>(bytes.at(0));
  return code == Code::kOk ? Status() : Status(code, std::string(bytes.substr(1)));
}

Status Look(const StoreOptions& options, ChildPipe& pipe) {
  StoreOptions mine = options;
  mine.create = false;
  LBOX_ASSIGN_OR_RETURN(const auto store, StoreImpl::Open(mine, Opening::kExamine));
  return store->Read([&](Txn& txn) { return WalkIndex(txn, [&] { pipe.Alive(); }); });
}

}  // namespace

Status WalkIndex(Txn& txn, const std::function<void()>& alive) {
  uint64_t rows = 0;
  const auto row = [&]() -> Status {
    if (++rows % 1000 == 0) {
      alive();
    }
    return {};
  };
  const auto seen = [&](const Status& status) {
    return status.ok() || status.code() == Code::kNotFound ? row() : status;
  };
  const auto mailbox = [&](uint32_t id, const MailboxRow& found) -> Status {
    LBOX_RETURN_IF_ERROR(txn.GetCold(id).status());
    LBOX_RETURN_IF_ERROR(seen(txn.FindMailbox(found.guid).status()));
    return ScanMessages(txn, id, 0, UINT32_MAX, [&](const Message& message) -> Result<bool> {
      LBOX_RETURN_IF_ERROR(seen(FindMessage(txn, id, message.uid).status()));
      return true;
    });
  };
  LBOX_RETURN_IF_ERROR(txn.ForEachMailbox(mailbox));
  LBOX_RETURN_IF_ERROR(
      txn.ForEachBody([&](uint64_t id, const BodyRow&) { return seen(txn.GetBody(id).status()); }));
  LBOX_RETURN_IF_ERROR(
      txn.ForEachPack([&](uint32_t id, const PackRow&) { return seen(txn.GetPack(id).status()); }));
  LBOX_RETURN_IF_ERROR(txn.ForEachExtra([&](uint32_t id, uint32_t uid, const MessageExtra&) {
    return seen(txn.GetExtra(id, uid).status());
  }));
  LBOX_RETURN_IF_ERROR(txn.ForEachPending([&](const PendingFile&) { return row(); }));
  (void)txn.FreePages();
  return {};
}

Status TryIndex(const StoreOptions& options, std::chrono::milliseconds at_most) {
  Status found;
  const auto work = [&](ChildPipe& pipe) { pipe.Send(kStatus, EncodeStatus(Look(options, pipe))); };
  const auto receive = [&](char, std::string_view bytes) { found = DecodeStatus(bytes); };
  LBOX_ASSIGN_OR_RETURN(const ChildEnd end,
                        RunInChild(work, receive, {.patience = at_most, .at_most = at_most}));
  if (end.kind == ChildEnd::Kind::kDied) {
    return Status(Code::kCorruption, options.path +
                                         ": the index cannot be read: a process that tried " +
                                         end.how + "; " + kRunRepair);
  }
  if (found.code() != Code::kCorruption) {
    return {};
  }
  const bool said = found.message().ends_with(kRunRepair);
  return Status(Code::kCorruption, found.message() + (said ? "" : std::string("; ") + kRunRepair));
}

}  // namespace lbox
