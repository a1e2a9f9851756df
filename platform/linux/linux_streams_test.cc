#include "platform/linux/linux_streams.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "platform/linux/socket_address.h"
#include "platform/linux/stream_testing.h"

namespace vmbuskit {
namespace {

class LinuxStreamsTest : public testing::Test {
 protected:
  LinuxStreamsTest() : executor_(*LinuxExecutor::Create({})), streams_(*executor_) {}

  std::string Path(const char* name) { return absl::StrCat(folder_.path(), "/", name); }

  int Connect(const StreamAddress& address) {
    const auto found = ResolveAddress(address);
    const int fd = socket(found->front().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, found->front().get(), found->front().size) == 0) return fd;
    close(fd);
    return -1;
  }

  // Turns until something was called, or `count` turns.
  void Turn(int count = 3) {
    for (int i = 0; i < count; ++i) executor_->RunOnce();
  }

 public:
  void OnConnection() {
    ++connections_;
    if (accept_) accepted_ = listener_->Accept(streams_);
  }
  void OnReady() { ++ready_; }

 protected:
  void Listen(const StreamAddress& address) {
    auto listener = streams_.Listen(address);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    ASSERT_TRUE(listener_->Start(Callback::To<&LinuxStreamsTest::OnConnection>(this)).ok());
  }

  // A stream and the socket of its peer.
  void Pair() {
    std::array<int, 2> fds;
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
    stream_ = LinuxStreams::Adopt(*executor_, fds[0]);
    peer_ = fds[1];
    ASSERT_TRUE(stream_->Start(Callback::To<&LinuxStreamsTest::OnReady>(this)).ok());
  }
  void TearDown() override {
    if (peer_ >= 0) close(peer_);
  }

  StreamResult Read() {
    const std::span<std::byte> part(buffer_);
    return stream_->Read(std::span(&part, 1));
  }
  StreamResult Write(size_t bytes) {
    const std::span<const std::byte> part = std::span(buffer_).first(bytes);
    return stream_->Write(std::span(&part, 1));
  }

  TemporaryFolder folder_;
  std::unique_ptr<LinuxExecutor> executor_;
  LinuxStreams streams_;
  std::unique_ptr<StreamListener> listener_;
  std::unique_ptr<Stream> accepted_;
  std::unique_ptr<Stream> stream_;
  std::array<std::byte, 65536> buffer_{};
  int peer_ = -1;
  bool accept_ = true;
  int connections_ = 0;
  int ready_ = 0;
};

TEST_F(LinuxStreamsTest, ASocketAtAPathIsItsOwnersAndGoesWithTheListener) {
  const std::string path = Path("owner");
  Listen({.unix_path = path});
  struct stat file;
  ASSERT_EQ(lstat(path.c_str(), &file), 0);
  EXPECT_TRUE(S_ISSOCK(file.st_mode));
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_TRUE(listener_->is_local());
  listener_.reset();
  EXPECT_NE(lstat(path.c_str(), &file), 0);
}

TEST_F(LinuxStreamsTest, ConnectionsAreAccepted) {
  Listen({.unix_path = Path("accept")});
  const int client = Connect(listener_->address());
  ASSERT_GE(client, 0);
  Turn();
  ASSERT_NE(accepted_, nullptr);
  EXPECT_EQ(connections_, 1);
  EXPECT_EQ(listener_->Accept(streams_), nullptr);
  ASSERT_TRUE(accepted_->Start(Callback::To<&LinuxStreamsTest::OnReady>(this)).ok());
  ASSERT_EQ(write(client, "hello", 5), 5);
  Turn();
  EXPECT_GE(ready_, 1);
  stream_ = std::move(accepted_);
  EXPECT_EQ(Read(), (StreamResult{StreamState::kOk, 5}));
  close(client);
}

TEST_F(LinuxStreamsTest, APausedListenerLeavesThemWhereTheyAre) {
  Listen({.unix_path = Path("pause")});
  listener_->Pause();
  const int client = Connect(listener_->address());
  Turn();
  EXPECT_EQ(connections_, 0);
  ASSERT_TRUE(listener_->Start(Callback::To<&LinuxStreamsTest::OnConnection>(this)).ok());
  Turn();
  EXPECT_EQ(connections_, 1);
  close(client);
}

TEST_F(LinuxStreamsTest, AStaleSocketIsReplacedAndOneInUseIsNot) {
  const std::string path = Path("stale");
  const auto address = ResolveAddress({.unix_path = path});
  const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(dead, address->front().get(), address->front().size), 0);
  close(dead);
  Listen({.unix_path = path});
  const auto second = streams_.Listen({.unix_path = path});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(second.status().message().find(path), std::string::npos);
}

TEST_F(LinuxStreamsTest, AFileThatIsNoSocketStays) {
  const std::string path = Path("file");
  FILE* file = fopen(path.c_str(), "w");
  fclose(file);
  EXPECT_FALSE(streams_.Listen({.unix_path = path}).ok());
  EXPECT_EQ(unlink(path.c_str()), 0);
}

TEST_F(LinuxStreamsTest, AnotherSocketAtThePathIsNotRemoved) {
  const std::string path = Path("other");
  Listen({.unix_path = path});
  auto first = std::move(listener_);
  ASSERT_EQ(rename(path.c_str(), (path + "x").c_str()), 0);
  Listen({.unix_path = path});
  first.reset();
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(unlink((path + "x").c_str()), 0);
}

TEST_F(LinuxStreamsTest, TcpTellsThePortThatItGot) {
  Listen({.host = "127.0.0.1"});
  EXPECT_NE(listener_->address().port, 0);
  EXPECT_TRUE(listener_->is_local());
  const int client = Connect(listener_->address());
  ASSERT_GE(client, 0);
  Turn();
  EXPECT_NE(accepted_, nullptr);
  close(client);
  const auto second = streams_.Listen(listener_->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(LinuxStreamsTest, AnyAddressIsNotLocal) {
  Listen({.host = "0.0.0.0"});
  EXPECT_FALSE(listener_->is_local());
}

TEST_F(LinuxStreamsTest, WithoutDescriptorsItWaitsAMoment) {
  Listen({.unix_path = Path("limit")});
  const int client = Connect(listener_->address());
  ASSERT_GE(client, 0);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  Turn(10);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(connections_, 1);
  EXPECT_EQ(accepted_, nullptr);
  while (accepted_ == nullptr) executor_->RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(connections_, 2);
  close(client);
}

TEST_F(LinuxStreamsTest, NothingToReadIsLaterAndThenReady) {
  Pair();
  EXPECT_EQ(Read(), (StreamResult{StreamState::kLater, 0}));
  Turn();
  EXPECT_EQ(ready_, 0);
  ASSERT_EQ(write(peer_, "x", 1), 1);
  Turn(1);
  EXPECT_EQ(ready_, 1);
  EXPECT_EQ(Read(), (StreamResult{StreamState::kOk, 1}));
}

TEST_F(LinuxStreamsTest, WhatNobodyReadsIsNotToldAboutForEver) {
  Pair();
  ASSERT_EQ(write(peer_, "x", 1), 1);
  Turn(20);
  EXPECT_EQ(ready_, 2);
  EXPECT_EQ(Read(), (StreamResult{StreamState::kOk, 1}));
  EXPECT_EQ(Read(), (StreamResult{StreamState::kLater, 0}));
  ASSERT_EQ(write(peer_, "x", 1), 1);
  Turn(1);
  EXPECT_EQ(ready_, 3);
}

TEST_F(LinuxStreamsTest, AFullSocketIsLaterAndThenReady) {
  Pair();
  while (Write(65536).state == StreamState::kOk) {
  }
  Turn(5);
  EXPECT_EQ(ready_, 0);
  while (read(peer_, buffer_.data(), buffer_.size()) > 0) {
  }
  Turn(5);
  EXPECT_EQ(ready_, 1);  // once
  EXPECT_EQ(Write(100), (StreamResult{StreamState::kOk, 100}));
}

TEST_F(LinuxStreamsTest, PartsAreMovedTogether) {
  Pair();
  const std::array<std::span<const std::byte>, 2> from = {std::as_bytes(std::span("ab", 2)),
                                                          std::as_bytes(std::span("cde", 3))};
  EXPECT_EQ(stream_->Write(from), (StreamResult{StreamState::kOk, 5}));
  std::array<char, 5> got;
  ASSERT_EQ(read(peer_, got.data(), got.size()), 5);
  EXPECT_EQ(std::string_view(got.data(), 5), "abcde");
  ASSERT_EQ(write(peer_, "12345", 5), 5);
  std::array<std::byte, 2> first;
  std::array<std::byte, 9> second;
  const std::array<std::span<std::byte>, 2> into = {first, second};
  EXPECT_EQ(stream_->Read(into), (StreamResult{StreamState::kOk, 5}));
  EXPECT_EQ(second[2], std::byte{'5'});
}

TEST_F(LinuxStreamsTest, ThePeersEndIsSeen) {
  Pair();
  close(std::exchange(peer_, -1));
  Turn(1);
  EXPECT_EQ(ready_, 1);
  EXPECT_EQ(Read().state, StreamState::kEnd);
  EXPECT_EQ(Write(1).state, StreamState::kFailed);
  EXPECT_EQ(stream_->error().message(), "write: Broken pipe");
}

TEST_F(LinuxStreamsTest, CloseOutputTellsThePeer) {
  Pair();
  stream_->CloseOutput();
  EXPECT_EQ(read(peer_, buffer_.data(), 1), 0);
}

}  // namespace
}  // namespace vmbuskit
