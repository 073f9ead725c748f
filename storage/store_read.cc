// Reading messages: rows from the index, bodies from packs and large files.
#include "storage/advice.h"
#include "storage/body_reader.h"
#include "storage/body_writer.h"
#include "storage/message_table.h"
#include "storage/place_window.h"
#include "storage/record_reader.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

std::string Describe(const StoreImpl& store, const RecordPlace& location, const Guid& mailbox,
                     uint32_t uid) {
  return store.packs.PackPath(location.body.pack) + " record at " +
         std::to_string(location.body.offset) + " (mailbox " + ToHex(mailbox) + " UID " +
         std::to_string(uid) + ")";
}

// The file of a large body: may be gone because the message was expunged since, or missing.
Result<std::unique_ptr<File>> OpenLarge(StoreImpl& store, const RecordPlace& location,
                                        const Guid& mailbox, uint32_t uid) {
  const std::string path = store.packs.LargePath(location.body.large_id);
  auto file = store.env.OpenRead(path);
  if (file.status().code() != Code::kNotFound) {
    return file;
  }
  LBOX_RETURN_IF_ERROR(LocateRecord(store, mailbox, uid).status());
  return Status(Code::kCorruption, path + " is missing (mailbox " + ToHex(mailbox) + " UID " +
                                       std::to_string(uid) + "); " + kRunRepair);
}

}  // namespace

Result<Message> Store::Lookup(const Guid& mailbox, uint32_t uid) {
  Message message;
  const auto work = [&](Txn& txn) -> Status {
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    LBOX_ASSIGN_OR_RETURN(message, FindMessage(txn, id, uid));
    return {};
  };
  LBOX_RETURN_IF_ERROR(StoreImpl::Of(*this).Read(work));
  return message;
}

Result<uint32_t> Store::References(const Guid& mailbox, uint32_t uid) {
  LBOX_ASSIGN_OR_RETURN(const RecordPlace location,
                        LocateRecord(StoreImpl::Of(*this), mailbox, uid));
  return location.body.references;
}

Result<MessageExtra> Store::LookupExtra(const Guid& mailbox, uint32_t uid) {
  MessageExtra extra;
  const auto work = [&](Txn& txn) -> Status {
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    LBOX_ASSIGN_OR_RETURN(const Message message, FindMessage(txn, id, uid));
    if (message.has_extra) {
      LBOX_ASSIGN_OR_RETURN(extra, txn.GetExtra(id, uid));
    }
    return {};
  };
  LBOX_RETURN_IF_ERROR(StoreImpl::Of(*this).Read(work));
  return extra;
}

Status Store::Scan(const Guid& mailbox, uint32_t first_uid, uint32_t last_uid,
                   const std::function<bool(const Message&, const MessageExtra*)>& visit) {
  return StoreImpl::Of(*this).Read([&](Txn& txn) -> Status {
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    const auto one = [&](const Message& message) -> Result<bool> {
      if (!message.has_extra) {
        return visit(message, nullptr);
      }
      LBOX_ASSIGN_OR_RETURN(const MessageExtra extra, txn.GetExtra(id, message.uid));
      return visit(message, &extra);
    };
    return ScanMessages(txn, id, first_uid, last_uid, one);
  });
}

Result<std::unique_ptr<BodyReader>> Store::OpenBody(const Guid& mailbox, uint32_t uid,
                                                    BodyPart wanted) {
  StoreImpl& store = StoreImpl::Of(*this);
  for (bool again = false;; again = true) {
    LBOX_ASSIGN_OR_RETURN(const RecordPlace location, store.places.Get(store, mailbox, uid));
    auto options = ReadRecord(store.packs, location, wanted);
    if (options.ok()) {
      options->context = [&store, location, mailbox, uid] {
        return Describe(store, location, mailbox, uid);
      };
      options->keep_alive = shared_from_this();
      if (location.body.large_id != 0) {
        options->open_large = [&store, location, mailbox, uid] {
          return OpenLarge(store, location, mailbox, uid);
        };
      }
      return NewBodyReader(std::move(options.value()));
    }
    const Code code = options.status().code();
    if (code != Code::kNotFound && code != Code::kCorruption) {
      return options.status();
    }
    // The pack may have been rewritten after the row was read. The second time it is damage.
    store.packs.Forget(location.body.pack);
    store.places.Clear();
    if (again) {
      return Status(Code::kCorruption,
                    Describe(store, location, mailbox, uid) + ": " + options.status().message());
    }
  }
}

Result<std::unique_ptr<BodyReader>> Store::OpenStaged(const StagedBody& staged) {
  const auto* body = dynamic_cast<const StagedBodyImpl*>(&staged);
  if (body == nullptr) {
    return Status(Code::kInvalid, "not a staged body of a store");
  }
  return body->OpenReader();
}

}  // namespace lbox
