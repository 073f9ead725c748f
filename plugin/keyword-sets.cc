#include "plugin/keyword-sets.h"

std::vector<std::string> lbox_keyword_names(const lbox::MailboxInfo& info,
                                            const lbox::Message& message,
                                            const lbox::MessageExtra* extra) {
  std::vector<std::string> names;
  for (uint32_t bit = 0; bit < 32 && bit < info.keywords.size(); ++bit) {
    if ((message.keyword_bits & (1U << bit)) != 0) {
      names.push_back(info.keywords[bit]);
    }
  }
  if (extra != nullptr) {
    for (const uint32_t number : extra->keywords) {
      if (number < info.keywords.size()) {
        names.push_back(info.keywords[number]);
      }
    }
  }
  return names;
}

std::vector<std::string> lbox_keyword_names(struct mail_index* index,
                                            const struct mail_keywords* keywords) {
  std::vector<std::string> names;
  if (keywords != nullptr) {
    const ARRAY_TYPE(keywords)* all = mail_index_get_keywords(index);
    for (unsigned int i = 0; i < keywords->count; ++i) {
      const char* const* name = array_idx(all, keywords->idx[i]);
      names.emplace_back(*name);
    }
  }
  return names;
}

lbox_keyword_sets::~lbox_keyword_sets() {
  for (auto& [names, keywords] : sets_) {
    mail_index_keywords_unref(&keywords);
  }
}

struct mail_keywords* lbox_keyword_sets::get(const std::vector<std::string>& names) {
  const auto [it, inserted] = sets_.try_emplace(names, nullptr);
  if (inserted) {
    std::vector<const char*> pointers;
    pointers.reserve(names.size() + 1);
    for (const std::string& name : names) {
      pointers.push_back(name.c_str());
    }
    pointers.push_back(nullptr);
    it->second = mail_index_keywords_create(index_, pointers.data());
  }
  return it->second;
}
