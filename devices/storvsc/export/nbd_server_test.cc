#include "devices/storvsc/export/nbd_server.h"

#include <gtest/gtest.h>

#include <optional>

#include "devices/storvsc/export/nbd_testing.h"
#include "framework/task/run_task.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/linux_streams.h"
#include "platform/linux/stream_testing.h"
#include "platform/linux/tls_guard.h"
#include "platform/linux/tls_testing.h"

namespace vmbuskit {
namespace {

// The other end of a connection, on the same executor as the server.
class Client {
 public:
  Client(LinuxExecutor& executor, const StreamAddress& address)
      : executor_(executor), stream_(ConnectForTest(executor, address)) {
    if (stream_ != nullptr) (void)stream_->Start(Callback::To<&Client::OnReady>(this));
  }
  bool connected() const { return stream_ != nullptr; }
  void OnReady() {}

  void Send(const Wire& wire) {
    const std::span<const std::byte> part(wire.bytes());
    EXPECT_EQ(stream_->Write(std::span(&part, 1)), (StreamResult{StreamState::kOk, part.size()}));
  }

  // Less when the server ended the connection.
  std::vector<std::byte> Receive(size_t bytes) {
    std::vector<std::byte> received;
    while (received.size() < bytes) {
      std::vector<std::byte> buffer(bytes - received.size());
      const std::span<std::byte> part(buffer);
      const StreamResult result = stream_->Read(std::span(&part, 1));
      if (result.state == StreamState::kEnd || result.state == StreamState::kFailed) break;
      received.insert(received.end(), buffer.begin(),
                      buffer.begin() + static_cast<ptrdiff_t>(result.bytes));
      if (result.state == StreamState::kLater) executor_.RunOnce(/*may_sleep=*/true);
    }
    return received;
  }
  bool AtEnd() { return Receive(1).empty(); }

  // Up to the transmission phase, with simple replies.
  bool Go(std::string_view name) {
    Send(Wire().Flags(3).Option(nbd::kOptGo, GoData(name)));
    return Receive(sizeof(nbd::Greeting) + 3 * 20 + 12 + 14).size() == 104;
  }

  Replies::Simple Ask(const Wire& wire) {
    Send(wire);
    const auto reply = Receive(sizeof(nbd::SimpleReply));
    return Replies(reply).TakeSimple();
  }

 private:
  LinuxExecutor& executor_;
  std::unique_ptr<Stream> stream_;
};

class NbdServerTest : public testing::Test {
 protected:
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    TaskGroup group(*executor_, "test");
    group.Spawn(KeepResult(std::move(task), &result));
    while (group.running() > 0) executor_->RunOnce(/*may_sleep=*/true);
    return *std::move(result);
  }
  void Turn() {
    for (int i = 0; i < 20; ++i) executor_->RunOnce();
  }

  absl::Status Start(NbdServer::Options options = {}, std::vector<Streams*> streams = {}) {
    if (options.addresses.empty()) options.addresses = {{.unix_path = path_}};
    if (streams.empty()) streams = {&streams_};
    server_.emplace(streams, options);
    EXPECT_TRUE(Run(server_->AddExport({.name = "disk"}, disk_)).ok());
    return Run(server_->Start());
  }
  Client Connect() { return Client(*executor_, server_->addresses().front()); }

  InspectNode Look() {
    InspectNode node;
    TaskGroup group(*executor_, "look");
    group.Spawn(server_->Inspect(node));
    while (group.running() > 0) executor_->RunOnce(/*may_sleep=*/true);
    return node;
  }
  static uint64_t Value(const InspectNode& root, std::string_view path, std::string_view name) {
    const InspectNode* const node = root.Find(path);
    if (node == nullptr) return ~uint64_t{0};
    for (const auto& [key, value] : node->values()) {
      if (key == name) return std::get<uint64_t>(value);
    }
    return ~uint64_t{0};
  }

  void TearDown() override {
    disk_->hold = false;
    while (!disk_->held.empty()) disk_->Carry();
    if (server_.has_value()) Run(server_->Stop()).IgnoreError();
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/nbd.sock";
  std::unique_ptr<LinuxExecutor> executor_ = *LinuxExecutor::Create({});
  LinuxStreams streams_{*executor_};
  std::shared_ptr<TestDisk> disk_ = std::make_shared<TestDisk>();
  std::optional<NbdServer> server_;
};

TEST_F(NbdServerTest, TellsWhoCameAndWhatWentWrong) {
  ASSERT_TRUE(Start().ok());
  {
    Client client = Connect();
    ASSERT_TRUE(client.Go("disk"));
    EXPECT_EQ(client.Ask(Wire().Request(nbd::kCmdFlush, 1, 0, 0)).error, 0u);
    EXPECT_NE(client.Ask(Wire().Request(nbd::kCmdRead, 2, 1 << 30, 512)).error, 0u);
    disk_->hold = true;
    client.Send(Wire().Request(nbd::kCmdFlush, 3, 0, 0));
    while (disk_->held.empty()) Turn();
    disk_->hold = false;
    disk_->End(BlockResult::kMediumError);
    EXPECT_EQ(Replies(client.Receive(sizeof(nbd::SimpleReply))).TakeSimple().cookie, 3u);
    const InspectNode node = Look();
    EXPECT_EQ(Value(node, "", "connections"), 1u);
    EXPECT_EQ(Value(node, "export disk", "connections"), 1u);
    EXPECT_EQ(Value(node, "export disk", "requests"), 3u);
    EXPECT_EQ(Value(node, "export disk", "errors"), 2u);
  }
  Client liar = Connect();
  liar.Send(Wire().Flags(0xFFFF));
  (void)liar.Receive(sizeof(nbd::Greeting));
  EXPECT_TRUE(liar.AtEnd());
  Client later = Connect();
  ASSERT_TRUE(later.Go("disk"));
  later.Send(Wire().Put(nbd::Be64(0)).Put(nbd::Be64(0)).Put(nbd::Be64(0)).Put(nbd::Be32(0)));
  EXPECT_TRUE(later.AtEnd());
  while (server_->connections() != 0) Turn();
  const InspectNode node = Look();
  EXPECT_EQ(Value(node, "", "connections"), 0u);
  EXPECT_EQ(Value(node, "", "connections_in_all"), 3u);
  EXPECT_EQ(Value(node, "", "refused"), 1u);
  EXPECT_EQ(Value(node, "", "failed"), 1u);
  EXPECT_NE(node.ToJson().find("magic"), std::string::npos) << node.ToJson();
  EXPECT_EQ(Value(node, "export disk", "requests"), 3u) << "also of those that have gone";
  EXPECT_EQ(Value(node, "export disk", "errors"), 2u);
}

TEST_F(NbdServerTest, AClientReadsWhatItWrote) {
  ASSERT_TRUE(Start().ok());
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  EXPECT_EQ(server_->connections(), 1u);
  const std::string data(4096, 'w');
  EXPECT_EQ(client.Ask(Wire().Request(nbd::kCmdWrite, 1, 512, 4096).Text(data)).error, 0u);
  EXPECT_EQ(client.Ask(Wire().Request(nbd::kCmdRead, 2, 512, 4096)).error, 0u);
  const auto received = client.Receive(4096);
  EXPECT_EQ(Replies(received).TakeText(4096), data);
  client.Send(Wire().Request(nbd::kCmdDisc, 3, 0, 0));
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(NbdServerTest, LargeAnswersArePushedAsTheClientTakesThem) {
  disk_ = std::make_shared<TestDisk>(64 << 20);
  ASSERT_TRUE(Start().ok());
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  for (uint64_t i = 0; i < 4; ++i) client.Send(Wire().Request(nbd::kCmdRead, i, 0, 8 << 20));
  Turn();
  EXPECT_EQ(client.Receive(4 * ((8 << 20) + 16)).size(), 4u * ((8 << 20) + 16));
}

TEST_F(NbdServerTest, StopAnswersFlushesAndRemovesTheSocket) {
  ASSERT_TRUE(Start().ok());
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  EXPECT_TRUE(Run(server_->Stop()).ok());
  EXPECT_TRUE(client.AtEnd());
  ASSERT_FALSE(disk_->seen.empty());
  EXPECT_EQ(disk_->seen.back().operation, BlockOperation::kFlush);
  EXPECT_FALSE(Client(*executor_, {.unix_path = path_}).connected());
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_TRUE(server_->exports().empty());
}

TEST_F(NbdServerTest, StopHasADeadlineForADiskThatHangs) {
  ASSERT_TRUE(Start().ok());
  disk_->hold = true;
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  client.Send(Wire().Request(nbd::kCmdRead, 1, 0, 512));
  while (disk_->held.empty()) Turn();
  constexpr Duration kShort = std::chrono::milliseconds(5);
  const absl::Status stopped = Run(server_->Stop(kShort, kShort));
  EXPECT_EQ(stopped.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(stopped.message(), "1 NBD connections have requests that do not end");
  EXPECT_TRUE(client.AtEnd());
  disk_->hold = false;
  disk_->Carry();
  EXPECT_TRUE(Run(server_->Stop()).ok());
}

TEST_F(NbdServerTest, AFlushThatHangsIsWaitedForAgain) {
  ASSERT_TRUE(Start().ok());
  disk_->hold = true;
  constexpr Duration kShort = std::chrono::milliseconds(5);
  EXPECT_EQ(Run(server_->Stop(kShort, kShort)).code(), absl::StatusCode::kDeadlineExceeded);
  disk_->hold = false;
  disk_->Carry();
  Turn();
  EXPECT_TRUE(Run(server_->Stop()).ok());
}

TEST_F(NbdServerTest, ADiskGetsMoreTimeForItsLastFlushThanClientsGet) {
  ASSERT_TRUE(Start().ok());
  disk_->hold = true;
  std::optional<absl::Status> stopped;
  TaskGroup group(*executor_, "stop");
  group.Spawn(KeepResult(server_->Stop(Duration::zero()), &stopped));
  while (disk_->held.empty()) Turn();
  Turn();
  EXPECT_FALSE(stopped.has_value()) << *stopped;
  disk_->hold = false;
  disk_->Carry();
  while (group.running() > 0) executor_->RunOnce();
  EXPECT_TRUE(stopped->ok()) << *stopped;
}

// Also that of a disk that is gone: nobody knows what its cache had.
TEST_F(NbdServerTest, AFailedLastFlushIsTold) {
  for (const BlockResult result : {BlockResult::kMediumError, BlockResult::kGone}) {
    ASSERT_TRUE(Start().ok());
    disk_->hold = true;
    std::optional<absl::Status> stopped;
    TaskGroup group(*executor_, "stop");
    group.Spawn(KeepResult(server_->Stop(), &stopped));
    while (disk_->held.empty()) Turn();
    disk_->End(result);
    while (group.running() > 0) executor_->RunOnce();
    EXPECT_EQ(stopped->code(), absl::StatusCode::kDataLoss) << ToString(result);
  }
}

TEST_F(NbdServerTest, ExportsComeAndGo) {
  ASSERT_TRUE(Start().ok());
  auto second = std::make_shared<TestDisk>(8 << 20);
  ASSERT_TRUE(Run(server_->AddExport({.name = "second"}, second)).ok());
  EXPECT_EQ(Run(server_->AddExport({.name = "second"}, second)).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Run(server_->AddExport({.name = std::string(4097, 'x')}, second)).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server_->exports(), (std::vector<std::string>{"disk", "second"}));
  Client on_default = Connect();
  Client on_second = Connect();
  ASSERT_TRUE(on_default.Go(""));
  ASSERT_TRUE(on_second.Go("second"));
  EXPECT_TRUE(Run(server_->RemoveExport("disk")).ok());
  EXPECT_TRUE(on_default.AtEnd());
  EXPECT_EQ(on_second.Ask(Wire().Request(nbd::kCmdFlush, 1, 0, 0)).error, 0u);
  EXPECT_EQ(Run(server_->RemoveExport("disk")).code(), absl::StatusCode::kNotFound);
  Client late = Connect();
  late.Send(Wire().Flags(3).Option(nbd::kOptExportName, Wire().Text("disk")));
  EXPECT_EQ(late.Receive(100).size(), sizeof(nbd::Greeting));
  Client on_new_default = Connect();
  EXPECT_TRUE(on_new_default.Go(""));
  second.reset();
}

TEST_F(NbdServerTest, AGoneDiskDisconnectsItsClients) {
  ASSERT_TRUE(Start().ok());
  disk_->hold = true;
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  client.Send(Wire().Request(nbd::kCmdRead, 1, 0, 512));
  while (disk_->held.empty()) Turn();
  disk_->End(BlockResult::kGone);
  const auto reply = client.Receive(sizeof(nbd::SimpleReply));
  EXPECT_EQ(Replies(reply).TakeSimple(), (Replies::Simple{nbd::kEShutdown, 1}));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(NbdServerTest, AClientThatGoesAwayLeavesNothingBehind) {
  ASSERT_TRUE(Start().ok());
  disk_->hold = true;
  {
    Client client = Connect();
    ASSERT_TRUE(client.Go("disk"));
    client.Send(Wire().Request(nbd::kCmdRead, 1, 0, 512));
    while (disk_->held.empty()) Turn();
  }
  Turn();
  EXPECT_EQ(server_->connections(), 1u);  // its request is in flight
  disk_->Carry();
  while (server_->connections() > 0) Turn();
}

TEST_F(NbdServerTest, AClientThatLiesIsDisconnected) {
  ASSERT_TRUE(Start().ok());
  Client client = Connect();
  ASSERT_TRUE(client.Go("disk"));
  client.Send(Wire().Text("GET / HTTP/1.1 and much more of that"));
  EXPECT_TRUE(client.AtEnd());
  Client other = Connect();
  EXPECT_TRUE(other.Go("disk"));
}

TEST_F(NbdServerTest, AClientThatDoesNotFinishItsHandshakeIsDisconnected) {
  ASSERT_TRUE(Start({.handshake_deadline = std::chrono::milliseconds(5)}).ok());
  Client client = Connect();
  EXPECT_EQ(client.Receive(1000).size(), sizeof(nbd::Greeting));
}

TEST_F(NbdServerTest, AboveTheLimitClientsWait) {
  ASSERT_TRUE(Start({.connections_max = 1}).ok());
  {
    Client first = Connect();
    ASSERT_TRUE(first.Go("disk"));
    Client second = Connect();
    Turn();
    EXPECT_EQ(server_->connections(), 1u);
    first.Send(Wire().Request(nbd::kCmdDisc, 1, 0, 0));
    EXPECT_TRUE(second.Go("disk"));
  }
  while (server_->connections() > 0) Turn();
}

TEST_F(NbdServerTest, TcpIsLocalUnlessThereIsTls) {
  ASSERT_TRUE(Start({.addresses = {{.host = "127.0.0.1"}}}).ok());
  EXPECT_NE(server_->addresses().front().port, 0);
  Client client = Connect();
  EXPECT_TRUE(client.Go("disk"));
  EXPECT_TRUE(Run(server_->Stop()).ok());

  const absl::Status refused = Start({.addresses = {{.host = "0.0.0.0"}}});
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("needs TLS"), std::string::npos);
  EXPECT_TRUE(server_->addresses().empty());
}

TEST_F(NbdServerTest, BeyondTheMachineNothingIsToldWithoutTls) {
  WriteTestCertificates(folder_.path());
  auto guard = OpenTlsGuard(folder_.path());
  ASSERT_TRUE(guard.ok());
  ASSERT_TRUE(
      Start({.addresses = {{.host = "0.0.0.0"}, {.unix_path = path_}}, .guard = guard->get()})
          .ok());
  Client remote(*executor_, {.host = "127.0.0.1", .port = server_->addresses()[0].port});
  remote.Send(Wire().Flags(3).Option(nbd::kOptList));
  remote.Receive(sizeof(nbd::Greeting));
  const auto reply = remote.Receive(sizeof(nbd::OptionReply));
  EXPECT_EQ(Replies(reply).Take<nbd::OptionReply>().type, nbd::kRepErrTlsReqd);
  // What does not speak TLS behind STARTTLS is cut off.
  remote.Receive(std::string("this server needs TLS").size());
  remote.Send(Wire().Option(nbd::kOptStartTls));
  remote.Receive(sizeof(nbd::OptionReply));
  remote.Send(Wire().Option(nbd::kOptList));
  while (!remote.AtEnd()) {
  }
  Client local(*executor_, {.unix_path = path_});
  EXPECT_TRUE(local.Go("disk"));
  EXPECT_TRUE(Run(server_->Stop()).ok());
}

TEST_F(NbdServerTest, AnAddressInUseIsNamed) {
  ASSERT_TRUE(Start().ok());
  NbdServer second({&streams_}, {.addresses = {{.unix_path = path_}}});
  const absl::Status started = Run(second.Start());
  EXPECT_EQ(started.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(started.message().find(path_), std::string::npos);
}

TEST_F(NbdServerTest, ConnectionsAreSpreadOverExecutors) {
  auto thread = ExecutorThread::Start({});
  ASSERT_TRUE(thread.ok());
  LinuxStreams other((*thread)->executor());
  auto ram = std::make_shared<RamDisk>();
  server_.emplace(std::vector<Streams*>{&streams_, &other},
                  NbdServer::Options{.addresses = {{.unix_path = path_}}});
  ASSERT_TRUE(Run(server_->AddExport({.name = "ram"}, ram)).ok());
  ASSERT_TRUE(Run(server_->Start()).ok());
  {
    Client first = Connect();
    Client second = Connect();
    ASSERT_TRUE(first.Go("ram"));
    ASSERT_TRUE(second.Go("ram"));
    const std::string data(512, 'x');
    EXPECT_EQ(first.Ask(Wire().Request(nbd::kCmdWrite, 1, 0, 512).Text(data)).error, 0u);
    EXPECT_EQ(second.Ask(Wire().Request(nbd::kCmdRead, 1, 0, 512)).error, 0u);
    const auto received = second.Receive(512);
    EXPECT_EQ(Replies(received).TakeText(512), data);
  }
  EXPECT_TRUE(Run(server_->RemoveExport("ram")).ok());
  EXPECT_TRUE(Run(server_->Stop()).ok());
  server_.reset();
}

}  // namespace
}  // namespace vmbuskit
