#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "plugin/dovecot.h"
#include "plugin/migrate-gate.h"

extern "C" {
#include "plugin/migrate-enter.h"
}

namespace {

using lbox::migrate::Gate;

constexpr int kTries = 100;
constexpr useconds_t kTryMicroseconds = 10000;

struct migrate_user {
  union mail_user_module_context module_ctx;
  int fd;
};

MODULE_CONTEXT_DEFINE_INIT(lbox_migrate_user_module, &mail_user_module_register);

extern "C" {

static void migrate_user_deinit(struct mail_user* user) noexcept {
  auto* context = static_cast<migrate_user*>(MODULE_CONTEXT(user, lbox_migrate_user_module));
  context->module_ctx.super.deinit(user);
  i_close_fd(&context->fd);  // and with it the lock
}

}  // extern "C"

void hold(struct mail_user* user, int fd) {
  auto* context = p_new(user->pool, migrate_user, 1);
  // Around what the plugins' hooks of the user have made of it, which have all been called.
  context->module_ctx.super = user->v;
  context->fd = fd;
  user->v.deinit = migrate_user_deinit;
  MODULE_CONTEXT_SET(user, lbox_migrate_user_module, context);
}

std::optional<Gate> read_gate(int fd) {
  char text[lbox::migrate::kGateSize];
  const ssize_t size = pread(fd, text, sizeof(text), 0);
  return Gate::Decode(std::string_view(text, size > 0 ? static_cast<size_t>(size) : 0));
}

bool is_own_child(const Gate& gate) {
  const char* token = getenv(lbox::migrate::kTokenVariable);
  return token != nullptr && !gate.token.empty() && gate.token == token;
}

const char* inbox_driver(struct mail_namespace* namespaces) {
  const struct mail_namespace* ns = mail_namespace_find_inbox(namespaces);
  return ns->storage == nullptr ? "" : ns->storage->name;
}

// The file of a move that is long over; unless a new move has taken it meanwhile.
void remove_old(int fd, const std::string& path) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
    const auto gate = read_gate(fd);
    if (gate && gate->state == Gate::State::kMoved) {
      (void)unlink(path.c_str());
    }
  }
}

enum class verdict { enter, refuse, again };

// Takes over *fd where the lock is to be kept.
verdict look(struct mail_user* user, const std::string& path, const char* driver, int* fd) {
  const bool locked = flock(*fd, LOCK_SH | LOCK_NB) == 0;
  struct stat st;
  if (fstat(*fd, &st) == 0 && st.st_nlink == 0) {
    return verdict::again;
  }
  const auto gate = read_gate(*fd);
  if (!gate) {
    return verdict::again;  // just being made
  }
  if (is_own_child(*gate)) {
    return verdict::enter;
  }
  const int64_t now = time(nullptr);
  switch (gate->Ask(driver, now)) {
    case Gate::Answer::kRefuse:
      return verdict::refuse;
    case Gate::Answer::kEnter:
      if (now >= gate->until) {
        remove_old(*fd, path);
      }
      return verdict::enter;
    case Gate::Answer::kEnterLocked:
      break;
  }
  if (locked) {
    hold(user, *fd);
    *fd = -1;
    return verdict::enter;
  }
  // Somebody has it exclusively: for a moment, or past the time that the file names.
  return gate->state == Gate::State::kClosed ? verdict::enter : verdict::again;
}

verdict ask(struct mail_user* user, const std::string& path, const char* driver) {
  for (int tries = 0; tries < kTries; ++tries) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
      return verdict::enter;
    }
    const verdict answer = look(user, path, driver, &fd);
    i_close_fd(&fd);
    if (answer != verdict::again) {
      return answer;
    }
    usleep(kTryMicroseconds);
  }
  return verdict::again;
}

}  // namespace

bool lbox_migrate_enter(struct mail_namespace* namespaces) {
  struct mail_user* user = namespaces->user;
  const char* home = nullptr;
  if (user->autocreated || mail_user_get_home(user, &home) <= 0) {
    return true;
  }
  const std::string path = std::string(home) + "/" + lbox::migrate::kGateName;
  switch (ask(user, path, inbox_driver(namespaces))) {
    case verdict::enter:
      return true;
    case verdict::again:
      // It is the user's file: better no lock than no mail.
      e_warning(user->event, "lbox: %s is not of doveadm lbox migrate, or locked for no reason",
                path.c_str());
      return true;
    case verdict::refuse:
      break;
  }
  user->error = p_strdup_printf(user->pool,
                                "lbox: temporary failure: %s says that doveadm lbox migrate is "
                                "moving this user's mail, or has moved it",
                                path.c_str());
  return false;
}
