#include "plugin/hosting-user.h"

#include <cstring>

#include "plugin/hosting-count.h"
#include "plugin/hosting-guard.h"
#include "plugin/hosting-pop3.h"

namespace {

hosting_connection& connection_of(hosting_user& user) {
  if (user.connection == nullptr) {
    hosting::UsageClient::Options options;
    options.socket_path = user.settings.socket;
    options.spool_folder = user.settings.spool;
    options.call_limit = std::chrono::milliseconds(user.settings.timeout_ms);
    // The connection may outlive the user.
    const std::shared_ptr<struct event> event(event_ref(user.event),
                                              [](struct event* e) { event_unref(&e); });
    options.log = [event](const std::string& line) { e_warning(event.get(), "%s", line.c_str()); };
    options.outage = [event](bool away, const std::string& line) {
      struct event_passthrough* e = event_create_passthrough(event.get())
                                        ->set_name("hosting_service_outage")
                                        ->add_str("phase", away ? "begin" : "end");
      e_warning(e->event(), "%s", line.c_str());
    };
    hosting::SessionUser session;
    session.user = user.user->username;
    session.service = user.user->service;
    session.account = user.settings.account;
    session.package = user.settings.package;
    session.extra_space = user.settings.extra_space;
    session.mailbox_limit = user.settings.mailbox_limit;
    user.connection = std::make_unique<hosting_connection>(
        std::make_unique<hosting::UsageClient>(std::move(options), std::move(session)));
  }
  return *user.connection;
}

void connect(hosting_user& user) {
  hosting_connection& connection = connection_of(user);
  if (connection.client().fd() < 0) {
    // While the service is away the client says so in the log.
    (void)connection.call([](hosting::UsageClient& client) { return client.Connect(); });
  }
}

bool is_of_no_account(const hosting_user& user) {
  const hosting::UsageClient& client = user.connection->client();
  return client.fd() >= 0 && client.account().empty();
}

// The service has the user recounted.
void have_recounted(hosting_user& user) {
  if (user.connection != nullptr) {
    user.connection->abandon();
    user.connection.reset();
  }
  user.changed = false;
  user.causes = {};
}

// An event of that name, which says the account where the settings want it.
struct event_passthrough* new_event(const hosting_user& user, const char* name) {
  struct event_passthrough* e = event_create_passthrough(user.event)->set_name(name);
  if (user.settings.event_account && user.connection != nullptr) {
    e = e->add_str("account", user.connection->client().account().c_str());
  }
  return e;
}

void send_changed_event(const hosting_user& user, const hosting::MailAmount& amount) {
  struct event_passthrough* e =
      new_event(user, "hosting_usage_changed")
          ->add_int("bytes", static_cast<intmax_t>(amount.bytes))
          ->add_int("messages", static_cast<intmax_t>(amount.messages))
          ->add_int("delivered", static_cast<intmax_t>(user.causes.delivered))
          ->add_int("saved", static_cast<intmax_t>(user.causes.saved))
          ->add_int("removed_pop3", static_cast<intmax_t>(user.causes.removed_pop3))
          ->add_int("removed_imap", static_cast<intmax_t>(user.causes.removed_imap))
          ->add_int("refused", static_cast<intmax_t>(user.causes.refused));
  e_debug(e->event(), "Mail of the user: %llu bytes, %llu messages",
          static_cast<unsigned long long>(amount.bytes),
          static_cast<unsigned long long>(amount.messages));
}

extern "C" {

static void hosting_user_report_timeout(void* context) noexcept {
  auto* user = static_cast<hosting_user*>(context);
  hosting_guard(0, [&] {
    hosting_user_report(*user);
    return 0;
  });
}

}  // extern "C"

}  // namespace

hosting_user::hosting_user() = default;
hosting_user::~hosting_user() = default;

hosting::Lookup hosting_user_figures(hosting_user& user) {
  hosting_user_report(user);
  connect(user);
  return connection_of(user).call(
      [&user](hosting::UsageClient& client) { return client.Figures(user.wanted); });
}

void hosting_user_touch(hosting_user& user) {
  hosting_connection& connection = connection_of(user);
  if (connection.client().fd() < 0) {
    // While the service is away the client says so in the log.
    (void)connection.call([](hosting::UsageClient& client) { return client.BeforeChange(); });
  }
}

namespace {

void schedule_report(hosting_user& user) {
  user.changed = true;
  if (user.to_report == nullptr) {
    user.to_report = timeout_add_to(io_loop_get_root(), 0, hosting_user_report_timeout,
                                    static_cast<void*>(&user));
  }
}

}  // namespace

void hosting_user_changed(hosting_user& user, int64_t bytes, struct mailbox* box) {
  const auto amount = static_cast<uint64_t>(bytes < 0 ? -bytes : bytes);
  if (bytes < 0) {
    (user.retaining                            ? user.causes.removed_retention
     : strcmp(user.user->service, "pop3") == 0 ? user.causes.removed_pop3
                                               : user.causes.removed_imap) += amount;
  } else if (user.noticing) {
    // What the plugin itself tells the user is nothing that they grow by.
  } else if (box != nullptr && (box->flags & MAILBOX_FLAG_POST_SESSION) != 0) {
    user.causes.delivered += amount;
  } else {
    user.causes.saved += amount;
  }
  schedule_report(user);
}

void hosting_user_refused(hosting_user& user, const char* root, const std::string& text,
                          uint64_t bytes, bool report_only) {
  struct event_passthrough* e = new_event(user, "hosting_refused")
                                    ->add_str("root", root)
                                    ->add_str("reason", text.c_str())
                                    ->add_str("enforced", report_only ? "no" : "yes")
                                    ->add_int("bytes", static_cast<intmax_t>(bytes));
  if (report_only) {
    e_info(e->event(), "Over the limit, accepted since the package only reports: %s", text.c_str());
  } else {
    e_debug(e->event(), "Refused: %s", text.c_str());
  }
  // quota-status only asks: what it lets pass is counted by who delivers it.
  if (strcmp(user.user->service, "quota-status") != 0) {
    user.causes.refused++;
    schedule_report(user);
  } else if (!report_only) {
    hosting::Causes refused;
    refused.refused = 1;
    connection_of(user).call([&](hosting::UsageClient& client) { client.ReportCauses(refused); });
  }
}

void hosting_user_report(hosting_user& user) {
  timeout_remove(&user.to_report);
  if (!user.changed) {
    return;
  }
  connect(user);
  if (is_of_no_account(user)) {
    user.changed = false;
    user.causes = {};
    return;
  }
  if (user.user->autocreated) {
    // The owner of a mailbox that somebody else works in: their other mail is not to be seen here.
    have_recounted(user);
    return;
  }
  hosting::MailAmount amount;
  std::string error;
  const int ret = hosting_count(user, hosting_store::create, &amount, &error);
  if (ret == 0) {
    return;  // stays changed
  }
  if (ret < 0) {
    e_error(user.event, "Cannot tell how much mail there is, so it is to be recounted: %s",
            error.c_str());
    have_recounted(user);
    return;
  }
  send_changed_event(user, amount);
  connection_of(user).call(
      [&](hosting::UsageClient& client) { client.Report(amount, user.causes); });
  user.changed = false;
  user.causes = {};
}

int hosting_user_report_now(hosting_user& user, const hosting::MailAmount& amount,
                            std::string* error_r) {
  connect(user);
  if (is_of_no_account(user)) {
    return 0;
  }
  // Figures() waits for the answer.
  const bool done = user.connection->call([&](hosting::UsageClient& client) {
    client.Report(amount, user.causes);
    (void)client.Figures();
    return !client.unreported();
  });
  user.changed = false;
  user.causes = {};
  timeout_remove(&user.to_report);
  if (!done) {
    *error_r = "hosting-usage does not answer";
    return -1;
  }
  return 1;
}

void hosting_user_end(hosting_user& user) {
  hosting_user_report(user);
  if (user.changed) {
    have_recounted(user);
  }
  if (user.connection != nullptr) {
    hosting_linger(std::move(user.connection));
  }
}
