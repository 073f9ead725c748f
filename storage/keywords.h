// The keywords of one mailbox during one transaction: names to numbers, and a message's set as its
// row and its extra row hold it.
//
// Loads the mailbox's cold row when first needed. Failure: as Txn. Nothing is stored before Store.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/txn.h"
#include "storage/types.h"

namespace lbox {

inline constexpr uint32_t kRowKeywords = 32;  // numbers below fit Message::keyword_bits

class Keywords {
 public:
  Keywords(Txn& txn, uint32_t mailbox) : txn_(txn), mailbox_(mailbox) {}

  // nullopt: the mailbox does not have it.
  Result<std::optional<uint32_t>> Find(const std::string& name);
  // Adds it when it is new.
  Result<uint32_t> FindOrAdd(const std::string& name);
  // The other half of the cold row.
  Result<std::string> MailboxName();
  // Writes the cold row if a keyword was added.
  Status Store();

 private:
  Status Load();

  Txn& txn_;
  const uint32_t mailbox_;
  std::optional<MailboxCold> cold_;
  bool changed_ = false;
};

// True when the set changed.
bool AddKeyword(Message& message, MessageExtra& extra, uint32_t number);
bool RemoveKeyword(Message& message, MessageExtra& extra, uint32_t number);
bool HasKeyword(const Message& message, const MessageExtra& extra, uint32_t number);

}  // namespace lbox
