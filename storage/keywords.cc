#include "storage/keywords.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace lbox {

Status Keywords::Load() {
  if (!cold_.has_value()) {
    LBOX_ASSIGN_OR_RETURN(cold_, txn_.GetCold(mailbox_));
  }
  return {};
}

Result<std::optional<uint32_t>> Keywords::Find(const std::string& name) {
  LBOX_RETURN_IF_ERROR(Load());
  const auto it = std::find(cold_->keywords.begin(), cold_->keywords.end(), name);
  if (it == cold_->keywords.end()) {
    return std::optional<uint32_t>();
  }
  return std::optional<uint32_t>(static_cast<uint32_t>(it - cold_->keywords.begin()));
}

Result<uint32_t> Keywords::FindOrAdd(const std::string& name) {
  LBOX_ASSIGN_OR_RETURN(const auto number, Find(name));
  if (number.has_value()) {
    return *number;
  }
  if (name.empty()) {
    return Status(Code::kInvalid, "a keyword without a name");
  }
  cold_->keywords.push_back(name);
  changed_ = true;
  return static_cast<uint32_t>(cold_->keywords.size() - 1);
}

Result<std::string> Keywords::MailboxName() {
  LBOX_RETURN_IF_ERROR(Load());
  return cold_->name;
}

Status Keywords::Store() {
  if (!changed_) {
    return {};
  }
  changed_ = false;
  return txn_.PutCold(mailbox_, *cold_);
}

bool AddKeyword(Message& message, MessageExtra& extra, uint32_t number) {
  if (HasKeyword(message, extra, number)) {
    return false;
  }
  if (number < kRowKeywords) {
    message.keyword_bits |= uint32_t{1} << number;
  } else {
    extra.keywords.insert(std::lower_bound(extra.keywords.begin(), extra.keywords.end(), number),
                          number);
  }
  return true;
}

bool RemoveKeyword(Message& message, MessageExtra& extra, uint32_t number) {
  if (!HasKeyword(message, extra, number)) {
    return false;
  }
  if (number < kRowKeywords) {
    message.keyword_bits &= ~(uint32_t{1} << number);
  } else {
    std::erase(extra.keywords, number);
  }
  return true;
}

bool HasKeyword(const Message& message, const MessageExtra& extra, uint32_t number) {
  if (number < kRowKeywords) {
    return (message.keyword_bits & (uint32_t{1} << number)) != 0;
  }
  return std::binary_search(extra.keywords.begin(), extra.keywords.end(), number);
}

}  // namespace lbox
