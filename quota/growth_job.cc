#include "quota/growth_job.h"

#include "quota/growth_rules.h"
#include "quota/growth_wire.h"

namespace hosting {
namespace {

GrowthWarning WarningOf(const wire::WarnJob& job) {
  GrowthWarning warning;
  return Take(job.task().warning(), &warning) ? warning : GrowthWarning();
}

}  // namespace

GrowthMail MailOf(const wire::WarnJob& job, const std::string& host,
                  const std::vector<GrowthItem>& folders) {
  const GrowthWarning warning = WarningOf(job);
  GrowthReader reader;
  reader.language = job.language();
  reader.pop3_host = job.pop3_host();
  reader.pop3_port = job.pop3_port();
  reader.upgrade_url = job.upgrade_url();
  if (job.phrases_size() == kGrowthPhrases) {
    GrowthTexts& texts = reader.texts.emplace_back();
    texts.language = job.language();
    std::copy(job.phrases().begin(), job.phrases().end(), texts.phrases.begin());
  }
  if (job.task().contact()) {
    for (const wire::WarnItem& item : job.largest()) {
      reader.largest.push_back({item.name(), item.bytes()});
    }
  } else {
    reader.user = job.task().recipient();
    reader.largest = folders;
  }
  GrowthMail mail;
  mail.to = job.task().recipient();
  const std::string domain = DomainOf(mail.to, host);
  mail.from = job.from().empty() ? "postmaster@" + domain : job.from();
  mail.id = GrowthMessageId(warning, mail.to, DomainOf(mail.from, domain));
  mail.at = warning.at;
  mail.text = WriteGrowthText(warning, reader);
  return mail;
}

std::vector<std::string> ScriptArguments(const wire::WarnJob& job, const std::string& script) {
  std::vector<std::string> arguments = {script};
  const auto fields = GrowthFields(WarningOf(job));
  for (const char* const wanted : {"account", "rule", "level", "percent"}) {
    for (const auto& [name, value] : fields) {
      if (name == wanted) {
        arguments.push_back(value);
      }
    }
  }
  return arguments;
}

std::vector<std::string> ScriptEnvironment(const wire::WarnJob& job) {
  std::vector<std::string> environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
  for (const auto& [name, value] : GrowthFields(WarningOf(job))) {
    std::string variable = "HOSTING_";
    for (const char c : name) {
      variable += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    environment.push_back(variable.append("=").append(value));
  }
  return environment;
}

}  // namespace hosting
