// dovecot.h and what the quota plugin offers to its backends.
#pragma once

#include "plugin/dovecot.h"

extern "C" {
#include "quota-private.h"
#include "quota-plugin.h"
}
