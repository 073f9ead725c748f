#include "quota/web_policy.h"

#include <sys/stat.h>

#include <cerrno>

#include "quota/policy_snapshot.h"

namespace hosting {

WebPolicy::WebPolicy(std::string snapshot_path, Log log)
    : path_(std::move(snapshot_path)), log_(std::move(log)) {}

void WebPolicy::Complain(const std::string& text) {
  if (text != complained_) {
    complained_ = text;
    log_(text + (policy_ ? "; the last good policy stays in use" : ""));
  }
}

std::shared_ptr<const Policy> WebPolicy::Get() {
  struct stat s;
  if (stat(path_.c_str(), &s) != 0) {
    Complain(Status::FromErrno("policy snapshot " + path_, errno).message());
    return policy_;
  }
  const FileId id = {s.st_dev, s.st_ino};
  const int64_t changed = s.st_ctim.tv_sec * 1'000'000'000 + s.st_ctim.tv_nsec;
  if (id == seen_ && changed == seen_ns_) {
    return policy_;
  }
  Result<PolicySnapshot> snapshot = ReadSnapshot(path_);
  if (!snapshot.ok()) {
    Complain(snapshot.status().message());
    return policy_;
  }
  seen_ = id;
  seen_ns_ = changed;
  complained_.clear();
  policy_ = std::make_shared<const Policy>(std::move(snapshot->policy));
  return policy_;
}

}  // namespace hosting
