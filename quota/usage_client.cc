#include "quota/usage_client.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <utility>

#include <poll.h>
#include <sys/mman.h>

#include "quota/boot_clock.h"
#include "quota/frame.h"
#include "quota/heartbeat.h"
#include "quota/page_map.h"
#include "quota/spool.h"
#include "usage.pb.h"

namespace hosting {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRetryMs = 1000;
constexpr int64_t kRefusedRetryMs = 60000;
constexpr size_t kInstanceBytes = sizeof(MailAmount::instance);

void Add(Causes& sum, const Causes& more) {
  sum.delivered += more.delivered;
  sum.saved += more.saved;
  sum.removed_pop3 += more.removed_pop3;
  sum.removed_imap += more.removed_imap;
  sum.removed_retention += more.removed_retention;
  sum.refused += more.refused;
}

void Fill(wire::Report& report, const Causes& causes) {
  auto& cause = *report.mutable_cause();
  cause.set_delivered(causes.delivered);
  cause.set_saved(causes.saved);
  cause.set_removed_pop3(causes.removed_pop3);
  cause.set_removed_imap(causes.removed_imap);
  cause.set_removed_retention(causes.removed_retention);
  cause.set_refused(causes.refused);
}

void Fill(wire::Report& report, const MailAmount& amount, bool again) {
  auto& usage = *report.mutable_usage();
  usage.set_bytes(amount.bytes);
  usage.set_messages(amount.messages);
  usage.set_disk(amount.disk);
  auto& version = *report.mutable_version();
  version.set_instance(reinterpret_cast<const char*>(amount.instance), kInstanceBytes);
  version.set_counter(amount.counter);
  report.set_recounted(amount.recounted);
  report.set_again(again);
}

}  // namespace

// The connection, what it brought, and the newest report until it is answered.
struct UsageClient::State {
  State(Options given, SessionUser session)
      : options(std::move(given)),
        user(std::move(session)),
        outage(ClientOutage::Of(options.socket_path)),
        stale_after(options.mail_stale_after) {
    if (!options.boot_ms) {
      options.boot_ms = BootMs;
    }
    if (!options.now) {
      options.now = [] { return static_cast<int64_t>(time(nullptr)); };
    }
  }

  Status Connect(Clock::time_point deadline);
  // Takes what has come; drops the connection when it is of no use any more.
  void Receive();
  void Handle(const wire::Reply& reply);
  void HandleWelcome(const wire::Reply& reply);
  void HandleReported(const wire::Reply& reply);
  void SendReport();
  void Flush();
  void Drop();
  // Handles what comes until done() holds, the connection ends, or the deadline has passed.
  template <typename Done>
  bool Wait(Clock::time_point deadline, const Done& done);
  // Whether the demand fits, or does not, wherever the newest report is.
  [[nodiscard]] bool Decided(const Demand& demand) const;
  // Whether something waits to be sent or answered.
  [[nodiscard]] bool Pending() const { return to_send || in_flight != 0; }
  void LeaveMark();
  void RemoveMark();
  void FillReport(wire::Report& report, bool late) const;
  [[nodiscard]] wire::Hello Hello() const;
  [[nodiscard]] bool again() const { return noted_at != connection || !welcomed; }
  void Failed(const Status& status);

  Options options;
  SessionUser user;
  ClientOutage& outage;

  std::optional<FrameStream> stream;
  uint64_t connection = 0;  // counts Welcomes
  uint64_t next_id = 1;
  uint64_t hello_id = 0;
  bool welcomed = false;  // on this connection
  bool hung = false;      // a wait timed out, and nothing has come since
  Status refused;         // by the service: this user may not
  int64_t refused_until = 0;
  bool told_refused = false;

  // What Welcome said.
  uint32_t stale_after;
  wire::Welcome welcome;
  bool knows = false;  // there was a Welcome
  std::optional<PageMap> account_page, pulse_page;
  std::optional<AccountFigures> last_figures;

  // The newest report, until it is answered. None while nothing but causes waits.
  std::optional<MailAmount> newest;
  uint64_t known_bytes = 0, known_messages = 0;  // of this user, by the service
  std::string mark;                              // in the spool folder; empty: none
  uint64_t noted_at = 0;                         // connection by then
  bool to_send = false;
  uint64_t in_flight = 0;  // id of the report that waits for its answer
  int64_t send_after = 0;  // boot ms: the service asked to try again later
  Causes unsent, sent;
};

wire::Hello UsageClient::State::Hello() const {
  wire::Hello hello;
  hello.set_user(user.user);
  hello.set_account(user.account);
  hello.set_package(user.package);
  hello.set_service(user.service);
  hello.set_returning(knows);
  if (user.extra_space) {
    hello.mutable_overrides()->set_extra_space(*user.extra_space);
  }
  if (user.mailbox_limit) {
    hello.mutable_overrides()->set_mailbox_limit(*user.mailbox_limit);
  }
  return hello;
}

void UsageClient::State::FillReport(wire::Report& report, bool late) const {
  Fill(report, unsent);
  if (newest) {
    Fill(report, *newest, late);
  }
}

bool UsageClient::State::Decided(const Demand& demand) const {
  const auto figures =
      account_page ? ReadAccountPage(*account_page->As<AccountPage>()) : std::nullopt;
  if (!figures || !newest) {
    return false;
  }
  // The page has this report already, or another one of this user, or it has neither.
  const uint64_t bytes = newest->bytes - std::min(newest->bytes, known_bytes) + demand.bytes;
  const uint64_t messages =
      newest->messages - std::min(newest->messages, known_messages) + demand.messages;
  const auto fits = [](uint64_t used, uint64_t more, uint64_t limit) {
    return limit == 0 || (used <= limit && more <= limit - used);
  };
  return fits(figures->total(), bytes, figures->hard_limit) &&
         fits(figures->messages, messages, figures->message_limit);
}

// That a change follows which nobody may come to tell of.
void UsageClient::State::LeaveMark() {
  if (!mark.empty() && TouchSpool(options.spool_folder, mark).ok()) {
    return;
  }
  wire::Spooled spooled;
  *spooled.mutable_hello() = Hello();
  const auto name = WriteSpool(options.spool_folder, spooled);
  mark = name.ok() ? *name : "";  // what is wrong with the folder is told at the end
}

void UsageClient::State::RemoveMark() {
  if (!mark.empty()) {
    (void)RemoveSpool(options.spool_folder, mark);  // unless the service has taken it in
    mark.clear();
  }
}

void UsageClient::State::Failed(const Status& status) {
  outage.Begin(options.boot_ms(), kRetryMs, status.message(), options.outage);
}

void UsageClient::State::Drop() {
  stream.reset();
  welcomed = false;
  hung = false;
  if (in_flight != 0) {
    in_flight = 0;
    to_send = true;
    Add(unsent, std::exchange(sent, {}));
  }
}

void UsageClient::State::Flush() {
  if (stream && !stream->Flush().ok()) {
    Drop();
  }
}

void UsageClient::State::SendReport() {
  if (!welcomed || !to_send || in_flight != 0 || options.boot_ms() < send_after) {
    return;
  }
  wire::Request request;
  request.set_id(next_id++);
  FillReport(*request.mutable_report(), again());
  if (!stream->Queue(request.SerializeAsString()).ok()) {
    return Drop();
  }
  in_flight = request.id();
  sent = std::exchange(unsent, {});
  to_send = false;
  Flush();
}

void UsageClient::State::HandleWelcome(const wire::Reply& reply) {
  if (reply.id() != 0) {
    welcomed = true;
    knows = true;
    connection++;
    outage.End(options.boot_ms(), options.outage);
    RemoveMark();  // the service knows of this session now
    Descriptor account = stream->TakeDescriptor();
    Descriptor pulse = stream->TakeDescriptor();
    account_page.reset();
    pulse_page.reset();
    if (account.valid() && pulse.valid()) {
      account_page = PageMap::ForReading(account.get());
      pulse_page = PageMap::ForReading(pulse.get());
    }
  }
  welcome = reply.welcome();
  if (reply.id() != 0) {
    known_bytes = welcome.mailbox().bytes();
    known_messages = welcome.mailbox().messages();
  }
  if (welcome.mail_stale_after() != 0) {
    stale_after = static_cast<uint32_t>(std::min<uint64_t>(welcome.mail_stale_after(), UINT32_MAX));
  }
}

void UsageClient::State::HandleReported(const wire::Reply& reply) {
  in_flight = 0;
  if (reply.error().kind() == wire::Error::TRY_AGAIN) {
    Add(unsent, std::exchange(sent, {}));
    to_send = true;
    send_after = options.boot_ms() + kRetryMs;
    return;
  }
  // RECOUNT is an answer, too: the service has the user counted, whatever is sent meanwhile.
  if (reply.has_error() && reply.error().kind() != wire::Error::RECOUNT && options.log) {
    options.log("hosting-usage takes no report of " + user.user + ": " + reply.error().text());
  }
  sent = {};
  if (!to_send && newest) {
    known_bytes = newest->bytes;
    known_messages = newest->messages;
    newest.reset();
  }
}

void UsageClient::State::Handle(const wire::Reply& reply) {
  if (reply.has_welcome() && (reply.id() == 0 ? welcomed : reply.id() == hello_id)) {
    HandleWelcome(reply);
  } else if (reply.id() == hello_id && reply.has_error() && !welcomed) {
    refused = Status(
        reply.error().kind() == wire::Error::TRY_AGAIN ? Code::kUnavailable : Code::kPermission,
        "hosting-usage refuses " + user.user + ": " + reply.error().text());
  } else if (in_flight != 0 && reply.id() == in_flight) {
    HandleReported(reply);
  }
  SendReport();
}

void UsageClient::State::Receive() {
  while (stream) {
    const auto open = stream->Receive();
    bool any = false;
    while (stream && stream->ready()) {
      const auto message = stream->Next();
      wire::Reply reply;
      if (!message.ok() ||
          !reply.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
        return Drop();
      }
      any = true;
      if (std::exchange(hung, false)) {
        outage.End(options.boot_ms(), options.outage);
      }
      Handle(reply);
    }
    if (!open.ok() || !*open) {
      return Drop();
    }
    if (!any) {
      return;
    }
  }
}

template <typename Done>
bool UsageClient::State::Wait(Clock::time_point deadline, const Done& done) {
  for (;;) {
    Flush();
    Receive();
    if (!stream || done()) {
      return done();
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      hung = true;
      Failed(Status(Code::kUnavailable, options.socket_path + " does not answer"));
      return false;
    }
    struct pollfd ready {
      stream->fd(), static_cast<short>(stream->unsent() ? POLLIN | POLLOUT : POLLIN), 0
    };
    (void)poll(&ready, 1, static_cast<int>(left));
  }
}

Status UsageClient::State::Connect(Clock::time_point deadline) {
  if (welcomed) {
    return {};
  }
  const int64_t now = options.boot_ms();
  if (now < refused_until) {
    return refused;
  }
  if (outage.TooEarly(now)) {
    return Status(Code::kUnavailable, "hosting-usage is away");
  }
  auto socket = ConnectUnix(options.socket_path);
  if (!socket.ok()) {
    Failed(socket.status());
    return socket.status();
  }
  stream.emplace(std::move(*socket), true);
  refused = {};
  hung = false;
  wire::Request request;
  request.set_id(hello_id = next_id++);
  *request.mutable_hello() = Hello();
  Status status = stream->Queue(request.SerializeAsString());
  if (status.ok()) {
    Wait(deadline, [this] { return welcomed || !refused.ok(); });
    if (welcomed) {
      return {};
    }
    status = Status(Code::kUnavailable, stream ? options.socket_path + " does not answer"
                                               : options.socket_path + " closed the connection");
  }
  Drop();
  if (refused.code() == Code::kPermission) {
    refused_until = now + kRefusedRetryMs;
    if (!std::exchange(told_refused, true) && options.log) {
      options.log(refused.message());
    }
    return refused;
  }
  status = refused.ok() ? status : refused;
  Failed(status);
  return status;
}

UsageClient::UsageClient(Options options, SessionUser user)
    : state_(std::make_unique<State>(std::move(options), std::move(user))) {}

UsageClient::~UsageClient() = default;

Status UsageClient::Connect() {
  return state_->Connect(Clock::now() + state_->options.call_limit);
}

Status UsageClient::BeforeChange() {
  Status status = Connect();
  if (!status.ok() && status.code() != Code::kPermission) {
    state_->LeaveMark();
  }
  return status;
}

Lookup UsageClient::Figures(const std::optional<Demand>& demand) {
  State& s = *state_;
  const auto deadline = Clock::now() + s.options.call_limit;
  s.Receive();
  if (!s.welcomed) {
    (void)s.Connect(deadline);
  }
  s.SendReport();
  if (s.newest && s.welcomed && !s.hung && s.send_after <= s.options.boot_ms() &&
      !(demand && s.Decided(*demand))) {
    s.Wait(deadline, [&s] { return !s.newest || s.send_after > s.options.boot_ms(); });
  }

  Lookup lookup;
  if (!s.knows) {
    return lookup;
  }
  const bool connected = s.welcomed && !s.hung;
  lookup.in_account = !s.welcome.account().empty();
  if (!lookup.in_account) {
    lookup.trust = connected ? Trust::kLive : Trust::kLastKnown;
    return lookup;
  }
  if (!s.account_page || !s.pulse_page) {
    return lookup;
  }
  const auto figures = s.account_page->As<AccountPage>()->magic == kAccountPageMagic
                           ? ReadAccountPage(*s.account_page->As<AccountPage>())
                           : std::nullopt;
  if (figures) {
    s.last_figures = *figures;
  }
  if (!s.last_figures) {
    return lookup;
  }
  lookup.figures = *s.last_figures;
  lookup.figures.mailbox_limit = s.welcome.mailbox_limit();
  const int64_t age =
      s.options.boot_ms() - s.pulse_page->As<PulsePage>()->beat.load(std::memory_order_relaxed);
  if (figures && connected && age <= kPulseLateMs) {
    lookup.trust = Trust::kLive;
  } else if (age <= static_cast<int64_t>(s.stale_after) * 1000) {
    lookup.trust = Trust::kLastKnown;
  }
  return lookup;
}

void UsageClient::Report(const MailAmount& amount, const Causes& causes) {
  State& s = *state_;
  const bool recounted = amount.recounted || (s.newest && s.newest->recounted);
  s.newest = amount;
  s.newest->recounted = recounted;
  s.noted_at = s.welcomed ? s.connection : 0;
  s.to_send = true;
  Add(s.unsent, causes);
  s.Receive();
  s.SendReport();
}

void UsageClient::ReportCauses(const Causes& causes) {
  State& s = *state_;
  s.to_send = true;
  Add(s.unsent, causes);
  s.Receive();
  s.SendReport();
}

void UsageClient::Pump() {
  State& s = *state_;
  s.Flush();
  s.Receive();
  if (!s.welcomed && (s.Pending() || s.knows)) {
    (void)s.Connect(Clock::now() + s.options.call_limit);
  }
  s.SendReport();
}

void UsageClient::Close() {
  State& s = *state_;
  const auto deadline = Clock::now() + s.options.call_limit;
  s.Receive();
  if (s.Pending() && !s.welcomed) {
    (void)s.Connect(deadline);
  }
  s.send_after = 0;
  s.SendReport();
  if (s.Pending() && s.welcomed && !s.hung) {
    s.Wait(deadline, [&s] { return !s.Pending() || s.send_after != 0; });
  }
  bool kept = true;
  if (s.Pending()) {
    wire::Spooled spooled;
    *spooled.mutable_hello() = s.Hello();
    Add(s.unsent, std::exchange(s.sent, {}));
    s.FillReport(*spooled.mutable_report(), true);
    const Status status = WriteSpool(s.options.spool_folder, spooled).status();
    kept = status.ok();
    if (!kept && s.options.log) {
      s.options.log("the usage of " + s.user.user + " could not be reported nor kept (" +
                    status.message() + "): it is right again after its next session or recount");
    }
    s.newest.reset();
  }
  if (kept) {
    s.RemoveMark();
  }
  if (s.welcomed && kept) {
    wire::Request request;
    request.set_id(s.next_id++);
    request.mutable_bye();
    (void)s.stream->Queue(request.SerializeAsString());
    s.Flush();
  }
  s.in_flight = 0;
  s.to_send = false;
  s.Drop();
}

int UsageClient::fd() const {
  return state_->stream ? state_->stream->fd() : -1;
}

bool UsageClient::unreported() const {
  return state_->Pending();
}

const std::string& UsageClient::account() const {
  return state_->welcome.account();
}

const std::string& UsageClient::package() const {
  return state_->welcome.package();
}

bool UsageClient::unavailable_tempfail() const {
  return state_->knows ? state_->welcome.unavailable_tempfail()
                       : SaysTempfail(state_->options.spool_folder, state_->options.now());
}

bool UsageClient::over_limit_tempfail() const {
  return state_->welcome.over_limit_tempfail();
}

Pop3Rules UsageClient::pop3() const {
  return Pop3RulesFrom(state_->welcome.pop3());
}
uint64_t UsageClient::grace() const {
  return state_->welcome.grace();
}

uint64_t UsageClient::mailbox_limit() const {
  return state_->welcome.mailbox_limit();
}

MailAmount UsageClient::mailbox() const {
  MailAmount amount;
  amount.bytes = state_->welcome.mailbox().bytes();
  amount.messages = state_->welcome.mailbox().messages();
  amount.disk = state_->welcome.mailbox().disk();
  return amount;
}

int64_t UsageClient::web_stale_after() const {
  return static_cast<int64_t>(std::min<uint64_t>(state_->welcome.web_stale_after(), INT64_MAX));
}

}  // namespace hosting
