#include "storage/rebuild_settle.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>

#include "storage/message_table.h"
#include "storage/pack_files.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

class Settle {
 public:
  Settle(RebuildTxn& txns, RebuildState& state, const RebuildJumps& jumps)
      : txns_(txns), state_(state), report_(*state.report), jumps_(jumps) {
    for (const DoubtfulRange& range : state.doubtful) {
      doubtful_[range.mailbox].push_back(&range);
    }
    for (auto& [mailbox, ranges] : doubtful_) {
      std::stable_sort(ranges.begin(), ranges.end(),
                       [](const auto* a, const auto* b) { return a->first < b->first; });
    }
  }

  Status Mailboxes() {
    std::vector<std::pair<uint32_t, MailboxRow>> all;
    LBOX_ASSIGN_OR_RETURN(Txn * txn, txns_.Get());
    txn->meta.messages = txn->meta.physical_bytes = txn->meta.virtual_bytes = 0;
    LBOX_RETURN_IF_ERROR(txn->ForEachMailbox([&](uint32_t id, const MailboxRow& row) -> Status {
      all.emplace_back(id, row);
      return {};
    }));
    for (const auto& [id, row] : all) {
      LBOX_ASSIGN_OR_RETURN(txn, txns_.Get());
      LBOX_RETURN_IF_ERROR(Mailbox(*txn, id, row));
      LBOX_RETURN_IF_ERROR(txns_.Commit());
    }
    return {};
  }

  Status Bodies() {
    LBOX_ASSIGN_OR_RETURN(Txn * txn, txns_.Get());
    std::vector<std::pair<uint64_t, BodyRow>> changed;
    MetaRow& meta = txn->meta;
    meta.stored_bytes = meta.pack_live_bytes = meta.large_count = meta.large_bytes = 0;
    LBOX_RETURN_IF_ERROR(txn->ForEachBody([&](uint64_t id, const BodyRow& old) -> Status {
      const auto use = references_.find(id);
      BodyRow row = old;
      row.references = use == references_.end() ? 0 : use->second;
      if (row.references != old.references) {
        changed.emplace_back(id, row);
      }
      if (row.references == 0) {
        return {};
      }
      meta.stored_bytes += StoredBytes(row);
      meta.pack_live_bytes += row.record_bytes;
      PackRow& pack = packs_[row.pack];
      pack.live_bytes += row.record_bytes;
      pack.live_count++;
      if (row.large_id != 0) {
        state_.large.insert(row.large_id);
        meta.large_count++;
        meta.large_bytes += LargeBytes(row);
      }
      return {};
    }));
    for (const auto& [id, row] : changed) {
      LBOX_ASSIGN_OR_RETURN(txn, txns_.Get());
      LBOX_RETURN_IF_ERROR(row.references == 0 ? txn->DeleteBody(id) : txn->PutBody(id, row));
      LBOX_RETURN_IF_ERROR(txns_.Done());
    }
    return {};
  }

  // Those with a legible record have a row; nothing is appended to any of them.
  Status Packs(const std::vector<FoundPack>& packs) {
    LBOX_ASSIGN_OR_RETURN(Txn* const txn, txns_.Get());
    std::vector<uint32_t> old;
    LBOX_RETURN_IF_ERROR(txn->ForEachPack([&](uint32_t id, const PackRow&) -> Status {
      old.push_back(id);
      return {};
    }));
    for (const uint32_t id : old) {
      LBOX_RETURN_IF_ERROR(txn->DeletePack(id));
    }
    MetaRow& meta = txn->meta;
    meta.pack_bytes = 0;
    for (const FoundPack& found : packs) {
      meta.next_pack_id = std::max(meta.next_pack_id, found.id + 1);
      if (found.records > 0) {
        PackRow row = packs_[found.id];
        row.tail = found.end;
        row.created = static_cast<uint32_t>(state_.now);
        meta.pack_bytes += row.tail;
        LBOX_RETURN_IF_ERROR(txn->PutPack(found.id, row));
      }
    }
    meta.next_pack_id += kPackJump;
    meta.active_pack = 0;
    return NothingPending(*txn);
  }

 private:
  // What was to be unlinked is swept instead, when nobody needs it.
  static Status NothingPending(Txn& txn) {
    std::vector<PendingFile> pending;
    LBOX_RETURN_IF_ERROR(txn.ForEachPending([&](const PendingFile& file) -> Status {
      pending.push_back(file);
      return {};
    }));
    for (const PendingFile& file : pending) {
      LBOX_RETURN_IF_ERROR(txn.RemovePending(file));
    }
    return {};
  }

  Status Mailbox(Txn& txn, uint32_t id, MailboxRow row) {
    RebuildMailbox told;
    told.guid = row.guid;
    told.name_known = !state_.unnamed.contains(row.guid);
    told.uid_validity_kept = !state_.new_validity.contains(row.guid);
    LBOX_ASSIGN_OR_RETURN(const MailboxCold cold, txn.GetCold(id));
    told.name = cold.name;
    row.messages = row.physical_bytes = row.virtual_bytes = row.stored_bytes = 0;
    std::vector<std::pair<Message, const char*>> lost;
    Doubts doubts{doubtful_[row.guid]};
    uint32_t last = 0;
    const auto visit = [&](const Message& message) -> Result<bool> {
      last = message.uid;
      const auto body = txn.GetBody(message.body_id);
      if (body.status().code() == Code::kCorruption) {
        return body.status();
      }
      if (!body.ok() || body->pack == 0) {
        lost.emplace_back(message, "its record is in no pack");
        return true;
      }
      // The file goes when the message is expunged; whether it was, nobody knows.
      if ((report_.journal_gap || report_.tail_doubtful) && body->large_id != 0 &&
          !LargeFileExists(*body)) {
        lost.emplace_back(message, "the file with its body is not there: expunged, or lost");
        return true;
      }
      references_[message.body_id]++;
      row.messages++;
      row.physical_bytes += message.physical_size;
      row.virtual_bytes += message.virtual_size;
      row.stored_bytes += StoredBytes(*body);
      const char* const doubt = WhyDoubtful(message, *body, doubts);
      if (doubt != nullptr) {
        Doubt(row.guid, message, doubt);
        told.doubtful++;
      }
      return true;
    };
    LBOX_RETURN_IF_ERROR(ScanMessages(txn, id, 0, UINT32_MAX, visit));
    for (const auto& [message, why] : lost) {
      LBOX_RETURN_IF_ERROR(Remove(txn, id, row.guid, message, why));
    }
    row.next_uid = std::max(row.next_uid, last + 1);
    if (jumps_.next_uids && row.next_uid < UINT32_MAX - 2 * kUidJump) {
      row.next_uid += kUidJump;
    }
    row.change += kNumberJump;
    // Where nobody knew it, above whatever counting from 1 has reached.
    row.modseq_ceiling = state_.made_up.contains(row.guid)
                             ? static_cast<uint64_t>(state_.now) * 1000
                             : row.modseq_ceiling + kNumberJump;
    LBOX_RETURN_IF_ERROR(txn.PutMailbox(id, row));
    txn.meta.messages += row.messages;
    txn.meta.physical_bytes += row.physical_bytes;
    txn.meta.virtual_bytes += row.virtual_bytes;
    told.uid_validity = row.uid_validity;
    told.next_uid = row.next_uid;
    told.messages = row.messages;
    told.lost = lost.size();
    report_.mailboxes.push_back(told);
    report_.messages += row.messages;
    return {};
  }

  Status Remove(Txn& txn, uint32_t id, const Guid& mailbox, const Message& message,
                const char* why) {
    report_.lost_count++;
    if (report_.lost.size() < kMaxRebuildMessages) {
      report_.lost.push_back({mailbox, message.uid, message.guid, why});
    }
    {
      MessageCursor cursor(txn, id);
      LBOX_RETURN_IF_ERROR(cursor.Seek(message.uid).status());
      LBOX_RETURN_IF_ERROR(cursor.Remove());
    }
    return message.has_extra ? txn.DeleteExtra(id, message.uid) : Status();
  }

  // The doubtful ranges of a mailbox, by their first UIDs, and how far they have been looked at.
  struct Doubts {
    const std::vector<const DoubtfulRange*>& ranges;
    size_t next = 0;
    const DoubtfulRange* longest = nullptr;  // of those that began
  };

  // nullptr: it is not. UIDs ascending.
  const char* WhyDoubtful(const Message& message, const BodyRow& body, Doubts& doubts) {
    const auto place = state_.places.find(message.body_id);
    if (place != state_.places.end() && !place->second.frames_whole) {
      return "its text is damaged";
    }
    if (body.large_id != 0 && !LargeFileThere(body)) {
      return "the file with its body, in l/, is missing or damaged";
    }
    for (; doubts.next < doubts.ranges.size() && doubts.ranges[doubts.next]->first <= message.uid;
         doubts.next++) {
      const DoubtfulRange* const range = doubts.ranges[doubts.next];
      if (doubts.longest == nullptr || range->last > doubts.longest->last) {
        doubts.longest = range;
      }
    }
    return doubts.longest != nullptr && doubts.longest->last >= message.uid ? doubts.longest->text
                                                                            : nullptr;
  }

  [[nodiscard]] std::string LargePath(const BodyRow& body) const {
    char name[24];
    snprintf(name, sizeof(name), "/l/%016" PRIx64, body.large_id);
    return state_.folder + name;
  }

  bool LargeFileExists(const BodyRow& body) {
    return state_.env->Stat(LargePath(body)).status().code() != Code::kNotFound;
  }

  bool LargeFileThere(const BodyRow& body) {
    const auto header = ReadLargeHeader(*state_.env, LargePath(body));
    return header.has_value() && header->large_id == body.large_id &&
           header->body_stored == body.body_stored;
  }

  void Doubt(const Guid& mailbox, const Message& message, const char* text) {
    report_.doubtful_count++;
    if (report_.doubtful.size() < kMaxRebuildMessages) {
      report_.doubtful.push_back({mailbox, message.uid, message.guid, text});
    }
  }

  RebuildTxn& txns_;
  RebuildState& state_;
  RebuildReport& report_;
  const RebuildJumps jumps_;
  std::map<Guid, std::vector<const DoubtfulRange*>> doubtful_;
  std::unordered_map<uint64_t, uint32_t> references_;
  std::map<uint32_t, PackRow> packs_;
};

}  // namespace

Status SettleRebuild(RebuildTxn& txns, RebuildState& state, const std::vector<FoundPack>& packs,
                     const RebuildJumps& jumps) {
  Settle settle(txns, state, jumps);
  LBOX_RETURN_IF_ERROR(settle.Mailboxes());
  LBOX_RETURN_IF_ERROR(settle.Bodies());
  LBOX_RETURN_IF_ERROR(settle.Packs(packs));
  return txns.Commit();
}

}  // namespace lbox
