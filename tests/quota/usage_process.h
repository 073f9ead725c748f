// A usage_program of a test's own, in a process that can be killed, stopped and started again.
#pragma once

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "quota/frame.h"
#include "quota/usage_client.h"
#include "tests/quota/temp_folder.h"

namespace hosting {

template <typename Condition>
bool Eventually(const Condition& condition, int seconds = 20) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

class UsageProcess {
 public:
  UsageProcess() {
    // Clients of other uids reach socket and spool through it.
    EXPECT_EQ(chmod(folder.path().c_str(), 0755), 0);
    EXPECT_EQ(mkdir(state().c_str(), 0755), 0);
  }
  ~UsageProcess() { Kill(); }

  [[nodiscard]] std::string state() const { return folder.file("state"); }
  [[nodiscard]] std::string socket() const { return folder.file("socket"); }
  [[nodiscard]] std::string log() const { return folder.file("log"); }

  void Start() {
    unlink(socket().c_str());
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      const int out = open(log().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      // It must neither outlive a test that crashes nor hold what that test writes to.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(out, 1);
      dup2(out, 2);
      execl(USAGE_PROGRAM, USAGE_PROGRAM, state().c_str(), socket().c_str(), recount_socket.c_str(),
            boot_id.c_str(), std::to_string(accounts).c_str(), nullptr);
      _exit(127);
    }
    ASSERT_TRUE(Eventually([this] { return ConnectUnix(socket()).ok(); }));
  }
  void Signal(int number) {
    ASSERT_GT(pid_, 0);
    kill(pid_, number);
  }
  int Wait() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  void Kill() {
    if (pid_ > 0) {
      Signal(SIGKILL);
      Wait();
    }
  }
  void Stop() {
    Signal(SIGTERM);
    const int status = Wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }

  // A client, whose log lines are counted.
  std::unique_ptr<UsageClient> Client(const std::string& user, const std::string& service = "imap",
                                      std::vector<std::string>* lines = nullptr) const {
    UsageClient::Options options;
    options.socket_path = socket();
    options.spool_folder = state() + "/spool";
    options.call_limit = call_limit;
    if (lines != nullptr) {
      options.log = [lines](const std::string& line) { lines->push_back(line); };
      options.outage = [lines](bool, const std::string& line) { lines->push_back(line); };
    }
    SessionUser session;
    session.user = user;
    session.service = service;
    return std::make_unique<UsageClient>(options, session);
  }

  TempFolder folder;
  std::string recount_socket = "-", boot_id = "boot-1";
  int accounts = 4;
  std::chrono::milliseconds call_limit = kCallLimit;  // of the clients

 private:
  pid_t pid_ = -1;
};

inline MailAmount Amount(uint64_t bytes, uint64_t counter, char instance = 'i') {
  MailAmount amount;
  amount.bytes = bytes;
  amount.messages = bytes / 100;
  std::fill(std::begin(amount.instance), std::end(amount.instance), static_cast<uint8_t>(instance));
  amount.counter = counter;
  return amount;
}

}  // namespace hosting
