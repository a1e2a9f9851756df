#include "platform/linux/fd_watch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/executor_contract.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

// Two connected sockets.
class Sockets {
 public:
  Sockets() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds_.data()), 0); }
  ~Sockets() {
    close(fds_[0]);
    CloseFar();
  }
  int near() const { return fds_[0]; }
  void Write(char byte) { EXPECT_EQ(write(fds_[1], &byte, 1), 1); }
  char Read() {
    char byte = 0;
    EXPECT_EQ(read(fds_[0], &byte, 1), 1);
    return byte;
  }
  void CloseFar() {
    if (fds_[1] >= 0) close(fds_[1]);
    fds_[1] = -1;
  }

 private:
  std::array<int, 2> fds_{};
};

class FdWatchTest : public testing::TestWithParam<LinuxExecutor::Mode> {
 protected:
  LinuxExecutor& executor() { return *executor_; }
  void RunUntilIdle() {
    for (int turn = 0; turn < 20; ++turn) executor_->RunOnce();
  }

  std::unique_ptr<LinuxExecutor> executor_ = LinuxExecutor::Create({.mode = GetParam()}).value();
  Sockets sockets_;
};

TEST_P(FdWatchTest, CallsWhileReadable) {
  std::string received;
  Handler handler([&] { received.push_back(sockets_.Read()); });
  FdWatch watch(executor(), sockets_.near(), handler.callback());
  ASSERT_TRUE(watch.Start(FdWatch::kReadable).ok());
  RunUntilIdle();
  EXPECT_EQ(handler.runs, 0);
  for (char byte : std::string("abc")) sockets_.Write(byte);
  RunUntilIdle();
  EXPECT_EQ(received, "abc");
  EXPECT_EQ(watch.ready(), FdWatch::kReadable);
  EXPECT_EQ(executor().counters().fd_events, 3u);
}

TEST_P(FdWatchTest, WakesASleeperOrIsSeenByAPoller) {
  Handler handler([&] { sockets_.Read(); });
  FdWatch watch(executor(), sockets_.near(), handler.callback());
  ASSERT_TRUE(watch.Start(FdWatch::kReadable).ok());
  sockets_.Write('x');
  // In poll mode every 64th turn looks.
  for (int turn = 0; turn < 64 && handler.runs == 0; ++turn) executor().RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(handler.runs, 1);
}

TEST_P(FdWatchTest, IsSeenThoughThereIsAlwaysOtherWork) {
  Event* self = nullptr;
  Handler busy([&] { self->Signal(); });
  Event event(executor(), busy.callback());
  self = &event;
  event.Signal();
  Handler handler([&] { sockets_.Read(); });
  FdWatch watch(executor(), sockets_.near(), handler.callback());
  ASSERT_TRUE(watch.Start(FdWatch::kReadable).ok());
  sockets_.Write('x');
  for (int turn = 0; turn < 64; ++turn) executor().RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(handler.runs, 1);
}

TEST_P(FdWatchTest, InterestChangesAndEnds) {
  uint32_t seen = 0;
  FdWatch* self = nullptr;
  Handler handler([&] {
    seen |= self->ready();
    EXPECT_TRUE(self->Start(FdWatch::kReadable).ok());  // written enough
  });
  FdWatch watch(executor(), sockets_.near(), handler.callback());
  self = &watch;
  ASSERT_TRUE(watch.Start(FdWatch::kReadable | FdWatch::kWritable).ok());
  RunUntilIdle();
  EXPECT_EQ(handler.runs, 1);
  EXPECT_EQ(seen, FdWatch::kWritable);
  EXPECT_EQ(watch.interest(), FdWatch::kReadable);
  ASSERT_TRUE(watch.Start(0).ok());
  sockets_.Write('x');
  sockets_.CloseFar();  // not even a hang-up
  RunUntilIdle();
  EXPECT_EQ(handler.runs, 1);
}

TEST_P(FdWatchTest, HangUpCountsAsReadableAndWritable) {
  FdWatch* self = nullptr;
  uint32_t seen = 0;
  Handler handler([&] {
    seen = self->ready();
    self->Stop();
  });
  FdWatch watch(executor(), sockets_.near(), handler.callback());
  self = &watch;
  ASSERT_TRUE(watch.Start(FdWatch::kReadable).ok());
  sockets_.CloseFar();
  RunUntilIdle();
  EXPECT_EQ(handler.runs, 1);
  EXPECT_EQ(seen, FdWatch::kReadable | FdWatch::kWritable);
}

TEST_P(FdWatchTest, HandlerMayDestroyItsOwnAndAnotherReadyWatch) {
  Sockets others;
  std::optional<FdWatch> first;
  std::optional<FdWatch> second;
  Handler destroy([&] {
    first.reset();
    second.reset();
  });
  first.emplace(executor(), sockets_.near(), destroy.callback());
  second.emplace(executor(), others.near(), destroy.callback());
  ASSERT_TRUE(first->Start(FdWatch::kReadable).ok());
  ASSERT_TRUE(second->Start(FdWatch::kReadable).ok());
  sockets_.Write('x');
  others.Write('y');
  RunUntilIdle();
  EXPECT_EQ(destroy.runs, 1);  // whichever came first
}

TEST_P(FdWatchTest, WhatCannotBeWatchedIsAnErrorWithItsNumber) {
  Handler handler([] {});
  const int file = memfd_create("file", MFD_CLOEXEC);
  FdWatch regular_file(executor(), file, handler.callback());
  const absl::Status status = regular_file.Start(FdWatch::kReadable);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(std::string(status.message()).find("file descriptor " + std::to_string(file)),
            std::string::npos);
  close(file);
  FdWatch closed(executor(), -1, handler.callback());
  EXPECT_FALSE(closed.Start(FdWatch::kWritable).ok());
  EXPECT_EQ(closed.interest(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, FdWatchTest,
                         testing::Values(LinuxExecutor::Mode::kSleep, LinuxExecutor::Mode::kPoll),
                         [](const auto& info) {
                           return info.param == LinuxExecutor::Mode::kSleep ? "Sleep" : "Poll";
                         });

}  // namespace
}  // namespace vmbuskit
