#include "hosting-privileges.h"

#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int hosting_keep_capabilities(const int* kept, size_t count) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2]; /* capabilities 0 to 31, 32 to 63 */
  uint32_t mask[2] = {0, 0};
  size_t i;
  int cap;

  for (i = 0; i < count; i++)
    mask[kept[i] / 32] |= 1U << (kept[i] % 32);
  for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
    /* Refused to whom is not root any more; no_new_privs makes up for it. */
    if ((mask[cap / 32] & 1U << (cap % 32)) == 0)
      (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  }
  if (syscall(SYS_capget, &header, data) != 0)
    return -1;
  for (i = 0; i < 2; i++) {
    data[i].permitted &= mask[i];
    data[i].effective &= mask[i];
    data[i].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) != 0)
    return -1;
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
