#include "storage/row_window.h"

#include <algorithm>

#include "storage/status_macros.h"

namespace lbox {
namespace {

constexpr uint32_t kStep = 64;     // UIDs to the next message that is still "the next one"
constexpr size_t kMostRows = 256;  // some 60 kB

}  // namespace

Result<const RowWindow::Row*> RowWindow::Get(Store& store, const Guid& mailbox, uint32_t uid) {
  const auto find = [&]() -> const Row* {
    if (next_ < rows_.size() && rows_[next_].message.uid == uid) {
      return &rows_[next_++];
    }
    const auto it =
        std::lower_bound(rows_.begin(), rows_.end(), uid,
                         [](const Row& row, uint32_t wanted) { return row.message.uid < wanted; });
    if (it == rows_.end() || it->message.uid != uid) {
      return nullptr;
    }
    next_ = static_cast<size_t>(it - rows_.begin()) + 1;
    return &*it;
  };
  const bool next = uid > asked_ && uid - asked_ <= kStep;
  asked_ = uid;
  if (const Row* row = find()) {
    return row;
  }
  ahead_ = next ? std::min(ahead_ * 4, kMostRows) : 1;
  Status status = Fill(store, mailbox, uid, ahead_);
  if (!status.ok() && ahead_ > 1) {  // another row's damage is none of this one
    status = Fill(store, mailbox, uid, 1);
  }
  LBOX_RETURN_IF_ERROR(status);
  if (const Row* row = find()) {
    return row;
  }
  return Status(Code::kNotFound, "no message with UID " + std::to_string(uid));
}

Status RowWindow::Fill(Store& store, const Guid& mailbox, uint32_t uid, size_t rows) {
  rows_.clear();
  next_ = 0;
  return store.Scan(mailbox, uid, rows == 1 ? uid : UINT32_MAX,
                    [&](const Message& message, const MessageExtra* extra) {
                      rows_.push_back({message, extra == nullptr ? MessageExtra() : *extra});
                      return rows_.size() < rows;
                    });
}

void RowWindow::Clear() {
  rows_.clear();
  asked_ = 0;
  ahead_ = 1;
}

}  // namespace lbox
