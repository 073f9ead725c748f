#include "tests/fault/driver.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <sstream>

#include "storage/status_macros.h"
#include "storage/store_check.h"
#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

uint64_t HashOf(const std::string& text) {
  return std::hash<std::string>()(text);
}

void DescribeBox(std::ostream& out, const std::string& guid, const std::string& name,
                 uint32_t next_uid, uint64_t change) {
  out << "mailbox " << guid << " \"" << name << "\" next UID " << next_uid << " change " << change
      << '\n';
}

void DescribeMessage(std::ostream& out, uint32_t uid, const ModelMessage& message) {
  out << "  " << uid << ' ' << ToHex(message.guid) << " size " << message.size << " hash "
      << message.hash << " flags " << int{message.flags};
  for (const std::string& keyword : message.keywords) {
    out << ' ' << keyword;
  }
  out << " uidl \"" << message.uidl << "\"\n";
}

std::set<std::string> KeywordsOf(const MailboxInfo& info, const Message& message,
                                 const MessageExtra* extra) {
  std::set<std::string> keywords;
  for (uint32_t i = 0; i < 32; i++) {
    if ((message.keyword_bits >> i & 1) != 0) {
      keywords.insert(i < info.keywords.size() ? info.keywords[i] : "?");
    }
  }
  if (extra != nullptr) {
    for (const uint32_t i : extra->keywords) {
      keywords.insert(i < info.keywords.size() ? info.keywords[i] : "?");
    }
  }
  return keywords;
}

}  // namespace

std::string Describe(const Model& model) {
  std::ostringstream out;
  for (const auto& [number, box] : model) {
    DescribeBox(out, ToHex(MakeGuid(static_cast<uint64_t>(number))), box.name, box.next_uid,
                box.change);
    for (const auto& [uid, message] : box.messages) {
      DescribeMessage(out, uid, message);
    }
  }
  return out.str();
}

Result<std::string> Describe(Store& store) {
  LBOX_ASSIGN_OR_RETURN(auto boxes, store.ListMailboxes());
  std::sort(boxes.begin(), boxes.end(),
            [](const auto& a, const auto& b) { return a.guid < b.guid; });
  std::map<uint64_t, uint64_t> hashes;  // of bodies seen, which copies share
  std::ostringstream out;
  for (const MailboxInfo& info : boxes) {
    DescribeBox(out, ToHex(info.guid), info.name, info.next_uid, info.change);
    std::vector<std::pair<Message, ModelMessage>> messages;
    const auto visit = [&](const Message& message, const MessageExtra* extra) {
      messages.emplace_back(message, ModelMessage{message.guid, message.physical_size, 0,
                                                  message.flags, KeywordsOf(info, message, extra),
                                                  extra == nullptr ? "" : extra->pop3_uidl});
      return true;
    };
    LBOX_RETURN_IF_ERROR(store.Scan(info.guid, 1, UINT32_MAX, visit));
    for (auto& [message, described] : messages) {
      const auto [known, fresh] = hashes.emplace(message.body_id, 0);
      if (fresh) {
        LBOX_ASSIGN_OR_RETURN(const std::string text, LoadText(store, info.guid, message.uid));
        known->second = HashOf(text);
      }
      described.hash = known->second;
      DescribeMessage(out, message.uid, described);
    }
  }
  return out.str();
}

Status Driver::Open() {
  LBOX_ASSIGN_OR_RETURN(store_, Store::Open(options_));
  return {};
}

Status Driver::CreateBox(int box) {
  MailboxCreate create;
  create.guid = MakeGuid(static_cast<uint64_t>(box));
  create.name = "Box" + std::to_string(box);
  create.uid_validity = 1000 + static_cast<uint32_t>(box);
  LBOX_RETURN_IF_ERROR(store_->CreateMailbox(create));
  model[box].name = create.name;
  return {};
}

Status Driver::RenameBox(int box, const std::string& name) {
  MailboxUpdate update;
  update.name = name;
  LBOX_RETURN_IF_ERROR(store_->UpdateMailbox(MakeGuid(static_cast<uint64_t>(box)), update));
  model[box].name = name;
  return {};
}

Status Driver::DeleteBox(int box) {
  LBOX_RETURN_IF_ERROR(store_->DeleteMailbox(MakeGuid(static_cast<uint64_t>(box))));
  model.erase(box);
  return {};
}

Status Driver::Deliver(int box, const std::vector<NewMail>& mails) {
  std::vector<std::unique_ptr<StagedBody>> bodies;
  std::vector<NewMessage> messages(mails.size());
  std::vector<ModelMessage> added;
  for (size_t i = 0; i < mails.size(); i++) {
    LBOX_ASSIGN_OR_RETURN(auto staged, Stage(*store_, mails[i].text));
    bodies.push_back(std::move(staged));
    NewMessage& message = messages[i];
    message.staged = bodies.back().get();
    message.guid = MakeGuid(HashOf(mails[i].text));
    message.received = 1700000000;
    message.saved = 1700000001;
    message.flags = mails[i].flags;
    message.keywords = mails[i].keywords;
    message.pop3_uidl = mails[i].uidl;
    message.cause = Cause::kDelivered;
    added.push_back({message.guid,
                     mails[i].text.size(),
                     HashOf(mails[i].text),
                     message.flags,
                     {message.keywords.begin(), message.keywords.end()},
                     message.pop3_uidl});
  }
  attempted = model;
  ModelMailbox& into = attempted[box];
  for (const ModelMessage& message : added) {
    into.messages[into.next_uid++] = message;
  }
  into.change++;
  LBOX_RETURN_IF_ERROR(
      store_->Save(MakeGuid(static_cast<uint64_t>(box)), 1, messages, {}).status());
  model = attempted;
  return {};
}

Status Driver::ApplyOne(int box, const Change& change) {
  return store_->Apply(MakeGuid(static_cast<uint64_t>(box)), {&change, 1}).status();
}

Status Driver::Flag(int box, uint32_t first, uint32_t last, uint8_t add, uint8_t remove) {
  Change change;
  change.uid1 = first;
  change.uid2 = last;
  change.add_flags = add;
  change.remove_flags = remove;
  LBOX_RETURN_IF_ERROR(ApplyOne(box, change));
  bool any = false;
  for (auto& [uid, message] : model[box].messages) {
    if (uid >= first && uid <= last) {
      const auto flags = static_cast<uint8_t>((message.flags & ~remove) | add);
      any |= flags != message.flags;
      message.flags = flags;
    }
  }
  model[box].change += any ? 1 : 0;
  return {};
}

Status Driver::Keyword(int box, uint32_t first, uint32_t last, const std::string& word, bool add) {
  Change change;
  change.kind = add ? Change::Kind::kKeywordAdd : Change::Kind::kKeywordRemove;
  change.uid1 = first;
  change.uid2 = last;
  change.text = word;
  LBOX_RETURN_IF_ERROR(ApplyOne(box, change));
  bool any = false;
  for (auto& [uid, message] : model[box].messages) {
    if (uid >= first && uid <= last) {
      any |= add ? message.keywords.insert(word).second : message.keywords.erase(word) > 0;
    }
  }
  model[box].change += any ? 1 : 0;
  return {};
}

Status Driver::Uidl(int box, uint32_t uid, const std::string& uidl) {
  Change change;
  change.kind = Change::Kind::kPop3Uidl;
  change.uid1 = change.uid2 = uid;
  change.text = uidl;
  LBOX_RETURN_IF_ERROR(ApplyOne(box, change));
  ModelMessage& message = model[box].messages.at(uid);
  model[box].change += message.uidl != uidl ? 1 : 0;
  message.uidl = uidl;
  return {};
}

Status Driver::Retrieve(int box, uint32_t first, uint32_t last, uint32_t time) {
  Change change;
  change.kind = Change::Kind::kRetrieved;
  change.uid1 = first;
  change.uid2 = last;
  change.time = time;
  return ApplyOne(box, change);
}

Status Driver::Copy(int from, uint32_t first, uint32_t last, int to, int times) {
  std::vector<NewMessage> messages;
  std::vector<ModelMessage> added;
  for (const auto& [uid, source] : model[from].messages) {
    for (int i = 0; uid >= first && uid <= last && i < times; i++) {
      NewMessage& message = messages.emplace_back();
      message.source_mailbox = MakeGuid(static_cast<uint64_t>(from));
      message.source_uid = uid;
      message.guid = MakeGuid(HashOf(ToHex(source.guid) + std::to_string(messages.size()) +
                                     std::to_string(model[to].next_uid)));
      message.flags = source.flags;
      message.keywords.assign(source.keywords.begin(), source.keywords.end());
      message.cause = Cause::kCopy;
      added.push_back({message.guid, source.size, source.hash, source.flags, source.keywords, ""});
    }
  }
  LBOX_RETURN_IF_ERROR(store_->Save(MakeGuid(static_cast<uint64_t>(to)), 1, messages, {}).status());
  ModelMailbox& into = model[to];
  for (const ModelMessage& message : added) {
    into.messages[into.next_uid++] = message;
  }
  into.change += added.empty() ? 0 : 1;
  return {};
}

Status Driver::Renumber(int box, uint32_t first, uint32_t last) {
  std::vector<NewMessage> messages;
  ModelMailbox& mailbox = model[box];
  for (const auto& [uid, source] : mailbox.messages) {
    if (uid >= first && uid <= last) {
      NewMessage& message = messages.emplace_back();
      message.source_mailbox = MakeGuid(static_cast<uint64_t>(box));
      message.source_uid = uid;
      message.guid = source.guid;
      message.flags = source.flags;
      message.keywords.assign(source.keywords.begin(), source.keywords.end());
      message.pop3_uidl = source.uidl;
    }
  }
  LBOX_RETURN_IF_ERROR(
      store_->Renumber(MakeGuid(static_cast<uint64_t>(box)), 1, messages).status());
  for (const NewMessage& message : messages) {
    auto moved = mailbox.messages.extract(message.source_uid);
    moved.key() = mailbox.next_uid++;
    mailbox.messages.insert(std::move(moved));
  }
  mailbox.change += messages.empty() ? 0 : 1;
  return {};
}

Status Driver::Expunge(int box, uint32_t first, uint32_t last) {
  LBOX_RETURN_IF_ERROR(ApplyOne(box, ::lbox::testing::Expunge(first, last)));
  ModelMailbox& from = model[box];
  const auto gone = std::erase_if(from.messages, [&](const auto& entry) {
    return entry.first >= first && entry.first <= last;
  });
  from.change += gone > 0 ? 1 : 0;
  return {};
}

Status Driver::Maintain(bool exhaustive) {
  for (int i = 0; i < 100; i++) {
    LBOX_ASSIGN_OR_RETURN(const bool more, store_->Maintain(std::chrono::seconds(10), exhaustive));
    if (!more) {
      return {};
    }
  }
  return Status(Code::kBusy, "Maintain does not come to an end");
}

std::vector<std::string> Driver::Problems(bool bodies) {
  std::vector<std::string> problems;
  const auto said = Describe(*store_);
  if (!said.ok()) {
    problems.push_back("reading all: " + said.status().message());
  } else if (*said != Describe(model)) {
    problems.push_back("the store holds:\n" + *said + "instead of:\n" + Describe(model));
  }
  const auto report = CheckStore(*store_, {true, bodies});
  if (!report.ok()) {
    problems.push_back("checking: " + report.status().message());
  } else {
    problems.insert(problems.end(), report->problems.begin(), report->problems.end());
  }
  return problems;
}

std::vector<std::string> Driver::Leftovers() {
  const auto status = store_->GetStatus();
  if (!status.ok()) {
    return {"asking for the status: " + status.status().message()};
  }
  std::vector<std::string> problems;
  const auto expect = [&](const std::string& directory, uint64_t files) {
    const auto names = Names(options_.path + directory);
    if (names.size() != files) {
      std::string problem = directory + "/ has " + std::to_string(names.size()) +
                            " files instead of " + std::to_string(files) + ":";
      for (const std::string& name : names) {
        problem += " " + name;
      }
      problems.push_back(problem);
    }
  };
  expect("/p", status->packs);
  expect("/l", status->large_bodies);
  expect("/tmp", 0);
  const bool copied = std::filesystem::exists(options_.path + "/index.copy");
  // CURRENT, lock, reserve, the index, its lock, the journal, p, l, tmp
  expect("", copied ? 10 : 9);
  return problems;
}

}  // namespace lbox::testing
