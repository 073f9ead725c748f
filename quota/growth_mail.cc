#include "quota/growth_mail.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include <xxhash.h>

#include "quota/policy_text.h"
#include "quota/policy_warnings.h"
#include "quota/shown_name.h"

namespace hosting {
namespace {

constexpr size_t kBodyLine = 76;     // octets, RFC 2045
constexpr size_t kHeaderLine = 76;   // octets, RFC 2047, 2
constexpr size_t kMaxSubject = 200;  // characters
constexpr std::string_view kWordBegin = "=?utf-8?Q?", kWordEnd = "?=";
constexpr char kDigits[] = "0123456789ABCDEF";

std::string Escaped(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return {'=', kDigits[byte >> 4], kDigits[byte & 15]};
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Words of UTF-8 that is cut at characters only.
std::string EncodedWords(std::string_view text, size_t used) {
  std::string words, word;
  size_t room = kHeaderLine - std::min(used, kHeaderLine / 2) - kWordBegin.size() - kWordEnd.size();
  const auto end_word = [&] {
    words +=
        (words.empty() ? "" : "\r\n ") + std::string(kWordBegin) + word + std::string(kWordEnd);
    word.clear();
    room = kHeaderLine - 1 - kWordBegin.size() - kWordEnd.size();
  };
  for (const char* p = text.data(); p != text.data() + text.size();) {
    const size_t length = std::max<size_t>(Utf8Length(p, text.data() + text.size()), 1);
    std::string character;
    for (size_t i = 0; i < length; ++i) {
      character += IsAlphanumeric(p[i]) ? std::string(1, p[i]) : p[i] == ' ' ? "_" : Escaped(p[i]);
    }
    if (word.size() + character.size() > room) {
      end_word();
    }
    word += character;
    p += length;
  }
  end_word();
  return words;
}

// Folded at blanks; one that is too long for a line between two of them is encoded.
std::string FoldedAscii(std::string_view text, size_t used) {
  std::string folded;
  size_t line = used;
  for (size_t at = 0; at < text.size();) {
    const size_t blank = std::min(text.find(' ', at + 1), text.size());
    const std::string_view word = text.substr(at, blank - at);  // with the blank before it
    if (word.size() >= kHeaderLine) {
      return EncodedWords(text, used);
    }
    if (line + word.size() > kHeaderLine && at != 0) {
      folded += "\r\n";
      line = 0;
    }
    folded += word;
    line += word.size();
    at = blank;
  }
  return line > kHeaderLine ? EncodedWords(text, used) : folded;
}

std::string Header(const std::string& name, const std::string& value) {
  return name + ": " + value + "\r\n";
}

std::string Hex(uint64_t number) {
  char text[17];
  (void)snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

std::string Part(const std::string& boundary, const std::string& type, const std::string& text) {
  return "--" + boundary + "\r\n" + Header("Content-Type", type + "; charset=utf-8") +
         Header("Content-Transfer-Encoding", "quoted-printable") + "\r\n" + QuotedPrintable(text) +
         "\r\n";
}

}  // namespace

std::string HeaderText(std::string_view text, size_t used) {
  const std::string shown = ShownName(text, kMaxSubject);
  return IsAscii(shown) && shown.find("=?") == std::string::npos ? FoldedAscii(shown, used)
                                                                 : EncodedWords(shown, used);
}

std::string QuotedPrintable(std::string_view text) {
  std::string encoded;
  size_t line = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      encoded += "\r\n";
      line = 0;
      continue;
    }
    const bool last = i + 1 == text.size() || text[i + 1] == '\n';
    const bool plain = (c > ' ' && c <= '~' && c != '=') || (c == ' ' && !last);
    // "." and "F" (of "From ") at a line's begin are what others may change.
    const bool begins = line == 0 && (c == '.' || c == 'F');
    const std::string octet = plain && !begins ? std::string(1, c) : Escaped(c);
    if (line + octet.size() > kBodyLine - (last ? 0 : 1)) {
      encoded += "=\r\n";
      line = 0;
    }
    encoded += octet;
    line += octet.size();
  }
  return encoded + (line != 0 ? "\r\n" : "");
}

std::string MailDate(int64_t at) {
  namespace chrono = std::chrono;
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  constexpr int64_t kLast = 253402300799;  // of the year 9999
  const chrono::sys_seconds time{chrono::seconds(std::clamp<int64_t>(at, 0, kLast))};
  const auto day = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date(day);
  const chrono::hh_mm_ss clock(time - day);
  char text[64];
  (void)snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d +0000",
                 kDays[chrono::weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
                 kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                 static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                 static_cast<int>(clock.seconds().count()));
  return text;
}

std::string DomainOf(std::string_view address, std::string_view fallback) {
  const std::string_view domain = address.substr(address.rfind('@') + 1);
  return IsPlainAddress("a@" + std::string(domain)) && address.find('@') != std::string_view::npos
             ? std::string(domain)
             : std::string(fallback);
}

std::string GrowthMessageId(const GrowthWarning& warning, std::string_view recipient,
                            std::string_view host) {
  std::string name = warning.account;
  name += '\0' + std::to_string(warning.number) + '\0' + std::to_string(warning.at) + '\0';
  name += recipient;
  const XXH128_hash_t hash = XXH3_128bits(name.data(), name.size());
  return "growth." + Hex(hash.high64) + Hex(hash.low64) + "@" + std::string(host);
}

std::string WriteGrowthMail(const GrowthMail& mail) {
  // "=_" is in no quoted-printable text.
  const std::string boundary = "=_" + Hex(XXH3_64bits(mail.id.data(), mail.id.size()));
  std::string message = mail.stored ? "Return-Path: <>\r\n" : "";
  message +=
      Header("From", "<" + (IsPlainAddress(mail.from) ? mail.from : "postmaster@localhost") + ">");
  message +=
      Header("To", IsPlainAddress(mail.to) ? "<" + mail.to + ">" : "undisclosed-recipients:;");
  constexpr std::string_view kSubject = "Subject: ";
  message += std::string(kSubject) + HeaderText(mail.text.subject, kSubject.size()) + "\r\n";
  message += Header("Date", MailDate(mail.at));
  message += Header("Message-ID", "<" + mail.id + ">");
  message += Header("Auto-Submitted", "auto-generated");
  message += Header("X-Auto-Response-Suppress", "All");
  message += Header("MIME-Version", "1.0");
  message += Header("Content-Type", "multipart/alternative;\r\n boundary=\"" + boundary + "\"");
  message += "\r\n";
  message += Part(boundary, "text/plain", mail.text.text);
  message += Part(boundary, "text/html", mail.text.html);
  return message + "--" + boundary + "--\r\n";
}

}  // namespace hosting
