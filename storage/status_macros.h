// Passing a failure on, for the .cc files of storage/. Nothing else belongs here.
#pragma once

#include <utility>

#include "storage/status.h"

#define LBOX_RETURN_IF_ERROR(expression)                                \
  do {                                                                  \
    if (::lbox::Status lbox_status = (expression); !lbox_status.ok()) { \
      return lbox_status;                                               \
    }                                                                   \
  } while (false)

// LBOX_ASSIGN_OR_RETURN(auto file, env.OpenRead(path));
#define LBOX_ASSIGN_OR_RETURN(target, expression) \
  LBOX_ASSIGN_OR_RETURN_AT(LBOX_JOIN(lbox_result_, __LINE__), target, expression)
#define LBOX_ASSIGN_OR_RETURN_AT(result, target, expression) \
  auto result = (expression);                                \
  if (!result.ok()) {                                        \
    return result.status();                                  \
  }                                                          \
  target = std::move(result.value())
#define LBOX_JOIN(a, b) LBOX_JOIN_AGAIN(a, b)
#define LBOX_JOIN_AGAIN(a, b) a##b
