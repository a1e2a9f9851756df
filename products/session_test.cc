// Sessions from start to end, product command lines, and Ctrl-C.
#include "products/session.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "devices/util/heartbeat/heartbeat.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "gtest/gtest.h"
#include "products/interrupt.h"
#include "products/product_main.h"

namespace vmbuskit {
namespace {

constexpr Duration kPatience = std::chrono::seconds(40);

Session::Options Heartbeat() {
  return {.name = "test",
          .once = true,
          .timeout = kPatience,
          .system = {.cpus = 2,
                     .classes = {&HeartbeatClass()},
                     .vsp_classes = {&HeartbeatVspClass()},
                     .max_version = 0}};
}

struct Printed {
  int exit_code = 0;
  std::string out;
  std::string err;
};

template <typename RunSession>
Printed Capture(RunSession run) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Printed printed;
  printed.exit_code = run();
  printed.out = testing::internal::GetCapturedStdout();
  printed.err = testing::internal::GetCapturedStderr();
  return printed;
}

Printed RunSession(Session::Options options) {
  return Capture([&] {
    Session session(std::move(options));
    return session.Run();
  });
}

TEST(Session, RunsOnceAndShowsTheTable) {
  const Printed printed = RunSession(Heartbeat());
  EXPECT_EQ(printed.exit_code, 0);
  EXPECT_EQ(printed.err, "");
  EXPECT_EQ(printed.out.find("CLASS "), 0u) << printed.out;
  EXPECT_NE(printed.out.find("\nheartbeat "), std::string::npos) << printed.out;
  const std::string last = "test: stopped; 0 pages are still shared with the host\n";
  EXPECT_TRUE(printed.out.ends_with(last)) << printed.out;
}

TEST(Session, NamesTheDeviceThatDoesNotRun) {
  Session::Options without_driver = Heartbeat();
  without_driver.system.classes.clear();
  without_driver.timeout = std::chrono::milliseconds(30);
  const Printed printed = RunSession(without_driver);
  EXPECT_EQ(printed.exit_code, 1);
  EXPECT_EQ(printed.err.find("test: - fd149e91-82e0-4a7d-afa6-2a4166cbd7c0 is not running (state "
                             "offered"),
            0u)
      << printed.err;
  EXPECT_TRUE(printed.err.ends_with(" after 30 ms\n")) << printed.err;
}

TEST(Session, WithoutADeviceHasNothingToShow) {
  Session::Options empty = Heartbeat();
  empty.system.vsp_classes.clear();
  empty.timeout = std::chrono::milliseconds(30);
  const Printed printed = RunSession(empty);
  EXPECT_EQ(printed.exit_code, 1);
  EXPECT_EQ(printed.err, "test: the host has offered no device after 30 ms\n");
}

TEST(Session, WhoseSystemCannotBeMadeSaysWhy) {
  Session::Options options = Heartbeat();
  options.system.cpus = 1000;
  const Printed printed = RunSession(options);
  EXPECT_EQ(printed.exit_code, 1);
  EXPECT_EQ(printed.err, "test: cpus is 1000, at most 64\n");
}

// Interrupts itself as soon as it runs.
class InterruptedSession final : public Session {
 public:
  using Session::Session;
  int stopping = 0;
  absl::Status let_go;

 private:
  absl::Status OnStarted() override {
    kill(getpid(), SIGINT);
    return absl::OkStatus();
  }
  Task<absl::Status> OnStopping() override {
    ++stopping;
    co_return let_go;
  }
};

// In a child process, because an interrupt changes how the process takes signals for good.
[[noreturn]] void RunInterrupted(bool once) {
  Session::Options options = Heartbeat();
  options.once = once;
  options.system.classes.clear();  // so that it does not end by itself
  InterruptedSession session(options);
  const int exit_code = session.Run();
  std::_Exit(session.stopping == 1 ? exit_code : 99);
}

// As `product | head -1` does it.
[[noreturn]] void RunWithNobodyWhoReads() {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0 || dup2(pipe_ends[1], STDOUT_FILENO) < 0) std::_Exit(98);
  close(pipe_ends[0]);
  std::_Exit(Session(Heartbeat()).Run());
}

TEST(SessionDeathTest, GoesOnWhenNobodyReadsTheTable) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunWithNobodyWhoReads(), testing::ExitedWithCode(0), "");
}

[[noreturn]] void RunHoldingOn() {
  InterruptedSession session(Heartbeat());
  session.let_go = absl::DeadlineExceededError("an answer is under way");
  std::_Exit(session.Run() + 100);  // not reached: nothing is taken down under the answer
}

TEST(SessionDeathTest, EndsTheProcessWhenSomethingStillUsesTheSystem) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunHoldingOn(), testing::ExitedWithCode(1), "test: an answer is under way\n");
}

TEST(SessionDeathTest, EndsWellAfterCtrlC) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunInterrupted(false), testing::ExitedWithCode(0), "");
}

TEST(SessionDeathTest, InterruptedBeforeItsPurposeFails) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunInterrupted(true), testing::ExitedWithCode(1),
              "test: interrupted before every device had run");
}

class FailingSession final : public Session {
 public:
  using Session::Session;

 private:
  absl::Status OnStarted() override { return absl::InternalError("no luck"); }
};

TEST(Session, WhoseStartHookFailsStopsAgain) {
  const Printed printed = Capture([] {
    FailingSession session(Heartbeat());
    return session.Run();
  });
  EXPECT_EQ(printed.exit_code, 1);
  EXPECT_EQ(printed.err, "test: no luck\n");
  EXPECT_EQ(printed.out, "test: stopped; 0 pages are still shared with the host\n");
}

[[noreturn]] void IgnoreTheFirstInterrupt() {
  InterruptWatch::Block();
  std::unique_ptr<LinuxExecutor> executor = *LinuxExecutor::Create({});
  int interrupts = 0;
  const Callback count([](void* count) { ++*static_cast<int*>(count); }, &interrupts);
  InterruptWatch watch(*executor, count);
  if (!watch.Start().ok()) std::_Exit(98);
  kill(getpid(), SIGTERM);
  while (interrupts == 0) executor->RunOnce(/*may_sleep=*/true);
  kill(getpid(), SIGINT);  // ends the process here
  std::_Exit(97);
}

TEST(InterruptDeathTest, ASecondCtrlCEndsTheProcessAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(IgnoreTheFirstInterrupt(),
              testing::ExitedWithCode(InterruptWatch::kSecondInterruptExitCode), "");
}

TEST(ProductArguments, AreTaken) {
  Session::Options options;
  EXPECT_TRUE(TakeProductArgument("--once", options).ok());
  EXPECT_TRUE(TakeProductArgument("--cpus=3", options).ok());
  EXPECT_TRUE(TakeProductArgument("--timeout=12", options).ok());
  EXPECT_TRUE(options.once);
  EXPECT_EQ(options.system.cpus, 3u);
  EXPECT_EQ(options.timeout, std::chrono::seconds(12));
}

TEST(ProductArguments, ThatMakeNoSenseAreRefused) {
  Session::Options options;
  EXPECT_EQ(TakeProductArgument("--often", options).message(),
            "unknown argument '--often'; see --help");
  for (const char* bad : {"--cpus=0", "--cpus=65", "--cpus=", "--cpus=1x", "--cpus=-1"}) {
    EXPECT_EQ(TakeProductArgument(bad, options).message(),
              "'" + std::string(bad) + "': want a number from 1 to 64");
  }
  EXPECT_EQ(TakeProductArgument("--timeout=x", options).message(),
            "'--timeout=x': want a number from 1 to 3600");
}

Printed RunProduct(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "product");
  const DeviceClass* const classes[] = {&HeartbeatClass()};
  const VspClass* const vsp_classes[] = {&HeartbeatVspClass()};
  return Capture([&] {
    return ProductMain(static_cast<int>(arguments.size()), const_cast<char**>(arguments.data()),
                       "small", classes, vsp_classes);
  });
}

TEST(ProductMain, RunsItsClasses) {
  const Printed printed = RunProduct({"--once", "--cpus=1"});
  EXPECT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_NE(printed.out.find("\nheartbeat "), std::string::npos) << printed.out;
}

TEST(ProductMain, HelpsAndRefuses) {
  EXPECT_EQ(RunProduct({"--help"}).out.find("usage: small [--once]"), 0u);
  const Printed refused = RunProduct({"--bogus"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err, "small: unknown argument '--bogus'; see --help\n");
}

}  // namespace
}  // namespace vmbuskit
