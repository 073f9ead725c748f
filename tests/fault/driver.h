// A store together with a model of what it must hold.
//
// Purpose: the fault tests' hands and eyes. Each operation is made on the store, and when the store
// acknowledges it, on the model; Describe gives both as text, to be compared.
// Mailboxes are numbered by the caller; messages have UIDs as the store gives them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "storage/store.h"

namespace lbox::testing {

struct ModelMessage {
  Guid guid;
  uint64_t size = 0, hash = 0;  // of the body
  uint8_t flags = 0;
  std::set<std::string> keywords;
  std::string uidl;
};

struct ModelMailbox {
  std::string name;
  uint32_t next_uid = 1;
  uint64_t change = 1;
  std::map<uint32_t, ModelMessage> messages;
};

using Model = std::map<int, ModelMailbox>;

std::string Describe(const Model& model);
// As the store tells it, every body read.
Result<std::string> Describe(Store& store);

struct NewMail {
  std::string text;
  uint8_t flags = 0;
  std::vector<std::string> keywords;
  std::string uidl;
};

class Driver {
 public:
  explicit Driver(StoreOptions options, Model start = {})
      : model(std::move(start)), options_(std::move(options)) {}

  Status Open();
  void Close() { store_.reset(); }
  [[nodiscard]] Store& store() { return *store_; }
  [[nodiscard]] bool open() const { return store_ != nullptr; }

  Status CreateBox(int box);
  Status RenameBox(int box, const std::string& name);
  Status DeleteBox(int box);
  Status Deliver(int box, const std::vector<NewMail>& mails);
  Status Flag(int box, uint32_t first, uint32_t last, uint8_t add, uint8_t remove);
  Status Keyword(int box, uint32_t first, uint32_t last, const std::string& word, bool add);
  Status Uidl(int box, uint32_t uid, const std::string& uidl);
  // POP3 fetched them at `time`. What the index mirrors stays, and so the change counter.
  Status Retrieve(int box, uint32_t first, uint32_t last, uint32_t time);
  // `times`: each message so often.
  Status Copy(int from, uint32_t first, uint32_t last, int to, int times = 1);
  // New UIDs for these.
  Status Renumber(int box, uint32_t first, uint32_t last);
  Status Expunge(int box, uint32_t first, uint32_t last);
  // Until nothing remains to be done.
  Status Maintain(bool exhaustive);

  // What is wrong: with the store's own check, or between it and the model. Empty: nothing.
  std::vector<std::string> Problems(bool bodies = true);
  // Files that are nobody's; for a store that was freed exhaustively and has no other user.
  std::vector<std::string> Leftovers();

  Model model;
  // What the model is if a delivery that was not acknowledged is there all the same.
  Model attempted;

 private:
  Status ApplyOne(int box, const Change& change);

  const StoreOptions options_;
  std::shared_ptr<Store> store_;
};

}  // namespace lbox::testing
