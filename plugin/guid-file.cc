#include "plugin/guid-file.h"

#include <cstring>
#include <string>

#include "plugin/guard.h"
#include "plugin/lbox-storage.h"
#include "storage/env.h"

namespace {

constexpr char kFileName[] = "lbox-guid";
constexpr size_t kHexDigits = 32;

bool layout_is_index(struct mailbox* box) {
  return strcmp(box->list->name, MAILBOX_LIST_NAME_INDEX) == 0;
}

bool parse(const std::string& text, lbox::Guid* guid_r) {
  guid_128_t guid;
  if (guid_128_from_string(text.c_str(), guid) < 0 || guid_128_is_empty(guid)) {
    return false;
  }
  *guid_r = lbox_guid_from(guid);
  return true;
}

// kAborted when `replace` is false and there is such a file already.
lbox::Status write_durably(struct mailbox* box, const std::string& dir, const std::string& text,
                           bool replace) {
  lbox::Env* env = lbox::Env::Default();
  const struct mailbox_permissions* perm = mailbox_get_permissions(box);
  const std::string path = dir + "/" + kFileName;
  const std::string temp = path + "." + my_pid;
  const int64_t gid = perm->file_create_gid == static_cast<gid_t>(-1)
                          ? -1
                          : static_cast<int64_t>(perm->file_create_gid);
  auto file = env->Create(temp, false, perm->file_create_mode, gid);
  if (!file.ok()) {
    return file.status();
  }
  if (auto status = (*file)->WriteAt(0, text.data(), text.size()); !status.ok()) {
    return status;
  }
  if (auto status = (*file)->Sync(); !status.ok()) {
    return status;
  }
  if (replace) {
    if (auto status = env->Rename(temp, path); !status.ok()) {
      return status;
    }
  } else {
    const lbox::Status linked = env->Link(temp, path);
    (void)env->Unlink(temp);
    if (!linked.ok()) {
      return linked;
    }
  }
  return env->SyncDirectory(dir);  // durable after this: the directory belongs to this mailbox
}

}  // namespace

int lbox_guid_file_read(struct mailbox* box, lbox::Guid* guid_r) {
  const std::string dir = mailbox_get_path(box);
  if (layout_is_index(box)) {
    return parse(dir.substr(dir.rfind('/') + 1), guid_r) ? 1 : 0;
  }
  const std::string path = dir + "/" + kFileName;
  auto file = lbox::Env::Default()->OpenRead(path);
  if (!file.ok()) {
    return file.status().code() == lbox::Code::kNotFound
               ? 0
               : lbox_fail(box->storage, box->event, file.status());
  }
  std::string text(kHexDigits, '\0');
  const auto size = (*file)->ReadAt(0, text.data(), text.size());
  if (!size.ok()) {
    return lbox_fail(box->storage, box->event, size.status());
  }
  if (*size != kHexDigits || !parse(text, guid_r)) {
    mailbox_set_critical(box,
                         "%s holds no mailbox GUID: restore it from a backup, or remove it to "
                         "start an empty mailbox",
                         path.c_str());
    return -1;
  }
  return 1;
}

int lbox_guid_file_write(struct mailbox* box, const lbox::Guid& guid) {
  if (layout_is_index(box)) {
    return 0;
  }
  const lbox::Status status =
      write_durably(box, mailbox_get_path(box), lbox::ToHex(guid) + "\n", true);
  return status.ok() ? 0 : lbox_fail(box->storage, box->event, status);
}

int lbox_guid_file_claim(struct mailbox* box, lbox::Guid* guid) {
  if (layout_is_index(box)) {
    return 0;
  }
  const lbox::Status status =
      write_durably(box, mailbox_get_path(box), lbox::ToHex(*guid) + "\n", false);
  if (status.code() == lbox::Code::kAborted) {
    return lbox_guid_file_read(box, guid) > 0 ? 0 : -1;
  }
  return status.ok() ? 0 : lbox_fail(box->storage, box->event, status);
}
