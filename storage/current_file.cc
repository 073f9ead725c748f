#include "storage/current_file.h"

#include <charconv>

#include "storage/advice.h"
#include "storage/rows.h"
#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr std::string_view kFirstWord = "lbox-store ";
constexpr std::string_view kGeneration = "generation ";
constexpr std::string_view kUuid = "uuid ";
constexpr size_t kMaxBytes = 4096;

Status Damaged(const std::string& path) {
  return Status(Code::kCorruption, path + " is damaged; " + kRunRepair);
}

// Takes "<name><rest>\n" off the front of `text`; false when it starts otherwise.
bool TakeLine(std::string_view& text, std::string_view name, std::string_view& rest) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(name)) {
    return false;
  }
  rest = text.substr(name.size(), end - name.size());
  text.remove_prefix(end + 1);
  return true;
}

bool ParseNumber(std::string_view digits, uint64_t& number) {
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return result.ec == std::errc() && result.ptr == digits.data() + digits.size();
}

bool ParseGuid(std::string_view hex, Guid& guid) {
  if (hex.size() != 2 * guid.bytes.size()) {
    return false;
  }
  for (size_t i = 0; i < guid.bytes.size(); i++) {
    const char* from = hex.data() + 2 * i;
    const auto result = std::from_chars(from, from + 2, guid.bytes[i], 16);
    if (result.ec != std::errc() || result.ptr != from + 2) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string EncodeCurrent(const CurrentFile& current) {
  std::string text(kFirstWord);
  text += std::to_string(kStoreFormat) + "\n";
  text += std::string(kGeneration) + std::to_string(current.generation) + "\n";
  text += std::string(kUuid) + ToHex(current.uuid) + "\n";
  return text;
}

Result<CurrentFile> DecodeCurrent(std::string_view text, const std::string& path) {
  std::string_view rest;
  uint64_t format = 0;
  if (!TakeLine(text, kFirstWord, rest) || !ParseNumber(rest, format) || format == 0) {
    return Damaged(path);
  }
  if (format > kStoreFormat) {
    return Status(Code::kUnsupported, path + ": the store has format " + std::to_string(format) +
                                          "; this version of lbox reads up to " +
                                          std::to_string(kStoreFormat) + ". Install a newer lbox");
  }
  CurrentFile current;
  current.format = static_cast<uint32_t>(format);
  if (!TakeLine(text, kGeneration, rest) || !ParseNumber(rest, current.generation) ||
      current.generation == 0 || !TakeLine(text, kUuid, rest) || !ParseGuid(rest, current.uuid) ||
      !text.empty()) {
    return Damaged(path);
  }
  return current;
}

Result<CurrentFile> ReadCurrent(Env& env, const std::string& folder) {
  const std::string path = folder + "/CURRENT";
  LBOX_ASSIGN_OR_RETURN(auto file, env.OpenRead(path));
  std::string text(kMaxBytes, '\0');
  LBOX_ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, text.data(), text.size()));
  text.resize(size);
  return DecodeCurrent(text, path);
}

Status WriteCurrent(Env& env, const std::string& folder, const CurrentFile& current, uint32_t mode,
                    int64_t gid, bool sync) {
  const std::string fresh = folder + "/CURRENT.new";
  if (Status status = env.Unlink(fresh); !status.ok() && status.code() != Code::kNotFound) {
    return status;
  }
  const std::string text = EncodeCurrent(current);
  {
    LBOX_ASSIGN_OR_RETURN(auto file, env.Create(fresh, true, mode, gid));
    LBOX_RETURN_IF_ERROR(file->WriteAt(0, text.data(), text.size()));
    if (sync) {
      // Durable after this: the new content, under its temporary name.
      LBOX_RETURN_IF_ERROR(file->Sync());
    }
  }
  LBOX_RETURN_IF_ERROR(env.Rename(fresh, folder + "/CURRENT"));
  if (sync) {
    // Durable after this: CURRENT names the generation.
    LBOX_RETURN_IF_ERROR(env.SyncDirectory(folder));
  }
  return {};
}

std::string IndexPath(const std::string& folder, uint64_t generation) {
  return folder + "/index." + std::to_string(generation);
}

}  // namespace lbox
