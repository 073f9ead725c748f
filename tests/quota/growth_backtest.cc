// The table of docs/growth.md: how well growth is foretold, by each method, on each kind of
// history.
//   growth_backtest [--seeds N] [--messages FILE]
// FILE: "DATE SIZE" a line (Unix seconds, bytes); by default the one beside this source.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/quota/growth_score.h"

namespace hosting {
namespace {

void PrintRow(const std::string& kind, const std::string& name, const GrowthScore& score) {
  printf("| %s | %s | %d | %.0f %% | %d | %d | %.2f | %.1f %% |\n", kind.c_str(), name.c_str(),
         score.fills, score.MissedPercent(), score.Notice(10), score.Notice(50),
         score.FalseAlarmsAYear(), score.MeanError());
}

int Run(int seeds, const std::string& file) {
  const auto messages = ReadDatedSizes(file);
  if (messages.empty()) {
    fprintf(stderr, "%s: no messages\n", file.c_str());
    return 1;
  }
  std::vector<Forecaster> forecasters = {OwnForecaster()};
  for (const auto& more : {Rivals(), Alternatives()}) {
    forecasters.insert(forecasters.end(), more.begin(), more.end());
  }
  printf("%d histories of two years of each kind, %zu messages\n\n", seeds, messages.size());
  printf(
      "| kind | method | limits reached | unforeseen | notice p10 | p50 | false alarms a year | "
      "error |\n|---|---|---|---|---|---|---|---|\n");
  std::map<std::string, GrowthScore> all;
  for (const std::string& kind : GrowthKinds()) {
    std::map<std::string, GrowthScore> scores;
    for (int seed = 1; seed <= seeds; ++seed) {
      const auto series = MakeGrowthSeries(kind, static_cast<uint32_t>(seed), messages);
      for (const Forecaster& forecaster : forecasters) {
        Score(series, forecaster, scores[forecaster.name]);
        Score(series, forecaster, all[forecaster.name]);
      }
    }
    for (const Forecaster& forecaster : forecasters) {
      PrintRow(kind, forecaster.name, scores[forecaster.name]);
    }
  }
  for (const Forecaster& forecaster : forecasters) {
    PrintRow("all", forecaster.name, all[forecaster.name]);
  }
  return 0;
}

}  // namespace
}  // namespace hosting

int main(int argc, char** argv) {
  int seeds = 200;
  std::string file = LBOX_SOURCE_DIR "/tests/quota/growth_messages.txt";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--seeds") {
      seeds = atoi(argv[i + 1]);
    } else if (option == "--messages") {
      file = argv[i + 1];
    }
  }
  return hosting::Run(seeds, file);
}
