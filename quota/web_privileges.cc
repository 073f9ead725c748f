#include "quota/web_privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace hosting {
namespace {

constexpr uint32_t kRead = 1U << CAP_DAC_READ_SEARCH;

struct Capabilities {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {};  // capabilities 0 to 31, 32 to 63

  int Read() { return static_cast<int>(syscall(SYS_capget, &header, data)); }
  int Set() { return static_cast<int>(syscall(SYS_capset, &header, data)); }
  [[nodiscard]] bool Exactly(uint32_t low) const {
    return data[0].effective == low && data[0].permitted == low && data[0].inheritable == 0 &&
           data[1].effective == 0 && data[1].permitted == 0 && data[1].inheritable == 0;
  }
};

// Needs CAP_SETPCAP, so comes before the change of uid; without it nothing can be dropped, but with
// no_new_privs nothing can be gained from the set either.
void EmptyBoundingSet() {
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
       ++capability) {
    if (capability != CAP_DAC_READ_SEARCH) {
      prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
  }
}

Status ChangeUser(uint32_t uid, uint32_t gid) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
    return Status::FromErrno("keeping capabilities over a change of uid", errno);
  }
  if (setgroups(0, nullptr) != 0) {
    return Status::FromErrno("giving up supplementary groups", errno);
  }
  if (setresgid(gid, gid, gid) != 0) {
    return Status::FromErrno("changing to gid " + std::to_string(gid), errno);
  }
  if (setresuid(uid, uid, uid) != 0) {
    return Status::FromErrno("changing to uid " + std::to_string(uid), errno);
  }
  prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  return {};
}

Status Verify(uint32_t uid, uint32_t gid) {
  uid_t ruid, euid, suid;
  gid_t rgid, egid, sgid;
  Capabilities now;
  const bool ok = getresuid(&ruid, &euid, &suid) == 0 && ruid == uid && euid == uid &&
                  suid == uid && getresgid(&rgid, &egid, &sgid) == 0 && rgid == gid &&
                  egid == gid && sgid == gid && now.Read() == 0 && now.Exactly(kRead) &&
                  prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  return ok ? Status()
            : Status(Code::kPermission, "the process has other privileges than it asked for");
}

}  // namespace

Status KeepReadingOnly(uint32_t uid, uint32_t gid) {
  if (uid == 0) {
    return Status(Code::kInvalid, "the web meter does not run as root: give it a user of its own");
  }
  if (geteuid() == 0) {
    EmptyBoundingSet();
    Status changed = ChangeUser(uid, gid);
    if (!changed.ok()) {
      return changed;
    }
  } else if (geteuid() != uid) {
    return Status(Code::kPermission, "started as uid " + std::to_string(geteuid()) +
                                         ", which cannot become uid " + std::to_string(uid));
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  Capabilities wanted;
  wanted.data[0].effective = wanted.data[0].permitted = kRead;
  if (wanted.Set() != 0) {
    return Status::FromErrno(
        "keeping CAP_DAC_READ_SEARCH (start as root, or give the unit AmbientCapabilities)", errno);
  }
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return Status::FromErrno("giving up new privileges", errno);
  }
  return Verify(uid, gid);
}

void RunInBackground() {
  // linux/ioprio.h, which Debian 12 does not have: IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE.
  constexpr int kProcess = 1;
  constexpr int kIdle = 3 << 13;
  syscall(SYS_ioprio_set, kProcess, 0, kIdle);
  setpriority(PRIO_PROCESS, 0, 19);
}

}  // namespace hosting
