#include "quota/notice.h"

#include <algorithm>

#include "quota/policy_text.h"

namespace hosting {
namespace {

std::string Printable(std::string_view value) {
  if (IsPrintable(value)) {
    return std::string(value);
  }
  std::string ascii(value);
  for (char& c : ascii) {
    c = c >= 0x20 && c < 0x7f ? c : '?';
  }
  return ascii;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// RFC 2047, "Q", in words that do not cut a character in two.
std::string EncodedWords(std::string_view text) {
  constexpr size_t kMostInWord = 45;  // octets; a word may have 75 characters
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string words, word;
  const auto end_word = [&] {
    words += (words.empty() ? "" : "\r\n ") + ("=?utf-8?Q?" + word + "?=");
    word.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (word.size() > kMostInWord && (c & 0xc0) != 0x80) {
      end_word();
    }
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
      word += static_cast<char>(c);
    } else {
      word += {'=', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  end_word();
  return words;
}

}  // namespace

std::string FillTemplate(std::string_view text, const TemplateValues& values) {
  std::string filled;
  while (!text.empty()) {
    const size_t open = std::min(text.find('{'), text.size());
    filled += text.substr(0, open);
    text.remove_prefix(open);
    const auto found = std::find_if(values.begin(), values.end(), [&](const auto& value) {
      return text.starts_with("{" + std::string(value.first) + "}");
    });
    if (found != values.end()) {
      filled += Printable(found->second);
      text.remove_prefix(found->first.size() + 2);
    } else if (!text.empty()) {
      filled += text.front();
      text.remove_prefix(1);
    }
  }
  return filled;
}

std::string MessageOf(const Notice& notice) {
  const std::string subject = Printable(notice.subject);
  std::string message = "From: <" + Printable(notice.from) + ">\r\nTo: <" + Printable(notice.to) +
                        ">\r\nSubject: " + (IsAscii(subject) ? subject : EncodedWords(subject)) +
                        "\r\nDate: " + Printable(notice.date) + "\r\nMessage-ID: <" +
                        Printable(notice.id) +
                        ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                        "Content-Type: text/plain; charset=utf-8\r\n"
                        "Content-Transfer-Encoding: 8bit\r\n\r\n";
  for (const char c : notice.text) {
    message += c == '\n' ? std::string("\r\n") : std::string(1, c);
  }
  return message + (message.ends_with('\n') ? "" : "\r\n");
}

const std::string_view kRetentionSubject = "Your old mail will be deleted";
const std::string_view kRetentionText =
    "Your mailbox {user} is on the package {package}, which keeps mail\n"
    "for {days} days. {count} messages are older than that. They will be deleted\n"
    "from {date} on, and from then on all others as they reach that age.\n"
    "\n"
    "Mail that your mail program has fetched is not affected on your computer.\n"
    "Fetch what you want to keep before that day.\n"
    "{folders}";
const std::string_view kFoldersText =
    "Mail in these folders is not seen by POP3; ask for it to be put into your inbox: {list}";
const std::string_view kPop3RemovesSubject = "A POP3 program deletes your mail from the server";
const std::string_view kPop3RemovesText =
    "A mail program has fetched mail of {user} by POP3 and deleted {count} messages\n"
    "from the server. They are no longer there for your other devices, which read\n"
    "the same mailbox by IMAP.\n"
    "\n"
    "If you do not want that: set the program to IMAP, or have it leave messages\n"
    "on the server.\n";

}  // namespace hosting
