#include "quota/policy_warnings.h"

#include <algorithm>

#include "quota/policy_protocols.h"
#include "quota/protocol_text.h"

namespace hosting {
namespace {

using Reader = PolicyReader;
using Node = TomlNode;

constexpr size_t kMaxAddress = 254;

bool IsAtomCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-/=?^_`{|}~").find(c) != std::string_view::npos;
}

// Words of atom characters with single dots between them (RFC 5322, 3.2.3).
bool IsDotAtom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.' ||
      text.find("..") != std::string_view::npos) {
    return false;
  }
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '.' || IsAtomCharacter(c); });
}

std::string WrongPhrase(const Node& n, GrowthPhrase phrase, size_t* at) {
  *at = 0;
  if (n.kind != Node::Kind::kString || n.text.empty() || n.text.size() > kMaxGrowthPhrase ||
      !IsPrintable(n.text)) {
    return "expected a line of text, at most " + std::to_string(kMaxGrowthPhrase) + " bytes";
  }
  if (IsAlertPhrase(phrase)) {
    return CheckTemplate(n.text, kGrowthValues, at);
  }
  for (const std::string& name : NamesIn(n.text)) {
    if (std::find(kGrowthValues.begin(), kGrowthValues.end(), name) == kGrowthValues.end()) {
      return "expected a known value in braces, found {" + name + "}";
    }
  }
  return "";
}

void ReadLanguageTexts(Reader& r, const Node& n, GrowthTexts& texts) {
  for (const Node* each = n.first; each != nullptr; each = each->next) {
    const auto* const name =
        std::find(kGrowthPhraseNames.begin(), kGrowthPhraseNames.end(), each->key);
    if (name == kGrowthPhraseNames.end()) {
      const std::vector<std::string_view> known(kGrowthPhraseNames.begin(),
                                                kGrowthPhraseNames.end());
      r.Unknown(*each, known);
      continue;
    }
    const auto phrase = static_cast<GrowthPhrase>(name - kGrowthPhraseNames.begin());
    size_t at = 0;
    if (const std::string wrong = WrongPhrase(*each, phrase, &at); !wrong.empty()) {
      r.Tell(*each, wrong + " in " + std::string(each->key));
    } else {
      texts.phrases[phrase] = each->text;
    }
  }
}

void ReadTexts(Reader& r, const Node& n, WarningOptions& options) {
  if (!r.Table(n)) {
    return;
  }
  for (const Node* each = n.first; each != nullptr; each = each->next) {
    GrowthTexts texts;
    texts.language = each->key;
    if (!IsLanguage(each->key)) {
      r.TellAtKey(*each, "expected a language, such as en or af-ZA");
    } else if (r.Table(*each)) {
      ReadLanguageTexts(r, *each, texts);
      options.texts.push_back(std::move(texts));
    }
  }
  std::sort(options.texts.begin(), options.texts.end(),
            [](const GrowthTexts& a, const GrowthTexts& b) { return a.language < b.language; });
}

constexpr PolicyField<WarningOptions> kFields[] = {
    {"from", [](Reader& r, const Node& n, WarningOptions& o) { ReadAddress(r, n, o.from); }},
    {"text", ReadTexts},
};

}  // namespace

bool IsPlainAddress(std::string_view text) {
  const size_t at = text.find('@');
  return text.size() <= kMaxAddress && at != std::string_view::npos &&
         IsDotAtom(text.substr(0, at)) && IsDotAtom(text.substr(at + 1)) &&
         text.find_first_of("!#$%&'*+/=?^_`{|}~", at + 1) == std::string_view::npos;
}

void ReadAddress(PolicyReader& reader, const TomlNode& node, std::string& address) {
  if (node.kind == Node::Kind::kString && IsPlainAddress(node.text)) {
    address = node.text;
  } else {
    reader.Wrong(node, "a mail address, such as \"ann@example.com\"");
  }
}

void ReadWarnings(PolicyReader& reader, const TomlNode& node, WarningOptions& options) {
  if (reader.Table(node)) {
    reader.Fields<WarningOptions>(node, kFields, options);
  }
}

std::vector<std::string_view> WarningKeys(std::string_view table) {
  if (table == "warnings.text") {
    return {kGrowthPhraseNames.begin(), kGrowthPhraseNames.end()};
  }
  std::vector<std::string_view> names;
  for (const auto& field : kFields) {
    names.push_back(field.name);
  }
  return names;
}

}  // namespace hosting
