// Reading messages: rows from the index, bodies from packs and large files.
#include <algorithm>

#include "storage/body_reader.h"
#include "storage/body_writer.h"
#include "storage/message_table.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

// Read in one go with the record header: enough for the header section of nearly every message, and
// for a small message as a whole.
constexpr size_t kReadAheadBytes = 16 * 1024;

// Where a message's body is, as one read transaction sees it.
struct Location {
  uint64_t body_id = 0;
  BodyRow body;
  Guid store;
};

Result<Location> Locate(StoreImpl& store, const Guid& mailbox, uint32_t uid) {
  Location location;
  const auto work = [&](Txn& txn) -> Status {
    LBOX_RETURN_IF_ERROR(store.packs.DropRemoved(txn));
    LBOX_ASSIGN_OR_RETURN(const uint32_t id, txn.FindMailbox(mailbox));
    LBOX_ASSIGN_OR_RETURN(const Message message, FindMessage(txn, id, uid));
    location.body_id = message.body_id;
    location.store = txn.meta.uuid;
    auto body = txn.GetBody(message.body_id);
    if (body.status().code() == Code::kNotFound) {
      return Status(Code::kCorruption, body.status().message() + " (of mailbox " + ToHex(mailbox) +
                                           " UID " + std::to_string(uid) + ")");
    }
    LBOX_ASSIGN_OR_RETURN(location.body, std::move(body));
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  return location;
}

// What ReadRecord found at a location.
struct Record {
  PackRecord record;
  std::shared_ptr<File> pack;
  std::string bytes;  // from the record's start, as far as read
};

// kNotFound: no such pack file. kCorruption: something else than the row says. Both may come from a
// pack that was rewritten since.
Result<Record> ReadRecord(StoreImpl& store, const Location& location) {
  const BodyRow& row = location.body;
  Record found;
  LBOX_ASSIGN_OR_RETURN(found.pack, store.packs.OpenRead(row.pack));
  const size_t wanted =
      std::min<uint64_t>(row.record_bytes, uint64_t{row.record_header_bytes} + kReadAheadBytes);
  found.bytes.resize(wanted);
  LBOX_ASSIGN_OR_RETURN(const size_t got,
                        found.pack->ReadAt(row.offset, found.bytes.data(), wanted));
  if (got != wanted || wanted < kPackRecordFixedBytes || wanted < row.record_header_bytes) {
    return Status(Code::kCorruption, "the pack is shorter than the record");
  }
  const std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(found.bytes.data()),
                                      found.bytes.size());
  LBOX_ASSIGN_OR_RETURN(const size_t header_bytes, PackRecordHeaderBytes(data));
  if (header_bytes != row.record_header_bytes || PackRecordCheck(data) != row.header_check) {
    return Status(Code::kCorruption, "another record is there than the index says");
  }
  LBOX_ASSIGN_OR_RETURN(found.record, DecodePackRecord(data.first(header_bytes)));
  if (found.record.body_id != location.body_id || found.record.store != location.store ||
      found.record.large_id != row.large_id || found.record.body_stored != row.body_stored ||
      PackRecordSpan(header_bytes, found.record) != row.record_bytes) {
    return Status(Code::kCorruption, "the record is another than the index says");
  }
  return found;
}

// Takes the frames apart; reads the rest of the header frame if need be.
Result<BodyReaderOptions> ReaderOptions(const Location& location, Record found) {
  const size_t header_bytes = location.body.record_header_bytes;
  BodyReaderOptions options;
  const PackRecord& record = found.record;
  const size_t header_end = header_bytes + record.header_stored;
  if (found.bytes.size() < header_end) {
    const size_t have = found.bytes.size();
    found.bytes.resize(header_end);
    LBOX_ASSIGN_OR_RETURN(const size_t got,
                          found.pack->ReadAt(location.body.offset + have, found.bytes.data() + have,
                                             header_end - have));
    if (got != header_end - have) {
      return Status(Code::kCorruption, "the pack is shorter than the record");
    }
  }
  options.header_frame = found.bytes.substr(header_bytes, record.header_stored);
  if (record.large_id == 0 && record.body_stored > 0) {
    if (found.bytes.size() >= header_end + record.body_stored) {
      options.body_frame = found.bytes.substr(header_end, record.body_stored);
    } else {
      options.pack = found.pack;
      options.body_offset = uint64_t{location.body.offset} + header_end;
    }
  }
  options.record = found.record;
  return options;
}

std::string Describe(const StoreImpl& store, const Location& location, const Guid& mailbox,
                     uint32_t uid) {
  return store.packs.PackPath(location.body.pack) + " record at " +
         std::to_string(location.body.offset) + " (mailbox " + ToHex(mailbox) + " UID " +
         std::to_string(uid) + ")";
}

// The file of a large body: may be gone because the message was expunged since, or missing.
Result<std::unique_ptr<File>> OpenLarge(StoreImpl& store, const Location& location,
                                        const Guid& mailbox, uint32_t uid) {
  const std::string path = store.packs.LargePath(location.body.large_id);
  auto file = store.env.OpenRead(path);
  if (file.status().code() != Code::kNotFound) {
    return file;
  }
  LBOX_RETURN_IF_ERROR(Locate(store, mailbox, uid).status());
  return Status(Code::kCorruption, path + " is missing (mailbox " + ToHex(mailbox) + " UID " +
                                       std::to_string(uid) + "); restore it from a backup");
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
  LBOX_ASSIGN_OR_RETURN(const Location location, Locate(StoreImpl::Of(*this), mailbox, uid));
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

Result<std::unique_ptr<BodyReader>> Store::OpenBody(const Guid& mailbox, uint32_t uid) {
  StoreImpl& store = StoreImpl::Of(*this);
  for (bool again = false;; again = true) {
    LBOX_ASSIGN_OR_RETURN(const Location location, Locate(store, mailbox, uid));
    const std::string context = Describe(store, location, mailbox, uid);
    auto found = ReadRecord(store, location);
    auto options = found.ok() ? ReaderOptions(location, std::move(found.value()))
                              : Result<BodyReaderOptions>(found.status());
    if (options.ok()) {
      options->context = context;
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
    if (again) {
      return Status(Code::kCorruption, context + ": " + options.status().message());
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
