// Lines of the journal of removals, which the mail user owns and doveadm reads.
#include "quota/removal_journal.h"

#include "tests/fuzz/fuzz_target.h"

namespace lbox::fuzz {

std::vector<std::string> Seeds() {
  hosting::Removal removal;
  removal.at = 1700000000;
  removal.session = "abc";
  removal.protocol = "pop3";
  removal.address = "192.0.2.1";
  removal.rule = "DELE";
  removal.mailbox = "INBOX";
  removal.uid = 7;
  removal.size = 1234;
  removal.message_id = "<a@example.org>";
  hosting::Removal moved = removal;
  moved.rule = "move";
  moved.to = "Trash\tx";
  return {hosting::EncodeRemoval(removal), hosting::EncodeRemoval(moved)};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string line(reinterpret_cast<const char*>(data), size);
  hosting::Removal removal;
  if (!hosting::DecodeRemoval(line, &removal)) {
    return 0;
  }
  lbox::fuzz::reached++;
  for (const std::string* text :
       {&removal.session, &removal.rule, &removal.to, &removal.message_id}) {
    for (const char c : *text) {
      lbox::fuzz::Require(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f, "a control character");
    }
  }
  // What is written of it is one line, and reads the same again.
  const std::string again = hosting::EncodeRemoval(removal);
  lbox::fuzz::Require(again.find('\n') == again.size() - 1, "not one line");
  hosting::Removal second;
  lbox::fuzz::Require(hosting::DecodeRemoval(again, &second), "what was written is not read");
  lbox::fuzz::Require(hosting::EncodeRemoval(second) == again, "it reads as something else");
  return 0;
}
