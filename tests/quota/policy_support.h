// What the tests of the policy share: a system that is the same everywhere, and folders that go
// away.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include <unistd.h>

#include "quota/policy_file.h"
#include "quota/policy_path.h"

namespace hosting {

// Users vmail (5000) and www-data (33), zones of two cities.
inline PolicyNames TestNames() {
  return {[](const std::string& user) -> std::optional<uint32_t> {
            return user == "vmail"      ? std::optional<uint32_t>(5000)
                   : user == "www-data" ? std::optional<uint32_t>(33)
                                        : std::nullopt;
          },
          [](const std::string& zone) {
            return zone == "Africa/Johannesburg" || zone == "Europe/Berlin" || zone == "UTC";
          }};
}

// A policy that has every key.
inline constexpr const char* kFullPolicy = R"([service]
mail_uids = [5000, "www-data"]
admin_uids = ["vmail"]
web_uids = [1]
recount_uids = [2]
mail_connections = 1000
other_connections = 8
enforce = true
unavailable = "tempfail"
over_limit_reply = 452
mail_stale_after = "5 min"
recount_interval = "1 day"
web_exclude = ["/var/vmail"]
[protocols]
exempt_ports = [10143, 10993]
exempt_networks = ["192.0.2.0/24", "2001:db8::/32"]
exempt_master_users = false
answer = "alert"
pop3_host = "pop.example.com"
pop3_port = 110
upgrade_url = "https://my.example.com/"
language = "de"
[protocols.text.de]
deny = "{protocol} fehlt in {package}"
warn = "{protocol} fehlt bald, ab {from}"
[package.gold]
limit = "10G"
mailbox_limit = "2G"
message_limit = 100000
grace = "10M"
over_limit = "bill"
hard_limit = "12G"
overage = { price = "20.00", currency = "ZAR", per = "1G", basis = "peak", rounding = "up" }
enforce = true
imap = "allow"
pop3 = "warn"
managesieve = "allow"
submission = { access = "deny", from = "2027-01-31" }
smtp = "allow"
pop3_retention = { days = 14, from = "retrieval" }
warn_percent = [80, 90, 100]
warn_days = 14
warn_weekly_percent = 25
warn_overage = "100.00"
web_interval = "6 hours"
[package.free]
[account."example.com"]
package = "gold"
domains = ["example.com", "example.net"]
users = ["ann@example.org"]
web_roots = ["/srv/www/example.com", "/srv/www/example.net"]
web_exclude = ["/srv/www/example.com/cache"]
external = { databases = { stale_after = "2 days" }, other = {} }
time_zone = "Africa/Johannesburg"
uid = 1001
limit = "11G"
extra_space = "1G"
mailbox_limit = "3G"
enforce = false
imap = "warn"
pop3 = "deny"
managesieve = "allow"
submission = "allow"
smtp = "warn"
language = "af"
[account."example.com".user."log@example.com"]
imap = "deny"
pop3 = "allow"
managesieve = "deny"
submission = "deny"
smtp = "deny"
mailbox_limit = "none"
[account.b]
package = "free"
domains = ["b.example"]
)";

class TemporaryFolder {
 public:
  TemporaryFolder() {
    const char* const base = getenv("TMPDIR");
    std::string name = std::string(base == nullptr ? "/tmp" : base) + "/hosting-policy-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      abort();
    }
    path_ = std::filesystem::canonical(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // A path in the folder.
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // The folder and what is above it are as the system has them.
  [[nodiscard]] PathRules rules() const { return {getuid(), path_}; }

 private:
  std::string path_;
};

inline void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::filesystem::permissions(path, static_cast<std::filesystem::perms>(0644));
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace hosting
