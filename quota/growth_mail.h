// The mail that warns of growth, as a whole message (RFC 5322, MIME).
//
// Purpose: multipart/alternative of plain text and HTML, marked so that no program answers it
// (RFC 3834). Ownership: values. Process and crash rules: none; no I/O, the time is passed in. The
// same values make the same octets: a message that is made again after a crash is known by its
// Message-ID. Failure modes: none; what does not fit a header is encoded (RFC 2047), or left out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "quota/growth_text.h"

namespace hosting {

struct GrowthMail {
  std::string from;     // address; one that needs quotes is not shown
  std::string to;       // likewise
  std::string id;       // Message-ID without its brackets
  int64_t at = 0;       // Unix seconds, of Date:
  bool stored = false;  // goes into a mailbox here: has the Return-Path that a delivery would add
  GrowthText text;
};

// Lines end in CRLF, of at most 78 octets in headers and 76 in bodies.
std::string WriteGrowthMail(const GrowthMail& mail);

// The same for one warning and recipient, always. host: a domain.
std::string GrowthMessageId(const GrowthWarning& warning, std::string_view recipient,
                            std::string_view host);
// Of an address; `fallback` when there is none that a header can show.
std::string DomainOf(std::string_view address, std::string_view fallback);

// RFC 5322 date in UTC: "Mon, 23 Nov 2026 00:00:00 +0000".
std::string MailDate(int64_t at);
// RFC 2045, 6.7, with CRLF at each "\n" and at the end.
std::string QuotedPrintable(std::string_view text);
// A header's text: as it is, or in encoded words, folded to lines of at most 76 octets; `used`
// octets of the first line are taken.
std::string HeaderText(std::string_view text, size_t used);

}  // namespace hosting
