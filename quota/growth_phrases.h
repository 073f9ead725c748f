// The sentences that growth warnings are made of, in each language.
//
// Purpose: which there are, what is built in, and which values they may use in braces. The policy's
// [warnings.text.LANGUAGE] replaces them or adds a language (policy_warnings.h). Ownership: values.
// Process and crash rules: none; no I/O.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hosting {

enum GrowthPhrase : uint8_t {
  kSubjectFull,
  kSubjectPercent,
  kSubjectDays,
  kSubjectGrowth,
  kSubjectPrice,
  kSaysUsed,
  kSaysUsedUnlimited,
  kSaysFull,
  kSaysFullOn,
  kSaysGrowing,
  kSaysKept,
  kSaysCost,
  kSaysFolders,
  kSaysMailboxes,
  kSaysTodo,
  kAdviseDelete,
  kAdvisePop3,
  kAdviseUpgrade,
  kSaysFooter,
  kAlertFull,
  kAlertUsed,
  kAlertFullOn,
  kAlertCost,
  kAlertAdvice,
  kAlertUpgrade,
  kGrowthPhrases
};

// As keys of the policy.
constexpr std::array<std::string_view, kGrowthPhrases> kGrowthPhraseNames = {
    "subject_full",   "subject_percent",
    "subject_days",   "subject_growth",
    "subject_price",  "used",
    "used_unlimited", "full",
    "full_on",        "growing",
    "kept",           "cost",
    "folders",        "mailboxes",
    "todo",           "delete",
    "pop3",           "upgrade",
    "footer",         "alert_full",
    "alert_used",     "alert_full_on",
    "alert_cost",     "alert_advice",
    "alert_upgrade"};

// These go into answers of IMAP: printable ASCII.
constexpr bool IsAlertPhrase(GrowthPhrase phrase) {
  return phrase >= kAlertFull;
}

constexpr size_t kMaxGrowthPhrase = 400;  // bytes of UTF-8
constexpr std::array<std::string_view, 20> kGrowthValues = {
    "account", "package",     "user",      "percent",   "used",      "limit",      "mail",
    "web",     "other",       "growth",    "kept",      "days",      "full_on",    "overage",
    "price",   "limit_price", "threshold", "pop3_host", "pop3_port", "upgrade_url"};

// One language's; an empty one is built in, or English.
struct GrowthTexts {
  std::string language;
  std::array<std::string, kGrowthPhrases> phrases;
  friend bool operator==(const GrowthTexts&, const GrowthTexts&) = default;
};

// Of the language, of the language without its region ("de" of "de-AT"), or English; the policy's
// before what is built in.
std::string_view PhraseOf(std::span<const GrowthTexts> texts, std::string_view language,
                          GrowthPhrase phrase);
// The languages that are built in: "en", "de".
std::vector<std::string_view> BuiltInLanguages();

}  // namespace hosting
