#include "tests/fault/workload.h"

#include <random>

#include <gtest/gtest.h>

#include "tests/unit/store_testing.h"

namespace lbox::testing {
namespace {

constexpr uint8_t kFlagged = 0x02, kDeleted = 0x04, kSeen = 0x08;

NewMail Small(uint64_t seed, size_t size = 700) {
  return {Noise(size, seed), 0, {}, ""};
}
// Compresses to more than kLargeBodyBytes.
NewMail Large(uint64_t seed) {
  return {Noise(180 * 1000, seed), 0, {}, ""};
}

}  // namespace

StoreOptions StoreIn(const std::string& folder) {
  StoreOptions options = OptionsFor(folder + "/" + kStoreFolder);
  options.sync = true;
  return options;
}

std::vector<const Model*> Recording::Expected(size_t point, bool halfway) const {
  std::vector<const Model*> expected;
  for (const Model& model : start) {
    expected.push_back(&model);
  }
  size_t last = begin;
  for (const Step& step : steps) {
    if (step.end > point) {
      if (point > last || halfway) {
        expected.push_back(&step.after);
      }
      break;
    }
    expected = {&step.after};
    last = step.end;
  }
  return expected;
}

std::string Recording::Describe(size_t point) const {
  std::string text =
      "before call " + std::to_string(point) + " of " + std::to_string(trace.ops.size());
  for (const Step& step : steps) {
    if (step.end > point) {
      text += ", during \"" + step.name + "\"";
      break;
    }
  }
  for (size_t i = point < 3 ? 0 : point - 3; i < point + 1 && i < trace.ops.size(); i++) {
    text += "\n    " + std::string(i == point ? "[not made] " : "") + trace.ops[i].ToString();
  }
  return text;
}

Script::Script(std::string folder)
    : folder_(std::move(folder)), recorder_(folder_), driver_(StoreIn(folder_)) {}

Script::Script(std::string folder, Trace start, std::vector<Model> models)
    : folder_(std::move(folder)),
      recorder_(folder_, std::move(start)),
      driver_(StoreIn(folder_)),
      start_(std::move(models)),
      begin_(recorder_.trace.ops.size()) {}

void Script::Do(const std::string& name, const std::function<Status(Driver&)>& action) {
  if (::testing::Test::HasFatalFailure()) {
    return;
  }
  const Observe observe(recorder_);  // reading, too, opens files that are written later
  const Status status = action(driver_);
  ASSERT_TRUE(status.ok()) << name << ": " << status.message();
  steps_.push_back({name, recorder_.trace.ops.size(), driver_.model});
  if (driver_.open()) {
    const auto said = ::lbox::testing::Describe(driver_.store());
    ASSERT_TRUE(said.ok()) << name << ": " << said.status().message();
    ASSERT_EQ(*said, ::lbox::testing::Describe(driver_.model)) << name;
  }
}

void Script::Resume() {
  const Observe observe(recorder_);
  const Status status = driver_.Open();
  ASSERT_TRUE(status.ok()) << status.message();
  const auto said = ::lbox::testing::Describe(driver_.store());
  ASSERT_TRUE(said.ok()) << said.status().message();
  for (const Model& model : start_) {
    if (*said == ::lbox::testing::Describe(model)) {
      driver_.model = model;
      return;
    }
  }
  FAIL() << "the store holds what it should not:\n" << *said;
}

Recording Script::Finish() {
  Do("close", [](Driver& driver) {
    driver.Close();
    return Status();
  });
  return {std::move(recorder_.trace), std::move(steps_), start_, begin_};
}

Recording RecordNothing(const std::string& folder) {
  return {Recorder(folder).trace, {}};
}

Recording RecordSmallStore(const std::string& folder) {
  Script script(folder);
  script.Do("create the store", [](Driver& d) { return d.Open(); });
  script.Do("create mailbox 1", [](Driver& d) { return d.CreateBox(1); });
  script.Do("create mailbox 2", [](Driver& d) { return d.CreateBox(2); });
  script.Do("deliver", [](Driver& d) {
    return d.Deliver(1, {Small(1),
                         {Noise(400, 2), kSeen, {"work"}, "uidl-2"},
                         Large(3),
                         Small(4),
                         Small(5, 30000)});
  });
  script.Do("copy", [](Driver& d) { return d.Copy(1, 1, 2, 2); });
  script.Do("deliver large", [](Driver& d) { return d.Deliver(2, {Large(6)}); });
  script.Do("expunge", [](Driver& d) { return d.Expunge(1, 5, 5); });
  return script.Finish();
}

Recording RecordEverything(const std::string& folder) {
  Script script(folder);
  script.Do("create the store", [](Driver& d) { return d.Open(); });
  script.Do("create mailbox 1", [](Driver& d) { return d.CreateBox(1); });
  script.Do("create mailbox 2", [](Driver& d) { return d.CreateBox(2); });
  script.Do("deliver small", [](Driver& d) { return d.Deliver(1, {Small(1)}); });
  script.Do("deliver small again", [](Driver& d) { return d.Deliver(1, {Small(2, 9000)}); });
  script.Do("deliver large", [](Driver& d) { return d.Deliver(1, {Large(3)}); });
  script.Do("save with keywords", [](Driver& d) {
    return d.Deliver(2, {{Noise(300, 4), kSeen, {"$Junk", "work"}, "uidl-4"}});
  });
  script.Do("a batch", [](Driver& d) {
    return d.Deliver(
        2,
        {Small(5), Large(6), {Noise(400, 7), kFlagged, {"work", "later"}, ""}, Small(8), Large(9)});
  });
  script.Do("flags", [](Driver& d) { return d.Flag(1, 1, 3, kSeen, 0); });
  script.Do("add keyword", [](Driver& d) { return d.Keyword(2, 1, 6, "todo", true); });
  script.Do("remove keyword", [](Driver& d) { return d.Keyword(2, 3, 4, "todo", false); });
  script.Do("POP3 UIDL", [](Driver& d) { return d.Uidl(1, 2, "uidl-2"); });
  script.Do("retrieved", [](Driver& d) { return d.Retrieve(1, 1, 4, 1700000100); });
  script.Do("copy", [](Driver& d) { return d.Copy(1, 1, 3, 2); });
  script.Do("copy within", [](Driver& d) { return d.Copy(2, 2, 3, 2); });
  script.Do("new UIDs", [](Driver& d) { return d.Renumber(1, 1, 2); });
  script.Do("move: copy", [](Driver& d) { return d.Copy(2, 6, 6, 1); });
  script.Do("move: expunge", [](Driver& d) { return d.Expunge(2, 6, 6); });
  script.Do("rename", [](Driver& d) { return d.RenameBox(2, "Archive/2"); });
  script.Do("expunge small", [](Driver& d) { return d.Expunge(1, 2, 2); });
  script.Do("expunge large", [](Driver& d) { return d.Expunge(2, 3, 3); });
  script.Do("close", [](Driver& d) {
    d.Close();
    return Status();
  });
  script.Do("open", [](Driver& d) { return d.Open(); });
  script.Do("deliver after opening", [](Driver& d) { return d.Deliver(1, {Small(10)}); });
  script.Do("upkeep", [](Driver& d) { return d.Maintain(false); });
  script.Do("upkeep, exhaustive", [](Driver& d) { return d.Maintain(true); });
  script.Do("deliver after upkeep", [](Driver& d) { return d.Deliver(1, {Small(11), Small(12)}); });
  script.Do("expunge several", [](Driver& d) { return d.Expunge(1, 1, 4); });
  script.Do("upkeep, exhaustive, again", [](Driver& d) { return d.Maintain(true); });
  script.Do("create mailbox 3", [](Driver& d) { return d.CreateBox(3); });
  script.Do("copy to it", [](Driver& d) { return d.Copy(2, 1, 9, 3); });
  script.Do("deliver large to it", [](Driver& d) { return d.Deliver(3, {Large(13)}); });
  script.Do("delete mailbox 2", [](Driver& d) { return d.DeleteBox(2); });
  script.Do("delete mailbox 3", [](Driver& d) { return d.DeleteBox(3); });
  script.Do("upkeep at the end", [](Driver& d) { return d.Maintain(true); });
  script.Do("deliver to what is left", [](Driver& d) { return d.Deliver(1, {Small(14)}); });
  return script.Finish();
}

Status RandomStep(Driver& d, std::mt19937_64& dice) {
  const auto below = [&](uint64_t end) { return dice() % end; };
  if (!d.open()) {
    return d.Open();
  }
  if (d.model.size() < 2 || below(15) == 0) {
    // Not one that was removed: GUIDs are given once.
    return d.CreateBox(static_cast<int>(1 + below(1'000'000'000)));
  }
  const auto pick = [&] {
    return std::next(d.model.begin(), static_cast<ptrdiff_t>(below(d.model.size())))->first;
  };
  const int box = pick();
  const auto first = static_cast<uint32_t>(1 + below(d.model[box].next_uid));
  const auto last = first + static_cast<uint32_t>(below(4));
  switch (below(16)) {
    case 0:
      return d.Maintain(below(2) == 0);
    case 1:
      return d.Flag(box, first, last, static_cast<uint8_t>(below(32)),
                    static_cast<uint8_t>(below(32)));
    case 2:
      return d.Keyword(box, first, last, "kw" + std::to_string(below(40)), below(3) > 0);
    case 3:
      return d.RenameBox(box, "Renamed" + std::to_string(below(1000)));
    case 4:
      return below(4) == 0 ? d.DeleteBox(box) : d.Expunge(box, 1, last);
    case 5:
      d.Close();
      return {};
    case 6:
    case 7:
    case 8:
      return d.Expunge(box, first, last);
    case 9:
      return below(2) == 0 ? d.Renumber(box, first, last) : d.Copy(box, first, last, pick());
    case 10:
      return d.Copy(box, first, last, pick());
    default: {
      std::vector<NewMail> mails;
      for (uint64_t n = below(3) == 0 ? 2 + below(3) : 1; n > 0; n--) {
        mails.push_back(below(6) == 0 ? Large(dice()) : Small(dice(), 100 + below(5000)));
        mails.back().flags = static_cast<uint8_t>(below(32));
        mails.back().keywords.assign(below(2), "kw" + std::to_string(below(40)));
        mails.back().uidl = below(4) == 0 ? "uidl" + std::to_string(dice()) : "";
      }
      return d.Deliver(box, mails);
    }
  }
}

Recording RecordRandom(const std::string& folder, uint64_t seed) {
  std::mt19937_64 dice(seed);
  Script script(folder);
  for (int i = 0; i < 40; i++) {
    script.Do("random step " + std::to_string(i) + " of seed " + std::to_string(seed),
              [&](Driver& d) { return RandomStep(d, dice); });
  }
  return script.Finish();
}

namespace {

void GrowIndex(Script& script) {
  script.Do("create the store", [](Driver& d) { return d.Open(); });
  script.Do("create mailbox 1", [](Driver& d) { return d.CreateBox(1); });
  script.Do("create mailbox 2", [](Driver& d) { return d.CreateBox(2); });
  script.Do("deliver", [](Driver& d) { return d.Deliver(1, {Small(1), Large(2)}); });
  script.Do("many copies", [](Driver& d) { return d.Copy(1, 1, 1, 2, 4900); });
  script.Do("more copies", [](Driver& d) { return d.Copy(1, 1, 1, 2, 4900); });
  script.Do("yet more copies", [](Driver& d) { return d.Copy(1, 1, 1, 2, 4900); });
  script.Do("expunge most", [](Driver& d) { return d.Expunge(2, 1, 4990); });
  script.Do("expunge more", [](Driver& d) { return d.Expunge(2, 4991, 9900); });
  script.Do("expunge the rest", [](Driver& d) { return d.Expunge(2, 9901, 14690); });
}

}  // namespace

Recording RecordShrinkable(const std::string& folder) {
  Script script(folder);
  GrowIndex(script);
  return script.Finish();
}

Recording RecordShrink(const std::string& folder) {
  Script script(folder);
  GrowIndex(script);
  script.Do("shrink", [](Driver& d) {
    const auto before = d.store().GetStatus();
    const Status status = d.Maintain(true);
    const auto after = d.store().GetStatus();
    EXPECT_EQ(before->generation + 1, after->generation)
        << before->index_bytes << ' ' << before->index_free_bytes;
    return status;
  });
  script.Do("deliver to the new generation", [](Driver& d) { return d.Deliver(2, {Small(3)}); });
  return script.Finish();
}

Recording RecordPackRoll(const std::string& folder) {
  Script script(folder);
  std::vector<NewMail> mails;
  for (uint64_t i = 0; i < 175; i++) {
    mails.push_back(Small(i, 120 * 1000));
  }
  script.Do("create the store", [](Driver& d) { return d.Open(); });
  script.Do("create mailbox 1", [](Driver& d) { return d.CreateBox(1); });
  script.Do("deliver", [](Driver& d) { return d.Deliver(1, {Small(1000)}); });
  script.Do("roll the pack", [&](Driver& d) { return d.Deliver(1, mails); });
  script.Do("deliver to the new pack", [](Driver& d) { return d.Deliver(1, {Small(1001)}); });
  return script.Finish();
}

Recording RecordNext(const Recording& recording, size_t point, CutKind cut,
                     const std::string& folder) {
  Disk disk(recording.trace);
  disk.Advance(point);
  disk.Cut(cut, folder);
  std::vector<Model> models;
  for (const Model* model : recording.Expected(point, cut == CutKind::kTorn)) {
    models.push_back(*model);
  }
  Trace start = cut == CutKind::kKilled ? recording.trace.Until(point) : Recorder(folder).trace;
  Script script(folder, std::move(start), std::move(models));
  script.Resume();
  int box = 9;
  script.Do("create a mailbox", [&](Driver& d) { return d.CreateBox(box); });
  script.Do("deliver", [&](Driver& d) { return d.Deliver(box, {Small(91), Large(92)}); });
  script.Do("upkeep", [](Driver& d) { return d.Maintain(true); });
  script.Do("expunge", [&](Driver& d) { return d.Expunge(box, 1, 1); });
  return script.Finish();
}

}  // namespace lbox::testing
