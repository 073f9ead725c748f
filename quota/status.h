// Status and Result<T> of quota/: those of storage/, the one thing that the two share.
#pragma once

#include "storage/status.h"

namespace hosting {

using lbox::Code;
using lbox::Result;
using lbox::Status;

}  // namespace hosting
