#include "bench/storage_work.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "bench/must.h"
#include "storage/rebuild.h"

namespace lbox::bench {
namespace {

constexpr uint32_t kBatch = 100;
constexpr uint32_t kTexts = 64;        // different messages
constexpr size_t kHeaderBytes = 1800;  // as of mail that passed a few servers
constexpr size_t kBodyBytes = 4200;

uint64_t Next(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// Words of a small vocabulary: compresses about as text does.
std::string Words(size_t bytes, uint64_t& state) {
  static const char* const kWords[] = {
      "the",   "account", "invoice", "of",    "your",   "package", "and",  "server",
      "month", "to",      "please",  "reply", "before", "Friday",  "with", "regards"};
  std::string text;
  size_t line = 0;
  while (text.size() < bytes) {
    text += kWords[Next(state) % std::size(kWords)];
    if (Next(state) % 5 == 0) {
      text += std::to_string(Next(state) % 100000);
    }
    if (text.size() - line > 66) {
      text += "\r\n";
      line = text.size();
    } else {
      text += ' ';
    }
  }
  return text + "\r\n";
}

std::string MessageText(uint32_t number) {
  uint64_t state = 88172645463325252U + number;
  std::string text = "Subject: message " + std::to_string(number) + "\r\n";
  while (text.size() < kHeaderBytes) {
    text += "X-Header-" + std::to_string(text.size()) + ": " + std::to_string(Next(state)) +
            std::to_string(Next(state)) + "\r\n";
  }
  return text + "\r\n" + Words(kBodyBytes, state);
}

Guid MakeGuid(uint64_t number) {
  Guid guid;
  uint64_t state = number * 0x9e3779b97f4a7c15U + 1;
  for (uint8_t& byte : guid.bytes) {
    byte = static_cast<uint8_t>(Next(state) >> 17);
  }
  return guid;
}

Guid MakeMailbox(Store& store, uint32_t number, const std::string& name) {
  MailboxCreate create;
  create.guid = MakeGuid(1U << 30 | number);
  create.name = name;
  create.uid_validity = 1000 + number;
  Must(store.CreateMailbox(create));
  return create.guid;
}

}  // namespace

StorageWork::StorageWork(uint32_t messages, bool sync) {
  const char* parent = getenv("TMPDIR");
  folder_ = std::string(parent != nullptr ? parent : "/tmp") + "/lbox-bench.XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) {
    Fail("cannot make " + folder_);
  }
  for (uint32_t i = 0; i < kTexts; i++) {
    texts_.push_back(MessageText(i));
  }
  options_.path = folder_ + "/store";
  options_.sync = false;
  Open();
  inbox_ = MakeMailbox(*store_, 1, "INBOX");
  other_ = MakeMailbox(*store_, 2, "Other");
  while (count_ < messages) {
    Add(std::min<uint32_t>(1000, messages - count_));
  }
  store_.reset();
  options_.sync = sync;
  Open();
}

StorageWork::~StorageWork() {
  store_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void StorageWork::Open() {
  store_ = Must(Store::Open(options_));
}

uint32_t StorageWork::Add(uint32_t count) {
  std::vector<std::unique_ptr<StagedBody>> bodies;
  std::vector<NewMessage> messages(count);
  for (NewMessage& message : messages) {
    const std::string& text = texts_[++serial_ % kTexts];
    auto writer = Must(store_->NewBody());
    Must(writer->Append(text.data(), text.size()));
    bodies.push_back(Must(writer->Finish(text.size(), text.size())));
    message.staged = bodies.back().get();
    message.guid = MakeGuid(serial_);
    message.received = 1700000000 + static_cast<int64_t>(serial_);
    message.saved = 1700000000;
    message.cause = Cause::kDelivered;
  }
  Must(store_->Save(inbox_, 1, messages, {}));
  count_ += count;
  next_uid_ = messages.back().uid + 1;
  return messages.front().uid;
}

uint32_t StorageWork::SomeUid() {
  uint64_t state = ++serial_ * 0x9e3779b97f4a7c15U;
  return first_uid_ + static_cast<uint32_t>(Next(state) % (next_uid_ - first_uid_));
}

void StorageWork::Deliver() {
  Add(1);
}
void StorageWork::DeliverBatch() {
  Add(kBatch);
}

void StorageWork::ReadHeader() {
  char buffer[8192];
  const auto reader = Must(store_->OpenBody(inbox_, SomeUid()));
  // A read stops at the end of the header section.
  Must(reader->Read(0, buffer, sizeof buffer));
}

void StorageWork::ReadBody() {
  char buffer[8192];
  const auto reader = Must(store_->OpenBody(inbox_, SomeUid()));
  uint64_t at = 0;
  while (const size_t got = Must(reader->Read(at, buffer, sizeof buffer))) {
    at += got;
  }
}

void StorageWork::ChangeFlag() {
  const uint64_t turn = flag_turns_++;
  Change change;  // set on one message, then unset, then on to another
  change.uid1 = change.uid2 =
      first_uid_ + static_cast<uint32_t>(turn / 2 * 37 % (next_uid_ - first_uid_));
  (turn % 2 == 0 ? change.add_flags : change.remove_flags) = 0x08;
  Must(store_->Apply(inbox_, {&change, 1}));
}

void StorageWork::Expunge() {
  if (count_ == 0) {
    first_uid_ = Add(1000);
  }
  Change change;
  change.kind = Change::Kind::kExpunge;
  change.uid1 = change.uid2 = first_uid_++;
  Must(store_->Apply(inbox_, {&change, 1}));
  count_--;
}

uint64_t StorageWork::Scan() {
  uint64_t rows = 0;
  Must(store_->Scan(inbox_, 1, UINT32_MAX, [&](const Message& message, const MessageExtra*) {
    rows += message.uid != 0 ? 1 : 0;
    return true;
  }));
  return rows;
}

void StorageWork::Copy() {
  NewMessage message;
  message.source_mailbox = inbox_;
  message.source_uid = SomeUid();
  message.guid = MakeGuid(++serial_);
  message.cause = Cause::kCopy;
  Must(store_->Save(other_, 1, {&message, 1}, {}));
}

void StorageWork::AddMailboxes(uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    MakeMailbox(*store_, 100 + i, "Folder " + std::to_string(i));
  }
}

uint64_t StorageWork::AccountUsage() {
  uint64_t bytes = 0;
  for (const MailboxInfo& mailbox : Must(store_->ListMailboxes())) {
    bytes += mailbox.virtual_bytes;
  }
  return bytes;
}

void StorageWork::Rebuild() {
  store_.reset();
  RebuildReport report;
  Must(RebuildIndex(options_, &report));
  Open();
}

void StorageWork::FillForReclaim() {
  const uint32_t first = Add(2000);
  std::vector<Change> changes;
  for (uint32_t uid = first; uid < next_uid_; uid += 2) {
    Change& change = changes.emplace_back();
    change.kind = Change::Kind::kExpunge;
    change.uid1 = change.uid2 = uid;
  }
  Must(store_->Apply(inbox_, changes));
  count_ -= static_cast<uint32_t>(changes.size());
}

void StorageWork::Reclaim() {
  while (Must(store_->Maintain(std::chrono::seconds(10), true))) {
  }
}

}  // namespace lbox::bench
