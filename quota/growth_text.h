// What a growth warning says: what is full or will be, by when, what it costs, what takes the
// space, what to do.
//
// Purpose: the texts of mail, IMAP's alert, log line and script, from one warning and the sentences
// of a language. A sentence that uses a value which is not known (no day, no price, no POP3 host)
// is left out. Ownership: values; looks at the texts for the time of a call. Process and crash
// rules: none; no I/O. Failure modes: none: whatever the names are, what comes out is one line
// where one line is wanted, HTML without tags of others, and printable ASCII for IMAP, log and
// script.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quota/growth_phrases.h"
#include "quota/growth_warning.h"

namespace hosting {

struct GrowthItem {
  std::string name;    // of a folder, a mailbox or a web root
  uint64_t bytes = 0;  // virtual size of mail, allocated blocks of web
};

// Who is told, and what with.
struct GrowthReader {
  std::string user;                    // whose mailbox it is; empty: the account's contact
  std::string language;                // "de-AT"
  std::vector<GrowthTexts> texts;      // of the policy
  std::string pop3_host, upgrade_url;  // empty: none
  uint32_t pop3_port = 995;
  std::vector<GrowthItem> largest;  // folders of the user, or sources of the account
};

struct GrowthText {
  std::string subject;  // one line of UTF-8
  std::string text;     // lines of UTF-8 that end in "\n"
  std::string html;     // a document in UTF-8, lines end in "\n"
};

GrowthText WriteGrowthText(const GrowthWarning& warning, const GrowthReader& reader);
// One line of printable ASCII, at most kMaxProtocolText octets.
std::string WriteGrowthAlert(const GrowthWarning& warning, const GrowthReader& reader);
// For the operator's log: one line of printable ASCII.
std::string WriteGrowthLog(const GrowthWarning& warning);
// For scripts and events: names and values of printable ASCII, numbers in bytes; an empty one is
// not known.
std::vector<std::pair<std::string, std::string>> GrowthFields(const GrowthWarning& warning);

}  // namespace hosting
