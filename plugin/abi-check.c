#define _GNU_SOURCE /* dl_iterate_phdr */
#include "abi-check.h"

#include "config.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#define MARK "LBOX-BUILT-FOR:"

enum { MAX_ID = 64, SHOWN_DIGITS = 12 };

/* "libdovecot=0123abcd,imap=..."; tests put other digits into copies of a module. */
static const char built_for[] = MARK LBOX_DOVECOT_BUILD;

static char other_build[320];

/* The hex digits that were recorded for an object, NULL if there are none; their number. The object
 * is named by its path, of which what follows ".so" does not count. */
static const char* recorded(const char* path, size_t* digits_r) {
  const char* slash = strrchr(path, '/');
  const char* name = slash == NULL ? path : slash + 1;
  const char* suffix = strstr(name, ".so");
  size_t length = suffix == NULL ? strlen(name) : (size_t)(suffix - name);

  for (const char* item = built_for + strlen(MARK); *item != '\0';) {
    size_t size = strcspn(item, ",");
    if (size > length && item[length] == '=' && memcmp(item, name, length) == 0) {
      *digits_r = size - length - 1;
      return item + length + 1;
    }
    item += size + (item[size] == ',');
  }
  return NULL;
}

static size_t padded(size_t size, size_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

/* The build-id among the notes of one segment in hex, or false. */
static bool find_build_id(const uint8_t* notes, size_t size, size_t alignment,
                          char hex_r[2 * MAX_ID + 1]) {
  static const char digits[] = "0123456789abcdef";
  ElfW(Nhdr) note;
  size_t step;

  for (size_t at = 0; at <= size && size - at >= sizeof(note); at += step) {
    memcpy(&note, notes + at, sizeof(note));
    size_t body = padded(sizeof(note) + note.n_namesz, alignment);
    step = padded(body + note.n_descsz, alignment);
    if (body + note.n_descsz > size - at)
      return false;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof("GNU") &&
        memcmp(notes + at + sizeof(note), "GNU", sizeof("GNU")) == 0 && note.n_descsz > 0 &&
        note.n_descsz <= MAX_ID) {
      for (size_t i = 0; i < note.n_descsz; i++) {
        hex_r[2 * i] = digits[notes[at + body + i] >> 4];
        hex_r[2 * i + 1] = digits[notes[at + body + i] & 15];
      }
      hex_r[(size_t)2 * note.n_descsz] = '\0';
      return true;
    }
  }
  return false;
}

static bool build_id(const struct dl_phdr_info* object, char hex_r[2 * MAX_ID + 1]) {
  for (size_t i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)* segment = &object->dlpi_phdr[i];
    if (segment->p_type == PT_NOTE &&
        find_build_id((const uint8_t*)(object->dlpi_addr + segment->p_vaddr), segment->p_memsz,
                      segment->p_align == 8 ? 8 : 4, hex_r))
      return true;
  }
  return false;
}

/* Called for each object of the process; nonzero ends the walk. */
static int compare(struct dl_phdr_info* object, size_t size, void* context) {
  const char* path = object->dlpi_name;
  char running[2 * MAX_ID + 1];
  size_t digits;

  (void)size;
  (void)context;
  if (object->dlpi_phdr == (const ElfW(Phdr)*)getauxval(AT_PHDR)) /* the program has no name */
    path = (const char*)getauxval(AT_EXECFN);
  const char* wanted = path == NULL ? NULL : recorded(path, &digits);
  if (wanted == NULL || !build_id(object, running) ||
      (strlen(running) == digits && memcmp(running, wanted, digits) == 0))
    return 0;

  const char* name = strrchr(path, '/');
  int shown = digits < SHOWN_DIGITS ? (int)digits : SHOWN_DIGITS;
  snprintf(other_build, sizeof(other_build),
           "%.*s of another build of Dovecot (%.64s %.*s, here %.*s): install the lbox package for "
           "the Dovecot that is running, or build lbox again",
           (int)strcspn(DOVECOT_ABI_VERSION, "("), DOVECOT_ABI_VERSION,
           name == NULL ? path : name + 1, shown, wanted, SHOWN_DIGITS, running);
  return 1;
}

const char* lbox_abi_of_another_build(void) {
  if (built_for[strlen(MARK)] == '\0')
    return NULL;
  return dl_iterate_phdr(compare, NULL) != 0 ? other_build : NULL;
}
