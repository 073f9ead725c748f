// Programs of the operator's: what they get, how they end, and that none outlives its time.
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "quota/run_program.h"
#include "tests/quota/temp_folder.h"

namespace hosting {
namespace {

using std::chrono::milliseconds;

ProgramRun Shell(const std::string& script) {
  ProgramRun run;
  run.arguments = {"/bin/sh", "-c", script, "name"};
  run.environment = {"PATH=/usr/bin:/bin"};
  return run;
}

TEST(RunProgram, GetsItsArgumentsAndNothingElse) {
  ProgramRun run = Shell("printf '%s|' \"$@\"; printf %s \"$GIVEN\"; env | grep -c HOME; pwd");
  run.arguments.insert(run.arguments.end(), {"$(reboot)", "a b", "", "'\""});
  run.environment.emplace_back("GIVEN=`id`");
  const auto outcome = RunProgram(run);
  EXPECT_TRUE(outcome.ok()) << Describe(outcome);
  EXPECT_EQ(outcome.output, "$(reboot)|a b||'\"|`id`0\n/\n");
}

TEST(RunProgram, ReadsItsInput) {
  ProgramRun run = Shell("wc -c");
  run.input = std::string(1000000, 'x');
  EXPECT_EQ(RunProgram(run).output, "1000000\n");
  run.input.clear();
  EXPECT_EQ(RunProgram(run).output, "0\n");
}

TEST(RunProgram, MayLeaveItsInputAlone) {
  ProgramRun run = Shell("exit 3");
  run.input = std::string(1000000, 'x');
  const auto outcome = RunProgram(run);
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_FALSE(outcome.ok());
  EXPECT_EQ(Describe(outcome), "exit code 3");
}

TEST(RunProgram, SaysTooMuch) {
  const auto outcome = RunProgram(Shell("yes | head -c 3000000; echo no >&2; exit 1"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.output.size(), 500U);
}

TEST(RunProgram, IsKilledWhenItTakesTooLong) {
  ProgramRun run = Shell("trap '' TERM; sleep 60 & wait");
  run.limit = milliseconds(200);
  const auto begin = std::chrono::steady_clock::now();
  const auto outcome = RunProgram(run);
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_FALSE(outcome.ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

// What it starts in the background, with its input and output, holds nothing up and is killed.
TEST(RunProgram, LeavesNothingBehind) {
  const TempFolder folder;
  const std::string file = folder.path() + "/pid";
  const auto outcome = RunProgram(Shell("sleep 60 & echo $! > " + file));
  EXPECT_TRUE(outcome.ok()) << Describe(outcome);
  pid_t pid = 0;
  std::ifstream(file) >> pid;
  ASSERT_GT(pid, 0);
  const auto alive = [pid] {
    std::string name, state;
    int number = 0;
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    return (stat >> number >> name >> state) && state != "Z";
  };
  for (int i = 0; i < 1000 && alive(); ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_FALSE(alive());
}

TEST(RunProgram, Failures) {
  ProgramRun run;
  run.arguments = {"/nowhere/at-all"};
  EXPECT_EQ(RunProgram(run).exit_code, kProgramNotRun);
  const auto killed = RunProgram(Shell("kill -9 $$"));
  EXPECT_EQ(killed.signal, 9);
  EXPECT_EQ(Describe(killed), "killed by signal 9");
}

TEST(RunProgram, AsAnotherUser) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root";
  }
  ProgramRun run = Shell("id -u; id -g; id -G");
  run.user = ProgramUser{65534, 65534};
  EXPECT_EQ(RunProgram(run).output, "65534\n65534\n65534\n");
  // Root that is somebody else for a while, as Dovecot's programs are.
  ASSERT_EQ(seteuid(1), 0);
  const auto outcome = RunProgram(run);
  ASSERT_EQ(seteuid(0), 0);
  EXPECT_EQ(outcome.output, "65534\n65534\n65534\n");
}

}  // namespace
}  // namespace hosting
