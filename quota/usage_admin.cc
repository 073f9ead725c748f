#include "quota/usage_admin.h"

#include <poll.h>

#include "quota/frame.h"

namespace hosting {
namespace {

using Clock = std::chrono::steady_clock;

Status StatusOf(const wire::Error& error) {
  const auto code = [&] {
    switch (error.kind()) {
      case wire::Error::REFUSED:
        return Code::kPermission;
      case wire::Error::UNKNOWN:
        return Code::kNotFound;
      case wire::Error::TRY_AGAIN:
        return Code::kBusy;
      default:
        return Code::kInvalid;
    }
  }();
  return Status(code, error.text());
}

}  // namespace

struct UsageAdmin::State {
  State(std::string given_path, Descriptor socket)
      : path(std::move(given_path)), stream(std::move(socket), false) {}

  Result<wire::Reply> Ask(const std::string& request, uint64_t id, Clock::time_point deadline);
  Result<bool> Wait(Clock::time_point deadline);

  std::string path;
  FrameStream stream;
  uint64_t next_id = 1;
};

// False: the service has closed the connection.
Result<bool> UsageAdmin::State::Wait(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0) {
    return Status(Code::kUnavailable, path + " does not answer");
  }
  struct pollfd ready {
    stream.fd(), static_cast<short>(stream.unsent() ? POLLIN | POLLOUT : POLLIN), 0
  };
  (void)poll(&ready, 1, static_cast<int>(left));
  if (const Status status = stream.Flush(); !status.ok()) {
    return status;
  }
  return stream.Receive();
}

Result<wire::Reply> UsageAdmin::State::Ask(const std::string& request, uint64_t id,
                                           Clock::time_point deadline) {
  Status status = stream.Queue(request);
  if (status.ok()) {
    status = stream.Flush();
  }
  for (bool open = true; status.ok();) {
    while (stream.ready()) {
      const auto message = stream.Next();
      wire::Reply reply;
      if (!message.ok() ||
          !reply.ParseFromArray((*message)->data(), static_cast<int>((*message)->size()))) {
        return Status(Code::kInvalid, path + " answers in a language that is not known here");
      }
      if (reply.id() == id) {
        return reply;
      }
    }
    if (!open) {
      return Status(Code::kUnavailable, path + " closed the connection");
    }
    const auto more = Wait(deadline);
    status = more.status();
    open = more.ok() && *more;
  }
  return status;
}

UsageAdmin::UsageAdmin() = default;
UsageAdmin::~UsageAdmin() = default;

Result<std::unique_ptr<UsageAdmin>> UsageAdmin::Connect(const std::string& socket_path) {
  auto socket = ConnectUnix(socket_path);
  if (!socket.ok()) {
    return socket.status();
  }
  std::unique_ptr<UsageAdmin> admin(new UsageAdmin);
  admin->state_ = std::make_unique<State>(socket_path, std::move(*socket));
  return admin;
}

Result<wire::Reply> UsageAdmin::Ask(wire::Request& request, std::chrono::milliseconds limit) {
  request.set_id(state_->next_id++);
  auto reply = state_->Ask(request.SerializeAsString(), request.id(), Clock::now() + limit);
  if (reply.ok() && reply->has_error()) {
    return StatusOf(reply->error());
  }
  return reply;
}

Result<wire::AdminResult> UsageAdmin::Call(const wire::Admin& command,
                                           std::chrono::milliseconds limit) {
  wire::Request request;
  *request.mutable_admin() = command;
  const auto reply = Ask(request, limit);
  return reply.ok() ? Result<wire::AdminResult>(reply->admin()) : reply.status();
}

Result<wire::Verdict> UsageAdmin::CheckLogin(const wire::Login& login,
                                             std::chrono::milliseconds limit) {
  wire::Request request;
  *request.mutable_login() = login;
  const auto reply = Ask(request, limit);
  return reply.ok() ? Result<wire::Verdict>(reply->verdict()) : reply.status();
}

Status UsageAdmin::ForEachAccount(const std::function<void(const wire::AccountUsage&)>& visit) {
  wire::Admin command;
  command.mutable_usage();
  for (;;) {
    const auto result = Call(command);
    if (!result.ok()) {
      return result.status();
    }
    for (const auto& usage : result->accounts()) {
      visit(usage);
    }
    if (!result->more() || result->accounts().empty()) {
      return {};
    }
    command.mutable_usage()->set_after(result->accounts().rbegin()->account());
  }
}

Result<wire::AccountUsage> UsageAdmin::Account(const std::string& name) {
  wire::Admin command;
  command.mutable_usage()->set_account(name);
  wire::AccountUsage whole;
  for (;;) {
    const auto result = Call(command);
    if (!result.ok()) {
      return result.status();
    }
    if (result->accounts().empty()) {
      return Status(Code::kNotFound, "no account of that name");
    }
    const wire::AccountUsage& part = result->accounts(0);
    if (command.usage().after().empty()) {
      whole = part;
    } else {
      whole.mutable_sources()->MergeFrom(part.sources());
    }
    if (!result->more() || part.sources().empty()) {
      return whole;
    }
    const wire::SourceUsage& last = *part.sources().rbegin();
    command.mutable_usage()->set_after(std::to_string(last.kind()) + last.name());
  }
}

Status UsageAdmin::ForEachInvoice(const std::string& month, const std::string& account,
                                  const std::function<void(const wire::Invoice&)>& visit) {
  wire::Admin command;
  command.mutable_invoice()->set_month(month);
  command.mutable_invoice()->set_account(account);
  for (;;) {
    const auto result = Call(command);
    if (!result.ok()) {
      return result.status();
    }
    for (const auto& invoice : result->invoices()) {
      visit(invoice);
    }
    if (!result->more() || result->invoices().empty()) {
      return {};
    }
    command.mutable_invoice()->set_after(result->invoices().rbegin()->account());
  }
}

Status UsageAdmin::ForEachGrowth(const std::string& account,
                                 const std::function<void(const wire::GrowthAccount&)>& visit) {
  wire::Admin command;
  command.mutable_growth()->set_account(account);
  for (;;) {
    const auto result = Call(command);
    if (!result.ok()) {
      return result.status();
    }
    for (const auto& growth : result->growth()) {
      visit(growth);
    }
    if (!result->more() || result->growth().empty()) {
      return {};
    }
    command.mutable_growth()->set_after(result->growth().rbegin()->account());
  }
}

Status UsageAdmin::ForEachGrowthPoint(const std::string& account, wire::GrowthQuery::What what,
                                      const std::function<void(const wire::GrowthPoint&)>& visit) {
  wire::Admin command;
  command.mutable_growth()->set_account(account);
  command.mutable_growth()->set_what(what);
  for (;;) {
    const auto result = Call(command);
    if (!result.ok()) {
      return result.status();
    }
    for (const auto& point : result->points()) {
      visit(point);
    }
    if (!result->more()) {
      return {};
    }
    command.mutable_growth()->set_after(result->text());
  }
}

}  // namespace hosting
