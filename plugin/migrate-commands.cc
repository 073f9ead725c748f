#include "plugin/migrate-commands.h"

#include <cstdlib>

#include "plugin/migrate-gate.h"
#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

constexpr uint64_t kNoLimit = 0;
constexpr int kBackupTries = 3;
constexpr int kChangedMeanwhile = 2;  // dsync's exit status
// What dsync says when it can neither make the target's INBOX what the source's is, nor delete it.
constexpr char kContradiction[] = "INBOX can't be deleted";
constexpr std::chrono::seconds kShortly{30};  // for what only asks Dovecot's services

std::vector<std::string> Environment() {
  const char* path = getenv("PATH");
  return {std::string("PATH=") + (path != nullptr ? path : "/usr/sbin:/usr/bin:/sbin:/bin")};
}

Status Failed(const std::string& what, const Outcome& outcome) {
  return Status(outcome.stopped ? Code::kAborted : Code::kUnavailable,
                what + ": " + outcome.Describe());
}

}  // namespace

Program Commands::Doveadm(const std::vector<std::string>& options,
                          const std::vector<std::string>& command, uint64_t limit) const {
  Program program;
  program.arguments = {tools_.doveadm, "-c", tools_.config};
  program.arguments.insert(program.arguments.end(), options.begin(), options.end());
  program.arguments.insert(program.arguments.end(), command.begin(), command.end());
  program.environment = Environment();
  // 2.3 goes through doveconf, which empties the environment but for this.
  program.environment.push_back(std::string("DOVECOT_PRESERVE_ENVS=PATH ") + kTokenVariable + " " +
                                kIoVariable);
  program.environment.push_back(std::string(kTokenVariable) + "=" + token_);
  if (limit > 0) {
    program.environment.push_back(std::string(kIoVariable) + "=" + std::to_string(limit));
  }
  return program;
}

Program Commands::Rows(const Place& place, const char* what, const Uids* known,
                       uint64_t limit) const {
  Program program = Doveadm(place.AsOwn(tools_.by_driver),
                            {"lbox", "migrate-rows", "-u", user_, "--print", what}, limit);
  if (known != nullptr) {
    program.input = KnownLines(*known);
  }
  return program;
}

Result<Residence> Commands::Where(const Place* place) const {
  Child child(
      Doveadm(place == nullptr ? std::vector<std::string>() : place->AsOwn(tools_.by_driver),
              {"lbox", "migrate-rows", "-u", user_, "--print", "user"}, kNoLimit),
      true);
  RowReader rows(child.output());
  const Row row = rows.row();
  while (rows.row().kind != 'E') {
    rows.Next();
  }
  const Outcome outcome = child.Wait();
  if (!outcome.ok() || !rows.complete() || row.kind != 'U') {
    return Failed("looking where the mail is", outcome);
  }
  Residence residence;
  residence.uid = static_cast<uid_t>(ToNumber(row.fields[0]).value_or(0));
  residence.gid = static_cast<gid_t>(ToNumber(row.fields[1]).value_or(0));
  residence.home = row.fields[2];
  residence.driver = row.fields[3];
  residence.root = row.fields[4];
  if (residence.home.empty()) {
    return Status(Code::kUnsupported, "the userdb gives the user no home folder");
  }
  return residence;
}

Status Commands::Backup(const Place& source, const Place& target, bool limited) const {
  std::vector<std::string> command = {"backup", "-R", "-u", user_};
  const auto other = source.AsOther(tools_.by_driver);
  command.insert(command.end(), other.begin(), other.end());
  Outcome outcome;
  // A mailbox of the target that contradicts the source is deleted by one run and made by the next.
  for (int tries = 0; tries < kBackupTries && !outcome.stopped; ++tries) {
    outcome =
        Run(Doveadm(target.AsOwn(tools_.by_driver), command, limited ? tools_.io_limit : kNoLimit));
    // 2: something has changed meanwhile, which the next pass brings.
    if (outcome.ok() || outcome.exit_code == kChangedMeanwhile) {
      return {};
    }
  }
  const Status failed = Failed("copying (doveadm backup)", outcome);
  return outcome.errors.find(kContradiction) == std::string::npos
             ? failed
             : Status(Code::kCorruption, failed.message());
}

Status Commands::Add(const Place& source, const Place& target, const std::string& mailbox) const {
  std::vector<std::string> command = {"sync", "-1", "-R", "-u", user_, "-m", mailbox};
  const auto other = source.AsOther(tools_.by_driver);
  command.insert(command.end(), other.begin(), other.end());
  const Outcome outcome = Run(Doveadm(target.AsOwn(tools_.by_driver), command, kNoLimit));
  return outcome.ok() || outcome.exit_code == kChangedMeanwhile
             ? Status()
             : Failed("bringing what came late (doveadm sync)", outcome);
}

Result<Comparison> Commands::Compare(const Place& source, const Place& copy, Strictness strictness,
                                     const Uids* known) const {
  const char* what = known == nullptr ? "all" : "new";
  // Two of them at once.
  const uint64_t limit = strictness == Strictness::kFlowing ? (tools_.io_limit + 1) / 2 : kNoLimit;
  Child here(Rows(source, what, known, limit), true);
  Child there(Rows(copy, what, known, limit), true);
  RowReader here_rows(here.output()), there_rows(there.output());
  Comparison result =
      migrate::Compare(here_rows, there_rows, strictness, known == nullptr ? Uids() : *known);
  if (result.complete) {
    const Outcome here_outcome = here.Wait(), there_outcome = there.Wait();
    if (here_outcome.ok() && there_outcome.ok()) {
      return result;
    }
    return Failed("listing messages", here_outcome.ok() ? there_outcome : here_outcome);
  }
  const Outcome outcome = here_rows.complete() ? there.Wait(kShortly) : here.Wait(kShortly);
  return Failed(here_rows.complete() ? "listing the messages of the copy"
                                     : "listing the messages of the source",
                outcome);
}

Result<std::vector<std::string>> Commands::Missing(const Place& source, const Place& copy,
                                                   const Uids& before) const {
  Uids known = before;
  for (auto& [guid, uid] : known) {
    uid -= uid > 0 ? 1 : 0;  // from UIDNEXT to the last one
  }
  Child here(Rows(source, "new", &known, kNoLimit), true);
  RowReader here_rows(here.output());
  std::set<std::string> guids = Late(here_rows, before);
  const Outcome here_outcome = here.Wait();
  Child there(Rows(copy, "new", &known, kNoLimit), true);
  RowReader there_rows(there.output());
  RemoveFound(there_rows, guids);
  const Outcome there_outcome = there.Wait();
  if (!here_rows.complete() || !there_rows.complete() || !here_outcome.ok() ||
      !there_outcome.ok()) {
    return Failed("looking for what came late", here_outcome.ok() ? there_outcome : here_outcome);
  }
  return std::vector<std::string>(guids.begin(), guids.end());
}

Result<std::vector<std::string>> Commands::Grown(const Place& place, Uids& next) const {
  Child child(Rows(place, "boxes", nullptr, kNoLimit), true);
  RowReader rows(child.output());
  std::vector<std::string> names = migrate::Grown(rows, next);
  const Outcome outcome = child.Wait();
  if (!rows.complete() || !outcome.ok()) {
    return Failed("looking for what came late", outcome);
  }
  return names;
}

void Commands::Kick() const {
  // Its exit status tells nothing: there may be nobody.
  (void)Run(Doveadm({}, {"kick", user_}, kNoLimit), kShortly);
}

Status Commands::ForgetLogin() const {
  const Outcome outcome = Run(Doveadm({}, {"auth", "cache", "flush", user_}, kNoLimit), kShortly);
  return outcome.ok() ? Status() : Failed("flushing the auth cache", outcome);
}

Outcome Commands::Hook(const Place& source, const Place& target,
                       std::chrono::milliseconds limit) const {
  Program program;
  program.arguments = {tools_.hook, user_, source.text, target.text};
  program.environment = Environment();
  const std::initializer_list<std::pair<const char*, std::string>> variables = {
      {kTokenVariable, token_},          {"LBOX_USER", user_},
      {"LBOX_FROM", source.text},        {"LBOX_TO", target.text},
      {"LBOX_TO_DRIVER", target.driver}, {"LBOX_TO_PATH", target.path}};
  for (const auto& [name, value] : variables) {
    program.environment.push_back(std::string(name) + "=" + value);
  }
  program.to_its_end = true;
  return Run(program, limit);
}

Status CheckPlugins(const Tools& tools) {
  if (tools.by_driver) {
    return {};
  }
  for (const char* protocol : {"imap", "pop3", "lmtp", "lda"}) {
    Program program;
    program.arguments = {"doveconf",    "-c", tools.config,
                         "-h",          "-f", std::string("protocol=") + protocol,
                         "mail_plugins"};
    program.environment = Environment();
    const Outcome outcome = Run(program, kShortly);
    if (!outcome.ok()) {
      return Failed("reading mail_plugins (doveconf)", outcome);
    }
    const std::string plugins = " " + LastLine(outcome.output) + " ";
    if (plugins.find(" lbox ") == std::string::npos) {
      return Status(Code::kInvalid, std::string("mail_plugins of protocol ") + protocol +
                                        " has no lbox: it would not see that a user is being "
                                        "moved (write $mail_plugins there)");
    }
  }
  return {};
}

Result<std::vector<std::string>> ListUsers(const Tools& tools, const std::string& mask) {
  Program program;
  program.arguments = {tools.doveadm, "-c", tools.config, "user", mask};
  program.environment = Environment();
  Child child(program, true);
  LineReader lines(child.output());
  std::vector<std::string> users;
  while (auto line = lines.Next()) {
    users.push_back(*line);
  }
  const Outcome outcome = child.Wait();
  if (!outcome.ok()) {
    return Failed("listing users (doveadm user '" + mask + "')", outcome);
  }
  return users;
}

}  // namespace lbox::migrate
