#include "plugin/lbox-repair.h"

#include <algorithm>

#include "plugin/guard.h"
#include "plugin/index-compare.h"
#include "storage/repair.h"
#include "storage/verify.h"

namespace {

void tell(const lbox_admin_calls& calls, const lbox::CheckReport& report) {
  for (const lbox::Finding& finding : report.findings) {
    const std::string guid = finding.uid == 0 ? "" : ToHex(finding.guid);
    const lbox_admin_finding said{ToString(finding.damage), finding.mailbox_name.c_str(),
                                  guid.c_str(), finding.uid, finding.text.c_str()};
    calls.finding(calls.context, &said);
  }
}

void count(const lbox::CheckReport& report, lbox_admin_result* result) {
  result->mailboxes = report.mailboxes;
  result->messages = report.messages;
  result->packs = report.packs;
  result->bytes = report.bytes;
  result->findings += static_cast<uint64_t>(
      std::count_if(report.findings.begin(), report.findings.end(), [](const auto& finding) {
        return finding.damage != lbox::Damage::kOrphan;  // these take room, no more
      }));
}

// While the index cannot be read, it must not be opened in this process.
bool index_is_good(const lbox::CheckReport& report) {
  return std::none_of(report.findings.begin(), report.findings.end(),
                      [](const auto& finding) { return finding.damage == lbox::Damage::kIndex; });
}

// For metrics (docs/monitoring.md).
void event_repaired(struct event* event, const lbox::RepairReport& report, bool done) {
  const bool all = done && report.after.findings.empty();
  struct event_passthrough* e = event_create_passthrough(event)
                                    ->set_name("lbox_repaired")
                                    ->add_str("index", report.rebuilt ? "rebuilt" : "kept")
                                    ->add_str("result", all ? "ok" : "failed")
                                    ->add_int("lost", static_cast<intmax_t>(report.lost));
  e_debug(e->event(), "lbox: repaired: %llu messages lost",
          static_cast<unsigned long long>(report.lost));
}

lbox::Status repair_store(struct lbox_storage* storage, const lbox::StoreOptions& options,
                          const lbox_admin_calls& calls, lbox::RepairReport* report) {
  storage->state->repaired = true;
  lbox::RepairOptions repair;
  repair.store = options;
  repair.progress = [&](uint64_t done, uint64_t total) {
    calls.progress(calls.context, done, total);
  };
  lbox::Status status = RepairStore(repair, report);
  if (report->damaged) {
    event_repaired(storage->storage.event, *report, status.ok());
  }
  return status;
}

void tell(const lbox_admin_calls& calls, const lbox::RepairReport& report) {
  for (const std::string& line : report.lines) {
    calls.line(calls.context, line.c_str());
  }
  for (const std::string& folder : report.folders) {
    calls.line(calls.context, ("set aside in " + folder + ": see report.txt there").c_str());
  }
}

}  // namespace

int lbox_verify(struct lbox_storage* storage, struct mailbox_list* list, bool fast,
                const lbox_admin_calls& calls, struct lbox_admin_result* result_r) {
  *result_r = {};
  result_r->path = storage->state->path.c_str();
  lbox::VerifyOptions options;
  if (lbox_storage_options(storage, list, &options.store) < 0) {
    return -1;
  }
  options.check.bodies = !fast;
  options.check.spare = options.check.orphans = true;
  options.check.progress = [&](uint64_t done, uint64_t total) {
    calls.progress(calls.context, done, total);
  };
  const auto report = VerifyStore(options);
  if (report.status().code() == lbox::Code::kNotFound) {
    return 0;  // no mail was ever delivered
  }
  if (!report.ok()) {
    return lbox_fail(&storage->storage, storage->storage.event, report.status());
  }
  tell(calls, *report);
  count(*report, result_r);
  if (index_is_good(*report)) {
    result_r->findings += lbox_compare_indexes(storage, calls);
  }
  return 0;
}

int lbox_repair(struct lbox_storage* storage, struct mailbox_list* list,
                const lbox_admin_calls& calls, struct lbox_admin_result* result_r) {
  *result_r = {};
  result_r->path = storage->state->path.c_str();
  lbox::StoreOptions options;
  if (lbox_storage_options(storage, list, &options) < 0) {
    return -1;
  }
  lbox::RepairReport report;
  const lbox::Status status = repair_store(storage, options, calls, &report);
  if (status.code() == lbox::Code::kNotFound && !report.damaged) {
    return 0;
  }
  tell(calls, report);
  if (!status.ok()) {
    return lbox_fail(&storage->storage, storage->storage.event, status);
  }
  tell(calls, report.after);
  count(report.after, result_r);
  result_r->repaired = report.damaged ? 1 : 0;
  result_r->lost = report.lost;
  if (!index_is_good(report.after)) {
    return 0;
  }
  if (lbox_list_index_rebuild(&storage->storage,
                              MAIL_STORAGE_LIST_INDEX_REBUILD_REASON_FORCE_RESYNC) < 0) {
    return -1;
  }
  lbox_resync_all(storage, calls, &result_r->findings);
  return 0;
}

int lbox_repair_for_resync(struct lbox_mailbox* mbox) {
  struct lbox_storage* storage = mbox->storage;
  struct mailbox* box = &mbox->box;
  // Dovecot's rebuilding of a mailbox list forces mailboxes to be in step, too.
  if (storage->state->repaired || storage->storage.rebuilding_list_index) {
    return 0;
  }
  lbox::StoreOptions options;
  if (lbox_storage_options(storage, box->list, &options) < 0) {
    return -1;
  }
  const lbox_admin_calls calls{storage->storage.event, [](void*, const lbox_admin_finding*) {},
                               [](void* event, const char* line) {
                                 e_warning(static_cast<struct event*>(event), "lbox: repair: %s",
                                           line);
                               },
                               [](void*, uint64_t, uint64_t) {}};
  lbox::RepairReport report;
  const lbox::Status status = repair_store(storage, options, calls, &report);
  tell(calls, report);
  if (!status.ok()) {
    return lbox_fail(&storage->storage, storage->storage.event, status);
  }
  for (const lbox::Finding& finding : report.after.findings) {
    e_error(storage->storage.event, "lbox: not repaired: %s", finding.text.c_str());
  }
  return 0;
}
