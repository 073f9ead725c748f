#include "storage/place_window.h"

#include <algorithm>
#include <string>
#include <utility>

#include "storage/message_table.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

constexpr uint32_t kStep = 64;      // UIDs to the next message that is still "the next one"
constexpr size_t kMostPlaces = 64;  // some 8 kB

Result<RecordPlace> PlaceOf(Txn& txn, const Guid& mailbox, const Message& message) {
  RecordPlace place;
  place.body_id = message.body_id;
  place.store = txn.meta.uuid;
  auto body = txn.GetBody(message.body_id);
  if (body.status().code() == Code::kNotFound) {
    return Status(Code::kCorruption, body.status().message() + " (of mailbox " + ToHex(mailbox) +
                                         " UID " + std::to_string(message.uid) + ")");
  }
  LBOX_ASSIGN_OR_RETURN(place.body, std::move(body));
  return place;
}

}  // namespace

Result<RecordPlace> LocateRecord(StoreImpl& store, const Guid& mailbox, uint32_t uid) {
  RecordPlace place;
  const auto work = [&](Txn& txn) -> Status {
    LBOX_RETURN_IF_ERROR(store.packs.DropRemoved(txn));
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    LBOX_ASSIGN_OR_RETURN(const Message message, FindMessage(txn, id, uid));
    LBOX_ASSIGN_OR_RETURN(place, PlaceOf(txn, mailbox, message));
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  return place;
}

Result<RecordPlace> PlaceWindow::Get(StoreImpl& store, const Guid& mailbox, uint32_t uid) {
  if (!std::exchange(read_ahead_, true)) {
    store.index->ReadAhead();
  }
  const bool next = mailbox == mailbox_ && uid > asked_ && uid - asked_ <= kStep;
  ahead_ = next ? ahead_ : 1;
  mailbox_ = mailbox;
  asked_ = uid;
  const auto find = [&]() -> const Place* {
    const auto it =
        std::lower_bound(places_.begin(), places_.end(), uid,
                         [](const Place& place, uint32_t wanted) { return place.uid < wanted; });
    return it != places_.end() && it->uid == uid ? &*it : nullptr;
  };
  if (!next || transaction_ != store.index->NewestTransaction() ||
      generation_ != store.index->generation()) {
    places_.clear();
  }
  if (const Place* place = find()) {
    return place->record;
  }
  if (next) {
    ahead_ = std::min(ahead_ * 4, kMostPlaces);
    if (const Status status = Fill(store, mailbox, uid); !status.ok()) {
      places_.clear();
    }
    if (const Place* place = find()) {
      return place->record;
    }
  }
  return LocateRecord(store, mailbox, uid);
}

// As far as it goes: what cannot be read is told when it is asked for.
Status PlaceWindow::Fill(StoreImpl& store, const Guid& mailbox, uint32_t uid) {
  return store.Read([&](Txn& txn) -> Status {
    places_.clear();
    LBOX_RETURN_IF_ERROR(store.packs.DropRemoved(txn));
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    generation_ = store.index->generation();
    transaction_ = mdb_txn_id(txn.raw());
    return ScanMessages(txn, id, uid, UINT32_MAX, [&](const Message& message) -> Result<bool> {
      auto place = PlaceOf(txn, mailbox, message);
      if (!place.ok()) {
        return false;
      }
      places_.push_back({message.uid, *place});
      return places_.size() < ahead_;
    });
  });
}

void PlaceWindow::BelieveFrom(const StoreImpl& store) {
  generation_ = store.index->generation();
  transaction_ = store.index->NewestTransaction();
}

void PlaceWindow::Clear() {
  places_.clear();
  asked_ = 0;
  ahead_ = 1;
}

}  // namespace lbox
