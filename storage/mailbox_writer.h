// Changes to the messages of one mailbox within one write transaction, with all totals kept exact.
//
// Purpose: Save, Apply and DeleteMailbox all work through this, so that there is one place that
// keeps the mailbox row, the meta row, the pack rows and reference counts in step with the message
// rows. Ownership: lives within one closure of Index::Write. Failure: as Txn; after one the
// transaction can only be given up.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "storage/keywords.h"
#include "storage/message_table.h"
#include "storage/txn.h"
#include "storage/types.h"

namespace lbox {

class MailboxWriter {
 public:
  explicit MailboxWriter(Txn& txn) : txn_(txn) {}

  // First of all. kNotFound when there is no such mailbox.
  Status Load(const Guid& guid);
  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] const MailboxRow& row() const { return row_; }
  Keywords& keywords() { return *keywords_; }
  [[nodiscard]] bool changed() const { return changed_ || noted_; }
  [[nodiscard]] uint64_t expunged() const { return expunged_; }

  // Where a change that is applied in pieces has got to.
  struct Progress {
    uint32_t next_uid = 0;  // the first UID still to be looked at
    bool done = false;
  };
  // Applies `change` to UIDs from `from` on, until it is done or `budget` rows were changed; takes
  // what it used off `budget`.
  Result<Progress> Apply(const Change& change, uint32_t from, uint32_t& budget);
  // Removes messages from `from` on, likewise.
  Result<Progress> Expunge(uint32_t first, uint32_t last, uint32_t& budget);

  // Adds a message that refers to an existing body, whose reference it counts; UIDs ascending and
  // above all others.
  Status AddCopy(const Message& message, const MessageExtra& extra);
  // Adds a message with a body of its own; the body row is put here.
  Status AddNew(const Message& message, const MessageExtra& extra, const BodyRow& body);

  // Puts the pack rows that lost records. Before a PackAppender starts; else Finish does it.
  Status SettlePacks();
  // Last of all: puts the mailbox row, cold row and pack rows. Files that became superfluous are
  // pending.
  Status Finish();

 private:
  struct PackLoss {
    uint64_t bytes = 0;
    uint32_t count = 0;
  };
  Result<Progress> Remove(uint32_t first, uint32_t last, uint32_t& budget);
  Result<Progress> Walk(uint32_t first, uint32_t last, uint32_t& budget,
                        const std::function<Result<bool>(Message&, MessageExtra&)>& change);
  Result<std::function<Result<bool>(Message&, MessageExtra&)>> Editor(const Change& change);
  Status Add(const Message& message, const MessageExtra& extra, uint64_t stored);
  Status RemoveMessage(const Message& message);
  Status ReleaseBody(uint64_t id, uint64_t& stored);

  Txn& txn_;
  uint32_t id_ = 0;
  MailboxRow row_;
  std::optional<Keywords> keywords_;
  std::map<uint32_t, PackLoss> losses_;
  uint64_t expunged_ = 0;
  bool changed_ = false;  // what the mailbox's change counter tells of
  bool noted_ = false;    // what it does not
};

}  // namespace lbox
