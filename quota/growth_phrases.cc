#include "quota/growth_phrases.h"

#include <algorithm>

namespace hosting {
namespace {

using Phrases = std::array<std::string_view, kGrowthPhrases>;

// In the order of GrowthPhrase.
constexpr Phrases kEnglish = {
    "{account}: no space is left",
    "{account} uses {percent}% of its space",
    "{account} will be full on {full_on}",
    "{account} is growing by more than {threshold}% a week",
    "{account}: additional space will cost {price} this month",
    "{account} uses {used} of {limit} ({percent}%) in the package {package}: mail {mail}, "
    "web {web}, other {other}.",
    "{account} uses {used} in the package {package}: mail {mail}, web {web}, other {other}.",
    "The limit is reached.",
    "At this rate it will be full on {full_on} (days left: {days}).",
    "It has been growing by {growth} a day.",
    "Of the mail of the last four weeks, {kept}% is still on the server.",
    "This month is expected to end {overage} above the limit, which will cost {price}.",
    "The largest folders of {user}:",
    "What takes the most space:",
    "What you can do:",
    "Delete what you no longer need, and empty the trash: mail counts until then.",
    "Fetch mail by POP3 ({pop3_host}, port {pop3_port}), and have your program delete it from the "
    "server.",
    "Take a larger package: {upgrade_url}",
    "A program has written this message. Nobody reads answers to it.",
    "{account} is full: {used} of {limit}.",
    "{account} uses {used} ({percent}% of {limit}).",
    "At this rate it is full on {full_on}.",
    "Expected cost this month: {price}.",
    "Delete mail or use POP3.",
    "Upgrade: {upgrade_url}",
};

constexpr Phrases kGerman = {
    "{account}: kein Speicherplatz mehr frei",
    "{account} belegt {percent} % des Speicherplatzes",
    "{account} ist am {full_on} voll",
    "{account} wächst um mehr als {threshold} % in der Woche",
    "{account}: zusätzlicher Speicherplatz kostet in diesem Monat {price}",
    "{account} belegt {used} von {limit} ({percent} %) im Paket {package}: E-Mail {mail}, "
    "Web {web}, Sonstiges {other}.",
    "{account} belegt {used} im Paket {package}: E-Mail {mail}, Web {web}, Sonstiges {other}.",
    "Die Grenze ist erreicht.",
    "Geht es so weiter, ist am {full_on} kein Platz mehr (verbleibende Tage: {days}).",
    "Täglich kommen {growth} hinzu.",
    "Von den E-Mails der letzten vier Wochen liegen noch {kept} % auf dem Server.",
    "Am Ende dieses Monats werden es voraussichtlich {overage} über der Grenze sein. Das kostet "
    "{price}.",
    "Die größten Ordner von {user}:",
    "Was den meisten Platz belegt:",
    "Was Sie tun können:",
    "Löschen Sie, was Sie nicht mehr brauchen, und leeren Sie den Papierkorb: bis dahin zählt es.",
    "Holen Sie E-Mails mit POP3 ab ({pop3_host}, Port {pop3_port}) und lassen Sie sie dabei vom "
    "Server löschen.",
    "Wählen Sie ein größeres Paket: {upgrade_url}",
    "Diese Nachricht hat ein Programm geschrieben. Antworten liest niemand.",
    "{account} ist voll: {used} von {limit}.",
    "{account} belegt {used} ({percent} % von {limit}).",
    "So ist am {full_on} kein Platz mehr.",
    "Voraussichtliche Kosten in diesem Monat: {price}.",
    "E-Mails loeschen oder POP3 verwenden.",
    "Mehr Platz: {upgrade_url}",
};

constexpr struct {
  std::string_view language;
  const Phrases& phrases;
} kBuiltIn[] = {{"en", kEnglish}, {"de", kGerman}};

std::string_view Find(std::span<const GrowthTexts> texts, std::string_view language,
                      GrowthPhrase phrase) {
  for (const GrowthTexts& text : texts) {
    if (text.language == language && !text.phrases[phrase].empty()) {
      return text.phrases[phrase];
    }
  }
  for (const auto& built_in : kBuiltIn) {
    if (built_in.language == language) {
      return built_in.phrases[phrase];
    }
  }
  return {};
}

}  // namespace

std::string_view PhraseOf(std::span<const GrowthTexts> texts, std::string_view language,
                          GrowthPhrase phrase) {
  for (const std::string_view candidate :
       {language, language.substr(0, language.find('-')), std::string_view("en")}) {
    if (const std::string_view found = Find(texts, candidate, phrase); !found.empty()) {
      return found;
    }
  }
  return kEnglish[phrase];
}

std::vector<std::string_view> BuiltInLanguages() {
  std::vector<std::string_view> languages;
  for (const auto& built_in : kBuiltIn) {
    languages.push_back(built_in.language);
  }
  return languages;
}

}  // namespace hosting
