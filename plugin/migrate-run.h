// Migration: moves many users, some at a time.
//
// Purpose: a process for each user at work (migrate-move.h), what is shown meanwhile, and the
// report. Ownership: its processes end with it. Process rules: as root, without threads; SIGINT and
// SIGTERM end it at the next safe place of each user. Failure modes: per user, in its report. Crash
// rule: run again, it goes on. No Dovecot header.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "plugin/migrate-move.h"

namespace lbox::migrate {

struct Totals {
  uint64_t done = 0, skipped = 0, would = 0, differs = 0, failed = 0;
  uint64_t messages = 0, bytes_before = 0, bytes_after = 0;  // of those done
};

struct Options {
  Plan plan;
  unsigned jobs = 2;
  bool tty = false;  // stderr is a terminal: a bar, no lines
};

// Calls `ended` with each user's report, in the order of their ends.
Totals MoveAll(const Options& options, const std::vector<std::string>& users,
               const std::function<void(const std::string& user, const Report& report)>& ended);

}  // namespace lbox::migrate
