#include "quota/web_measure.h"

namespace hosting {

WebMeasure::WebMeasure(std::shared_ptr<const Policy> policy, const Account& account,
                       const WebBounds& bounds, RootIndex* index)
    : policy_(std::move(policy)),
      account_(account),
      bounds_(bounds),
      index_(index),
      seen_(bounds.links) {
  index->Set(account.name, account.web_roots);
}

WebWalkOptions WebMeasure::Options() const {
  WebWalkOptions options;
  options.owner = account_.uid;
  options.exclude = policy_->service.web_exclude;
  options.exclude.insert(options.exclude.end(), account_.web_exclude.begin(),
                         account_.web_exclude.end());
  // Where customers own their mail themselves, its looks say nothing (web_walk.h).
  for (const uint32_t uid : policy_->service.mail_uids) {
    if (uid != account_.uid) {
      options.mail_uids.push_back(uid);
    }
  }
  options.roots = index_;
  options.account = account_.name;
  options.max_depth = bounds_.depth;
  options.max_entries = bounds_.entries;
  options.max_time = bounds_.time;
  return options;
}

uint64_t WebMeasure::Step(uint64_t entries, WalkTime now, const Done& done) {
  if (finished()) {
    return 0;
  }
  if (!walk_) {
    walk_.emplace(account_.web_roots[next_++], Options(), &seen_);
  }
  const uint64_t before = walk_->entries();
  const bool last = walk_->Step(entries, now);
  const uint64_t looked_at = walk_->entries() - before;
  if (last) {
    done(walk_->root(), walk_->result());
    walk_.reset();
  }
  return looked_at;
}

}  // namespace hosting
