// Frames of the journal. Length and hash are made right for whatever is there.
#include "storage/checksum.h"
#include "storage/coding.h"
#include "storage/journal_record.h"
#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {
namespace {

constexpr size_t kLengthAt = 4, kHashAt = 48;

void Repair(std::string& bytes) {
  if (bytes.size() < kJournalFrameBytes) {
    return;
  }
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  // The payload is the rest, but for up to seven bytes of padding.
  const size_t payload =
      bytes.size() - kJournalFrameBytes - data[kLengthAt] % 8 * (bytes.size() > 100);
  StoreLittle(data + kLengthAt, static_cast<uint32_t>(payload));
  bytes.resize((kJournalFrameBytes + payload + kJournalAlignment - 1) / kJournalAlignment *
               kJournalAlignment);
  const size_t end = kJournalFrameBytes + payload;
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(end), bytes.end(), '\0');
  const std::string hashed = bytes.substr(0, kHashAt) + bytes.substr(kJournalFrameBytes, payload);
  StoreLittle(reinterpret_cast<uint8_t*>(bytes.data()) + kHashAt, Hash64(Bytes(hashed)));
}

void Try(const std::string& bytes) {
  const auto span = JournalFrameSpan(Bytes(bytes));
  if (!span.ok() || *span > bytes.size()) {
    return;
  }
  const auto frame = DecodeJournalFrame(Bytes(bytes).first(*span));
  if (!frame.ok()) {
    return;
  }
  reached++;
  const auto encoded = EncodeJournalFrame(*frame);
  Require(encoded.ok(), "a frame that was read cannot be written");
  const auto again = DecodeJournalFrame(Bytes(*encoded));
  Require(again.ok() && again->transaction == frame->transaction &&
              again->record.mailbox == frame->record.mailbox &&
              again->record.changes.size() == frame->record.changes.size() &&
              again->record.copies.size() == frame->record.copies.size() &&
              again->record.state.has_value() == frame->record.state.has_value() &&
              again->record.removed == frame->record.removed,
          "a frame changes");
}

}  // namespace

std::vector<std::string> Seeds() {
  JournalFrame changes;
  changes.transaction = 7;
  Change flags;
  flags.uid1 = 1;
  flags.uid2 = 9;
  flags.add_flags = 8;
  Change keyword;
  keyword.kind = Change::Kind::kKeywordAdd;
  keyword.uid1 = keyword.uid2 = 3;
  keyword.text = "$Junk";
  changes.record.changes = {flags, keyword};
  JournalFrame copies;
  JournalCopy copy;
  copy.message.uid = 5;
  copy.keywords = {"work"};
  copy.source_uid = 2;
  copies.record.copies = {copy};
  JournalFrame state;
  state.record.state = JournalState{{}, "INBOX", 1, 2, 3};
  JournalFrame removed;
  removed.record.removed = true;
  std::vector<std::string> seeds;
  for (const JournalFrame& frame : {changes, copies, state, removed}) {
    seeds.push_back(EncodeJournalFrame(frame).value());
  }
  return seeds;
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  Repair(bytes);
  Try(bytes);
  return 0;
}
