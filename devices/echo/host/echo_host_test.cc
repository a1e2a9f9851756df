// The host side of echo against a guest that the test plays, in virtual time.
#include "devices/echo/host/echo_host.h"

#include <memory>
#include <string>
#include <vector>

#include "devices/echo/protocol.h"
#include "framework/base/string_view.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/payload.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

class EchoHostTest : public ::testing::Test {
 protected:
  EchoHostTest() : context_(pair_.host_executor()), vsp_(EchoVspClass().create(context_)) {
    guest_.on_packet = [this](Channel& channel, const Packet& packet) {
      if (!answering_) return;
      std::vector<std::byte> bytes(packet.payload.begin(), packet.payload.end());
      if (spoil_) bytes.back() ^= std::byte{1};
      ASSERT_EQ(channel.Complete(packet.transaction_id, bytes), SendResult::kOk);
    };
    pair_.guest().Start(guest_);
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    EXPECT_TRUE(vsp_->OnOpen(pair_.host(), context_.open_data()).ok());
  }
  ~EchoHostTest() override {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    pair_.host().Close(absl::CancelledError("test ends"));
    vsp_->OnClose(pair_.host());
  }

  // What the host answers to a wish for `version`: 1 accepted, 0 not, -1 nothing.
  int Negotiate(uint32_t version) {
    const echo::Negotiate message = {.version = version, .accepted = 0};
    RecordingRequest request;
    {
      SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.guest_executor()));
      EXPECT_EQ(
          pair_.guest().SendRequest({.payload = BytesOf(message)}, request, pair_.sim().Now() + 1h),
          SendResult::kOk);
    }
    EXPECT_TRUE(pair_.Run());
    if (request.ends.empty() || request.ends[0] != RequestEnd::kCompleted) return -1;
    return static_cast<int>(ReadAs<echo::Negotiate>(TextBytes(request.reply))->accepted);
  }

  uint64_t Count(std::string_view name) {
    InspectNode node;
    vsp_->Inspect(node);
    for (const auto& [key, value] : node.values()) {
      if (key == name) return std::get<uint64_t>(value);
    }
    return ~uint64_t{0};
  }

  bool answering_ = true;
  bool spoil_ = false;
  RecordingHandler guest_;
  ChannelPair pair_;
  FakeVspContext context_;
  std::unique_ptr<Vsp> vsp_;
};

TEST_F(EchoHostTest, TakesTheVersionsItKnowsAndNoOther) {
  EXPECT_EQ(Negotiate(3), 0);
  EXPECT_EQ(Negotiate(0), 0);
  EXPECT_TRUE(guest_.packets.empty()) << "no echo before a version is agreed";
  EXPECT_EQ(Negotiate(1), 1);
  EXPECT_EQ(Negotiate(2), 1);
}

TEST_F(EchoHostTest, SendsAnEchoEverySecondAndChecksTheAnswer) {
  ASSERT_EQ(Negotiate(2), 1);
  ASSERT_TRUE(pair_.RunFor(2500ms));
  EXPECT_EQ(Count("sent"), 3u);
  EXPECT_EQ(Count("answered"), 3u);
  EXPECT_EQ(Count("wrong"), 0u);
  ASSERT_EQ(guest_.packets.size(), 3u);
  const auto header = ReadAs<echo::Echo>(TextBytes(guest_.packets[1].payload));
  EXPECT_EQ(header->sequence, 1u);
  EXPECT_EQ(header->data_bytes + sizeof *header, guest_.packets[1].payload.size());
}

TEST_F(EchoHostTest, NoticesAnAnswerThatDiffersInOneBit) {
  spoil_ = true;
  ASSERT_EQ(Negotiate(2), 1);
  EXPECT_EQ(Count("answered"), 1u);
  EXPECT_EQ(Count("wrong"), 1u);
}

// The campaign (seed 278724) took what a crashed guest had answered for the next one's answer.
TEST_F(EchoHostTest, TheFiguresAreOfTheChannelThatIsOpen) {
  spoil_ = true;
  ASSERT_EQ(Negotiate(2), 1);
  ASSERT_EQ(Count("wrong"), 1u);
  RecordingHandler guest;
  ChannelPair next;
  next.guest().Start(guest);
  SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
  pair_.host().Close(absl::CancelledError("the guest crashed"));
  vsp_->OnClose(pair_.host());
  EXPECT_EQ(Count("wrong"), 1u) << "still to be seen";
  ASSERT_TRUE(vsp_->OnOpen(next.host(), context_.open_data()).ok());
  EXPECT_EQ(Count("wrong"), 0u);
  EXPECT_EQ(Count("sent"), 0u);
  next.host().Close(absl::CancelledError("test ends"));
  vsp_->OnClose(next.host());
}

TEST_F(EchoHostTest, CountsAnAnswerThatDoesNotCome) {
  answering_ = false;
  ASSERT_EQ(Negotiate(2), 1);
  ASSERT_TRUE(pair_.RunFor(1500ms));
  EXPECT_EQ(Count("late"), 1u);
  EXPECT_EQ(Count("answered"), 0u);
}

// A saved state may have one. Closed before its primary channel, it would leave that one without an object to send on.
TEST_F(EchoHostTest, ASubchannelThatNobodyAskedForIsRefused) {
  ChannelPair other;
  FakeVspContext context(other.host_executor());
  const std::unique_ptr<Vsp> vsp = EchoVspClass().create(context);
  EXPECT_EQ(ToStd(vsp->OnOpen(other.host(), context.open_data(1)).message()),
            other.host().name() + ": subchannel_index is 1: echo has one channel");
  EXPECT_FALSE(vsp->OnReopen(other.host(), context.open_data(1)).ok());
}

TEST_F(EchoHostTest, ATruncatedNegotiationEndsTheChannelWithItsSize) {
  RecordingRequest request;
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.guest_executor()));
    ASSERT_EQ(pair_.guest().SendRequest({}, request, pair_.sim().Now() + 1s), SendResult::kOk);
  }
  ASSERT_TRUE(pair_.RunFor(2s));
  EXPECT_TRUE(pair_.host().closed());
  EXPECT_NE(ToStd(pair_.host().reason().message()).find("negotiate bytes is 0"), std::string::npos);
  EXPECT_EQ(request.ends, (std::vector<RequestEnd>{RequestEnd::kDeadline}));
}

}  // namespace
}  // namespace vmbuskit
