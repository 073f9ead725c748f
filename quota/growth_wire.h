// A GrowthWarning as a message: for rows of the ledger and for whoever asks for warnings.
//
// Purpose: one encoding for all of them. Ownership: values. Process and crash rules: none. Failure
// modes: Take returns false for what Fill would not have made.
#pragma once

#include "quota/growth_warning.h"

namespace hosting {

namespace wire {
class GrowthWarning;
}

void Fill(const GrowthWarning& warning, wire::GrowthWarning* message);
[[nodiscard]] bool Take(const wire::GrowthWarning& message, GrowthWarning* warning);

}  // namespace hosting
