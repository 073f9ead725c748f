// Makes a store with many messages fast, for tests of a real server on a large store:
//   fill_store STORE MAILBOXES EACH INBOX
// MAILBOXES mailboxes ("Box1" ...) of EACH messages and INBOX with INBOX messages, all growing at
// the same time. Not flushed. Run as the mail uid.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "storage/store.h"

namespace {

using namespace lbox;

constexpr char kText[] = "Subject: filled\r\n\r\nbody\r\n";
constexpr size_t kTextBytes = sizeof(kText) - 1;
constexpr uint32_t kRounds = 1000;  // of which each adds its part to every mailbox

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    fprintf(stderr, "fill_store: %s\n", result.status().message().c_str());
    exit(1);
  }
  return std::move(*result);
}

struct Box {
  Guid guid;
  uint64_t wanted = 0, filled = 0;
};

Box Create(Store& store, uint32_t number, const std::string& name, uint32_t wanted) {
  MailboxCreate create;
  create.guid.bytes.fill(0x5a);
  create.guid.bytes[15] = static_cast<uint8_t>(number);
  create.name = name;
  create.uid_validity = 1000 + number;
  const Status status = store.CreateMailbox(create);
  if (!status.ok()) {
    fprintf(stderr, "fill_store: %s\n", status.message().c_str());
    exit(1);
  }
  return {create.guid, wanted, 0};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: fill_store STORE MAILBOXES EACH INBOX\n");
    return 64;
  }
  StoreOptions options;
  options.path = argv[1];
  options.sync = false;
  const auto store = Must(Store::Open(options));
  std::vector<Box> boxes;
  const auto mailboxes = std::min(255UL, strtoul(argv[2], nullptr, 10));
  const auto each = static_cast<uint32_t>(strtoul(argv[3], nullptr, 10));
  for (uint32_t i = 1; i <= mailboxes; i++) {
    boxes.push_back(Create(*store, i, "Box" + std::to_string(i), each));
  }
  const auto inbox = static_cast<uint32_t>(strtoul(argv[4], nullptr, 10));
  boxes.push_back(Create(*store, 0, "INBOX", inbox));

  // One staged body is saved again and again, each time as a new one.
  auto writer = Must(store->NewBody());
  if (!writer->Append(kText, kTextBytes).ok()) {
    return 1;
  }
  const auto body = Must(writer->Finish(kTextBytes, kTextBytes));
  uint64_t serial = 0;
  for (uint64_t round = 1; round <= kRounds; round++) {
    for (Box& box : boxes) {
      std::vector<NewMessage> messages(box.wanted * round / kRounds - box.filled);
      for (NewMessage& message : messages) {
        serial++;
        message.staged = body.get();
        for (int i = 0; i < 8; i++) {
          message.guid.bytes[i] = static_cast<uint8_t>(serial * 0x9e3779b97f4a7c15U >> (8 * i));
        }
        message.received = 1700000000 + static_cast<int64_t>(serial);
        message.saved = 1700000000;
        message.cause = Cause::kDelivered;
      }
      Must(store->Save(box.guid, 1, messages, {}));
      box.filled += messages.size();
    }
  }
  return 0;
}
