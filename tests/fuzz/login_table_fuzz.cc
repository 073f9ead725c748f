// The login table, which auth reads. Length and checksum in the header are repaired, so that
// entries and values are taken apart.
#include "quota/login_table.h"

#include "quota/policy_file.h"
#include "quota/protocol_policy.h"
#include "quota/protocol_text.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/quota/policy_support.h"

namespace lbox::fuzz {
namespace {

void Try(std::string bytes) {
  const auto table = hosting::LoginTable::Open(std::move(bytes));
  if (!table.ok()) {
    Require(!table.status().message().empty(), "no reason is given");
    return;
  }
  reached++;
  for (const char* const user : {"", "ann@example.org", "log@example.com", "x@B.example"}) {
    for (const char* const package : {"", "gold"}) {
      hosting::LoginRules rules;
      std::string problem;
      if (!(*table)->Find(user, {"", package, {}, {}}, &rules, &problem)) {
        continue;
      }
      for (uint8_t i = 0; i < hosting::kProtocols; ++i) {
        hosting::Login login;
        login.protocol = static_cast<hosting::Protocol>(i);
        login.user = user;
        const auto decision = hosting::DecideLogin((*table)->options(), rules.effective, login);
        Require(decision.text.size() <= hosting::kMaxProtocolText, "a text is too long");
        for (const char c : decision.text) {
          Require(c >= ' ' && c <= '~', "a text has a control character");
        }
      }
    }
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  return {hosting::EncodeLoginTable(
              hosting::ParsePolicy(hosting::kFullPolicy, hosting::TestNames()).policy, 3),
          hosting::EncodeLoginTable({}, 0)};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  lbox::fuzz::Try(bytes);
  lbox::fuzz::Try(hosting::WithLoginTableChecksum(bytes));
  return 0;
}
