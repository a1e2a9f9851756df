#include "devices/storvsc/host/nbd_drain.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

constexpr Duration kSilence = std::chrono::seconds(15);

struct Ends {
  void OnEnded() { ++times; }
  int times = 0;
};

class NbdDrainTest : public testing::Test {
 protected:
  NbdDrainTest() : executor_(*LinuxExecutor::Create({})) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_), 0);
  }
  ~NbdDrainTest() override {
    drain_.reset();
    for (const int socket : sockets_) {
      if (socket >= 0) close(socket);
    }
  }
  void Begin(int socket) {
    if (socket == sockets_[0]) sockets_[0] = -1;  // the drain's now
    drain_.emplace(writes_, socket, kSilence, *executor_, Callback::To<&Ends::OnEnded>(&ends_));
  }
  void HangUp() { close(std::exchange(sockets_[1], -1)); }
  void Turn() {
    for (int turn = 0; turn < 200; ++turn) executor_->RunOnce();
  }

  std::unique_ptr<LinuxExecutor> executor_;
  NbdWrites writes_;
  int sockets_[2];
  Ends ends_;
  std::optional<NbdDrain> drain_;
};

TEST_F(NbdDrainTest, EndsWhenTheServerHangsUpWhateverItSaysBefore) {
  writes_.BeginDoubt();
  Begin(sockets_[0]);
  char byte = 0;
  EXPECT_EQ(recv(sockets_[1], &byte, 1, 0), 0) << "the server was told that nothing more comes";
  const std::vector<char> answers(100000);
  EXPECT_EQ(send(sockets_[1], answers.data(), answers.size(), 0), 100000);
  Turn();
  EXPECT_FALSE(drain_->ended());
  EXPECT_FALSE(writes_.MayWrite());
  HangUp();
  Turn();
  EXPECT_TRUE(drain_->ended());
  EXPECT_TRUE(writes_.MayWrite());
  EXPECT_EQ(ends_.times, 1);
  drain_.reset();
  EXPECT_EQ(writes_.TakeSocket(), -1);
}

TEST_F(NbdDrainTest, TheNextConnectionTakesOver) {
  writes_.BeginDoubt();
  Begin(sockets_[0]);
  drain_.reset();
  EXPECT_FALSE(writes_.MayWrite()) << "nobody looked whether it ended";
  Begin(writes_.TakeSocket());
  HangUp();
  Turn();
  EXPECT_TRUE(writes_.MayWrite());
  EXPECT_EQ(ends_.times, 1);
}

TEST_F(NbdDrainTest, TwoHaveToEnd) {
  int others[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
  writes_.BeginDoubt();
  writes_.BeginDoubt();
  Begin(sockets_[0]);
  NbdDrain other(writes_, others[0], kSilence, *executor_, Callback::To<&Ends::OnEnded>(&ends_));
  HangUp();
  Turn();
  EXPECT_FALSE(writes_.MayWrite());
  close(others[1]);
  Turn();
  EXPECT_TRUE(writes_.MayWrite());
}

TEST_F(NbdDrainTest, ATcpPeerThatIsNotThereAnyMoreEndsIt) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int copy = dup(socket);
  writes_.BeginDoubt();
  Begin(socket);
  const auto option = [copy](int level, int name) {
    int value = 0;
    socklen_t bytes = sizeof value;
    EXPECT_EQ(getsockopt(copy, level, name, &value, &bytes), 0);
    return value;
  };
  EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 15000);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 5);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 5);
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  close(copy);
}

// Its window is closed, but it lives, and may carry out what it has any time later.
TEST_F(NbdDrainTest, ATcpPeerThatDoesNotTakeAllThatIsSentIsNotGone) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(socket, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  const std::vector<char> writes(1 << 20);
  while (send(socket, writes.data(), writes.size(), MSG_DONTWAIT) > 0) {
  }
  const int copy = dup(socket);
  writes_.BeginDoubt();
  Begin(socket);
  int timeout = -1;
  bytes = sizeof timeout;
  EXPECT_EQ(getsockopt(copy, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &bytes), 0);
  EXPECT_EQ(timeout, 0) << "as long as it answers at all";
  close(copy);
  close(listener);
}

TEST(NbdWritesTest, CountsWhatWasFlushedOnlyUpwards) {
  NbdWrites writes;
  writes.NoteFlushed(5);
  writes.NoteFlushed(3);
  EXPECT_EQ(writes.flushed, 5u);
  writes.NoteFlushed(6);
  EXPECT_EQ(writes.flushed, 6u);
}

}  // namespace
}  // namespace vmbuskit
