#include "quota/policy_snapshot.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include <xxhash.h>

#include <google/protobuf/arena.h>

#include "policy_snapshot.pb.h"
#include "quota/bytes.h"

namespace hosting {
namespace {

constexpr std::string_view kMagic = "hostpol\n";
constexpr size_t kHeader = kSnapshotHeader, kGeneration = 16, kHashed = 32;

uint64_t Checksum(std::string_view header, std::string_view body) {
  return XXH3_64bits_withSeed(body.data(), body.size(), XXH3_64bits(header.data(), kHashed));
}

// Policy -> message
// --------------------------------------------------------------------------------

template <typename List, typename Values>
void AddAll(List* list, const Values& values) {
  list->Reserve(static_cast<int>(std::size(values)));
  for (const auto& value : values) {
    *list->Add() = value;
  }
}

template <typename List, typename Values>
void AddNumbers(List* list, const Values& values) {
  list->Add(std::begin(values), std::end(values));
}

// Most have none.
template <typename List>
void AddLines(List* list, const KeyLines& lines) {
  if (std::any_of(lines.begin(), lines.end(), [](Line line) { return line != 0; })) {
    AddNumbers(list, lines);
  }
}

template <typename List>
void AddAccess(List* list, const AccessRule (&access)[kProtocols]) {
  for (uint32_t i = 0; i < kProtocols; ++i) {
    if (access[i].access) {
      snapshot::Access* const to = list->Add();
      to->set_protocol(i);
      to->set_access(static_cast<uint32_t>(*access[i].access));
      to->set_line(access[i].line);
      to->set_from_day(access[i].from_day);
    }
  }
}

void Encode(const FileIdentity& from, snapshot::File* to) {
  to->set_device(from.device);
  to->set_inode(from.inode);
  to->set_size(from.size);
  to->set_modified(static_cast<uint64_t>(from.modified));
  to->set_changed(static_cast<uint64_t>(from.changed));
  to->set_hash(from.hash);
}

void Encode(const ServiceOptions& from, snapshot::Service* to) {
  AddNumbers(to->mutable_mail_uids(), from.mail_uids);
  AddNumbers(to->mutable_admin_uids(), from.admin_uids);
  AddNumbers(to->mutable_web_uids(), from.web_uids);
  AddNumbers(to->mutable_recount_uids(), from.recount_uids);
  to->set_mail_connections(from.mail_connections);
  to->set_other_connections(from.other_connections);
  to->set_enforce(from.enforce);
  to->set_enforce_line(from.enforce_line);
  to->set_unavailable_tempfail(from.unavailable_tempfail);
  to->set_over_limit_tempfail(from.over_limit_tempfail);
  to->set_mail_stale_after(from.mail_stale_after);
  to->set_recount_interval(from.recount_interval);
  AddAll(to->mutable_web_exclude(), from.web_exclude);
}

void Encode(const Retention& from, snapshot::Retention* to) {
  to->set_days(from.days);
  to->set_from_retrieval(from.from_retrieval);
  to->set_delete_unretrieved(from.delete_unretrieved);
  to->set_with_imap(from.with_imap);
  to->set_notice_days(from.notice_days);
  to->set_notice_subject(from.notice_subject);
  to->set_notice_text(from.notice_text);
  to->set_expiry_folder(from.expiry_folder);
  to->set_expiry_days(from.expiry_days);
}

void Encode(const ProtocolOptions& from, snapshot::Protocols* to) {
  AddNumbers(to->mutable_exempt_ports(), from.exempt_ports);
  to->set_exempt_ports_line(from.exempt_ports_line);
  for (const Network& network : from.exempt_networks) {
    to->add_exempt_networks(network.text);
  }
  to->set_exempt_networks_line(from.exempt_networks_line);
  to->set_exempt_master_users(from.exempt_master_users);
  to->set_exempt_master_users_line(from.exempt_master_users_line);
  to->set_answer(static_cast<uint32_t>(from.answer));
  to->set_pop3_host(from.pop3_host);
  to->set_pop3_port(from.pop3_port);
  to->set_upgrade_url(from.upgrade_url);
  to->set_language(from.language);
  for (const ProtocolTexts& texts : from.texts) {
    snapshot::Texts* const one = to->add_texts();
    one->set_language(texts.language);
    one->set_deny(texts.deny);
    one->set_warn(texts.warn);
    one->set_retention_subject(texts.notices.retention_subject);
    one->set_retention_text(texts.notices.retention_text);
    one->set_removal_subject(texts.notices.removal_subject);
    one->set_removal_text(texts.notices.removal_text);
    one->set_folders(texts.notices.folders);
  }
}

void Encode(const WarningOptions& from, snapshot::Warnings* to) {
  to->set_from(from.from);
  for (const GrowthTexts& texts : from.texts) {
    snapshot::GrowthTexts* const one = to->add_texts();
    one->set_language(texts.language);
    AddAll(one->mutable_phrases(), texts.phrases);
  }
}

void Encode(const Package& from, snapshot::Package* to) {
  to->set_name(from.name);
  to->set_line(from.line);
  AddLines(to->mutable_lines(), from.lines);
  to->set_limit(from.limit);
  to->set_mailbox_limit(from.mailbox_limit);
  to->set_message_limit(from.message_limit);
  to->set_grace(from.grace);
  to->set_over_limit(static_cast<uint32_t>(from.over_limit));
  to->set_hard_limit(from.hard_limit);
  if (from.overage) {
    snapshot::Overage* const overage = to->mutable_overage();
    overage->set_price(from.overage->price.Format());
    overage->set_currency(from.overage->currency);
    overage->set_per(from.overage->per);
    overage->set_basis(static_cast<uint32_t>(from.overage->basis));
    overage->set_rounding(static_cast<uint32_t>(from.overage->rounding));
  }
  to->set_enforce(from.enforce);
  AddAccess(to->mutable_access(), from.access);
  if (from.pop3_retention) {
    Encode(*from.pop3_retention, to->mutable_pop3_retention());
  }
  to->mutable_pop3_dele()->set_means(static_cast<uint32_t>(from.pop3_dele.means));
  to->mutable_pop3_dele()->set_days(from.pop3_dele.days);
  to->mutable_pop3_dele()->set_warn(from.pop3_dele.warn);
  to->set_pop3_into_inbox(from.pop3_into_inbox);
  AddNumbers(to->mutable_warn_percent(), from.warn_percent);
  to->set_warn_days(from.warn_days);
  to->set_warn_weekly_percent(from.warn_weekly_percent);
  if (from.warn_overage) {
    to->set_warn_overage(from.warn_overage->Format());
  }
  to->set_web_interval(from.web_interval);
  uint32_t warn_off = 0;
  for (uint32_t way = 0; way < kWarnWays; ++way) {
    warn_off |= from.warn[way] ? 0 : 1U << way;
  }
  to->set_warn_off(warn_off);
}

void Encode(const UserRule& from, snapshot::UserRule* to) {
  to->set_user(from.user);
  to->set_line(from.line);
  AddLines(to->mutable_lines(), from.lines);
  AddAccess(to->mutable_access(), from.access);
  if (from.mailbox_limit) {
    to->set_mailbox_limit(*from.mailbox_limit);
  }
}

void Encode(const Account& from, snapshot::Account* to) {
  to->set_name(from.name);
  to->set_line(from.line);
  AddLines(to->mutable_lines(), from.lines);
  to->set_package(from.package);
  AddAll(to->mutable_domains(), from.domains);
  AddAll(to->mutable_users(), from.users);
  AddAll(to->mutable_web_roots(), from.web_roots);
  AddAll(to->mutable_web_exclude(), from.web_exclude);
  for (const ExternalSource& source : from.external) {
    snapshot::External* const external = to->add_external();
    external->set_name(source.name);
    external->set_stale_after(source.stale_after);
  }
  to->set_time_zone(from.time_zone);
  if (from.uid) {
    to->set_uid(*from.uid);
  }
  if (from.extra_space) {
    to->set_extra_space(*from.extra_space);
  }
  if (from.mailbox_limit) {
    to->set_mailbox_limit(*from.mailbox_limit);
  }
  if (from.limit) {
    to->set_limit(*from.limit);
  }
  if (from.enforce) {
    to->set_enforce(*from.enforce);
  }
  AddAccess(to->mutable_access(), from.access);
  to->set_language(from.language);
  to->set_contact(from.contact);
  for (const UserRule& rule : from.user_rules) {
    Encode(rule, to->add_user_rules());
  }
}

// Message -> policy: each returns false for what no policy has
// ---------------------------------------

template <typename List, typename Values>
void TakeAll(List* list, Values* values) {
  values->reserve(static_cast<size_t>(list->size()));
  for (auto& value : *list) {
    values->push_back(std::move(value));
  }
}

template <typename Enum>
bool DecodeEnum(uint32_t number, Enum last, Enum* value) {
  *value = static_cast<Enum>(number);
  return number <= static_cast<uint32_t>(last);
}

template <typename List>
bool DecodeLines(const List& list, KeyLines* lines) {
  // A snapshot of before a key was added has fewer.
  if (list.size() > kKeys) {
    return false;
  }
  std::copy(list.begin(), list.end(), lines->begin());
  return true;
}

template <typename List>
bool DecodeAccess(const List& list, AccessRule (&access)[kProtocols]) {
  return std::all_of(list.begin(), list.end(), [&](const snapshot::Access& from) {
    Access value{};
    if (from.protocol() >= kProtocols || !DecodeEnum(from.access(), Access::kDeny, &value)) {
      return false;
    }
    access[from.protocol()] = {value, from.line(), from.from_day()};
    return true;
  });
}

FileIdentity Decode(const snapshot::File& from) {
  return {from.device(),
          from.inode(),
          from.size(),
          static_cast<int64_t>(from.modified()),
          static_cast<int64_t>(from.changed()),
          from.hash()};
}

void Decode(snapshot::Service& from, ServiceOptions* to) {
  to->mail_uids.assign(from.mail_uids().begin(), from.mail_uids().end());
  to->admin_uids.assign(from.admin_uids().begin(), from.admin_uids().end());
  to->web_uids.assign(from.web_uids().begin(), from.web_uids().end());
  to->recount_uids.assign(from.recount_uids().begin(), from.recount_uids().end());
  to->mail_connections = from.mail_connections();
  to->other_connections = from.other_connections();
  to->enforce = from.enforce();
  to->enforce_line = from.enforce_line();
  to->unavailable_tempfail = from.unavailable_tempfail();
  to->over_limit_tempfail = from.over_limit_tempfail();
  to->mail_stale_after = from.mail_stale_after();
  to->recount_interval = from.recount_interval();
  TakeAll(from.mutable_web_exclude(), &to->web_exclude);
}

bool Decode(snapshot::Protocols& from, ProtocolOptions* to) {
  to->exempt_ports.assign(from.exempt_ports().begin(), from.exempt_ports().end());
  to->exempt_ports_line = from.exempt_ports_line();
  for (const std::string& text : from.exempt_networks()) {
    auto network = Network::Parse(text);
    if (!network) {
      return false;
    }
    to->exempt_networks.push_back(std::move(*network));
  }
  to->exempt_networks_line = from.exempt_networks_line();
  to->exempt_master_users = from.exempt_master_users();
  to->exempt_master_users_line = from.exempt_master_users_line();
  to->pop3_host = std::move(*from.mutable_pop3_host());
  to->pop3_port = from.pop3_port();
  to->upgrade_url = std::move(*from.mutable_upgrade_url());
  to->language = std::move(*from.mutable_language());
  for (snapshot::Texts& texts : *from.mutable_texts()) {
    to->texts.push_back(
        {std::move(*texts.mutable_language()),
         std::move(*texts.mutable_deny()),
         std::move(*texts.mutable_warn()),
         {std::move(*texts.mutable_retention_subject()), std::move(*texts.mutable_retention_text()),
          std::move(*texts.mutable_removal_subject()), std::move(*texts.mutable_removal_text()),
          std::move(*texts.mutable_folders())}});
  }
  return DecodeEnum(from.answer(), Answer::kSession, &to->answer);
}

// Texts of another version, with other sentences, are not taken.
void Decode(snapshot::Warnings& from, WarningOptions* to) {
  to->from = std::move(*from.mutable_from());
  for (snapshot::GrowthTexts& texts : *from.mutable_texts()) {
    if (texts.phrases_size() == kGrowthPhrases) {
      GrowthTexts& one = to->texts.emplace_back();
      one.language = std::move(*texts.mutable_language());
      std::move(texts.mutable_phrases()->begin(), texts.mutable_phrases()->end(),
                one.phrases.begin());
    }
  }
}

bool Decode(const snapshot::Overage& from, Overage* to) {
  const auto price = Money::Parse(from.price());
  if (!price.ok() || from.per() == 0) {
    return false;
  }
  to->price = *price;
  to->currency = from.currency();
  to->per = from.per();
  return DecodeEnum(from.basis(), Basis::kEnd, &to->basis) &&
         DecodeEnum(from.rounding(), Rounding::kDown, &to->rounding);
}

void Decode(const snapshot::Retention& from, Retention* to) {
  to->days = from.days();
  to->from_retrieval = from.from_retrieval();
  to->delete_unretrieved = from.delete_unretrieved();
  to->with_imap = from.with_imap();
  to->notice_days = from.notice_days();
  to->notice_subject = from.notice_subject();
  to->notice_text = from.notice_text();
  to->expiry_folder = from.expiry_folder();
  to->expiry_days = from.expiry_days();
}

bool Decode(const snapshot::Package& from, Package* to) {
  to->name = from.name();
  to->line = from.line();
  to->limit = from.limit();
  to->mailbox_limit = from.mailbox_limit();
  to->message_limit = from.message_limit();
  to->grace = from.grace();
  to->hard_limit = from.hard_limit();
  to->enforce = from.enforce();
  if (from.has_pop3_retention()) {
    Decode(from.pop3_retention(), &to->pop3_retention.emplace());
  }
  to->pop3_dele.days = from.pop3_dele().days();
  to->pop3_dele.warn = from.pop3_dele().warn();
  to->pop3_into_inbox = from.pop3_into_inbox();
  to->warn_percent.assign(from.warn_percent().begin(), from.warn_percent().end());
  to->warn_days = from.warn_days();
  to->warn_weekly_percent = from.warn_weekly_percent();
  if (!from.warn_overage().empty()) {
    const auto price = Money::Parse(from.warn_overage());
    if (!price.ok()) {
      return false;
    }
    to->warn_overage = *price;
  }
  to->web_interval = from.web_interval();
  for (uint32_t way = 0; way < kWarnWays; ++way) {
    to->warn[way] = (from.warn_off() >> way & 1) == 0;
  }
  return (!from.has_overage() || Decode(from.overage(), &to->overage.emplace())) &&
         DecodeEnum(from.over_limit(), OverLimit::kReport, &to->over_limit) &&
         DecodeEnum(from.pop3_dele().means(), DeleMeans::kDefer, &to->pop3_dele.means) &&
         DecodeLines(from.lines(), &to->lines) && DecodeAccess(from.access(), to->access);
}

bool Decode(snapshot::UserRule& from, UserRule* to) {
  to->user = std::move(*from.mutable_user());
  to->line = from.line();
  if (from.has_mailbox_limit()) {
    to->mailbox_limit = from.mailbox_limit();
  }
  return DecodeLines(from.lines(), &to->lines) && DecodeAccess(from.access(), to->access);
}

bool Decode(snapshot::Account& from, Account* to) {
  to->name = std::move(*from.mutable_name());
  to->line = from.line();
  to->package = std::move(*from.mutable_package());
  TakeAll(from.mutable_domains(), &to->domains);
  TakeAll(from.mutable_users(), &to->users);
  TakeAll(from.mutable_web_roots(), &to->web_roots);
  TakeAll(from.mutable_web_exclude(), &to->web_exclude);
  for (snapshot::External& source : *from.mutable_external()) {
    to->external.push_back({std::move(*source.mutable_name()), source.stale_after()});
  }
  to->time_zone = std::move(*from.mutable_time_zone());
  if (from.has_uid()) {
    to->uid = from.uid();
  }
  if (from.has_extra_space()) {
    to->extra_space = from.extra_space();
  }
  if (from.has_mailbox_limit()) {
    to->mailbox_limit = from.mailbox_limit();
  }
  if (from.has_limit()) {
    to->limit = from.limit();
  }
  if (from.has_enforce()) {
    to->enforce = from.enforce();
  }
  to->language = std::move(*from.mutable_language());
  to->contact = std::move(*from.mutable_contact());
  to->user_rules.resize(static_cast<size_t>(from.user_rules_size()));
  for (size_t i = 0; i < to->user_rules.size(); ++i) {
    if (!Decode(*from.mutable_user_rules(static_cast<int>(i)), &to->user_rules[i])) {
      return false;
    }
  }
  return DecodeLines(from.lines(), &to->lines) && DecodeAccess(from.access(), to->access);
}

// Message that is the whole of `bytes` -> policy; false for what no policy has.
template <typename Message, typename Value>
bool DecodePart(std::string_view bytes, Value* value) {
  Message message;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
         Decode(message, value);
}

template <typename Message, typename Value>
std::string EncodePart(const Value& value) {
  Message message;
  Encode(value, &message);
  return message.SerializeAsString();
}

Status Corrupt(const std::string& why) {
  return {Code::kCorruption, "policy snapshot " + why};
}

}  // namespace

std::string EncodePolicyPart(const ProtocolOptions& options) {
  return EncodePart<snapshot::Protocols>(options);
}

std::string EncodePolicyPart(const Package& package) {
  return EncodePart<snapshot::Package>(package);
}

std::string EncodePolicyPart(const Account& account) {
  return EncodePart<snapshot::Account>(account);
}

std::string EncodePolicyPart(const UserRule& rule) {
  return EncodePart<snapshot::UserRule>(rule);
}

bool DecodePolicyPart(std::string_view bytes, ProtocolOptions* options) {
  return DecodePart<snapshot::Protocols>(bytes, options);
}

bool DecodePolicyPart(std::string_view bytes, Package* package) {
  return DecodePart<snapshot::Package>(bytes, package);
}

bool DecodePolicyPart(std::string_view bytes, Account* account) {
  return DecodePart<snapshot::Account>(bytes, account);
}

bool DecodePolicyPart(std::string_view bytes, UserRule* rule) {
  return DecodePart<snapshot::UserRule>(bytes, rule);
}

std::string EncodeSnapshot(const PolicySnapshot& snapshot) {
  google::protobuf::Arena arena;  // thousands of small messages, freed at once
  auto& message = *google::protobuf::Arena::CreateMessage<snapshot::Snapshot>(&arena);
  Encode(snapshot.file, message.mutable_file());
  Encode(snapshot.policy.service, message.mutable_service());
  Encode(snapshot.policy.protocols, message.mutable_protocols());
  Encode(snapshot.policy.warnings, message.mutable_warnings());
  for (const Package& package : snapshot.policy.packages) {
    Encode(package, message.add_packages());
  }
  message.mutable_accounts()->Reserve(static_cast<int>(snapshot.policy.accounts.size()));
  for (const Account& account : snapshot.policy.accounts) {
    Encode(account, message.add_accounts());
  }
  std::string bytes(kMagic);
  const size_t size = message.ByteSizeLong();
  bytes.reserve(kHeader + size);
  PutNumber(bytes, kSnapshotFormat, 4);
  PutNumber(bytes, 0, 4);
  PutNumber(bytes, 0, 8);
  PutNumber(bytes, size, 8);
  bytes.resize(kHeader + size);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes.data()) + kHeader);
  return WithGeneration(std::move(bytes), snapshot.generation);
}

std::string WithGeneration(std::string bytes, uint64_t generation) {
  std::string number;
  PutNumber(number, generation, 8);
  bytes.replace(kGeneration, number.size(), number);
  number.clear();
  PutNumber(number, Checksum(bytes, std::string_view(bytes).substr(kHeader)), 8);
  bytes.replace(kHashed, number.size(), number);
  return bytes;
}

Result<SnapshotHeader> DecodeSnapshotHeader(std::string_view bytes) {
  if (bytes.size() < kHeader || bytes.substr(0, kMagic.size()) != kMagic) {
    return Corrupt("does not begin as one");
  }
  const uint64_t format = NumberAt(bytes, 8, 4);
  if (format != kSnapshotFormat) {
    return Status(Code::kUnsupported, "policy snapshot has format " + std::to_string(format) +
                                          ", this program knows " +
                                          std::to_string(kSnapshotFormat));
  }
  return SnapshotHeader{NumberAt(bytes, kGeneration, 8), NumberAt(bytes, kHashed, 8)};
}

Result<PolicySnapshot> DecodeSnapshot(std::string_view bytes) {
  const auto header = DecodeSnapshotHeader(bytes);
  if (!header.ok()) {
    return header.status();
  }
  const uint64_t size = NumberAt(bytes, 24, 8);
  const std::string_view body = bytes.substr(kHeader);
  if (size != body.size()) {
    return Corrupt("has " + std::to_string(body.size()) + " bytes after its header, not " +
                   std::to_string(size));
  }
  if (NumberAt(bytes, 12, 4) != 0 || Checksum(bytes, body) != header->checksum) {
    return Corrupt("does not match its checksum");
  }
  google::protobuf::Arena arena;  // thousands of small messages, freed at once
  auto& message = *google::protobuf::Arena::CreateMessage<snapshot::Snapshot>(&arena);
  if (body.size() > kMaxSnapshot ||
      !message.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return Corrupt("cannot be decoded");
  }
  PolicySnapshot snapshot;
  snapshot.generation = header->generation;
  snapshot.file = Decode(message.file());
  Decode(*message.mutable_service(), &snapshot.policy.service);
  if (!Decode(*message.mutable_protocols(), &snapshot.policy.protocols)) {
    return Corrupt("has exempt networks that cannot be");
  }
  Decode(*message.mutable_warnings(), &snapshot.policy.warnings);
  snapshot.policy.packages.resize(static_cast<size_t>(message.packages_size()));
  for (size_t i = 0; i < snapshot.policy.packages.size(); ++i) {
    if (!Decode(message.packages(static_cast<int>(i)), &snapshot.policy.packages[i])) {
      return Corrupt("has a package that cannot be");
    }
  }
  snapshot.policy.accounts.resize(static_cast<size_t>(message.accounts_size()));
  for (size_t i = 0; i < snapshot.policy.accounts.size(); ++i) {
    if (!Decode(*message.mutable_accounts(static_cast<int>(i)), &snapshot.policy.accounts[i])) {
      return Corrupt("has an account that cannot be");
    }
  }
  return snapshot;
}

}  // namespace hosting
