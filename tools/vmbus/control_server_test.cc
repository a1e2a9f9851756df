#include "tools/vmbus/control_server.h"

#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "framework/task/one_shot.h"
#include "framework/task/switch_to.h"
#include "gtest/gtest.h"
#include "tools/vmbus/control_client.h"
#include "tools/vmbus/frame.h"
#include "tools/vmbus/socket_directory.h"

namespace vmbuskit {
namespace {

constexpr int kPid = 4711;
constexpr Duration kPatience = std::chrono::seconds(20);

// Answers with the path it is asked for; a request for "slow" waits until it is released, one for
// "away" goes to another executor and back.
class EchoPath final : public ControlHandler {
 public:
  explicit EchoPath(Executor& executor) : home_(executor), released_(executor, "release") {}

  Task<std::string> Answer(ControlRequest request) override {
    ++asked_;
    if (request.path == "slow") {
      const absl::Status released = co_await released_.Wait();
      EXPECT_TRUE(released.ok()) << released;
    }
    if (request.path == "away") {
      co_await SwitchTo(*away);
      ++visits_;
      co_await SwitchTo(home_);
    }
    co_return "{\"tree\":{\"path\":\"" + request.path + "\"}}";
  }

  void Release() { released_.Set(); }
  int asked() const { return asked_; }
  int visits() const { return visits_; }

  Executor* away = nullptr;

 private:
  Executor& home_;
  OneShot<void> released_;
  int asked_ = 0;
  int visits_ = 0;
};

class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest() {
    std::string name = testing::TempDir() + "/controlXXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    parent_ = name;
    directory_ = SocketDirectory::Open(parent_ + "/sockets");
    executor_ = *LinuxExecutor::Create({});
    handler_.emplace(*executor_);
  }
  ~ControlServerTest() override {
    StopServer();
    server_.reset();
    handler_.reset();
    std::filesystem::remove_all(parent_);
  }

  void StartServer(Duration deadline) {
    server_.emplace(*executor_, *directory_->Listen(kPid), *handler_, deadline);
    ASSERT_TRUE(server_->Start().ok());
  }

  void StopServer() {
    bool stopped = false;
    Spawn(*executor_, Stop(&stopped));
    RunUntil([&] { return stopped; });
  }
  Task<void> Stop(bool* stopped) {
    EXPECT_EQ(co_await server_->Stop(), absl::OkStatus());
    *stopped = true;
  }
  Task<void> TryStop(Duration patience, std::optional<absl::Status>* result) {
    *result = co_await server_->Stop(patience);
  }

  // Turns the executor until `done`; a failure instead of a hang when that does not come.
  void RunUntil(const std::function<bool()>& done) {
    bool late = false;
    Timer patience(*executor_,
                   Callback([](void* late) { *static_cast<bool*>(late) = true; }, &late));
    patience.Arm(executor_->Now() + kPatience);
    while (!done() && !late) executor_->RunOnce(/*may_sleep=*/true);
    EXPECT_FALSE(late);
  }

  FileDescriptor Connect() { return *directory_->Connect(kPid); }

  void Send(const FileDescriptor& socket, std::string_view bytes) {
    ASSERT_EQ(send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  // Everything that the server says until it closes the connection.
  std::string ReceiveAll(const FileDescriptor& socket) {
    std::string all;
    std::array<char, 4096> bytes;
    RunUntil([&] {
      ssize_t count = 0;
      while ((count = recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0) {
        all.append(bytes.data(), static_cast<size_t>(count));
      }
      return count == 0;
    });
    return all;
  }

  std::string InspectFrame(const std::string& path) {
    return EncodeFrame(EncodeRequest({.command = ControlRequest::Command::kInspect, .path = path}));
  }

  std::string parent_;
  absl::StatusOr<SocketDirectory> directory_ = absl::UnknownError("not open");
  std::unique_ptr<LinuxExecutor> executor_;
  std::optional<EchoPath> handler_;
  std::optional<ControlServer> server_;
};

TEST_F(ControlServerTest, AnswersARequestAndHangsUp) {
  StartServer(kPatience);
  const FileDescriptor client = Connect();
  Send(client, InspectFrame("a/b"));
  EXPECT_EQ(ReceiveAll(client), EncodeFrame(R"({"tree":{"path":"a/b"}})"));
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(handler_->asked(), 1);
}

TEST_F(ControlServerTest, TakesARequestInPieces) {
  StartServer(kPatience);
  const FileDescriptor client = Connect();
  for (char byte : InspectFrame("pieces")) {
    Send(client, {&byte, 1});
    executor_->RunOnce();
  }
  EXPECT_EQ(ReceiveAll(client), EncodeFrame(R"({"tree":{"path":"pieces"}})"));
}

TEST_F(ControlServerTest, AnswersNonsenseWithAnError) {
  StartServer(kPatience);
  const FileDescriptor client = Connect();
  Send(client, EncodeFrame("?"));
  EXPECT_EQ(ReceiveAll(client), EncodeFrame(R"({"error":"the request is not a JSON object"})"));
  const FileDescriptor web = Connect();
  Send(web, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(ReceiveAll(web),
            EncodeFrame(R"({"error":"request: length is 542393671 bytes, the limit is 4096"})"));
  EXPECT_EQ(handler_->asked(), 0);
}

TEST_F(ControlServerTest, ForgetsAClientThatLeavesInTheMiddle) {
  StartServer(kPatience);
  {
    const FileDescriptor client = Connect();
    Send(client, InspectFrame("never").substr(0, 9));
    RunUntil([&] { return server_->connections() == 1; });
  }
  RunUntil([&] { return server_->connections() == 0; });
  EXPECT_EQ(handler_->asked(), 0);
}

TEST_F(ControlServerTest, DropsASilentClientAtItsDeadline) {
  StartServer(std::chrono::milliseconds(1));
  const FileDescriptor client = Connect();
  RunUntil([&] { return server_->connections() == 1; });
  EXPECT_EQ(ReceiveAll(client), "");
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(ControlServerTest, SurvivesAClientThatLeavesBeforeItsAnswer) {
  StartServer(std::chrono::milliseconds(1));
  const FileDescriptor client = Connect();
  Send(client, InspectFrame("slow"));
  RunUntil([&] { return handler_->asked() == 1; });
  RunUntil([&] { return server_->connections() == 0; });  // its deadline came first
  handler_->Release();
  StopServer();
}

TEST_F(ControlServerTest, ServesAsManyAsItMayAndThenTheNext) {
  StartServer(kPatience);
  std::vector<FileDescriptor> waiting;
  for (size_t i = 0; i < ControlServer::kConnectionsMax; ++i) waiting.push_back(Connect());
  RunUntil([&] { return server_->connections() == ControlServer::kConnectionsMax; });
  const FileDescriptor next = Connect();
  Send(next, InspectFrame("next"));
  for (int i = 0; i < 20; ++i) executor_->RunOnce();
  EXPECT_EQ(handler_->asked(), 0) << "no room yet";
  waiting.pop_back();
  RunUntil([&] { return handler_->asked() == 1; });
}

TEST_F(ControlServerTest, StopsWithAnAnswerInTheMaking) {
  StartServer(kPatience);
  const FileDescriptor client = Connect();
  Send(client, InspectFrame("slow"));
  RunUntil([&] { return handler_->asked() == 1; });
  bool stopped = false;
  Spawn(*executor_, Stop(&stopped));
  for (int i = 0; i < 20; ++i) executor_->RunOnce();
  EXPECT_FALSE(stopped);
  handler_->Release();
  RunUntil([&] { return stopped; });
}

TEST_F(ControlServerTest, FreesNoAnswerThatIsOnAnotherExecutorAtTheDeadline) {
  std::unique_ptr<LinuxExecutor> away = *LinuxExecutor::Create({});
  handler_->away = away.get();
  StartServer(kPatience);
  const FileDescriptor client = Connect();
  Send(client, InspectFrame("away"));
  RunUntil([&] { return handler_->asked() == 1; });
  std::optional<absl::Status> stopped;
  Spawn(*executor_, TryStop(std::chrono::milliseconds(1), &stopped));
  RunUntil([&] { return stopped.has_value(); });
  EXPECT_EQ(stopped->code(), absl::StatusCode::kDeadlineExceeded) << *stopped;
  // The other executor gets to it after all: the answer goes on, and finds nobody to tell.
  away->RunOnce();
  EXPECT_EQ(handler_->visits(), 1);
  StopServer();
}

TEST(ControlClient, ChoosesTheOnlyInstance) {
  std::string parent = testing::TempDir() + "/clientXXXXXX";
  ASSERT_NE(mkdtemp(parent.data()), nullptr);
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(parent + "/sockets");
  ASSERT_TRUE(directory.ok());
  EXPECT_EQ(ChooseInstance(*directory, {}).status().message(),
            "nothing runs; start `vmbus demo` first");
  absl::StatusOr<FileDescriptor> first = directory->Listen(11);
  EXPECT_EQ(*ChooseInstance(*directory, {}), 11);
  absl::StatusOr<FileDescriptor> second = directory->Listen(12);
  EXPECT_EQ(ChooseInstance(*directory, {}).status().message(),
            "several instances run; choose one with --pid: 11, 12");
  EXPECT_EQ(*ChooseInstance(*directory, 12), 12);
  EXPECT_EQ(ChooseInstance(*directory, 13).status().message(),
            "no instance runs as process 13; there are 11, 12");
  std::filesystem::remove_all(parent);
}

TEST(ControlClient, RefusesAPathThatNoRequestCanHold) {
  std::string parent = testing::TempDir() + "/clientXXXXXX";
  ASSERT_NE(mkdtemp(parent.data()), nullptr);
  absl::StatusOr<SocketDirectory> directory = SocketDirectory::Open(parent + "/sockets");
  ASSERT_TRUE(directory.ok());
  const ControlRequest request = {.command = ControlRequest::Command::kInspect,
                                  .path = std::string(kRequestBytesMax, 'x')};
  EXPECT_EQ(AskInstance(*directory, 1, request).status().message(), "the path is too long");
  std::filesystem::remove_all(parent);
}

}  // namespace
}  // namespace vmbuskit
