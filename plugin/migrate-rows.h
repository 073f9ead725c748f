// What a storage holds, as `doveadm lbox migrate-rows` prints it: reading it, and comparing two.
//
// Purpose: the proof that a copy is one. Lines of tab-separated fields (migrate-text.h):
//
//     U  uid  gid  home  driver of INBOX  its root folder       first
//     B  name  GUID  UIDVALIDITY  UIDNEXT  messages             mailboxes, sorted by name as LIST
//     gives it M  UID  GUID  POP3 UIDL  received  flags  keywords  size  hash       its messages,
//     by UID S  name                                                   subscriptions, sorted E
//     last: it is complete
//
// received: seconds since 1970. flags: hexadecimal, as Dovecot's enum mail_flags. size and hash
// (XXH3-128) are of the whole message with CRLF line ends, without a bare CR at its very end (which
// dsync drops); "-" where the body was not read. Memory: one line of each, however many there are.
// Reading blocks; it ends early when a signal has asked this process to end. No Dovecot header.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lbox::migrate {

// Lines from a descriptor that somebody else owns.
class LineReader {
 public:
  explicit LineReader(int input) : input_(input) {}
  // Without its newline; nothing at the end.
  std::optional<std::string> Next();

 private:
  int input_;
  std::string buffer_;
  size_t begin_ = 0;
};

struct Row {
  char kind = 'E';
  std::vector<std::string> fields;  // without the kind
};

class RowReader {
 public:
  explicit RowReader(int input);
  // The row at hand; kind E at the end.
  [[nodiscard]] const Row& row() const { return row_; }
  void Next();
  // Whether the end was that of a complete list.
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  LineReader lines_;
  Row row_;
  bool complete_ = false;
};

struct Differences {
  uint64_t count = 0;
  std::vector<std::string> texts;  // the first few
  void Add(std::string text);
};

// Of mailboxes, by GUID.
using Uids = std::map<std::string, uint32_t>;

struct Comparison {
  Differences differences;
  uint64_t messages = 0;  // of the source
  uint64_t bytes = 0;     // of those whose bodies were compared
  uint64_t bodies = 0;    // compared
  Uids verified;          // all messages of the mailbox up to this UID are the same on both sides
  Uids next;              // UIDNEXT of the source
  bool complete = false;  // both lists were
};

enum class Strictness {
  kFlowing,  // what may differ while mail flows is not counted: what is in one only, flags,
             // mailboxes, subscriptions
  kAll,      // nothing may differ but UIDNEXT, which may be higher in the copy
};

// known: what a comparison before has verified, whose bodies these lists do not have.
Comparison Compare(RowReader& source, RowReader& copy, Strictness strictness,
                   const Uids& known = {});

// What Compare() has verified, as `migrate-rows --print new` reads it.
std::string KnownLines(const Uids& verified);

// Mailboxes that have got messages since their UIDNEXTs were `next` (--print boxes): their names.
// Then `next` is what it is now.
std::vector<std::string> Grown(RowReader& rows, Uids& next);
// GUIDs of those messages.
std::set<std::string> Late(RowReader& rows, const Uids& before);
// Takes out the GUIDs that are there.
void RemoveFound(RowReader& rows, std::set<std::string>& guids);

}  // namespace lbox::migrate
