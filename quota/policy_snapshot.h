// The policy snapshot: the last good policy as a checksummed file, for those who must not parse
// TOML.
//
// Purpose: hosting-usage writes it; after a restart it serves while the policy file is bad;
// hosting-webmeter reads web roots from it. Format (little-endian): 0 magic "hostpol\n"; 8 u32
// format; 12 u32 zero; 16 u64 generation; 24 u64 bytes of the body; 32 u64 XXH3-64 of the body,
// seeded with that of the bytes 0 to 31; 40 the body, message Snapshot of policy_snapshot.proto.
// Ownership: values. Process rules: one writer (hosting-usage), any number of readers, which see
// the old or the new one. Failure modes: kCorruption for what is short, long or changed,
// kUnsupported for a newer format, as the system says otherwise. Crash rule: written aside,
// flushed, renamed, the folder flushed: after a crash there is the old snapshot or the new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quota/policy.h"
#include "quota/policy_path.h"
#include "quota/status.h"

namespace hosting {

constexpr uint32_t kSnapshotFormat = 2;
constexpr size_t kSnapshotHeader = 40;      // bytes
constexpr size_t kMaxSnapshot = 256 << 20;  // bytes

struct PolicySnapshot {
  uint64_t generation = 0;  // one more with each snapshot that is written
  FileIdentity file;        // that the policy was read from
  Policy policy;
};

// What tells one snapshot from another, without reading it whole.
struct SnapshotHeader {
  uint64_t generation = 0;
  uint64_t checksum = 0;  // of header and body
  friend bool operator==(const SnapshotHeader&, const SnapshotHeader&) = default;
};

std::string EncodeSnapshot(const PolicySnapshot& snapshot);
// What EncodeSnapshot would give with another generation, made from what it gave.
std::string WithGeneration(std::string bytes, uint64_t generation);
// Every field as it was encoded. Does not trust the bytes beyond the checksum.
Result<PolicySnapshot> DecodeSnapshot(std::string_view bytes);
// Of the first kSnapshotHeader bytes or more; the body is not looked at.
Result<SnapshotHeader> DecodeSnapshotHeader(std::string_view bytes);

// Parts of a policy alone, as the snapshot has them (for login_table.h). Decoding returns false for
// what no policy has.
std::string EncodePolicyPart(const ProtocolOptions& options);
std::string EncodePolicyPart(const Package& package);
std::string EncodePolicyPart(const Account& account);
std::string EncodePolicyPart(const UserRule& rule);
bool DecodePolicyPart(std::string_view bytes, ProtocolOptions* options);
bool DecodePolicyPart(std::string_view bytes, Package* package);
bool DecodePolicyPart(std::string_view bytes, Account* account);
bool DecodePolicyPart(std::string_view bytes, UserRule* rule);

// Mode 0640. Durable when it returns ok.
Status WriteSnapshot(const std::string& path, const PolicySnapshot& snapshot);
// The same for what EncodeSnapshot or EncodeLoginTable gave.
Status WriteSnapshotBytes(const std::string& path, std::string_view bytes);
// At most `most` bytes of a file; all of them when it has no more.
Result<std::string> ReadUpTo(const std::string& path, size_t most);
Result<PolicySnapshot> ReadSnapshot(const std::string& path);
Result<SnapshotHeader> ReadSnapshotHeader(const std::string& path);

}  // namespace hosting
