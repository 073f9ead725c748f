// What benchmarks do with failures: a benchmark of what failed would mean nothing.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "storage/status.h"

namespace lbox::bench {

[[noreturn]] inline void Fail(const std::string& message) {
  fprintf(stderr, "bench: %s\n", message.c_str());
  exit(1);
}

inline void Must(const Status& status) {
  if (!status.ok()) {
    Fail(status.message());
  }
}

template <typename T>
T Must(Result<T> result) {
  if (!result.ok()) {
    Fail(result.status().message());
  }
  return std::move(*result);
}

}  // namespace lbox::bench
