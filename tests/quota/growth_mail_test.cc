// The octets of the mail that warns: headers, encodings, and that hostile values change neither.
#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "quota/growth_mail.h"

namespace hosting {
namespace {

std::vector<std::string> Lines(const std::string& message) {
  std::vector<std::string> lines;
  size_t at = 0;
  for (size_t end = message.find("\r\n"); end != std::string::npos;
       end = message.find("\r\n", at)) {
    lines.push_back(message.substr(at, end - at));
    at = end + 2;
  }
  EXPECT_EQ(at, message.size()) << "the last line does not end";
  return lines;
}

// Of the message itself, folded lines put together; name -> value.
std::map<std::string, std::string> Headers(const std::string& message) {
  std::map<std::string, std::string> headers;
  std::string name;
  for (const std::string& line : Lines(message)) {
    if (line.empty()) {
      break;
    }
    if (line.front() == ' ') {
      headers[name] += line;
      continue;
    }
    name = line.substr(0, line.find(": "));
    EXPECT_EQ(headers.count(name), 0U) << name << " comes twice";
    headers[name] = line.substr(name.size() + 2);
  }
  return headers;
}

std::string Decoded(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      plain += text[i];
    } else if (text.compare(i, 3, "=\r\n") == 0) {
      i += 2;
    } else {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    }
  }
  return plain;
}

GrowthMail Mail() {
  GrowthMail mail;
  mail.from = "postmaster@example.com";
  mail.to = "ann@example.com";
  mail.id = "growth.1@example.com";
  mail.at = 1795392000;
  mail.text = {"Subject", "Text\n", "<p>Text</p>\n"};
  return mail;
}

TEST(GrowthMail, Headers) {
  GrowthMail mail = Mail();
  mail.text.subject = "Größe " + std::string(60, 'x') + " ü";
  const std::string message = WriteGrowthMail(mail);
  auto headers = Headers(message);
  EXPECT_EQ(headers["From"], "<postmaster@example.com>");
  EXPECT_EQ(headers["To"], "<ann@example.com>");
  EXPECT_EQ(headers["Date"], "Mon, 23 Nov 2026 00:00:00 +0000");
  EXPECT_EQ(headers["Message-ID"], "<growth.1@example.com>");
  EXPECT_EQ(headers["Auto-Submitted"], "auto-generated");
  EXPECT_EQ(headers["X-Auto-Response-Suppress"], "All");
  EXPECT_EQ(headers.count("Return-Path"), 0U);
  EXPECT_TRUE(headers["Subject"].starts_with("=?utf-8?Q?Gr=C3=B6=C3=9Fe_xxx"));
  EXPECT_EQ(message, WriteGrowthMail(mail));
  mail.stored = true;
  EXPECT_TRUE(WriteGrowthMail(mail).starts_with("Return-Path: <>\r\nFrom: "));
}

TEST(GrowthMail, SubjectsAreFolded) {
  EXPECT_EQ(HeaderText("short", 9), "short");
  std::string words;
  for (int i = 0; i < 30; ++i) {
    words += "word" + std::to_string(i) + " ";
  }
  for (const std::string& text : {words, std::string(150, 'x'), std::string("=?utf-8?Q?x?="),
                                  std::string("äöü äöü äöü äöü äöü äöü äöü äöü äöü äöü")}) {
    size_t used = 9;
    for (const std::string& line : Lines(HeaderText(text, used) + "\r\n")) {
      EXPECT_LE(used + line.size(), 78U) << line;
      EXPECT_TRUE(used == 9 || line.front() == ' ') << line;
      used = 0;
    }
  }
  EXPECT_TRUE(HeaderText("=?utf-8?Q?x?=", 9).starts_with("=?utf-8?Q?=3D=3Futf=2D8"));
}

TEST(GrowthMail, QuotedPrintable) {
  const struct {
    const char *text, *encoded;
  } cases[] = {{"a b\n", "a b\r\n"},      {"a \nb", "a=20\r\nb\r\n"},   {"=", "=3D\r\n"},
               {".\n", "=2E\r\n"},        {"From x\n", "=46rom x\r\n"}, {"", ""},
               {"\xc3\xbc", "=C3=BC\r\n"}};
  for (const auto& each : cases) {
    EXPECT_EQ(QuotedPrintable(each.text), each.encoded);
  }
  const std::string long_line(300, 'x');
  EXPECT_EQ(Decoded(QuotedPrintable(long_line)), long_line + "\r\n");
}

TEST(GrowthMail, Dates) {
  EXPECT_EQ(MailDate(0), "Thu, 01 Jan 1970 00:00:00 +0000");
  EXPECT_EQ(MailDate(1709207999), "Thu, 29 Feb 2024 11:59:59 +0000");
  EXPECT_EQ(MailDate(-1), MailDate(0));
}

TEST(GrowthMail, TheIdNamesWarningAndRecipient) {
  GrowthWarning warning;
  warning.account = "a";
  warning.number = 1;
  const std::string id = GrowthMessageId(warning, "x@y", "host.example");
  EXPECT_EQ(id, GrowthMessageId(warning, "x@y", "host.example"));
  EXPECT_NE(id, GrowthMessageId(warning, "z@y", "host.example"));
  warning.number = 2;
  EXPECT_NE(id, GrowthMessageId(warning, "x@y", "host.example"));
  EXPECT_EQ(DomainOf("a@example.com", "h"), "example.com");
  EXPECT_EQ(DomainOf("a@exa mple", "h"), "h");
  EXPECT_EQ(DomainOf("a", "h"), "h");
  EXPECT_EQ(DomainOf("a@b\r\nX: y", "h"), "h");
}

TEST(GrowthMail, HostileValuesAddNothing) {
  std::mt19937_64 random(4711);
  const std::string parts[] = {"\r\n",
                               "\n",
                               "\r",
                               ": ",
                               "Bcc: x@y",
                               "=?utf-8?Q?",
                               "?=",
                               " ",
                               "\t",
                               "<",
                               ">",
                               "\"",
                               std::string(1, '\0'),
                               "\xff",
                               "\xe2\x80\xae",
                               "ä",
                               "x",
                               std::string(300, 'y'),
                               ".\r\n",
                               "--=_"};
  for (int round = 0; round < 2000; ++round) {
    const auto hostile = [&] {
      std::string text;
      for (uint64_t i = random() % 12; i > 0; --i) {
        text += parts[random() % std::size(parts)];
      }
      return text;
    };
    GrowthMail mail = Mail();
    mail.from = hostile();
    mail.to = hostile();
    mail.text.subject = hostile();
    const std::string plain = mail.text.text = hostile();
    const std::string message = WriteGrowthMail(mail);
    auto headers = Headers(message);
    ASSERT_EQ(headers.size(), 9U) << message;
    size_t boundaries = 0;
    for (const std::string& line : Lines(message)) {
      ASSERT_LE(line.size(), 78U) << line;
      ASSERT_TRUE(std::all_of(line.begin(), line.end(), [](char c) {
        return c >= ' ' && c <= '~';
      })) << line;
      boundaries += line.starts_with("--=_") ? 1 : 0;
    }
    ASSERT_EQ(boundaries, 3U);
    ASSERT_EQ(headers["To"], "undisclosed-recipients:;");
    ASSERT_EQ(headers["From"], "<postmaster@localhost>");
  }
}

}  // namespace
}  // namespace hosting
