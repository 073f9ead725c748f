// Save: a batch of new messages and copies, with the changes that belong to it, in one transaction.
//
// Order, and what is durable when: large bodies under their names in l/ (fsync of l/), then under
// the writer lock the pack records (fdatasync of the pack, fsync of p/ when a pack was started),
// then the rows that name both (commit). A crash before the commit leaves bytes beyond a pack's
// tail, which are written over, and files that no row names, which are swept. A save that has
// nothing but records in the active pack does not wait for the last of the commit's flushes
// (storage/redo.h).
#include <algorithm>
#include <ctime>
#include <optional>

#include "storage/body_writer.h"
#include "storage/mailbox_writer.h"
#include "storage/redo.h"
#include "storage/status_macros.h"
#include "storage/store_impl.h"

namespace lbox {
namespace {

StagedBodyImpl* StagedOf(const NewMessage& message) {
  return static_cast<StagedBodyImpl*>(message.staged);
}

Status CheckMessages(std::span<const NewMessage> messages) {
  for (const NewMessage& message : messages) {
    if ((message.staged != nullptr) == (message.source_uid != 0)) {
      return Status(Code::kInvalid, "a new message needs either a body or a source");
    }
    if (message.staged != nullptr && dynamic_cast<StagedBodyImpl*>(message.staged) == nullptr) {
      return Status(Code::kInvalid, "not a staged body of a store");
    }
  }
  return {};
}

// Large bodies of a batch under their final names; back under their old ones unless Keep is called.
class LargeFiles {
 public:
  explicit LargeFiles(StoreImpl& store) : store_(store) {}
  ~LargeFiles() {
    for (const StagedBodyImpl* body : placed_) {
      // What cannot be put back is swept.
      (void)store_.env.Rename(store_.packs.LargePath(body->large_id()), body->tmp_path());
    }
  }
  LargeFiles(const LargeFiles&) = delete;
  LargeFiles& operator=(const LargeFiles&) = delete;

  Status Place(std::span<const NewMessage> messages) {
    for (const NewMessage& message : messages) {
      if (message.staged != nullptr && StagedOf(message)->large()) {
        StagedBodyImpl* body = StagedOf(message);
        LBOX_RETURN_IF_ERROR(body->Sync());
        LBOX_RETURN_IF_ERROR(
            store_.env.Rename(body->tmp_path(), store_.packs.LargePath(body->large_id())));
        placed_.push_back(body);
      }
    }
    if (placed_.empty() || !store_.options.sync) {
      return {};
    }
    // Durable after this: the large bodies, under their names.
    return store_.env.SyncDirectory(store_.folder + "/l");
  }

  // After a failure that may, against all odds, have reached the disk: whoever sweeps will know.
  void Leave() { placed_.clear(); }

  void Keep() {
    for (StagedBodyImpl* body : placed_) {
      body->Disown(store_.packs.LargePath(body->large_id()));
    }
    placed_.clear();
  }

 private:
  StoreImpl& store_;
  std::vector<StagedBodyImpl*> placed_;
};

// The rule in storage/types.h.
Result<uint32_t> AssignUids(uint32_t first, std::span<const NewMessage> messages,
                            std::vector<uint32_t>& uids) {
  uint64_t next = first;
  for (const NewMessage& message : messages) {
    next = std::max<uint64_t>(next, uint64_t{message.wanted_uid} + 1);
  }
  for (const NewMessage& message : messages) {
    const uint64_t uid = message.wanted_uid >= first ? message.wanted_uid : next++;
    if (uid >= UINT32_MAX) {
      return Status(Code::kInvalid, "the mailbox has used up its UIDs; it needs a new UIDVALIDITY");
    }
    uids.push_back(static_cast<uint32_t>(uid));
  }
  return first;
}

// One batch within the write transaction.
class Batch {
 public:
  Batch(StoreImpl& store, Txn& txn, std::span<const NewMessage> messages)
      : store_(store), txn_(txn), messages_(messages), writer_(txn) {}

  Status Run(const Guid& mailbox, uint32_t min_uid, std::span<const Change> changes,
             std::optional<uint64_t> expected_change, SaveResult& result) {
    LBOX_RETURN_IF_ERROR(writer_.Load(mailbox));
    if (expected_change.has_value() && writer_.row().change != *expected_change) {
      return Status(Code::kAborted, "mailbox " + ToHex(mailbox) + " of " + store_.folder +
                                        " has just been changed by another process");
    }
    for (const Change& change : changes) {
      uint32_t budget = UINT32_MAX;
      LBOX_RETURN_IF_ERROR(writer_.Apply(change, 0, budget).status());
    }
    LBOX_RETURN_IF_ERROR(writer_.SettlePacks());
    LBOX_RETURN_IF_ERROR(Add(min_uid, result));
    LBOX_RETURN_IF_ERROR(Finish(result));
    txn_.unchanged = !writer_.changed() && changes.empty();  // see Store::Apply
    txn_.redoable = in_active_pack_ && changes.empty() && batch_count_ == messages_.size();
    return {};
  }

  Status RunRenumber(const Guid& mailbox, uint32_t min_uid, SaveResult& result) {
    LBOX_RETURN_IF_ERROR(writer_.Load(mailbox));
    LBOX_RETURN_IF_ERROR(Add(min_uid, result));
    for (const NewMessage& message : messages_) {
      uint32_t budget = 1;
      LBOX_RETURN_IF_ERROR(
          writer_.Expunge(message.source_uid, message.source_uid, budget).status());
    }
    return Finish(result);
  }

  [[nodiscard]] const std::vector<uint32_t>& uids() const { return uids_; }
  // Where its records begin, if they got as far as a pack.
  [[nodiscard]] const std::optional<PackAppender::Place>& first_place() const {
    return first_place_;
  }

 private:
  Status Add(uint32_t min_uid, SaveResult& result) {
    LBOX_ASSIGN_OR_RETURN(
        result.first_uid,
        AssignUids(std::max({min_uid, writer_.row().next_uid, 1u}), messages_, uids_));
    LBOX_RETURN_IF_ERROR(AddAll());
    txn_.journal.saved = batch_count_;
    return {};
  }

  Status Finish(SaveResult& result) {
    LBOX_RETURN_IF_ERROR(writer_.Finish());
    txn_.unchanged = !writer_.changed();
    result.uid_validity = writer_.row().uid_validity;
    result.change = writer_.row().change;
    return {};
  }

  // In the order of their UIDs, so that all rows are appended.
  Status AddAll() {
    std::vector<size_t> order(messages_.size());
    for (size_t i = 0; i < order.size(); i++) {
      order[i] = i;
      batch_count_ += messages_[i].staged != nullptr ? 1 : 0;
    }
    std::sort(order.begin(), order.end(),
              [this](size_t a, size_t b) { return uids_[a] < uids_[b]; });
    PackAppender appender(store_.packs, txn_, static_cast<uint32_t>(time(nullptr)));
    for (size_t n = 0; n < order.size(); n++) {
      const size_t i = order[n];
      if (n > 0 && uids_[i] == uids_[order[n - 1]]) {
        return Status(Code::kInvalid, "two messages want the UID " + std::to_string(uids_[i]));
      }
      Message row;
      MessageExtra extra;
      LBOX_RETURN_IF_ERROR(Describe(messages_[i], uids_[i], row, extra));
      LBOX_RETURN_IF_ERROR(messages_[i].staged != nullptr
                               ? AddStaged(messages_[i], row, extra, appender)
                               : AddCopy(messages_[i], row, extra));
    }
    first_place_ = appender.first();
    LBOX_RETURN_IF_ERROR(appender.Finish());
    in_active_pack_ = appender.in_active_pack();
    return {};
  }

  // All but sizes and body.
  Status Describe(const NewMessage& message, uint32_t uid, Message& row, MessageExtra& extra) {
    row.uid = uid;
    row.guid = message.guid;
    row.received = message.received;
    row.saved = message.saved;
    row.flags = message.flags;
    row.cause = message.cause;
    extra.original_guid = message.original_guid;
    extra.pop3_uidl = message.pop3_uidl;
    extra.pop3_order = message.pop3_order;
    for (const std::string& keyword : message.keywords) {
      LBOX_ASSIGN_OR_RETURN(const uint32_t number, writer_.keywords().FindOrAdd(keyword));
      AddKeyword(row, extra, number);
    }
    return {};
  }

  Status AddCopy(const NewMessage& message, Message& row, const MessageExtra& extra) {
    LBOX_ASSIGN_OR_RETURN(const uint32_t mailbox, txn_.FindMailbox(message.source_mailbox));
    LBOX_ASSIGN_OR_RETURN(const Message source, FindMessage(txn_, mailbox, message.source_uid));
    row.body_id = source.body_id;
    row.physical_size = source.physical_size;
    row.virtual_size = source.virtual_size;
    JournalCopy& copy = txn_.journal.copies.emplace_back();
    copy.message = row;
    copy.keywords = message.keywords;
    copy.original_guid = message.original_guid;
    copy.pop3_uidl = message.pop3_uidl;
    copy.pop3_order = message.pop3_order;
    copy.source_mailbox = message.source_mailbox;
    copy.source_uid = message.source_uid;
    return writer_.AddCopy(row, extra);
  }

  Status AddStaged(const NewMessage& message, Message& row, const MessageExtra& extra,
                   PackAppender& appender) {
    const StagedBodyImpl& body = *StagedOf(message);
    PackRecord record;
    body.Describe(record);
    row.body_id = txn_.meta.next_body_id++;
    row.physical_size = record.physical_size;
    row.virtual_size = record.virtual_size;
    record.store = txn_.meta.uuid;
    record.transaction = txn_.number();
    record.batch_index = batch_index_++;
    record.batch_count = batch_count_;
    record.body_id = row.body_id;
    record.mailbox = writer_.row().guid;
    record.uid = row.uid;
    record.guid = row.guid;
    record.flags = row.flags;
    record.cause = row.cause;
    record.received = row.received;
    record.saved = row.saved;
    record.keywords = message.keywords;
    record.original_guid = extra.original_guid;
    record.pop3_uidl = extra.pop3_uidl;
    record.pop3_order = extra.pop3_order;
    record.uid_validity = writer_.row().uid_validity;
    LBOX_ASSIGN_OR_RETURN(record.mailbox_name, writer_.keywords().MailboxName());
    const std::string header = EncodePackRecord(record);
    LBOX_ASSIGN_OR_RETURN(const std::string frames, body.Frames());
    const uint64_t span = PackRecordSpan(header.size(), record);
    LBOX_ASSIGN_OR_RETURN(const PackAppender::Place place, appender.Append(header, frames, span));
    BodyRow body_row;
    body_row.pack = place.pack;
    body_row.offset = place.offset;
    body_row.record_bytes = static_cast<uint32_t>(span);
    body_row.record_header_bytes = static_cast<uint32_t>(header.size());
    body_row.references = 1;
    body_row.body_stored = record.body_stored;
    body_row.large_id = record.large_id;
    body_row.header_check =
        PackRecordCheck({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
    return writer_.AddNew(row, extra, body_row);
  }

  StoreImpl& store_;
  Txn& txn_;
  const std::span<const NewMessage> messages_;
  MailboxWriter writer_;
  std::vector<uint32_t> uids_;
  uint32_t batch_index_ = 0, batch_count_ = 0;
  std::optional<PackAppender::Place> first_place_;
  bool in_active_pack_ = false;
};

}  // namespace

Result<std::unique_ptr<BodyWriter>> Store::NewBody() {
  StoreImpl& store = StoreImpl::Of(*this);
  // What is staged may be a file in tmp/: the shared lock keeps sweeps away as long as the writer
  // or its staged body lives.
  struct KeepAlive {
    std::shared_ptr<Store> store;
    StoreLock::Held shared;  // released before the store goes
  };
  LBOX_ASSIGN_OR_RETURN(auto shared, store.lock->Shared());
  BodyWriterOptions options;
  options.area = store.staging;
  options.compression_level = store.options.compression_level;
  options.keep_alive =
      std::make_shared<KeepAlive>(KeepAlive{shared_from_this(), std::move(shared)});
  return NewBodyWriter(std::move(options));
}

Result<SaveResult> Store::Save(const Guid& mailbox, uint32_t min_uid,
                               std::span<NewMessage> messages, std::span<const Change> changes,
                               std::optional<uint64_t> expected_change) {
  StoreImpl& store = StoreImpl::Of(*this);
  LBOX_RETURN_IF_ERROR(CheckMessages(messages));
  LBOX_ASSIGN_OR_RETURN(const auto shared, store.lock->Shared());
  LargeFiles large(store);
  LBOX_RETURN_IF_ERROR(large.Place(messages));
  SaveResult result;
  std::vector<uint32_t> uids;
  std::optional<PackAppender::Place> first_place;
  const auto work = [&](Txn& txn) -> Status {
    Batch batch(store, txn, messages);
    Status status = batch.Run(mailbox, min_uid, changes, expected_change, result);
    first_place = batch.first_place();
    uids = batch.uids();
    return status;
  };
  if (Status status = store.Write(Purpose::kSave, work); !status.ok()) {
    if (store.index->in_doubt()) {
      large.Leave();
    } else if (first_place.has_value()) {
      VoidRecords(store, *first_place);
    }
    return status;
  }
  large.Keep();
  for (size_t i = 0; i < messages.size(); i++) {
    messages[i].uid = uids[i];
  }
  return result;
}

Result<SaveResult> Store::Renumber(const Guid& mailbox, uint32_t min_uid,
                                   std::span<NewMessage> messages) {
  LBOX_RETURN_IF_ERROR(CheckMessages(messages));
  for (const NewMessage& message : messages) {
    if (message.staged != nullptr || message.source_mailbox != mailbox) {
      return Status(Code::kInvalid, "only messages of the same mailbox can be given new UIDs");
    }
  }
  StoreImpl& store = StoreImpl::Of(*this);
  SaveResult result;
  std::vector<uint32_t> uids;
  const auto work = [&](Txn& txn) -> Status {
    Batch batch(store, txn, messages);
    LBOX_RETURN_IF_ERROR(batch.RunRenumber(mailbox, min_uid, result));
    uids = batch.uids();
    return {};
  };
  LBOX_RETURN_IF_ERROR(store.Write(Purpose::kSave, work));
  for (size_t i = 0; i < messages.size(); i++) {
    messages[i].uid = uids[i];
  }
  return result;
}

}  // namespace lbox
