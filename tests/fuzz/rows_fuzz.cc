// Rows of the index, fixed ones and protobuf. The first byte says which; the last four bytes become
// the checksum of those before.
#include "storage/rows.h"

#include "storage/checksum.h"
#include "storage/coding.h"
#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {
namespace {

// The sizes of the fixed rows, in the order of `Try`; 0: any size.
constexpr size_t kSizes[] = {
    kMetaRowBytes, kMailboxRowBytes, kMessageRowBytes, kBodyRowBytes, kPackRowBytes, 0, 0};
constexpr size_t kKinds = std::size(kSizes);

std::string Sealed(std::string bytes) {
  if (bytes.size() >= 4) {
    auto* const end = reinterpret_cast<uint8_t*>(bytes.data() + bytes.size() - 4);
    StoreLittle(end, Check32(Bytes(bytes).first(bytes.size() - 4)));
  }
  return bytes;
}

// A fixed row is accepted only as it is written.
std::array<uint8_t, kMessageRowBytes> Encode(const Message& row) {
  return Encode(row, 0);
}

template <typename Row>
void SameAgain(const Result<Row>& row, const std::string& bytes) {
  if (row.ok()) {
    reached++;
    const auto again = Encode(*row);
    Require(std::equal(again.begin(), again.end(), Bytes(bytes).begin(), Bytes(bytes).end()),
            "a row is accepted that is not written so");
  }
}

// A protobuf value keeps what was read from it.
void SameAgain(const Result<MailboxCold>& cold) {
  if (cold.ok()) {
    reached++;
    const auto again = DecodeMailboxCold(Bytes(EncodeCold(*cold)));
    Require(again.ok() && again->name == cold->name && again->keywords == cold->keywords,
            "a mailbox's cold value changes");
  }
}
void SameAgain(const Result<MessageExtra>& extra) {
  if (extra.ok()) {
    reached++;
    const auto again = DecodeMessageExtra(Bytes(EncodeCold(*extra)));
    Require(again.ok() && again->original_guid == extra->original_guid &&
                again->pop3_uidl == extra->pop3_uidl && again->pop3_order == extra->pop3_order &&
                again->keywords == extra->keywords,
            "a message's extra value changes");
  }
}

void Try(size_t kind, const std::string& bytes) {
  switch (kind) {
    case 0:
      return SameAgain(DecodeMetaRow(Bytes(bytes)), bytes);
    case 1:
      return SameAgain(DecodeMailboxRow(Bytes(bytes)), bytes);
    case 2:
      return SameAgain(DecodeMessageRow(Bytes(bytes), 0), bytes);
    case 3:
      return SameAgain(DecodeBodyRow(Bytes(bytes)), bytes);
    case 4:
      return SameAgain(DecodePackRow(Bytes(bytes)), bytes);
    case 5:
      return SameAgain(DecodeMailboxCold(Bytes(bytes)));
    default:
      return SameAgain(DecodeMessageExtra(Bytes(bytes)));
  }
}

template <typename T>
std::string Text(const T& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace

std::vector<std::string> Seeds() {
  MetaRow meta;
  meta.messages = 5;
  MailboxRow mailbox;
  mailbox.next_uid = 7;
  Message message;
  message.uid = 9;
  message.has_extra = true;
  BodyRow body;
  body.large_id = 77;
  PackRow pack;
  pack.tail = 4096;
  return {
      '\0' + Text(Encode(meta)),
      '\1' + Text(Encode(mailbox)),
      '\2' + Text(Encode(message, 0)),
      '\3' + Text(Encode(body)),
      '\4' + Text(Encode(pack)),
      '\5' + EncodeCold(MailboxCold{"a\0b", {"$Junk", "work"}}),
      '\6' + EncodeCold(MessageExtra{"guid", "uidl", 3, {32, 40}}),
  };
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  if (size == 0) {
    return 0;
  }
  const size_t kind = data[0] % kKinds;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (kSizes[kind] != 0 && data[0] < 0x80) {
    bytes.resize(kSizes[kind]);  // else of any size
  }
  Try(kind, bytes);
  Try(kind, Sealed(bytes));
  return 0;
}
