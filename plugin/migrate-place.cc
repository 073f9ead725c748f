#include "plugin/migrate-place.h"

namespace lbox::migrate {

Result<Place> Place::Parse(std::string_view text) {
  Place place;
  place.text = text;
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size()) {
    return Status(Code::kInvalid, "\"" + place.text + "\" is not of the form driver:path");
  }
  place.driver = text.substr(0, colon);
  text.remove_prefix(colon + 1);
  const size_t end = text.find(':');
  place.path = text.substr(0, end);
  while (end != std::string_view::npos && !text.empty()) {
    const size_t next = text.find(':');
    if (next == std::string_view::npos) {
      break;
    }
    text.remove_prefix(next + 1);
    const std::string setting(text.substr(0, text.find(':')));
    if (setting.find('=') == std::string::npos) {
      return Status(Code::kInvalid, "\"" + setting + "\" in \"" + place.text +
                                        "\" is not of the form setting=value");
    }
    place.more.push_back(setting);
  }
  return place;
}

std::vector<std::string> Place::AsOwn(bool by_driver) const {
  if (!by_driver) {
    return {"-o", "mail_location=" + text};
  }
  std::vector<std::string> arguments = {"-o", "mail_driver=" + driver, "-o", "mail_path=" + path};
  for (const std::string& setting : more) {
    arguments.insert(arguments.end(), {"-o", setting});
  }
  return arguments;
}

std::vector<std::string> Place::AsOther(bool by_driver) const {
  if (!by_driver) {
    return {text};
  }
  std::vector<std::string> arguments;
  for (const std::string& setting : more) {
    arguments.insert(arguments.end(), {"-p", setting});
  }
  arguments.push_back(driver + ":" + path);
  return arguments;
}

}  // namespace lbox::migrate
