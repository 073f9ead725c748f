// UsageAdmin: doveadm's side of the connection to hosting-usage.
//
// Purpose: one command after the other, each waited for. Ownership: owns its connection. Process
// rules: blocking, within a time limit for each call; one thread. Failure modes: kUnavailable when
// the service is away or does not answer in time; what the service refuses comes as kPermission
// (this uid may not), kNotFound (no such user, account or source), kInvalid, kBusy (try again),
// with its text. Crash rule: none; the service does a command as a whole or not at all.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "quota/status.h"
#include "usage.pb.h"

namespace hosting {

class UsageAdmin {
 public:
  static constexpr std::chrono::seconds kAnswerLimit{30};

  static Result<std::unique_ptr<UsageAdmin>> Connect(const std::string& socket_path);
  ~UsageAdmin();

  Result<wire::AdminResult> Call(const wire::Admin& command,
                                 std::chrono::milliseconds limit = kAnswerLimit);
  // May this session be? Of any process that may speak for the user.
  Result<wire::Verdict> CheckLogin(const wire::Login& login, std::chrono::milliseconds limit);
  // All accounts by name, however many there are, without their sources.
  Status ForEachAccount(const std::function<void(const wire::AccountUsage&)>& visit);
  // One with all its sources. kNotFound.
  Result<wire::AccountUsage> Account(const std::string& name);
  Status ForEachInvoice(const std::string& month, const std::string& account,
                        const std::function<void(const wire::Invoice&)>& visit);
  // Forecasts of all accounts by name; or of one. kNotFound.
  Status ForEachGrowth(const std::string& account,
                       const std::function<void(const wire::GrowthAccount&)>& visit);
  // An account's history, oldest first.
  Status ForEachGrowthPoint(const std::string& account, wire::GrowthQuery::What what,
                            const std::function<void(const wire::GrowthPoint&)>& visit);

 private:
  UsageAdmin();
  Result<wire::Reply> Ask(wire::Request& request, std::chrono::milliseconds limit);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hosting
