#include "quota/growth_text.h"

#include <algorithm>
#include <map>

#include "quota/growth_rules.h"
#include "quota/ledger_rows.h"
#include "quota/protocol_text.h"
#include "quota/shown_name.h"

namespace hosting {
namespace {

constexpr size_t kLineWidth = 76;      // characters of the plain text
constexpr size_t kMaxLargest = 5;      // folders that are listed
constexpr size_t kMaxLogName = 100;    // characters
constexpr size_t kMaxFieldName = 255;  // bytes, as the policy has them

using Values = std::map<std::string_view, std::string>;

uint64_t Used(const GrowthWarning& warning) {
  return warning.mail + warning.web + warning.external;
}

bool IsFull(const GrowthWarning& warning) {
  return warning.level == GrowthLevel::kFull ||
         (warning.limit != 0 && Used(warning) >= warning.limit);
}

std::string Amount(const Money& money, const std::string& currency) {
  return currency.empty() ? "" : money.Format() + " " + ShownName(currency, 8);
}

std::string Number(uint64_t number, bool known) {
  return known ? std::to_string(number) : "";
}

Values ValuesOf(const GrowthWarning& warning, const GrowthReader& reader) {
  const bool limited = warning.limit != 0;
  const bool filling = warning.full_on && !IsFull(warning) && warning.days_to_full > 0;
  const bool costs = warning.overage != 0 && warning.price != Money();
  const std::string limit_price = warning.rule == GrowthRule::kOveragePrice
                                      ? Amount(warning.price_threshold, warning.currency)
                                      : "";
  Values values = {
      {"account", ShownName(warning.account)},
      {"package", ShownName(warning.package)},
      {"user", ShownName(reader.user)},
      {"percent", Number(warning.percent, limited)},
      {"used", ShownSize(Used(warning))},
      {"limit", limited ? ShownSize(warning.limit) : ""},
      {"mail", ShownSize(warning.mail)},
      {"web", ShownSize(warning.web)},
      {"other", ShownSize(warning.external)},
      {"growth",
       warning.growth_a_day > 0 ? ShownSize(static_cast<uint64_t>(warning.growth_a_day)) : ""},
      {"kept", Number(warning.kept_percent.value_or(0), warning.kept_percent.has_value())},
      {"days", Number(warning.days_to_full, filling)},
      {"full_on", filling ? warning.full_on->Text() : ""},
      {"overage", costs ? ShownSize(warning.overage) : ""},
      {"price", costs ? Amount(warning.price, warning.currency) : ""},
      {"limit_price", limit_price},
      {"threshold", limit_price.empty() ? std::to_string(warning.threshold) : limit_price},
      {"pop3_host", ShownName(reader.pop3_host, 255)},
      {"pop3_port", std::to_string(reader.pop3_port)},
      {"upgrade_url", ShownName(reader.upgrade_url, 255)},
  };
  return values;
}

bool IsName(std::string_view value_name) {
  return value_name == "account" || value_name == "package" || value_name == "user";
}

std::string HtmlValue(std::string_view name, const std::string& value) {
  std::string escaped = EscapeHtml(value);
  if (IsName(name)) {
    return "<bdi>" + escaped + "</bdi>";
  }
  if (name == "upgrade_url" && (value.starts_with("https://") || value.starts_with("http://"))) {
    return "<a href=\"" + escaped + "\">" + escaped + "</a>";
  }
  return escaped;
}

class Writer {
 public:
  Writer(const GrowthWarning& warning, const GrowthReader& reader)
      : reader_(reader), values_(ValuesOf(warning, reader)) {}

  // The sentence's template; empty when a value that it uses is not known.
  [[nodiscard]] std::string_view Template(GrowthPhrase phrase) const {
    const std::string_view text = PhraseOf(reader_.texts, reader_.language, phrase);
    for (const std::string& name : NamesIn(text)) {
      const auto at = values_.find(name);
      if (at != values_.end() && at->second.empty()) {
        return {};
      }
    }
    return text;
  }
  [[nodiscard]] std::string Plain(GrowthPhrase phrase) const { return Fill(phrase, false); }
  [[nodiscard]] std::string Html(GrowthPhrase phrase) const { return Fill(phrase, true); }
  [[nodiscard]] const Values& values() const { return values_; }

 private:
  [[nodiscard]] std::string Fill(GrowthPhrase phrase, bool html) const {
    std::string_view text = Template(phrase);
    std::string filled;
    while (!text.empty()) {
      const size_t open = std::min(text.find('{'), text.size());
      const std::string_view before = text.substr(0, open);
      filled += html ? EscapeHtml(before) : std::string(before);
      text.remove_prefix(open);
      const size_t close = text.find('}');
      const std::string_view name =
          close == std::string_view::npos ? std::string_view() : text.substr(1, close - 1);
      const auto value = values_.find(name);
      if (value != values_.end() && !text.empty()) {
        filled += html ? HtmlValue(value->first, value->second) : value->second;
        text.remove_prefix(close + 1);
      } else if (!text.empty()) {
        filled += text.front();
        text.remove_prefix(1);
      }
    }
    return filled;
  }

  const GrowthReader& reader_;
  Values values_;
};

GrowthPhrase SubjectOf(const GrowthWarning& warning) {
  if (IsFull(warning)) {
    return kSubjectFull;
  }
  switch (warning.rule) {
    case GrowthRule::kDaysToFull:
      return kSubjectDays;
    case GrowthRule::kWeeklyGrowth:
      return kSubjectGrowth;
    case GrowthRule::kOveragePrice:
      return kSubjectPrice;
    case GrowthRule::kPercent:
      break;
  }
  return kSubjectPercent;
}

std::string Subject(const GrowthWarning& warning, const Writer& writer) {
  for (const GrowthPhrase phrase : {SubjectOf(warning), kSubjectPercent}) {
    if (std::string subject = writer.Plain(phrase); !subject.empty()) {
      return subject;
    }
  }
  return writer.values().at("account") + ": " + writer.values().at("used");
}

// What is the case, in paragraphs.
std::vector<GrowthPhrase> Facts(const GrowthWarning& warning) {
  std::vector<GrowthPhrase> facts = {warning.limit != 0 ? kSaysUsed : kSaysUsedUnlimited};
  if (IsFull(warning)) {
    facts.push_back(kSaysFull);
  }
  facts.insert(facts.end(), {kSaysGrowing, kSaysFullOn, kSaysKept, kSaysCost});
  return facts;
}

// Characters of UTF-8.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Lines of at most kLineWidth characters, broken at blanks, each further one with the indent.
std::string Wrapped(std::string_view text, const std::string& first, const std::string& indent) {
  std::string lines = first;
  size_t width = Width(first);
  bool fresh = true;  // nothing is in the line yet
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t more = Width(word);
    if (!fresh && width + 1 + more > kLineWidth) {
      lines += "\n" + indent;
      width = indent.size();
      fresh = true;
    }
    lines += (fresh ? "" : " ") + std::string(word);
    width += more + (fresh ? 0 : 1);
    fresh = false;
  }
  return lines + "\n";
}

std::vector<GrowthItem> Largest(const GrowthReader& reader) {
  std::vector<GrowthItem> largest = reader.largest;
  std::stable_sort(largest.begin(), largest.end(),
                   [](const GrowthItem& a, const GrowthItem& b) { return a.bytes > b.bytes; });
  if (largest.size() > kMaxLargest) {
    largest.resize(kMaxLargest);
  }
  return largest;
}

std::string PlainText(const GrowthWarning& warning, const GrowthReader& reader,
                      const Writer& writer) {
  std::string text;
  for (const GrowthPhrase fact : Facts(warning)) {
    if (const std::string sentence = writer.Plain(fact); !sentence.empty()) {
      text += Wrapped(sentence, "", "");
    }
  }
  if (const auto largest = Largest(reader); !largest.empty()) {
    text +=
        "\n" + Wrapped(writer.Plain(reader.user.empty() ? kSaysMailboxes : kSaysFolders), "", "");
    for (const GrowthItem& item : largest) {
      const std::string size = ShownSize(item.bytes);
      text += "  " + std::string(size.size() < 10 ? 10 - size.size() : 0, ' ') + size + "  " +
              ShownName(item.name) + "\n";
    }
  }
  text += "\n" + Wrapped(writer.Plain(kSaysTodo), "", "");
  for (const GrowthPhrase advice : {kAdviseDelete, kAdvisePop3, kAdviseUpgrade}) {
    if (const std::string sentence = writer.Plain(advice); !sentence.empty()) {
      text += Wrapped(sentence, "- ", "  ");
    }
  }
  return text + "\n" + Wrapped(writer.Plain(kSaysFooter), "", "");
}

std::string HtmlText(const GrowthWarning& warning, const GrowthReader& reader,
                     const Writer& writer) {
  std::string html = "<!DOCTYPE html>\n<html lang=\"" + EscapeHtml(ShownName(reader.language)) +
                     "\">\n<head><meta charset=\"utf-8\"><title>" +
                     EscapeHtml(Subject(warning, writer)) + "</title></head>\n<body>\n";
  for (const GrowthPhrase fact : Facts(warning)) {
    if (const std::string sentence = writer.Html(fact); !sentence.empty()) {
      html += "<p>" + sentence + "</p>\n";
    }
  }
  if (const auto largest = Largest(reader); !largest.empty()) {
    html += "<p>" + writer.Html(reader.user.empty() ? kSaysMailboxes : kSaysFolders) +
            "</p>\n<table>\n";
    for (const GrowthItem& item : largest) {
      html += "<tr><td style=\"text-align:right\">" + EscapeHtml(ShownSize(item.bytes)) +
              "</td><td><bdi>" + EscapeHtml(ShownName(item.name)) + "</bdi></td></tr>\n";
    }
    html += "</table>\n";
  }
  html += "<p>" + writer.Html(kSaysTodo) + "</p>\n<ul>\n";
  for (const GrowthPhrase advice : {kAdviseDelete, kAdvisePop3, kAdviseUpgrade}) {
    if (const std::string sentence = writer.Html(advice); !sentence.empty()) {
      html += "<li>" + sentence + "</li>\n";
    }
  }
  return html + "</ul>\n<p><small>" + writer.Html(kSaysFooter) + "</small></p>\n</body>\n</html>\n";
}

}  // namespace

GrowthText WriteGrowthText(const GrowthWarning& warning, const GrowthReader& reader) {
  const Writer writer(warning, reader);
  return {Subject(warning, writer), PlainText(warning, reader, writer),
          HtmlText(warning, reader, writer)};
}

std::string WriteGrowthAlert(const GrowthWarning& warning, const GrowthReader& reader) {
  const Writer writer(warning, reader);
  std::string whole(writer.Template(IsFull(warning) ? kAlertFull : kAlertUsed));
  if (whole.empty()) {
    whole = Subject(warning, writer) + ".";
  }
  for (const GrowthPhrase phrase : {kAlertFullOn, kAlertCost, kAlertAdvice, kAlertUpgrade}) {
    if (const std::string_view sentence = writer.Template(phrase); !sentence.empty()) {
      whole += " " + std::string(sentence);
    }
  }
  std::vector<std::pair<std::string_view, std::string_view>> values;
  for (const auto& [name, value] : writer.values()) {
    values.emplace_back(name, value);
  }
  return FillTemplate(whole, TextValues(values));
}

std::vector<std::pair<std::string, std::string>> GrowthFields(const GrowthWarning& warning) {
  const auto name = [](const std::string& text) {
    return Printable(ShownName(text, kMaxFieldName));
  };
  return {
      {"account", name(warning.account)},
      {"package", name(warning.package)},
      {"number", std::to_string(warning.number)},
      {"rule", NameOf(warning.rule)},
      {"level", NameOf(warning.level)},
      {"threshold", warning.rule == GrowthRule::kOveragePrice ? warning.price_threshold.Format()
                                                              : std::to_string(warning.threshold)},
      {"at", std::to_string(warning.at)},
      {"mail", std::to_string(warning.mail)},
      {"web", std::to_string(warning.web)},
      {"external", std::to_string(warning.external)},
      {"limit", Number(warning.limit, warning.limit != 0)},
      {"percent", Number(warning.percent, warning.limit != 0)},
      {"growth_a_day", std::to_string(warning.growth_a_day)},
      {"full_on", warning.full_on ? warning.full_on->Text() : ""},
      {"days_to_full", Number(warning.days_to_full, warning.full_on.has_value())},
      {"overage", std::to_string(warning.overage)},
      {"price", warning.currency.empty() ? "" : warning.price.Format()},
      {"currency", name(warning.currency)},
      {"kept_percent", Number(warning.kept_percent.value_or(0), warning.kept_percent.has_value())},
  };
}

std::string WriteGrowthLog(const GrowthWarning& warning) {
  std::string line =
      "growth warning: account " + Printable(ShownName(warning.account, kMaxLogName));
  for (const auto& [name, value] : GrowthFields(warning)) {
    if (name != "account" && name != "at" && !value.empty()) {
      line.append(", ").append(name).append("=").append(value);
    }
  }
  return line;
}

}  // namespace hosting
