#include "storage/redo.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "storage/found_record.h"
#include "storage/mailbox_writer.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

using Records = std::vector<RecordAt>;

bool LargeBodyIsThere(StoreImpl& store, const PackRecord& record) {
  const auto header = ReadLargeHeader(store.env, store.packs.LargePath(record.large_id));
  return header.has_value() && header->large_id == record.large_id &&
         header->body_hash == record.body_hash && header->body_stored == record.body_stored;
}

// The bytes of the active pack beyond its tail.
Result<std::vector<uint8_t>> BytesBeyond(StoreImpl& store, uint32_t pack, uint64_t tail) {
  std::vector<uint8_t> bytes;
  LBOX_ASSIGN_OR_RETURN(const auto file, store.packs.OpenRead(pack));
  LBOX_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  // A pack that has records takes no more than fit into kPackBytes.
  const uint64_t beyond = std::min(size - std::min(size, tail), kPackBytes);
  // Mostly zeros, which need no look at all of them.
  bytes.resize(std::min<uint64_t>(beyond, kPackRecordFixedBytes));
  LBOX_ASSIGN_OR_RETURN(const size_t first, file->ReadAt(tail, bytes.data(), bytes.size()));
  bytes.resize(first);
  if (!PackRecordHeaderBytes(bytes).ok()) {
    return std::vector<uint8_t>();
  }
  bytes.resize(beyond);
  LBOX_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(tail, bytes.data(), bytes.size()));
  bytes.resize(got);
  return bytes;
}

// The batch that would be the next transaction; empty when there is none.
Result<Records> FindBatch(StoreImpl& store, Txn& txn) {
  const uint32_t pack = txn.meta.active_pack;
  const auto row = txn.GetPack(pack);
  if (!row.ok()) {
    return row.status().code() == Code::kNotFound ? Result<Records>(Records()) : row.status();
  }
  LBOX_ASSIGN_OR_RETURN(const auto bytes, BytesBeyond(store, pack, row->tail));
  Records records;
  for (size_t at = 0; records.empty() || records.size() < records[0].record.batch_count;) {
    auto next =
        FindRecordAt(std::span(bytes).subspan(at), store.index->uuid(), pack, row->tail + at);
    if (!next.has_value() || !next->found.frames_whole ||
        next->record.transaction != txn.number() || next->record.batch_index != records.size() ||
        next->record.body_id != txn.meta.next_body_id + records.size() ||
        (!records.empty() && (next->record.mailbox != records[0].record.mailbox ||
                              next->record.batch_count != records[0].record.batch_count)) ||
        (next->record.large_id != 0 && !LargeBodyIsThere(store, next->record))) {
      return Records();
    }
    at += std::min<size_t>(next->found.span, bytes.size() - at);
    records.push_back(std::move(*next));
  }
  return records;
}

// Puts the rows that the batch's save put. False when they do not fit the mailbox.
Result<bool> PutRows(StoreImpl& store, Txn& txn, const Records& records) {
  MailboxWriter writer(txn);
  if (Status status = writer.Load(records[0].record.mailbox); !status.ok()) {
    return status.code() == Code::kNotFound ? Result<bool>(false) : status;
  }
  const uint32_t pack = records[0].found.pack;
  LBOX_ASSIGN_OR_RETURN(PackRow row, txn.GetPack(pack));
  if (store.options.sync) {
    // Durable after this: the records. Their writer may have been killed before it flushed them.
    LBOX_ASSIGN_OR_RETURN(const auto file, store.env.OpenReadWrite(store.packs.PackPath(pack)));
    LBOX_RETURN_IF_ERROR(file->Sync());
  }
  for (const auto& [record, found] : records) {
    if (record.uid < writer.row().next_uid || record.uid_validity != writer.row().uid_validity) {
      return false;
    }
    LBOX_ASSIGN_OR_RETURN(const MessageRows rows, MessageRowsOf(record, writer.keywords()));
    txn.meta.next_body_id++;
    LBOX_RETURN_IF_ERROR(writer.AddNew(rows.message, rows.extra, BodyRowOf(found, record)));
    row.tail += found.span;
    row.live_bytes += found.span;
    row.live_count++;
    txn.meta.pack_bytes += found.span;
    txn.meta.pack_live_bytes += found.span;
  }
  LBOX_RETURN_IF_ERROR(txn.PutPack(pack, row));
  txn.journal.saved = static_cast<uint32_t>(records.size());
  LBOX_RETURN_IF_ERROR(writer.Finish());
  return true;
}

}  // namespace

Status RedoSaves(StoreImpl& store) {
  for (;;) {
    bool any = false;
    LBOX_RETURN_IF_ERROR(store.Read([&](Txn& txn) -> Status {
      LBOX_ASSIGN_OR_RETURN(const Records records, FindBatch(store, txn));
      any = !records.empty();
      return {};
    }));
    if (!any) {
      return {};
    }
    bool done = false;
    LBOX_RETURN_IF_ERROR(store.Write(Purpose::kSave, [&](Txn& txn) -> Status {
      LBOX_ASSIGN_OR_RETURN(const Records records, FindBatch(store, txn));
      done = false;
      if (!records.empty()) {
        LBOX_ASSIGN_OR_RETURN(done, PutRows(store, txn, records));
      }
      txn.unchanged = !done;
      return {};
    }));
    if (!done) {
      return {};
    }
  }
}

void VoidRecords(StoreImpl& store, const PackAppender::Place& place) {
  (void)store.Write(Purpose::kDeleteOnFullDisk, [&](Txn& txn) -> Status {
    txn.unchanged = true;
    const auto row = txn.GetPack(place.pack);
    if (!row.ok() || row->tail != place.offset) {
      return {};  // the pack was never named, or another save has written there
    }
    LBOX_ASSIGN_OR_RETURN(const auto file,
                          store.env.OpenReadWrite(store.packs.PackPath(place.pack)));
    const uint64_t nothing = 0;
    LBOX_RETURN_IF_ERROR(file->WriteAt(place.offset, &nothing, sizeof(nothing)));
    // Durable after this: that nothing is there.
    return store.options.sync ? file->Sync() : Status();
  });
}

}  // namespace lbox
