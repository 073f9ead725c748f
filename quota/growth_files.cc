#include "quota/growth_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quota/billing_calendar.h"
#include "quota/descriptor.h"
#include "quota/growth_forecast.h"
#include "quota/growth_record.h"

namespace hosting {
namespace {

constexpr int64_t kFailureLogMs = 60000;
constexpr std::array<const char*, kGrowthFileKinds> kPrefixes = {"hours.", "days.", "sources."};
// Lengths of what follows: YYYY-MM-DD or YYYY-MM.
constexpr std::array<size_t, kGrowthFileKinds> kDateLengths = {10, 7, 7};

size_t RecordBytes(GrowthFile kind) {
  return kind == GrowthFile::kSources ? kGrowthSourceBytes : kGrowthRecordBytes;
}

bool IsDate(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || c == '-'; });
}

}  // namespace

GrowthFiles::GrowthFiles(std::string folder, UsageLog log)
    : folder_(std::move(folder)), log_(std::move(log)) {
  if (mkdir(folder_.c_str(), 0750) != 0 && errno != EEXIST) {
    Failed("mkdir(" + folder_ + ")", errno, 0);
  }
}

std::string GrowthFiles::NameOf(GrowthFile kind, int64_t day) {
  const auto i = static_cast<size_t>(kind);
  const std::string date = TimeZone::Of("UTC").DayOf(day * kSecondsADay).Text();
  return kPrefixes[i] + date.substr(0, kDateLengths[i]);
}

std::vector<std::string> GrowthFiles::List(GrowthFile kind) const {
  const auto i = static_cast<size_t>(kind);
  const std::string prefix = kPrefixes[i];
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename();
    if (name.starts_with(prefix) && name.size() == prefix.size() + kDateLengths[i] &&
        IsDate(std::string_view(name).substr(prefix.size()))) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void GrowthFiles::RemoveOld(GrowthFile kind) {
  const std::vector<std::string> names = List(kind);
  const size_t kept = kGrowthFilesKept[static_cast<size_t>(kind)];
  for (size_t i = 0; i + kept < names.size(); ++i) {
    (void)unlink((folder_ + "/" + names[i]).c_str());
  }
}

void GrowthFiles::Failed(const std::string& what, int error, int64_t boot_ms) {
  if (!failed_ || boot_ms - failure_logged_ms_ >= kFailureLogMs) {
    failed_ = true;
    failure_logged_ms_ = boot_ms;
    log_(LogLevel::kWarning, what + " failed: " + strerror(error) +
                                 ": history of growth is missing what was to be written");
  }
}

void GrowthFiles::Append(GrowthFile kind, int64_t day, std::string_view records, int64_t boot_ms) {
  const std::string path = folder_ + "/" + NameOf(kind, day);
  constexpr int kFlags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
  Descriptor file(open(path.c_str(), kFlags));
  if (!file.valid() && errno == ENOENT) {
    file = Descriptor(open(path.c_str(), kFlags | O_CREAT, 0640));
    RemoveOld(kind);
  }
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) {
    return Failed("open(" + path + ")", errno, boot_ms);
  }
  // What a full disk or a power cut left of a record goes before the next one comes.
  const auto size = static_cast<uint64_t>(status.st_size);
  const uint64_t whole = size - size % RecordBytes(kind);
  if (whole != size && ftruncate(file.get(), static_cast<off_t>(whole)) != 0) {
    return Failed("ftruncate(" + path + ")", errno, boot_ms);
  }
  const ssize_t written = write(file.get(), records.data(), records.size());
  if (written != static_cast<ssize_t>(records.size())) {
    Failed("write(" + path + ")", written < 0 ? errno : ENOSPC, boot_ms);
  }
}

std::string GrowthFiles::Read(const std::string& name, uint64_t offset, size_t record) const {
  const std::string path = folder_ + "/" + name;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string bytes;
  if (!file.valid()) {
    return bytes;
  }
  bytes.resize(kMostRead - kMostRead % record);
  const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  const size_t size = got < 0 ? 0 : static_cast<size_t>(got);
  bytes.resize(size - size % record);
  return bytes;
}

}  // namespace hosting
