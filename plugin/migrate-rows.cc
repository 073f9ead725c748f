#include "plugin/migrate-rows.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>

#include "plugin/migrate-child.h"
#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

constexpr size_t kMaxTexts = 20;
constexpr size_t kReadSize = 1 << 16;

enum BoxField { kName, kBoxGuid, kUidValidity, kUidNext, kMessages, kBoxFields };
enum MailField { kUid, kGuid, kUidl, kReceived, kFlags, kKeywords, kSize, kHash, kMailFields };

constexpr std::array<const char*, kMailFields> kMailTitles = {
    "UID", "GUID", "POP3 UIDL", "received date", "flags", "keywords", "size", "hash"};

size_t FieldsOf(char kind) {
  switch (kind) {
    case 'U':
      return 5;
    case 'B':
      return kBoxFields;
    case 'M':
      return kMailFields;
    case 'S':
      return 1;
    default:
      return 0;
  }
}

uint32_t Uid(const Row& row) {
  return static_cast<uint32_t>(ToNumber(row.fields[kUid]).value_or(0));
}

// Where a row belongs in the order of the list, for rows of one kind.
std::string_view NameOf(const Row& row) {
  return row.fields[0];
}

class Comparer {
 public:
  Comparer(RowReader& source, RowReader& copy, Strictness strictness, const Uids& known)
      : source_(source), copy_(copy), all_(strictness == Strictness::kAll), known_(known) {}

  Comparison Run() {
    SkipUser(source_);
    SkipUser(copy_);
    Merge('B', [this] { Boxes(); });
    Merge('S', [] {});
    result_.complete = source_.complete() && copy_.complete();
    return std::move(result_);
  }

 private:
  static void SkipUser(RowReader& rows) {
    if (rows.row().kind == 'U') {
      rows.Next();
    }
  }

  // Goes through the rows of a kind on both sides, by name; same() for those on both, which goes on
  // from there.
  template <typename Same>
  void Merge(char kind, const Same& same) {
    for (;;) {
      const bool here = source_.row().kind == kind, there = copy_.row().kind == kind;
      if (!here && !there) {
        return;
      }
      const int order = !here    ? 1
                        : !there ? -1
                                 : NameOf(source_.row()).compare(NameOf(copy_.row()));
      if (order == 0) {
        const std::string guid = kind == 'B' ? source_.row().fields[kBoxGuid] : "";
        if (kind == 'B') {
          BeginBox();
        }
        if (kind != 'B' || copy_.row().fields[kBoxGuid] == guid || all_) {
          source_.Next();
          copy_.Next();
          same();
        } else {
          SkipBox(source_, true);
          SkipBox(copy_, false);
        }
      } else {
        OnlyIn(order < 0 ? source_ : copy_, kind, order < 0);
      }
    }
  }

  void OnlyIn(RowReader& rows, char kind, bool source) {
    const std::string name(NameOf(rows.row()));
    if (all_) {
      result_.differences.Add((kind == 'B' ? "mailbox " : "subscription ") + name +
                              (source ? ": missing in the copy" : ": only in the copy"));
    }
    if (kind == 'B') {
      if (source) {
        Remember(rows.row());
      }
      SkipBox(rows, source);
    } else {
      rows.Next();
    }
  }

  void SkipBox(RowReader& rows, bool source) {
    rows.Next();
    while (rows.row().kind == 'M') {
      result_.messages += source ? 1 : 0;
      rows.Next();
    }
  }

  void Remember(const Row& box) {
    result_.next[box.fields[kBoxGuid]] =
        static_cast<uint32_t>(ToNumber(box.fields[kUidNext]).value_or(0));
  }

  void BeginBox() {
    const Row &here = source_.row(), &there = copy_.row();
    Remember(here);
    name_ = here.fields[kName];
    guid_ = here.fields[kBoxGuid];
    if (!all_) {
      return;
    }
    const auto differ = [&](size_t field, const char* title) {
      if (here.fields[field] != there.fields[field]) {
        result_.differences.Add("mailbox " + name_ + ": " + title + " " + here.fields[field] +
                                ", in the copy " + there.fields[field]);
      }
    };
    differ(kBoxGuid, "GUID");
    differ(kUidValidity, "UIDVALIDITY");
    differ(kMessages, "messages");
    if (ToNumber(there.fields[kUidNext]) < ToNumber(here.fields[kUidNext])) {
      differ(kUidNext, "UIDNEXT");
    }
  }

  // The messages of a mailbox that both have.
  void Boxes() {
    const auto known = known_.find(guid_);
    uint32_t verified = known == known_.end() ? 0 : known->second;
    const uint32_t known_uid = verified;
    bool gap = false;
    while (source_.row().kind == 'M' || copy_.row().kind == 'M') {
      const uint32_t here = source_.row().kind == 'M' ? Uid(source_.row()) : UINT32_MAX;
      const uint32_t there = copy_.row().kind == 'M' ? Uid(copy_.row()) : UINT32_MAX;
      if (here == there) {
        gap |= !Mails(known_uid);
        source_.Next();
        copy_.Next();
      } else if (here < there) {
        gap = true;
        OnlyMail(here, "missing in the copy");
        source_.Next();
      } else {
        OnlyMail(there, "only in the copy");
        copy_.Next();
        continue;
      }
      ++result_.messages;
      if (!gap) {
        verified = std::max(verified, here);
      }
    }
    result_.verified[guid_] = verified;
  }

  void OnlyMail(uint32_t uid, const char* where) {
    if (all_) {
      result_.differences.Add("mailbox " + name_ + ", UID " + std::to_string(uid) + ": " + where);
    }
  }

  bool Mails(uint32_t known_uid) {
    const Row &here = source_.row(), &there = copy_.row();
    const bool read = here.fields[kHash] != "-" && there.fields[kHash] != "-";
    bool same = true;
    for (size_t field = kGuid; field < kMailFields; ++field) {
      const bool may_change = field == kFlags || field == kKeywords;
      const bool body = field == kSize || field == kHash;
      if (here.fields[field] == there.fields[field] || (may_change && !all_) || (body && !read)) {
        continue;
      }
      same = false;
      result_.differences.Add("mailbox " + name_ + ", UID " + here.fields[kUid] + ": " +
                              kMailTitles[field] + " \"" + here.fields[field] +
                              "\", in the copy \"" + there.fields[field] + "\"");
    }
    if (read) {
      ++result_.bodies;
      result_.bytes += ToNumber(here.fields[kSize]).value_or(0);
    } else if (Uid(here) > known_uid) {
      same = false;
      result_.differences.Add("mailbox " + name_ + ", UID " + here.fields[kUid] +
                              ": the body was not read");
    }
    return same;
  }

  RowReader &source_, &copy_;
  const bool all_;
  const Uids& known_;
  Comparison result_;
  std::string name_, guid_;  // of the mailbox at hand
};

}  // namespace

std::optional<std::string> LineReader::Next() {
  for (;;) {
    const size_t end = buffer_.find('\n', begin_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(begin_, end - begin_);
      begin_ = end + 1;
      return line;
    }
    buffer_.erase(0, begin_);
    begin_ = 0;
    const size_t had = buffer_.size();
    buffer_.resize(had + kReadSize);
    const ssize_t got = read(input_, buffer_.data() + had, kReadSize);
    buffer_.resize(had + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == 0 || (got < 0 && (errno != EINTR || StopRequested()))) {
      return std::nullopt;
    }
  }
}

RowReader::RowReader(int input) : lines_(input) {
  Next();
}

void RowReader::Next() {
  const auto line = lines_.Next();
  row_ = Row();
  if (!line || line->empty()) {
    return;
  }
  std::vector<std::string> fields = SplitFields(*line);
  const char kind = fields[0].size() == 1 ? fields[0][0] : '?';
  fields.erase(fields.begin());
  if (kind == 'E') {
    complete_ = true;
  } else if (FieldsOf(kind) != 0 && fields.size() == FieldsOf(kind)) {
    row_.kind = kind;
    row_.fields = std::move(fields);
  }  // else it ends here, incomplete
}

void Differences::Add(std::string text) {
  ++count;
  if (texts.size() < kMaxTexts) {
    texts.push_back(std::move(text));
  }
}

Comparison Compare(RowReader& source, RowReader& copy, Strictness strictness, const Uids& known) {
  return Comparer(source, copy, strictness, known).Run();
}

std::string KnownLines(const Uids& verified) {
  std::string lines;
  for (const auto& [guid, uid] : verified) {
    lines += guid + "\t" + std::to_string(uid) + "\n";
  }
  return lines;
}

std::vector<std::string> Grown(RowReader& rows, Uids& next) {
  std::vector<std::string> names;
  Uids now;
  for (; rows.row().kind != 'E'; rows.Next()) {
    const Row& row = rows.row();
    if (row.kind != 'B') {
      continue;
    }
    const auto found = next.find(row.fields[kBoxGuid]);
    const uint64_t uid = ToNumber(row.fields[kUidNext]).value_or(0);
    if (found == next.end() ? row.fields[kMessages] != "0" : uid > found->second) {
      names.push_back(row.fields[kName]);
    }
    now[row.fields[kBoxGuid]] = static_cast<uint32_t>(uid);
  }
  next = std::move(now);
  return names;
}

std::set<std::string> Late(RowReader& rows, const Uids& before) {
  std::set<std::string> guids;
  uint64_t next = 0;
  for (; rows.row().kind != 'E'; rows.Next()) {
    const Row& row = rows.row();
    if (row.kind == 'B') {
      const auto found = before.find(row.fields[kBoxGuid]);
      next = found == before.end() ? 0 : found->second;
    } else if (row.kind == 'M' && Uid(row) >= next) {
      guids.insert(row.fields[kGuid]);
    }
  }
  return guids;
}

void RemoveFound(RowReader& rows, std::set<std::string>& guids) {
  for (; rows.row().kind != 'E'; rows.Next()) {
    if (rows.row().kind == 'M') {
      guids.erase(rows.row().fields[kGuid]);
    }
  }
}

}  // namespace lbox::migrate
