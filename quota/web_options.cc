#include "quota/web_options.h"

#include <pwd.h>

#include <charconv>
#include <limits>

namespace hosting {
namespace {

Status Bad(const std::string& option, const std::string& value, const std::string& expected) {
  return Status(Code::kInvalid, option + " " + value + ": expected " + expected);
}

template <typename Number>
Status ReadNumber(const std::string& option, const std::string& value, Number least, Number most,
                  Number* number) {
  const char* end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, *number);
  if (error != std::errc() || stopped != end || *number < least || *number > most) {
    return Bad(option, value,
               "a number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return {};
}

Status ReadUser(const std::string& value, WebOptions* options) {
  const char* end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, options->uid);
  if (error == std::errc() && stopped == end) {
    options->gid = options->uid;
  } else {
    const struct passwd* user = getpwnam(value.c_str());
    if (user == nullptr) {
      return Bad("--user", value, "a user of this system");
    }
    options->uid = user->pw_uid;
    options->gid = user->pw_gid;
  }
  return options->uid == 0 || options->gid == 0 ? Bad("--user", value, "a user other than root")
                                                : Status();
}

Status ReadPath(const std::string& option, const std::string& value, std::string* path) {
  *path = value;
  return value.empty() ? Bad(option, value, "a path") : Status();
}

Status ReadOption(const std::string& option, const std::string& value, WebOptions* options) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  if (option == "--user") {
    return ReadUser(value, options);
  }
  if (option == "--socket") {
    return ReadPath(option, value, &options->socket);
  }
  if (option == "--snapshot") {
    return ReadPath(option, value, &options->snapshot);
  }
  if (option == "--rate") {
    return ReadNumber<uint32_t>(option, value, 0, 10'000'000, &options->entries_a_second);
  }
  if (option == "--max-depth") {
    return ReadNumber<uint32_t>(option, value, 1, 100'000, &options->bounds.depth);
  }
  if (option == "--max-entries") {
    return ReadNumber<uint64_t>(option, value, 1, kMost, &options->bounds.entries);
  }
  if (option == "--max-links") {
    return ReadNumber<size_t>(option, value, 1, 100'000'000, &options->bounds.links);
  }
  if (option == "--max-seconds") {
    uint32_t seconds = 0;
    Status status = ReadNumber<uint32_t>(option, value, 1, 3 * 3600, &seconds);
    options->bounds.time = std::chrono::seconds(seconds);
    return status;
  }
  return Status(Code::kInvalid, option +
                                    ": expected --user, --socket, --snapshot, --rate, --max-depth, "
                                    "--max-entries, --max-links or --max-seconds");
}

}  // namespace

Result<WebOptions> ParseWebOptions(const std::vector<std::string>& arguments) {
  WebOptions options;
  for (size_t i = 0; i < arguments.size(); i += 2) {
    // "--name value" and "--name=value" are the same.
    std::string option = arguments[i];
    std::string value;
    const size_t equals = option.find('=');
    if (equals != std::string::npos) {
      value = option.substr(equals + 1);
      option.resize(equals);
      --i;
    } else if (i + 1 < arguments.size()) {
      value = arguments[i + 1];
    } else {
      return Status(Code::kInvalid, option + ": expected a value behind it");
    }
    Status status = ReadOption(option, value, &options);
    if (!status.ok()) {
      return status;
    }
  }
  if (options.uid == 0) {
    return Status(Code::kInvalid, "expected --user NAME: the meter does not run as root");
  }
  return options;
}

}  // namespace hosting
