// The fake host keeps its promises, and sees what breaks the rules.
#include "framework/bus/fake_transport.h"

#include "framework/bus/bus_testing.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class Listener final : public BusListener {
 public:
  void OnOffer(const Offer& offer) override {
    lines.push_back(absl::StrCat("offer ", offer.relid));
  }
  void OnAllOffersDelivered() override { lines.push_back("all"); }
  void OnRescind(uint32_t relid) override { lines.push_back(absl::StrCat("rescind ", relid)); }
  void OnConnectionLost(const absl::Status& reason) override {
    lines.push_back(std::string(reason.message()));
  }
  std::vector<std::string> lines;
};

class FakeTransportTest : public testing::TestWithParam<uint64_t> {
 protected:
  template <typename T>
  T Await(Task<T> task) {
    std::optional<T> result = RunTask(sim_, transport_.executor(0), std::move(task));
    EXPECT_TRUE(result.has_value());
    return *std::move(result);
  }
  void Connect() { ASSERT_EQ(Await(transport_.Connect(listener_)), absl::OkStatus()); }
  void Offer(uint32_t relid) {
    transport_.Offer(FakeTransport::MakeOffer(relid, kDiskClass, kDisk1));
    Run();
  }
  void Run() { ASSERT_TRUE(sim_.RunFor(seconds(1)).ok()); }
  absl::StatusOr<std::unique_ptr<Channel>> Open(uint32_t relid, uint32_t vp = 1) {
    OpenParameters parameters;
    parameters.relid = relid;
    parameters.target_vp = vp;
    parameters.channel.name = "test";
    return Await(transport_.Open(std::move(parameters)));
  }
  void CloseChannel(Channel& channel) {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(channel.executor()));
    channel.Close(absl::CancelledError("test"));
  }

  Listener listener_;
  RecordingHandler host_;
  RecordingHandler guest_;
  SimScheduler sim_{GetParam()};
  FakeTransport transport_{sim_, {}};
};
INSTANTIATE_TEST_SUITE_P(Seeds, FakeTransportTest, testing::Range<uint64_t>(0, 3));

TEST_P(FakeTransportTest, TheHostSpeaksInOrderOnceConnected) {
  transport_.Offer(FakeTransport::MakeOffer(5, kDiskClass, kDisk1));
  transport_.AllOffersDelivered();
  transport_.Rescind(5);
  transport_.LoseConnection(absl::DataLossError("gone"));
  Run();
  EXPECT_THAT(listener_.lines, IsEmpty());
  EXPECT_EQ(transport_.version(), 0u);
  Connect();
  Run();
  EXPECT_EQ(transport_.version(), 0x00050003u);
  EXPECT_THAT(listener_.lines, ElementsAre("offer 5", "all", "rescind 5", "gone"));
}

TEST_P(FakeTransportTest, PacketsGoBothWaysThroughAnOpenChannel) {
  transport_.SetHost(kDisk1, host_);
  Connect();
  Offer(5);
  absl::StatusOr<std::unique_ptr<Channel>> channel = Open(5);
  ASSERT_TRUE(channel.ok());
  EXPECT_EQ((*channel)->executor().cpu(), 1u);
  {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>((*channel)->executor()));
    (*channel)->Start(guest_);
    EXPECT_EQ((*channel)->Send({.payload = TextBytes("question")}), SendResult::kOk);
  }
  {
    const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(transport_.host_executor()));
    EXPECT_EQ(transport_.host(5)->Send({.payload = TextBytes("answered")}), SendResult::kOk);
  }
  Run();
  EXPECT_EQ(host_.packets.at(0).payload, "question");
  EXPECT_EQ(guest_.packets.at(0).payload, "answered");
  EXPECT_NE(transport_.to_guest(5), nullptr);
  CloseChannel(**channel);
  EXPECT_EQ(Await(transport_.Close(*std::move(channel))), absl::OkStatus());
  EXPECT_EQ(transport_.host(5), nullptr);
  EXPECT_EQ(transport_.pages().allocated(), 0u);
  EXPECT_EQ(host_.closed.size(), 1u);
  EXPECT_THAT(transport_.errors(), IsEmpty());
}

TEST_P(FakeTransportTest, AnswersAsScripted) {
  Connect();
  Offer(5);
  transport_.Script(FakeOperation::kOpen, FakeAnswer::kFail);
  transport_.Script(FakeOperation::kOpen, FakeAnswer::kNever);
  transport_.Script(FakeOperation::kOpen, FakeAnswer::kFail, 6);  // of another channel
  transport_.Script(FakeOperation::kOpen, FakeAnswer::kRescind);
  EXPECT_EQ(Open(5).status().code(), absl::StatusCode::kInternal);
  const Instant before = sim_.Now();
  EXPECT_EQ(Open(5).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(sim_.Now() - before, seconds(60));
  EXPECT_EQ(Open(5).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(listener_.lines, ElementsAre("offer 5", "rescind 5"));
  EXPECT_EQ(transport_.open_channels(), 0u);
}

TEST_P(FakeTransportTest, BrokenRulesAreSeen) {
  Connect();
  Offer(5);
  EXPECT_EQ(Open(9).status().code(), absl::StatusCode::kNotFound);
  absl::StatusOr<std::unique_ptr<Channel>> channel = Open(5);
  ASSERT_TRUE(channel.ok());
  const SimTurn turn = sim_.Enter(static_cast<const SimExecutor&>(transport_.executor(0)));
  transport_.Release(5);
  EXPECT_THAT(transport_.errors(),
              ElementsAre("open 9: the relid is not the guest's", "release 5: it was not rescinded",
                          "release 5: it is still open"));
  (*channel)->Close(absl::CancelledError("test"));
  channel->reset();
}

}  // namespace
}  // namespace vmbuskit
