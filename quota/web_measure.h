// WebMeasure: the walks of all web roots of one account, one after the other.
//
// Purpose: what hosting-usage asks for with Measure. Ownership: holds on to the policy that it was
// begun under. Threads: one. Failure modes: each root has a result, complete or not.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "quota/policy.h"
#include "quota/web_links.h"
#include "quota/web_roots.h"
#include "quota/web_walk.h"

namespace hosting {

// Bounds of a walk that the meter's administrator may change.
struct WebBounds {
  uint32_t depth = WebWalkOptions().max_depth;
  uint64_t entries = WebWalkOptions().max_entries;
  std::chrono::seconds time = WebWalkOptions().max_time;
  size_t links = 2'000'000;  // files with several names, of an account; 32 to 64 bytes each
};

class WebMeasure {
 public:
  // Of an account of the policy. The index is told where its roots are now, and must outlive this.
  WebMeasure(std::shared_ptr<const Policy> policy, const Account& account, const WebBounds& bounds,
             RootIndex* index);

  using Done = std::function<void(const std::string& root, const WebWalkResult& result)>;
  // Looks at about `entries` names, at most one root's; `done` is told of a root that was finished.
  // Returns how many.
  uint64_t Step(uint64_t entries, WalkTime now, const Done& done);
  [[nodiscard]] bool finished() const { return !walk_ && next_ >= account_.web_roots.size(); }
  [[nodiscard]] const std::string& account() const { return account_.name; }

 private:
  WebWalkOptions Options() const;

  const std::shared_ptr<const Policy> policy_;
  const Account& account_;
  const WebBounds bounds_;
  const RootIndex* const index_;
  SeenFiles seen_;
  size_t next_ = 0;  // root
  std::optional<WebWalk> walk_;
};

}  // namespace hosting
