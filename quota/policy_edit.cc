#include "quota/policy_edit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "quota/descriptor.h"
#include "quota/policy_reader.h"
#include "quota/policy_toml.h"
#include "storage/status_macros.h"

namespace hosting {
namespace {

Status Refusal(const ParsedPolicy& parsed, const std::string& when) {
  return Status(Code::kInvalid, "the policy has problems" + when + ": " +
                                    FormatProblem("line", parsed.problems[0]));
}

Account* Find(Policy& policy, const std::string& name) {
  const auto found = std::find_if(policy.accounts.begin(), policy.accounts.end(),
                                  [&](const Account& account) { return account.name == name; });
  return found == policy.accounts.end() ? nullptr : &*found;
}

// Behind the string that begins at `at` with its quote; npos: there is none.
size_t EndOfString(std::string_view text, size_t at) {
  const char quote = at < text.size() ? text[at] : '\0';
  if (quote != '"' && quote != '\'') {
    return std::string_view::npos;
  }
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

std::string Literal(std::string_view value) {
  std::string literal = "\"";
  for (const char c : value) {
    literal += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return literal + "\"";
}

// Where the account's package stands.
Result<std::pair<size_t, size_t>> PlaceOf(std::string_view text, const std::string& account) {
  Problems problems(text);
  const TomlDocument document(text, problems);
  const TomlNode* node = &document.root();
  for (const std::string_view key :
       {std::string_view("account"), std::string_view(account), std::string_view("package")}) {
    node = node == nullptr ? nullptr : ChildOf(*node, key);
  }
  const size_t begin = node == nullptr ? text.size() : node->value_offset;
  const size_t end = EndOfString(text, begin);
  if (end == std::string_view::npos) {
    return Status(Code::kNotFound, "the policy has no package of account " + account);
  }
  return std::pair{begin, end};
}

}  // namespace

Result<std::string> WithPackage(std::string_view text, const std::string& account,
                                const std::string& package, const PolicyNames& names) {
  ParsedPolicy before = ParsePolicy(text, names);
  if (!before.problems.empty()) {
    return Refusal(before, "");
  }
  Account* const wanted = Find(before.policy, account);
  if (wanted == nullptr) {
    return Status(Code::kNotFound, "the policy has no account " + account);
  }
  if (std::none_of(before.policy.packages.begin(), before.policy.packages.end(),
                   [&](const Package& each) { return each.name == package; })) {
    return Status(Code::kNotFound, "the policy has no package " + package);
  }
  if (wanted->package == package) {
    return std::string(text);
  }
  LBOX_ASSIGN_OR_RETURN(const auto place, PlaceOf(text, account));
  std::string changed(text);
  changed.replace(place.first, place.second - place.first, Literal(package));
  // Whatever the text looks like: nothing else may have become different.
  wanted->package = package;
  const ParsedPolicy after = ParsePolicy(changed, names);
  if (!after.problems.empty()) {
    return Refusal(after, " with the new package");
  }
  if (!(after.policy == before.policy)) {
    return Status(Code::kInvalid, "the package of account " + account +
                                      " cannot be changed without changing something else");
  }
  return changed;
}

Status ReplaceFile(const std::string& path, std::string_view text) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) {
    return Status::FromErrno("finding " + path, errno);
  }
  const std::string target = resolved;
  const std::string temporary = target + ".new";
  const std::string folder = target.substr(0, target.rfind('/') + 1);
  struct stat info {};
  if (stat(target.c_str(), &info) < 0) {
    return Status::FromErrno("looking at " + target, errno);
  }
  unlink(temporary.c_str());
  Descriptor file(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid() ||
      write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fchown(file.get(), info.st_uid, info.st_gid) < 0 ||
      fchmod(file.get(), info.st_mode & 07777) < 0 || fsync(file.get()) < 0 ||
      rename(temporary.c_str(), target.c_str()) < 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return Status::FromErrno("writing " + target, error);
  }
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Durable after this: the new content under its name.
  return directory.valid() && fsync(directory.get()) == 0
             ? Status()
             : Status::FromErrno("flushing " + folder, errno);
}

}  // namespace hosting
