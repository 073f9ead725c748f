#include "plugin/idle-store.h"

#include <cstring>

#include "plugin/dovecot.h"

namespace {

// Deliveries that follow one another are closer than this; an operator who copies, restores or
// removes a store after the last of them is not.
constexpr unsigned int kKeepMs = 250;

struct timeout* to_close = nullptr;

bool is_delivering() {
  return master_service != nullptr &&
         std::strcmp(master_service_get_name(master_service), "lmtp") == 0;
}

extern "C" {

static void lbox_idle_store_timeout(void*) noexcept {
  lbox_idle_store_close();
}

}  // extern "C"

}  // namespace

void lbox_idle_store_keep(const std::shared_ptr<lbox::Store>& store) {
  if (!is_delivering()) {
    return;
  }
  lbox::Store::KeepIdle(store);
  timeout_remove(&to_close);
  to_close = timeout_add_to(io_loop_get_root(), kKeepMs, lbox_idle_store_timeout,
                            static_cast<void*>(nullptr));
}

void lbox_idle_store_close(void) {
  timeout_remove(&to_close);
  lbox::Store::CloseIdle();
}
