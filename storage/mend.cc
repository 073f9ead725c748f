#include "storage/mend.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>
#include <unordered_map>

#include "storage/message_table.h"
#include "storage/reclaim.h"
#include "storage/record_reader.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr size_t kMostOfAnId = 200;

// --- counting

class Counter {
 public:
  explicit Counter(Txn& txn) : txn_(txn) {}

  Status Run() {
    LBOX_RETURN_IF_ERROR(txn_.ForEachBody([&](uint64_t id, const BodyRow& row) -> Status {
      bodies_[id].row = row;
      return {};
    }));
    LBOX_RETURN_IF_ERROR(txn_.ForEachMailbox([&](uint32_t id, const MailboxRow& row) -> Status {
      mailboxes_[id] = row;
      return {};
    }));
    MetaRow& meta = txn_.meta;
    meta.messages = meta.physical_bytes = meta.virtual_bytes = 0;
    for (auto& [id, row] : mailboxes_) {
      LBOX_RETURN_IF_ERROR(Mailbox(id, row));
    }
    LBOX_RETURN_IF_ERROR(Bodies());
    return Packs();
  }

 private:
  struct Body {
    BodyRow row;
    uint32_t references = 0;
  };

  Status Mailbox(uint32_t id, MailboxRow row) {
    row.messages = row.physical_bytes = row.virtual_bytes = row.stored_bytes = 0;
    const auto visit = [&](const Message& message) -> Result<bool> {
      const auto body = bodies_.find(message.body_id);
      if (body == bodies_.end()) {
        return Status(Code::kCorruption, "body " + std::to_string(message.body_id) + " has no row");
      }
      body->second.references++;
      row.messages++;
      row.physical_bytes += message.physical_size;
      row.virtual_bytes += message.virtual_size;
      row.stored_bytes += StoredBytes(body->second.row);
      row.next_uid = std::max(row.next_uid, message.uid + 1);
      return true;
    };
    LBOX_RETURN_IF_ERROR(ScanMessages(txn_, id, 0, UINT32_MAX, visit));
    txn_.meta.messages += row.messages;
    txn_.meta.physical_bytes += row.physical_bytes;
    txn_.meta.virtual_bytes += row.virtual_bytes;
    return txn_.PutMailbox(id, row);
  }

  Status Bodies() {
    MetaRow& meta = txn_.meta;
    meta.stored_bytes = meta.large_count = meta.large_bytes = 0;
    for (auto& [id, body] : bodies_) {
      BodyRow& row = body.row;
      meta.stored_bytes += StoredBytes(row);
      meta.large_count += row.large_id != 0 ? 1 : 0;
      meta.large_bytes += LargeBytes(row);
      live_[row.pack].first += row.record_bytes;
      live_[row.pack].second++;
      if (row.references != body.references) {
        row.references = body.references;
        LBOX_RETURN_IF_ERROR(txn_.PutBody(id, row));
      }
    }
    return {};
  }

  Status Packs() {
    std::map<uint32_t, PackRow> packs;
    LBOX_RETURN_IF_ERROR(txn_.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      packs[id] = row;
      return {};
    }));
    txn_.meta.pack_bytes = txn_.meta.pack_live_bytes = 0;
    for (auto& [id, row] : packs) {
      row.live_bytes = live_[id].first;
      row.live_count = live_[id].second;
      txn_.meta.pack_bytes += row.tail;
      txn_.meta.pack_live_bytes += row.live_bytes;
      LBOX_RETURN_IF_ERROR(txn_.PutPack(id, row));
    }
    return {};
  }

  Txn& txn_;
  std::unordered_map<uint64_t, Body> bodies_;
  std::map<uint32_t, MailboxRow> mailboxes_;
  std::map<uint32_t, std::pair<uint64_t, uint32_t>> live_;  // pack -> bytes, records
};

// --- what is left of a damaged message

std::string Hex(uint64_t id, int digits) {
  std::array<char, 24> text{};
  snprintf(text.data(), text.size(), "%0*" PRIx64, digits, id);
  return text.data();
}

std::string TimeText(int64_t seconds) {
  const time_t time = seconds;
  struct tm utc {};
  std::array<char, 40> text{};
  if (gmtime_r(&time, &utc) == nullptr) {
    return std::to_string(seconds);
  }
  return {text.data(), strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

// The value of the field, one line; "" when there is none.
std::string FieldOf(const std::string& header, const std::string& name) {
  const auto same = [](char a, char b) {
    return tolower(static_cast<unsigned char>(a)) == tolower(static_cast<unsigned char>(b));
  };
  for (size_t at = 0; at < header.size();) {
    size_t end = header.find('\n', at);
    while (end != std::string::npos && end + 1 < header.size() &&
           (header[end + 1] == ' ' || header[end + 1] == '\t')) {
      end = header.find('\n', end + 1);
    }
    end = std::min(end, header.size());
    if (end - at > name.size() &&
        std::equal(name.begin(), name.end(), header.begin() + static_cast<ptrdiff_t>(at), same)) {
      std::string value;
      for (const char c : header.substr(at + name.size(), end - at - name.size())) {
        if (static_cast<unsigned char>(c) > ' ' && value.size() < kMostOfAnId) {
          value += c;
        }
      }
      return value;
    }
    at = end + 1;
  }
  return {};
}

// The header section of a stored message; "" when it cannot be read.
std::string HeaderOf(StoreImpl& store, uint64_t body_id) {
  RecordPlace place;
  place.body_id = body_id;
  const auto find = [&](Txn& txn) -> Status {
    place.store = txn.meta.uuid;
    LBOX_ASSIGN_OR_RETURN(place.body, txn.GetBody(body_id));
    return {};
  };
  if (!store.Read(find).ok()) {
    return {};
  }
  auto options = ReadRecord(store.packs, place);
  if (!options.ok() || options->record.header_size == 0) {
    return {};
  }
  std::string header(options->record.header_size, '\0');
  const auto got = NewBodyReader(std::move(*options))->Read(0, header.data(), header.size());
  return got.ok() && *got == header.size() ? header : "";
}

class Remover {
 public:
  Remover(StoreImpl& store, Quarantine& quarantine, const std::function<void()>& alive)
      : store_(store), quarantine_(quarantine), alive_(alive) {}

  Result<Mended> Run(const std::vector<Finding>& findings) {
    std::set<uint32_t> packs, unreadable;
    std::map<Guid, std::vector<Change>> removals;
    for (const Finding& finding : findings) {
      alive_();
      if (finding.damage == Damage::kUnreadable) {
        unreadable.insert(finding.pack);
        mended_.lines.push_back("unreadable, left as it is: " + finding.text);
      } else if (finding.damage == Damage::kMessage) {
        packs.insert(finding.pack);
        LBOX_RETURN_IF_ERROR(Message(finding, removals));
      } else if (finding.damage == Damage::kDeadSpace) {
        packs.insert(finding.pack);
        mended_.lines.push_back("no mail lost: " + finding.text);
      }
    }
    for (const uint32_t pack : packs) {
      LBOX_RETURN_IF_ERROR(Keep(store_.packs.PackPath(pack), "pack-" + Hex(pack, 8)));
    }
    if (!mended_.lines.empty()) {
      LBOX_RETURN_IF_ERROR(Report());
    }
    for (const auto& [mailbox, changes] : removals) {
      alive_();
      const auto applied = store_.Apply(mailbox, changes);
      if (applied.status().code() == Code::kNotFound) {
        continue;  // deleted since
      }
      LBOX_RETURN_IF_ERROR(applied.status());
      mended_.removed += applied->expunged;
    }
    for (const uint32_t pack : packs) {
      alive_();
      if (!unreadable.contains(pack)) {
        LBOX_RETURN_IF_ERROR(RewritePack(store_, pack));
      }
    }
    return std::move(mended_);
  }

 private:
  Status Keep(const std::string& path, const std::string& name) {
    const Status status = quarantine_.Keep(path, name);
    return status.code() == Code::kNotFound ? Status() : status;
  }

  // What is left of the body, once; which name the report gives it.
  Result<std::string> KeepBody(uint64_t id) {
    const auto [known, fresh] = bodies_.try_emplace(id);
    if (!fresh) {
      return known->second.left;
    }
    Left& left = known->second;
    BodyRow row;
    const auto find = [&](Txn& txn) -> Status {
      LBOX_ASSIGN_OR_RETURN(row, txn.GetBody(id));
      return {};
    };
    LBOX_RETURN_IF_ERROR(store_.Read(find));
    left.left = "pack-" + Hex(row.pack, 8) + " at " + std::to_string(row.offset) + ", " +
                std::to_string(row.record_bytes) + " bytes";
    if (row.large_id != 0) {
      const std::string name = "large-" + Hex(row.large_id, 16);
      LBOX_RETURN_IF_ERROR(Keep(store_.packs.LargePath(row.large_id), name));
      left.left += ", " + name;
    }
    const std::string header = HeaderOf(store_, id);
    if (!header.empty()) {
      const std::string name = "body-" + std::to_string(id) + ".header";
      LBOX_RETURN_IF_ERROR(quarantine_.Write(name, header));
      left.left += ", header section in " + name;
      left.message_id = FieldOf(header, "Message-ID:");
    }
    return left.left;
  }

  Status Message(const Finding& finding, std::map<Guid, std::vector<Change>>& removals) {
    const auto message = store_.Lookup(finding.mailbox, finding.uid);
    if (message.status().code() == Code::kNotFound ||
        (message.ok() && message->body_id != finding.body_id)) {
      return {};  // expunged since
    }
    LBOX_RETURN_IF_ERROR(message.status());
    LBOX_ASSIGN_OR_RETURN(const std::string left, KeepBody(finding.body_id));
    const std::string& id = bodies_[finding.body_id].message_id;
    mended_.lines.push_back(
        "lost: mailbox \"" + finding.mailbox_name + "\" (" + ToHex(finding.mailbox) + ") UID " +
        std::to_string(finding.uid) + ", GUID " + ToHex(finding.guid) + ", Message-ID " +
        (id.empty() ? "unknown" : id) + ", received " + TimeText(message->received) + ", " +
        std::to_string(message->physical_size) + " bytes; why: " + finding.text +
        "; what is left: " + left);
    Change change;
    change.kind = Change::Kind::kExpunge;
    change.uid1 = change.uid2 = finding.uid;
    removals[finding.mailbox].push_back(change);
    return {};
  }

  Status Report() {
    std::string text = "doveadm lbox repair of " + store_.folder + " at " +
                       TimeText(time(nullptr)) +
                       "\nMessages called lost were removed from their mailboxes.\n\n";
    for (const std::string& line : mended_.lines) {
      text += line + "\n";
    }
    return quarantine_.Write("report.txt", text);
  }

  struct Left {
    std::string left, message_id;
  };
  StoreImpl& store_;
  Quarantine& quarantine_;
  const std::function<void()>& alive_;
  Mended mended_;
  std::map<uint64_t, Left> bodies_;
};

}  // namespace

Status Recount(StoreImpl& store) {
  return store.Write(Purpose::kDelete, [](Txn& txn) { return Counter(txn).Run(); });
}

Result<Mended> RemoveDamaged(StoreImpl& store, const std::vector<Finding>& findings,
                             Quarantine& quarantine, const std::function<void()>& alive) {
  return Remover(store, quarantine, alive).Run(findings);
}

}  // namespace lbox
