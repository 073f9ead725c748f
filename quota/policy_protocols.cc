#include "quota/policy_protocols.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include "quota/protocol_policy.h"
#include "quota/protocol_text.h"

namespace hosting {
namespace {

using Reader = PolicyReader;
using Node = TomlNode;

constexpr uint32_t kMaxPort = 65535;
constexpr size_t kMaxValue = 120;  // of pop3_host and upgrade_url, so that a text has room for them
constexpr size_t kMaxLanguage = 35;  // RFC 5646, 4.4.1

constexpr Choice<Access> kAccess[] = {
    {"allow", Access::kAllow}, {"warn", Access::kWarn}, {"deny", Access::kDeny}};
constexpr Choice<Answer> kAnswers[] = {
    {"nologin", Answer::kNologin}, {"alert", Answer::kAlert}, {"session", Answer::kSession}};

constexpr PolicyField<AccessRule> kAccessFields[] = {
    {"access",
     [](Reader& r, const Node& n, AccessRule& rule) {
       Access access{};
       if (r.OneOf(n, kAccess, &access)) {
         rule.access = access;
       }
     }},
    {"from",
     [](Reader& r, const Node& n, AccessRule& rule) {
       const auto day = ParseDay(n.kind == Node::Kind::kString ? n.text : std::string_view());
       if (day) {
         rule.from_day = *day;
       } else {
         r.Wrong(n, "a date in quotes, such as \"2027-01-31\"");
       }
     }},
};

// Printable ASCII without blanks.
bool IsWord(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

void ReadWord(Reader& r, const Node& n, const char* expected, std::string& word) {
  if (n.kind == Node::Kind::kString && IsWord(n.text, kMaxValue)) {
    word = n.text;
  } else {
    r.Wrong(n, expected);
  }
}

template <typename Value, typename Read>
void ReadArray(Reader& r, const Node& n, const char* expected, std::vector<Value>& values,
               Read&& read) {
  if (n.kind != Node::Kind::kArray) {
    r.Wrong(n, expected);
    return;
  }
  for (const Node* each = n.first; each != nullptr; each = each->next) {
    read(*each);
  }
  std::sort(values.begin(), values.end(), [](const Value& a, const Value& b) {
    if constexpr (std::is_same_v<Value, Network>) {
      return a.text < b.text;
    } else {
      return a < b;
    }
  });
}

void ReadPorts(Reader& r, const Node& n, ProtocolOptions& options) {
  options.exempt_ports_line = n.line;
  ReadArray(r, n, "an array of ports, such as [10143]", options.exempt_ports,
            [&](const Node& each) {
              uint32_t port = 0;
              if (r.Number(each, 1, kMaxPort, &port)) {
                options.exempt_ports.push_back(port);
              }
            });
}

void ReadNetworks(Reader& r, const Node& n, ProtocolOptions& options) {
  options.exempt_networks_line = n.line;
  ReadArray(r, n, "an array of networks, such as [\"192.0.2.0/24\"]", options.exempt_networks,
            [&](const Node& each) {
              auto network =
                  each.kind == Node::Kind::kString ? Network::Parse(each.text) : std::nullopt;
              if (network) {
                options.exempt_networks.push_back(std::move(*network));
              } else {
                r.Wrong(each, "a network, such as \"192.0.2.0/24\" or \"2001:db8::/32\"");
              }
            });
}

void ReadTemplate(Reader& r, const Node& n, std::string& text) {
  if (n.kind != Node::Kind::kString) {
    r.Wrong(n, "a text");
    return;
  }
  size_t at = 0;
  const std::string wrong = CheckTemplate(n.text, kTextNames, &at);
  if (!wrong.empty()) {
    r.Tell(n, wrong + ", at character " + std::to_string(at + 1) + " of the text");
    return;
  }
  text = n.text;
}

constexpr PolicyField<ProtocolTexts> kTextFields[] = {
    {"deny",
     [](Reader& r, const Node& n, ProtocolTexts& texts) { ReadTemplate(r, n, texts.deny); }},
    {"warn",
     [](Reader& r, const Node& n, ProtocolTexts& texts) { ReadTemplate(r, n, texts.warn); }},
    {"retention_subject",
     [](Reader& r, const Node& n, ProtocolTexts& texts) {
       r.Text(n, "a line of text", &texts.notices.retention_subject);
     }},
    {"retention_text",
     [](Reader& r, const Node& n, ProtocolTexts& texts) {
       r.Lines(n, kMaxNotice, &texts.notices.retention_text);
     }},
    {"removal_subject",
     [](Reader& r, const Node& n, ProtocolTexts& texts) {
       r.Text(n, "a line of text", &texts.notices.removal_subject);
     }},
    {"removal_text",
     [](Reader& r, const Node& n, ProtocolTexts& texts) {
       r.Lines(n, kMaxNotice, &texts.notices.removal_text);
     }},
    {"folders", [](Reader& r, const Node& n,
                   ProtocolTexts& texts) { r.Lines(n, kMaxNotice, &texts.notices.folders); }},
};

void ReadTexts(Reader& r, const Node& n, ProtocolOptions& options) {
  if (!r.Table(n)) {
    return;
  }
  for (const Node* each = n.first; each != nullptr; each = each->next) {
    ProtocolTexts texts;
    texts.language = each->key;
    if (!IsLanguage(each->key)) {
      r.TellAtKey(*each, "expected a language, such as en or af-ZA");
    } else if (r.Table(*each)) {
      r.Fields<ProtocolTexts>(*each, kTextFields, texts);
      options.texts.push_back(std::move(texts));
    }
  }
  std::sort(options.texts.begin(), options.texts.end(),
            [](const ProtocolTexts& a, const ProtocolTexts& b) { return a.language < b.language; });
}

constexpr PolicyField<ProtocolOptions> kFields[] = {
    {"exempt_ports", ReadPorts},
    {"exempt_networks", ReadNetworks},
    {"exempt_master_users",
     [](Reader& r, const Node& n, ProtocolOptions& o) {
       if (r.Boolean(n, &o.exempt_master_users)) {
         o.exempt_master_users_line = n.line;
       }
     }},
    {"answer",
     [](Reader& r, const Node& n, ProtocolOptions& o) { r.OneOf(n, kAnswers, &o.answer); }},
    {"pop3_host",
     [](Reader& r, const Node& n, ProtocolOptions& o) {
       ReadWord(r, n, "a host's name, such as \"pop.example.com\"", o.pop3_host);
     }},
    {"pop3_port",
     [](Reader& r, const Node& n, ProtocolOptions& o) { r.Number(n, 1, kMaxPort, &o.pop3_port); }},
    {"upgrade_url",
     [](Reader& r, const Node& n, ProtocolOptions& o) {
       ReadWord(r, n, "an address without blanks, such as \"https://my.example.com/\"",
                o.upgrade_url);
     }},
    {"language",
     [](Reader& r, const Node& n, ProtocolOptions& o) { ReadLanguage(r, n, o.language); }},
    {"text", ReadTexts},
};

// A text that asks for what nobody has given.
void CheckTexts(Reader& r, const Node& n, const ProtocolOptions& options) {
  for (const ProtocolTexts& texts : options.texts) {
    for (const std::string* text : {&texts.deny, &texts.warn}) {
      for (const std::string& name : NamesIn(*text)) {
        if ((name == "pop3_host" && options.pop3_host.empty()) ||
            (name == "upgrade_url" && options.upgrade_url.empty())) {
          r.Warn(n,
                 "a text in language " + texts.language + " uses {" + name + "}, which is not set");
        }
      }
    }
  }
}

template <typename T, size_t N>
std::vector<std::string_view> NamesOf(const PolicyField<T> (&fields)[N]) {
  std::vector<std::string_view> names;
  for (const PolicyField<T>& field : fields) {
    names.push_back(field.name);
  }
  return names;
}

}  // namespace

bool IsLanguage(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLanguage &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-';
         });
}

std::optional<uint32_t> ParseDay(std::string_view text) {
  namespace chrono = std::chrono;
  constexpr std::string_view kShape = "dddd-dd-dd";
  if (text.size() != kShape.size()) {
    return std::nullopt;
  }
  std::array<int, 3> parts{};  // year, month, day
  size_t part = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (kShape[i] == '-') {
      if (text[i] != '-') {
        return std::nullopt;
      }
      ++part;
    } else if (text[i] < '0' || text[i] > '9') {
      return std::nullopt;
    } else {
      parts[part] = parts[part] * 10 + (text[i] - '0');
    }
  }
  const chrono::year_month_day date(chrono::year(parts[0]),
                                    chrono::month(static_cast<unsigned>(parts[1])),
                                    chrono::day(static_cast<unsigned>(parts[2])));
  const int64_t days = date.ok() ? int64_t{chrono::sys_days(date).time_since_epoch().count()} : 0;
  return days <= 0 ? std::nullopt : std::optional<uint32_t>(static_cast<uint32_t>(days));
}

std::string FormatDay(uint32_t day) {
  namespace chrono = std::chrono;
  const chrono::year_month_day date{chrono::sys_days(chrono::days(day))};
  char text[32];
  (void)snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

void ReadAccess(PolicyReader& reader, const TomlNode& node, AccessRule& rule) {
  Access access{};
  if (node.kind != Node::Kind::kTable) {
    if (reader.OneOf(node, kAccess, &access)) {
      rule = {access, node.line, 0};
    }
    return;
  }
  AccessRule read;
  read.line = node.line;
  reader.Fields<AccessRule>(node, kAccessFields, read);
  if (ChildOf(node, "access") == nullptr) {
    reader.Tell(node, "expected the key access in " + std::string(node.key));
  } else if (read.access == Access::kAllow && read.from_day != 0) {
    reader.Tell(node, "expected from only with \"warn\" or \"deny\"");
  } else {
    rule = read;
  }
}

void ReadLanguage(PolicyReader& reader, const TomlNode& node, std::string& language) {
  if (node.kind == Node::Kind::kString && IsLanguage(node.text)) {
    language = node.text;
  } else {
    reader.Wrong(node, "a language, such as \"en\" or \"af-ZA\"");
  }
}

void ReadProtocols(PolicyReader& reader, const TomlNode& node, ProtocolOptions& options) {
  if (reader.Table(node)) {
    reader.Fields<ProtocolOptions>(node, kFields, options);
    CheckTexts(reader, node, options);
  }
}

std::vector<std::string_view> ProtocolKeys(std::string_view table) {
  return table == "protocols" ? NamesOf(kFields)
         : table == "text"    ? NamesOf(kTextFields)
                              : NamesOf(kAccessFields);
}

}  // namespace hosting
