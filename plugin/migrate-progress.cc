#include "plugin/migrate-progress.h"

#include "plugin/migrate-text.h"

namespace lbox::migrate {
namespace {

constexpr uint64_t kBarWidth = 20;

}  // namespace

void Progress::End(const std::string& user, bool moved) {
  doing_.erase(user);
  ++ended_;
  moved_ += moved ? 1 : 0;
}

int64_t Progress::Eta(double now) const {
  if (ended_ >= users_) {
    return 0;
  }
  // Those at work count as half done.
  const double done = static_cast<double>(moved_) + static_cast<double>(doing_.size()) / 2;
  const double left = static_cast<double>(users_ - ended_) - static_cast<double>(doing_.size()) / 2;
  return moved_ == 0 ? -1 : static_cast<int64_t>((now - began_) / done * left);
}

std::string Progress::Bar(double now, size_t width) const {
  const uint64_t filled = users_ == 0 ? kBarWidth : ended_ * kBarWidth / users_;
  std::string text = "[";
  text.append(filled, '#').append(kBarWidth - filled, '-').append("] ");
  text.append(std::to_string(ended_)).append("/").append(std::to_string(users_)).append(" users");
  if (const int64_t eta = Eta(now); eta >= 0) {
    text += ", " + ShownSeconds(eta) + " left";
  }
  for (const auto& [user, what] : doing_) {
    text.append("; ").append(user).append(": ").append(what);
  }
  return text.substr(0, width);
}

}  // namespace lbox::migrate
