#include "quota/web_walk.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "quota/web_roots.h"

namespace hosting {
namespace {

constexpr size_t kBufferBytes = 128 * 1024;  // of names a call; docs/web.md has figures

std::string Reason(int error) {
  return std::generic_category().message(error);
}

// The file is not there any more, or is no directory (any more).
bool Gone(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE;
}

bool Has(int directory, const char* name) {
  FileFacts facts;
  return ReadFacts(directory, name, &facts) == 0;
}

// What only a mail store of lbox, Maildir or dbox has. Asked of directories that belong to a mail
// uid, so to nobody who could gain by it.
bool LooksLikeMailStore(int directory) {
  const auto has = [&](const char* name) { return Has(directory, name); };
  return (has("CURRENT") && has("lock") && has("p")) ||  // lbox
         (has("cur") && has("new") && has("tmp")) ||     // Maildir
         has("dovecot.index.log") || has("dovecot.list.index.log") ||
         has("dovecot.map.index.log") || has("dbox-Mails");
}

}  // namespace

WebWalk::WebWalk(std::string root, WebWalkOptions options, SeenFiles* seen)
    : root_(std::move(root)), options_(std::move(options)), seen_(seen), buffer_(kBufferBytes) {}

bool WebWalk::Step(uint64_t entries, WalkTime now) {
  if (state_ == State::kNew) {
    began_ = now;
    state_ = State::kWalking;
    Begin();
  }
  const uint64_t end = entries_ + std::max<uint64_t>(entries, 1);
  // Directories count as an entry each when they are entered too: opening one costs about as much.
  while (!levels_.empty() && !stopped_ && entries_ < end) {
    if (entries_ > options_.max_entries) {
      Problem("", "more than " + std::to_string(options_.max_entries) + " entries");
      stopped_ = true;
    } else if (now - began_ > options_.max_time) {
      Problem("", "took longer than " + std::to_string(options_.max_time.count()) + " s");
      stopped_ = true;
    } else {
      Advance();
    }
  }
  if (state_ == State::kWalking && (levels_.empty() || stopped_)) {
    Finish(now);
  }
  return done();
}

void WebWalk::Begin() {
  result_.complete = true;
  Descriptor fd;
  int error = OpenPath(root_, OpenFor::kListing, options_.resolve, &fd);
  if (error == 0) {
    error = ReadFacts(fd.get(), "", &root_facts_);
  }
  if (error != 0) {
    Problem("", error == ELOOP || error == ENOTDIR
                    ? "is, or is reached through, a symbolic link or a file"
                    : Reason(error));
    return;
  }
  if (options_.owner && root_facts_.uid != *options_.owner) {
    Problem("", "belongs to uid " + std::to_string(root_facts_.uid) + ", not to the account's " +
                    std::to_string(*options_.owner));
    return;
  }
  if (options_.roots != nullptr) {
    const std::string conflict = options_.roots->ConflictAbove(fd.get(), options_.account);
    if (!conflict.empty()) {
      Problem("", conflict);
      return;
    }
    const std::string first = options_.roots->FirstPath(root_facts_.id, options_.account);
    if (!first.empty() && first != root_) {
      return;  // the same directory under another path, which counts it
    }
  }
  for (const std::string& path : options_.exclude) {
    const std::string absolute = !path.empty() && path[0] == '/' ? path : root_ + "/" + path;
    Descriptor folder;
    FileFacts facts;
    if (OpenPath(absolute, OpenFor::kPassing, options_.resolve, &folder) == 0 &&
        ReadFacts(folder.get(), "", &facts) == 0 && facts.id != root_facts_.id) {
      exclude_.insert(facts.id);
    }
  }
  Enter(std::move(fd), root_facts_, "");
}

// A root that was replaced meanwhile (a deployment by rename) was not counted.
void WebWalk::CheckRootStillThere() {
  Descriptor fd;
  FileFacts facts;
  if (OpenPath(root_, OpenFor::kPassing, options_.resolve, &fd) != 0 ||
      ReadFacts(fd.get(), "", &facts) != 0 || facts.id != root_facts_.id) {
    Problem("", "was removed or replaced while it was counted");
  }
}

void WebWalk::Finish(WalkTime now) {
  levels_.clear();
  pending_.clear();
  if (result_.complete) {
    CheckRootStillThere();
  }
  result_.milliseconds = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now - began_).count());
  buffer_ = {};
  listing_ = {};
  exclude_.clear();
  state_ = State::kDone;
}

void WebWalk::Advance() {
  if (next_ < listing_.size()) {
    ++entries_;
    LookAt(listing_[next_++]);
  } else if (!listed_) {
    listed_ = !ReadNames();
  } else if (pending_.size() > levels_.back().first_pending) {
    Descend();
  } else {
    Leave();
  }
}

// False: there are no more.
bool WebWalk::ReadNames() {
  listing_.clear();
  next_ = 0;
  const long got = syscall(SYS_getdents64, levels_.back().fd.get(), buffer_.data(), buffer_.size());
  if (got < 0) {
    Lost("", errno);
    return false;
  }
  for (long at = 0; at < got;) {
    // The kernel's struct linux_dirent64 has the layout of glibc's dirent64.
    const auto* entry = reinterpret_cast<const struct dirent64*>(buffer_.data() + at);
    at += entry->d_reclen;
    const std::string_view name(entry->d_name);
    if (name != "." && name != "..") {
      listing_.push_back({entry->d_ino, entry->d_name});
    }
  }
  // In the order in which inodes lie on the disk.
  std::sort(listing_.begin(), listing_.end(),
            [](const Entry& a, const Entry& b) { return a.inode < b.inode; });
  return got > 0;
}

void WebWalk::LookAt(const Entry& entry) {
  FileFacts facts;
  const int error = ReadFacts(levels_.back().fd.get(), entry.name, &facts);
  if (error != 0) {
    Lost(entry.name, error);
  } else if (!facts.same_mount(root_facts_)) {
    ++result_.left_out;
  } else if (facts.is_directory()) {
    Postpone(entry.name, facts.id.inode);
  } else {
    Count(facts);
  }
}

void WebWalk::Count(const FileFacts& facts) {
  if (facts.links > 1 && !facts.is_directory()) {
    const SeenFiles::Answer answer = seen_->Insert(facts.id);
    if (answer == SeenFiles::Answer::kSeen) {
      ++result_.hard_links;
      return;
    }
    if (answer == SeenFiles::Answer::kFull) {
      Problem("", "more than " + std::to_string(seen_->size()) + " files with several names");
    }
  }
  result_.allocated += facts.allocated;
  if (facts.is_directory()) {
    ++result_.directories;
  } else {
    ++result_.files;
    result_.apparent += S_ISREG(facts.mode) ? facts.size : 0;
  }
}

void WebWalk::Postpone(const char* name, uint64_t inode) {
  if (levels_.size() > options_.max_depth) {
    Problem(name, "lies deeper than " + std::to_string(options_.max_depth) + " directories");
    return;
  }
  pending_bytes_ += sizeof(Pending) + strlen(name);
  if (pending_bytes_ > options_.max_pending) {
    Problem("", "too many directories beside each other");
    stopped_ = true;
    return;
  }
  pending_.push_back({name, inode});
}

void WebWalk::Descend() {
  const Pending next = std::move(pending_.back());
  pending_.pop_back();
  pending_bytes_ -= sizeof(Pending) + next.name.size();
  ++entries_;

  Descriptor fd;
  FileFacts facts;
  int error = OpenBelow(levels_.back().fd.get(), next.name.c_str(), OpenFor::kListing, &fd);
  if (error == 0) {
    error = ReadFacts(fd.get(), "", &facts);
  }
  if (error != 0) {
    Lost(next.name, error);
  } else if (LeftOut(fd, facts, next.name)) {
    ++result_.left_out;
  } else {
    Enter(std::move(fd), facts, next.name);
  }
}

bool WebWalk::LeftOut(const Descriptor& fd, const FileFacts& facts, const std::string& name) {
  if (!facts.same_mount(root_facts_) || exclude_.count(facts.id) != 0) {
    return true;
  }
  if (options_.roots != nullptr) {
    const RootIndex::Meeting met = options_.roots->Meet(facts.id, options_.account);
    if (!met.conflict.empty()) {
      Problem(name, met.conflict);
    }
    if (met.known) {
      return true;
    }
  }
  const std::vector<uint32_t>& uids = options_.mail_uids;
  return std::find(uids.begin(), uids.end(), facts.uid) != uids.end() &&
         LooksLikeMailStore(fd.get());
}

void WebWalk::Enter(Descriptor fd, const FileFacts& facts, std::string name) {
  Count(facts);
  levels_.push_back({std::move(fd), facts.id, std::move(name), pending_.size()});
  listing_.clear();
  next_ = 0;
  listed_ = false;
  CloseFarAbove();
}

void WebWalk::CloseFarAbove() {
  while (levels_.size() - first_open_ > kOpenDirectories) {
    levels_[first_open_++].fd.Reset();
  }
}

void WebWalk::Leave() {
  const Level left = std::move(levels_.back());
  levels_.pop_back();
  first_open_ = std::min(first_open_, std::max<size_t>(levels_.size(), 1));
  if (levels_.empty() || levels_.back().fd.valid()) {
    return;
  }
  // Its names have been read; from now on it is only looked up in.
  Level& above = levels_.back();
  FileFacts facts;
  int error = OpenBelow(left.fd.get(), "..", OpenFor::kPassing, &above.fd);
  if (error == 0) {
    error = ReadFacts(above.fd.get(), "", &facts);
  }
  if (error == 0 && facts.id == above.id) {
    first_open_ = levels_.size() - 1;
    return;
  }
  // Where the levels above are now, nobody knows.
  Problem(left.name, error != 0 ? Reason(error) : "was moved while it was counted");
  stopped_ = true;
}

std::string WebWalk::PathOf(std::string_view name) const {
  std::string path = root_;
  for (size_t i = 1; i < levels_.size(); ++i) {
    path += "/" + levels_[i].name;
  }
  if (!name.empty()) {
    path += "/";
    path += name;
  }
  return path;
}

void WebWalk::Problem(std::string_view name, std::string_view reason) {
  if (result_.complete) {
    // The reason is kept whole; of a long path, both ends.
    const std::string text = ": " + Printable(reason, kProblemBytes / 2);
    result_.problem = Printable(PathOf(name), kProblemBytes - text.size()) + text;
  }
  result_.complete = false;
}

void WebWalk::Lost(std::string_view name, int error) {
  if (Gone(error)) {
    ++result_.vanished;
  } else {
    Problem(name, Reason(error));
  }
}

}  // namespace hosting
