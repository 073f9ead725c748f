#include "quota/web_roots.h"

namespace hosting {
namespace {

// More levels than a path can name.
constexpr int kMostLevels = 4096;

bool Identify(const std::string& path, FileId* id) {
  Descriptor fd;
  FileFacts facts;
  if (OpenPath(path, OpenFor::kPassing, Resolve::kBest, &fd) != 0 ||
      ReadFacts(fd.get(), "", &facts) != 0) {
    return false;
  }
  *id = facts.id;
  return true;
}

}  // namespace

RootIndex RootIndex::Of(const Policy& policy) {
  RootIndex index;
  for (const Account& account : policy.accounts) {
    index.Set(account.name, account.web_roots);
  }
  return index;
}

void RootIndex::Set(const std::string& account, const std::vector<std::string>& paths) {
  std::vector<FileId>& ids = of_account_[account];
  for (const FileId& id : ids) {
    const auto at = roots_.find(id);
    if (at != roots_.end()) {
      std::erase_if(at->second, [&](const Root& root) { return root.account == account; });
      if (at->second.empty()) {
        roots_.erase(at);
      }
    }
  }
  ids.clear();
  for (const std::string& path : paths) {
    FileId id;
    if (Identify(path, &id)) {
      ids.push_back(id);
      roots_[id].push_back({account, path});
    }
  }
}

const RootIndex::Root* RootIndex::OfAnother(const FileId& id, std::string_view account) const {
  const auto found = roots_.find(id);
  if (found != roots_.end()) {
    for (const Root& root : found->second) {
      if (root.account != account) {
        return &root;
      }
    }
  }
  return nullptr;
}

RootIndex::Meeting RootIndex::Meet(const FileId& id, std::string_view account) const {
  Meeting meeting;
  meeting.known = roots_.find(id) != roots_.end();
  if (const Root* other = OfAnother(id, account)) {
    meeting.conflict =
        "is the web root " + other->path + " of account " + other->account + " as well";
  }
  return meeting;
}

std::string RootIndex::ConflictAbove(int root, std::string_view account) const {
  Descriptor at;
  FileFacts facts;
  int error = ReadFacts(root, "", &facts);
  for (int level = 0; error == 0 && level < kMostLevels; ++level) {
    if (const Root* other = OfAnother(facts.id, account)) {
      return (level == 0 ? "is the web root " : "lies in the web root ") + other->path +
             " of account " + other->account + (level == 0 ? " as well" : "");
    }
    Descriptor above;
    FileFacts next;
    error = OpenBelow(level == 0 ? root : at.get(), "..", OpenFor::kPassing, &above);
    if (error == 0) {
      error = ReadFacts(above.get(), "", &next);
    }
    if (error == 0 && next.id == facts.id && next.same_mount(facts)) {
      return "";  // "/"
    }
    facts = next;
    at = std::move(above);
  }
  return "";
}

std::string RootIndex::FirstPath(const FileId& id, std::string_view account) const {
  const auto found = roots_.find(id);
  if (found != roots_.end()) {
    for (const Root& root : found->second) {
      if (root.account == account) {
        return root.path;
      }
    }
  }
  return "";
}

}  // namespace hosting
