// SharedPage: a page that hosting-usage writes and everyone whom it gives the descriptor reads.
//
// Purpose: account and pulse pages (account_page.h). Ownership: owns memory, map and descriptor.
// Process rules: sealed after it was mapped, so that no descriptor of it, however opened, gives a
// way to write, shrink or grow it. Failure modes: Status (no memory, no descriptors). Crash rule:
// readers keep the memory when the service has gone.
#pragma once

#include <string>

#include "quota/account_page.h"
#include "quota/descriptor.h"
#include "quota/page_map.h"
#include "quota/status.h"

namespace hosting {

class SharedPage {
 public:
  static Result<SharedPage> Create(const std::string& name);

  [[nodiscard]] int fd() const { return memory_.get(); }
  template <typename Page>
  [[nodiscard]] Page* As() const {
    return map_.As<Page>();
  }

 private:
  SharedPage(Descriptor memory, PageMap map) : memory_(std::move(memory)), map_(std::move(map)) {}

  Descriptor memory_;
  PageMap map_;
};

}  // namespace hosting
