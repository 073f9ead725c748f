#include "storage/check_files.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "storage/message_table.h"
#include "storage/record_reader.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

// Body rows held in memory at a time, some 50 bytes each; each so many cost one reading of them
// all.
constexpr uint64_t kRowsAtATime = 200'000;

// What an index, as one read transaction saw it, says is in a pack.
struct PackContents {
  struct Record {
    uint64_t body_id = 0;
    BodyRow body;
  };
  PackRow row;
  std::vector<Record> records;  // in use, sorted by offset, without overlaps
};

// The packs there are, and how much there is to read.
struct Overview {
  Guid uuid;
  std::vector<std::pair<uint32_t, uint32_t>> packs;  // id, records in use
  uint64_t bytes = 0;
};

Status Look(StoreImpl& store, const CheckOptions& options, Overview& overview) {
  return store.Read([&](Txn& txn) -> Status {
    overview = Overview();
    overview.uuid = txn.meta.uuid;
    overview.bytes = txn.meta.pack_bytes + (options.bodies ? txn.meta.large_bytes : 0);
    return txn.ForEachPack([&](uint32_t id, const PackRow& row) -> Status {
      overview.packs.emplace_back(id, row.live_count);
      return {};
    });
  });
}

// Fills in `contents`, whose keys are the packs asked for; leaves out those that are gone.
Status LookInto(StoreImpl& store, const CheckOptions& options,
                std::map<uint32_t, PackContents>& contents) {
  const auto look = [&](Txn& txn) -> Status {
    uint64_t rows = 0;
    for (auto it = contents.begin(); it != contents.end();) {
      const auto row = txn.GetPack(it->first);
      if (row.status().code() == Code::kNotFound) {
        it = contents.erase(it);
        continue;
      }
      LBOX_RETURN_IF_ERROR(row.status());
      it->second.row = *row;
      it->second.records.clear();
      ++it;
    }
    return txn.ForEachBody([&](uint64_t id, const BodyRow& row) -> Status {
      if (const auto pack = contents.find(row.pack); pack != contents.end()) {
        pack->second.records.push_back({id, row});
      }
      if (options.progress && ++rows % 1000 == 0) {
        options.progress(0, 0);
      }
      return {};
    });
  };
  LBOX_RETURN_IF_ERROR(store.Read(look));
  for (auto& [id, pack] : contents) {
    std::sort(pack.records.begin(), pack.records.end(),
              [](const auto& a, const auto& b) { return a.body.offset < b.body.offset; });
  }
  return {};
}

// Finds what is wrong in one go; whether it still concerns anybody is the caller's question.
class FileChecker {
 public:
  FileChecker(StoreImpl& store, const Overview& overview, const CheckOptions& options)
      : store_(store), uuid_(overview.uuid), total_(overview.bytes), options_(options) {}

  // body id -> what is wrong with it
  std::unordered_map<uint64_t, Status> bodies;
  struct Gap {
    uint32_t pack = 0;
    Status status;
  };
  std::vector<Gap> gaps;

  void Pack(uint32_t id, const PackContents& contents) {
    uint64_t offset = 0;
    for (const auto& record : contents.records) {
      DeadSpace(id, offset, record.body.offset);
      if (Status status = Body(record.body_id, record.body); !status.ok()) {
        bodies[record.body_id] = status;
      }
      offset = uint64_t{record.body.offset} + record.body.record_bytes;
    }
    DeadSpace(id, offset, contents.row.tail);
  }

  // The record of one message, and its file.
  Status Body(uint64_t body_id, const BodyRow& row) {
    auto options = ReadRecord(store_.packs, {body_id, row, uuid_});
    if (!options.ok()) {
      store_.packs.Forget(row.pack);
      Progress(row.record_bytes);
      return At(row.pack, row.offset,
                options.status().code() == Code::kNotFound
                    ? Status(Code::kCorruption, "the pack is missing")
                    : options.status());
    }
    options->context = [this, row] {
      return store_.packs.PackPath(row.pack) + " at " + std::to_string(row.offset);
    };
    const std::string large = store_.packs.LargePath(row.large_id);
    options->open_large = [this, large]() -> Result<std::unique_ptr<File>> {
      auto file = store_.env.OpenRead(large);
      return file.status().code() == Code::kNotFound
                 ? Status(Code::kCorruption, large + " is missing")
                 : std::move(file);
    };
    Status status;
    if (options_.bodies) {
      status = NewBodyReader(std::move(*options))->Verify();
      if (!status.ok() && row.large_id != 0) {
        status = Status(status.code(), status.message() + " (file " + large + ")");
      }
    } else if (row.large_id != 0) {
      status = LargeFile(large, row);
    }
    Progress(row.record_bytes + (options_.bodies ? LargeBytes(row) : 0));
    return status;
  }

 private:
  void Progress(uint64_t bytes) {
    done_ += bytes;
    if (options_.progress) {
      options_.progress(std::min(done_, total_), total_);
    }
  }

  Status At(uint32_t pack, uint64_t offset, const Status& status) const {
    return Status(status.code(), store_.packs.PackPath(pack) + " at " + std::to_string(offset) +
                                     ": " + status.message());
  }

  // Dead records follow one another from `offset` to `end` without a gap.
  void DeadSpace(uint32_t id, uint64_t offset, uint64_t end) {
    if (offset == end) {
      return;
    }
    const auto file = store_.packs.OpenRead(id);
    Status status = file.status();
    if (file.ok()) {
      while (status.ok() && offset < end) {
        status = DeadRecord(**file, end, offset);
      }
    } else if (status.code() == Code::kNotFound) {
      status = Status(Code::kCorruption, "the pack is missing");
    }
    if (!status.ok()) {
      store_.packs.Forget(id);
      gaps.push_back({id, At(id, offset, status)});
    }
  }

  // The record at `offset`, which is moved behind it.
  Status DeadRecord(File& file, uint64_t end, uint64_t& offset) {
    std::string bytes(kPackRecordFixedBytes, '\0');
    const auto span = [&] {
      return std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    };
    LBOX_ASSIGN_OR_RETURN(size_t got, file.ReadAt(offset, bytes.data(), bytes.size()));
    if (got != bytes.size()) {
      return Status(Code::kCorruption, "the pack is cut off");
    }
    LBOX_ASSIGN_OR_RETURN(const size_t header_bytes, PackRecordHeaderBytes(span()));
    if (header_bytes > end - offset) {
      return Status(Code::kCorruption, "a record that is longer than its place");
    }
    bytes.resize(header_bytes);
    LBOX_ASSIGN_OR_RETURN(got, file.ReadAt(offset, bytes.data(), bytes.size()));
    if (got != bytes.size()) {
      return Status(Code::kCorruption, "the pack is cut off");
    }
    LBOX_ASSIGN_OR_RETURN(const PackRecord record, DecodePackRecord(span()));
    if (record.store != uuid_) {
      return Status(Code::kCorruption, "a record of another store");
    }
    const uint64_t size = PackRecordSpan(header_bytes, record);
    if (size > end - offset) {
      return Status(Code::kCorruption, "a record that is longer than its place");
    }
    offset += size;
    Progress(size);
    return {};
  }

  Status LargeFile(const std::string& path, const BodyRow& row) {
    const auto info = store_.env.Stat(path);
    if (info.status().code() == Code::kNotFound) {
      return Status(Code::kCorruption, path + " is missing");
    }
    LBOX_RETURN_IF_ERROR(info.status());
    return info->size == LargeBytes(row)
               ? Status()
               : Status(Code::kCorruption, path + " has " + std::to_string(info->size) +
                                               " bytes instead of " +
                                               std::to_string(LargeBytes(row)));
  }

  StoreImpl& store_;
  const Guid uuid_;
  const uint64_t total_;
  const CheckOptions& options_;
  uint64_t done_ = 0;
};

// Drops what does not concern the index any more, and looks at bodies that were moved meanwhile in
// their new place.
Status LookAgain(StoreImpl& store, FileChecker& checker) {
  constexpr int kMostMoves = 3;
  for (int tries = 0; tries < kMostMoves; tries++) {
    std::vector<std::pair<uint64_t, BodyRow>> there;
    const auto look = [&](Txn& txn) -> Status {
      there.clear();
      for (const auto& [id, status] : checker.bodies) {
        const auto row = txn.GetBody(id);
        if (row.status().code() != Code::kNotFound) {
          LBOX_RETURN_IF_ERROR(row.status());
          there.emplace_back(id, *row);
        }
      }
      std::erase_if(checker.gaps, [&](const FileChecker::Gap& gap) {
        return txn.GetPack(gap.pack).status().code() == Code::kNotFound;
      });
      return {};
    };
    LBOX_RETURN_IF_ERROR(store.Read(look));
    checker.bodies.clear();
    for (const auto& [id, row] : there) {
      if (Status status = checker.Body(id, row); !status.ok()) {
        checker.bodies[id] = status;
      }
    }
  }
  return {};
}

Damage KindOf(const Status& status, Damage damaged) {
  return status.code() == Code::kCorruption || status.code() == Code::kUnsupported
             ? damaged
             : Damage::kUnreadable;
}

// One finding for each message that has one of these bodies.
Status FindMessages(Txn& txn, const std::unordered_map<uint64_t, Status>& bodies,
                    std::vector<Finding>* findings) {
  return txn.ForEachMailbox([&](uint32_t id, const MailboxRow& row) -> Status {
    LBOX_ASSIGN_OR_RETURN(const MailboxCold cold, txn.GetCold(id));
    const auto visit = [&](const Message& message) -> Result<bool> {
      const auto body = bodies.find(message.body_id);
      if (body == bodies.end()) {
        return true;
      }
      Finding finding;
      finding.damage = KindOf(body->second, Damage::kMessage);
      finding.mailbox = row.guid;
      finding.mailbox_name = DisplayName(cold.name);
      finding.uid = message.uid;
      finding.guid = message.guid;
      finding.body_id = message.body_id;
      LBOX_ASSIGN_OR_RETURN(const BodyRow place, txn.GetBody(message.body_id));
      finding.pack = place.pack;
      finding.text = body->second.message();
      findings->push_back(std::move(finding));
      return true;
    };
    return ScanMessages(txn, id, 0, UINT32_MAX, visit);
  });
}

}  // namespace

std::string DisplayName(const std::string& name) {
  std::string text = name;
  std::replace(text.begin(), text.end(), '\0', '/');
  return text;
}

Status CheckFiles(StoreImpl& store, const CheckOptions& options, std::vector<Finding>* findings) {
  Overview overview;
  LBOX_RETURN_IF_ERROR(Look(store, options, overview));
  FileChecker checker(store, overview, options);
  for (size_t next = 0; next < overview.packs.size();) {
    std::map<uint32_t, PackContents> contents;
    for (uint64_t rows = 0; next < overview.packs.size() && rows < kRowsAtATime; next++) {
      contents[overview.packs[next].first];
      rows += overview.packs[next].second;
    }
    LBOX_RETURN_IF_ERROR(LookInto(store, options, contents));
    for (const auto& [id, pack] : contents) {
      checker.Pack(id, pack);
    }
  }
  if (checker.bodies.empty() && checker.gaps.empty()) {
    return {};
  }
  LBOX_RETURN_IF_ERROR(LookAgain(store, checker));
  for (const auto& gap : checker.gaps) {
    Finding finding;
    finding.damage = KindOf(gap.status, Damage::kDeadSpace);
    finding.text = gap.status.message();
    finding.pack = gap.pack;
    findings->push_back(std::move(finding));
  }
  if (checker.bodies.empty()) {
    return {};
  }
  std::vector<Finding> messages;
  const auto work = [&](Txn& txn) -> Status {
    messages.clear();
    return FindMessages(txn, checker.bodies, &messages);
  };
  LBOX_RETURN_IF_ERROR(store.Read(work));
  findings->insert(findings->end(), messages.begin(), messages.end());
  return {};
}

}  // namespace lbox
