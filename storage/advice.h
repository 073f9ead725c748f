// What messages of this library tell the operator to do.
#pragma once

namespace lbox {

inline constexpr char kRunRepair[] = "run: doveadm lbox repair -u USER";

}  // namespace lbox
