// The policy snapshot, which a privileged process reads too. Length and checksum in the header are
// repaired, so that the body is taken apart.
#include "quota/policy_snapshot.h"

#include "quota/policy_file.h"
#include "storage/coding.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/quota/policy_support.h"

namespace lbox::fuzz {
namespace {

constexpr size_t kBodySize = 24;  // where the header has it

void Try(const std::string& bytes) {
  const auto snapshot = hosting::DecodeSnapshot(bytes);
  if (!snapshot.ok()) {
    Require(!snapshot.status().message().empty(), "no reason is given");
    return;
  }
  reached++;
  const auto again = hosting::DecodeSnapshot(hosting::EncodeSnapshot(*snapshot));
  Require(again.ok() && again->policy == snapshot->policy && again->file == snapshot->file &&
              again->generation == snapshot->generation,
          "a snapshot changes when it is written again");
  const hosting::PolicyIndex index(snapshot->policy);
  for (const hosting::Account& account : snapshot->policy.accounts) {
    const auto effective = index.EffectiveOf("", {account.name, "", {}, {}});
    Require(!effective || !Explain(*effective).empty(), "nothing is explained");
  }
}

}  // namespace

std::vector<std::string> Seeds() {
  hosting::PolicySnapshot full{7, {1, 2, 3, -4, 5, 6}, {}};
  full.policy = hosting::ParsePolicy(hosting::kFullPolicy, hosting::TestNames()).policy;
  return {hosting::EncodeSnapshot(full), hosting::EncodeSnapshot({})};
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  Try(bytes);
  if (size >= hosting::kSnapshotHeader) {
    lbox::StoreLittle<uint64_t>(reinterpret_cast<uint8_t*>(bytes.data()) + kBodySize,
                                size - hosting::kSnapshotHeader);
    Try(hosting::WithGeneration(bytes, data[0]));
  }
  return 0;
}
