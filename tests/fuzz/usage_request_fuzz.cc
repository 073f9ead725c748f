// Requests of any bytes, from any uid, to the usage service: a sequence of steps, each with a byte
// for what it is, one for whose connection, one for a length, and as many bytes.
#include "quota/usage_service.h"

#include <array>

#include "quota/spool.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/quota/memory_ledger.h"
#include "tests/quota/usage_policy.h"

namespace lbox::fuzz {
namespace {

using hosting::UsageService;
namespace wire = hosting::wire;

constexpr std::array<uint32_t, 6> kUids = {
    hosting::kMailUid,  hosting::kCustomerUid, 1234,
    hosting::kAdminUid, hosting::kWebUid,      hosting::kRecountUid};
enum Op : uint8_t { kRequest, kDisconnect, kTime, kCounted, kSpooled, kPolicy, kOps };

class Machine {
 public:
  Machine() {
    UsageService::Options options;
    options.clock = {[this] { return now_; }, [this] { return boot_ms_; }};
    options.boot_id = "boot";
    options.log = [](hosting::LogLevel, const std::string&) {};
    service_.emplace(ledger_, Policies()[0], std::move(options));
    Require(service_->Start().ok(), "the service does not start");
    for (size_t i = 0; i < kUids.size(); ++i) {
      service_->Connected(i, kUids[i]);
    }
  }

  void Step(uint8_t op, uint8_t whose, const std::string& bytes) {
    const hosting::SessionId id = whose % kUids.size();
    switch (op % kOps) {
      case kRequest: {
        wire::Request request;
        if (request.ParseFromString(bytes)) {
          reached++;
          service_->Handle(id, request);
        }
        break;
      }
      case kDisconnect:
        service_->Disconnected(id);
        service_->Connected(id, kUids[id]);
        break;
      case kTime:
        now_ += static_cast<int64_t>(bytes.size()) * 600;
        boot_ms_ += static_cast<int64_t>(bytes.size()) * 600000;
        service_->Tick();
        break;
      case kCounted:
        if (const auto job = service_->TakeRecount()) {
          service_->RecountAnswered(job->user, static_cast<UsageService::Counted>(whose % 3));
        } else {
          service_->RecountLost();
        }
        break;
      case kSpooled: {
        wire::Spooled spooled;
        if (spooled.ParseFromString(bytes)) {
          (void)service_->TakeSpooled(kUids[id], spooled);
        }
        break;
      }
      default:
        service_->SetPolicy(Policies()[whose % Policies().size()]);
        break;
    }
    Require(service_->Flush().ok(), "what was done cannot be saved");
    for (const hosting::Outgoing& out : service_->TakeOutgoing()) {
      Check(out);
    }
  }

 private:
  static const std::vector<std::shared_ptr<const hosting::LoadedPolicy>>& Policies() {
    static const auto* const all = [] {
      hosting::Policy other = hosting::TestPolicy(2);
      other.accounts[0].domains = {"a1.test"};
      other.accounts[1].domains.clear();
      other.service.enforce = false;
      return new std::vector<std::shared_ptr<const hosting::LoadedPolicy>>{
          hosting::Loaded(hosting::TestPolicy()), hosting::Loaded(other),
          hosting::Loaded(hosting::Policy())};
    }();
    return *all;
  }

  void Check(const hosting::Outgoing& out) {
    if (out.close) {
      service_->Disconnected(out.session);
      service_->Connected(out.session, kUids[out.session]);
      return;
    }
    Require(out.reply.ByteSizeLong() <= 65536, "a reply fits no frame");
    const uint32_t uid = kUids[out.session];
    if (out.reply.has_welcome() && uid == hosting::kCustomerUid) {
      Require(out.reply.welcome().account() == "own", "a customer's uid is let into an account");
    }
    Require(!out.reply.has_welcome() ||
                (uid != 1234 && uid != hosting::kWebUid && uid != hosting::kAdminUid),
            "a uid without rights is let in");
    Require(!out.reply.has_admin() || uid == hosting::kAdminUid,
            "a uid without rights administers");
  }

  hosting::MemoryLedger ledger_;
  std::optional<UsageService> service_;
  int64_t now_ = 1800000000, boot_ms_ = 1000000;
};

std::string StepOf(Op op, uint8_t whose, const std::string& bytes) {
  return std::string({static_cast<char>(op), static_cast<char>(whose),
                      static_cast<char>(static_cast<uint8_t>(bytes.size()))}) +
         bytes;
}

std::string HelloOf(uint8_t whose, const std::string& user) {
  wire::Request request;
  request.set_id(1);
  request.mutable_hello()->set_user(user);
  return StepOf(kRequest, whose, request.SerializeAsString());
}

wire::Request ReportOf(uint64_t bytes, uint64_t counter) {
  wire::Request request;
  request.set_id(2);
  request.mutable_report()->mutable_usage()->set_bytes(bytes);
  request.mutable_report()->mutable_version()->set_instance(std::string(16, 'i'));
  request.mutable_report()->mutable_version()->set_counter(counter);
  request.mutable_report()->mutable_cause()->set_refused(1);
  return request;
}

}  // namespace

std::vector<std::string> Seeds() {
  wire::Request bye;
  bye.set_id(3);
  bye.mutable_bye();
  wire::Request admin;
  admin.set_id(4);
  admin.mutable_admin()->mutable_usage()->set_account("a1");
  wire::Request invoice;
  invoice.set_id(5);
  invoice.mutable_admin()->mutable_invoice()->set_month("2027-01");
  wire::Request recalc;
  recalc.set_id(6);
  recalc.mutable_admin()->mutable_recalc()->set_user("ann@a1.test");
  wire::Request source;
  source.set_id(7);
  source.mutable_admin()->mutable_set_source()->set_account("web");
  source.mutable_admin()->mutable_set_source()->set_source("db");
  wire::Request meter;
  meter.set_id(8);
  meter.mutable_web_meter();
  wire::Request measured;
  measured.set_id(9);
  measured.mutable_measured()->set_account("web");
  measured.mutable_measured()->set_source("/srv/www/one");
  measured.mutable_measured()->set_at(1800000000);
  measured.mutable_measured()->set_partial(true);
  wire::Spooled spooled;
  spooled.mutable_hello()->set_user("ann@a1.test");
  *spooled.mutable_report() = ReportOf(5, 5).report();
  const std::string session =
      HelloOf(0, "ann@a1.test") + StepOf(kRequest, 0, ReportOf(100, 1).SerializeAsString());
  const std::string ended = session + StepOf(kRequest, 0, bye.SerializeAsString());
  return {
      ended + StepOf(kRequest, 3, admin.SerializeAsString()) + StepOf(kTime, 0, "123456"),
      session + StepOf(kDisconnect, 0, "") + StepOf(kCounted, 0, "") + StepOf(kCounted, 2, ""),
      session + StepOf(kRequest, 0, ReportOf(100, 0).SerializeAsString()) + StepOf(kPolicy, 1, ""),
      HelloOf(1, "ann@own.test") + StepOf(kRequest, 1, ReportOf(7, 1).SerializeAsString()),
      HelloOf(1, "ann@a1.test") + HelloOf(2, "ann@own.test"),
      StepOf(kRequest, 4, meter.SerializeAsString()) +
          StepOf(kRequest, 4, measured.SerializeAsString()) + StepOf(kTime, 0, "1"),
      ended + StepOf(kRequest, 3, recalc.SerializeAsString()) + StepOf(kCounted, 1, ""),
      ended + StepOf(kTime, 0, "1234567") + StepOf(kRequest, 3, invoice.SerializeAsString()),
      StepOf(kRequest, 3, source.SerializeAsString()) + StepOf(kPolicy, 2, ""),
      StepOf(kSpooled, 0, spooled.SerializeAsString()) + HelloOf(5, "ann@a1.test"),
  };
}

}  // namespace lbox::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lbox::fuzz;
  Machine machine;
  const std::string input(reinterpret_cast<const char*>(data), size);
  size_t at = 0;
  for (int steps = 0; at + 3 <= input.size() && steps < 100; ++steps) {
    const auto length = static_cast<uint8_t>(input[at + 2]);
    machine.Step(static_cast<uint8_t>(input[at]), static_cast<uint8_t>(input[at + 1]),
                 input.substr(at + 3, length));
    at += 3 + length;
  }
  // As a file of the spool, too.
  hosting::wire::Spooled spooled;
  (void)hosting::DecodeSpooled(input, spooled);
  return 0;
}
