// Keywords of messages as Dovecot's index objects, each distinct set made once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plugin/dovecot.h"
#include "storage/types.h"

// Names of the message's keywords, in the order of the mailbox's list.
std::vector<std::string> lbox_keyword_names(const lbox::MailboxInfo& info,
                                            const lbox::Message& message,
                                            const lbox::MessageExtra* extra);
// Names behind a save's or message's mail_keywords.
std::vector<std::string> lbox_keyword_names(struct mail_index* index,
                                            const struct mail_keywords* keywords);

class lbox_keyword_sets {
 public:
  explicit lbox_keyword_sets(struct mail_index* index) : index_(index) {}
  ~lbox_keyword_sets();
  lbox_keyword_sets(const lbox_keyword_sets&) = delete;
  lbox_keyword_sets& operator=(const lbox_keyword_sets&) = delete;
  // Owned by this object.
  struct mail_keywords* get(const std::vector<std::string>& names);

 private:
  struct mail_index* index_;
  std::map<std::vector<std::string>, struct mail_keywords*> sets_;
};
