#include "quota/growth_wire.h"

#include <cstdio>

#include "usage.pb.h"

namespace hosting {
namespace {

constexpr uint32_t kLastRule = static_cast<uint32_t>(GrowthRule::kOveragePrice);
constexpr uint32_t kLastLevel = static_cast<uint32_t>(GrowthLevel::kFull);

bool TakeDay(const std::string& text, std::optional<CalendarDay>* day) {
  if (text.empty()) {
    day->reset();
    return true;
  }
  CalendarDay value;
  if (sscanf(text.c_str(), "%4d-%2u-%2u", &value.year, &value.month, &value.day) != 3 ||
      value.Text() != text) {
    return false;
  }
  *day = value;
  return true;
}

bool TakeMoney(const std::string& text, Money* money) {
  const auto parsed = Money::Parse(text);
  if (parsed.ok()) {
    *money = *parsed;
  }
  return parsed.ok();
}

}  // namespace

void Fill(const GrowthWarning& warning, wire::GrowthWarning* message) {
  message->set_account(warning.account);
  message->set_package(warning.package);
  message->set_number(warning.number);
  message->set_rule(static_cast<uint32_t>(warning.rule));
  message->set_threshold(warning.threshold);
  message->set_price_threshold(warning.price_threshold.Format());
  message->set_level(static_cast<uint32_t>(warning.level));
  message->set_at(warning.at);
  message->set_mail(warning.mail);
  message->set_web(warning.web);
  message->set_external(warning.external);
  message->set_limit(warning.limit);
  message->set_percent(warning.percent);
  message->set_growth_a_day(warning.growth_a_day);
  message->set_full_on(warning.full_on ? warning.full_on->Text() : "");
  message->set_days_to_full(warning.days_to_full);
  message->set_overage(warning.overage);
  message->set_price(warning.price.Format());
  message->set_currency(warning.currency);
  if (warning.kept_percent) {
    message->set_kept_percent(*warning.kept_percent);
  }
}

bool Take(const wire::GrowthWarning& message, GrowthWarning* warning) {
  if (message.rule() < 1 || message.rule() > kLastRule || message.level() < 1 ||
      message.level() > kLastLevel) {
    return false;
  }
  GrowthWarning taken;
  if (!TakeDay(message.full_on(), &taken.full_on) || !TakeMoney(message.price(), &taken.price) ||
      !TakeMoney(message.price_threshold(), &taken.price_threshold)) {
    return false;
  }
  taken.account = message.account();
  taken.package = message.package();
  taken.number = message.number();
  taken.rule = static_cast<GrowthRule>(message.rule());
  taken.threshold = message.threshold();
  taken.level = static_cast<GrowthLevel>(message.level());
  taken.at = message.at();
  taken.mail = message.mail();
  taken.web = message.web();
  taken.external = message.external();
  taken.limit = message.limit();
  taken.percent = message.percent();
  taken.growth_a_day = message.growth_a_day();
  taken.days_to_full = message.days_to_full();
  taken.overage = message.overage();
  taken.currency = message.currency();
  if (message.has_kept_percent()) {
    taken.kept_percent = message.kept_percent();
  }
  *warning = std::move(taken);
  return true;
}

}  // namespace hosting
