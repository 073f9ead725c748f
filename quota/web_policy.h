// WebPolicy: the policy as the web meter sees it, from hosting-usage's snapshot.
//
// Purpose: web roots come from nowhere else, in particular not over the socket. Ownership: keeps
// the last good policy; what Get gave stays valid as long as the caller holds it. Process rules:
// one thread; the file has another writer, which replaces it by rename. Failure modes: a bad or
// missing snapshot leaves the last good one in use, and says so once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "quota/policy.h"
#include "quota/web_open.h"

namespace hosting {

class WebPolicy {
 public:
  using Log = std::function<void(const std::string&)>;

  WebPolicy(std::string snapshot_path, Log log);

  // The policy in use now: reads the snapshot when it is another file than the last one that was
  // read. Null as long as there has been no good one. The same pointer: nothing changed.
  std::shared_ptr<const Policy> Get();

 private:
  void Complain(const std::string& text);

  const std::string path_;
  const Log log_;
  FileId seen_;
  int64_t seen_ns_ = 0;     // its time of change
  std::string complained_;  // of this already
  std::shared_ptr<const Policy> policy_;
};

}  // namespace hosting
