// The host side of the heartbeat against a guest that the test plays, in virtual time.
#include "devices/util/heartbeat/host/heartbeat_host.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "devices/util/heartbeat/protocol.h"
#include "devices/util/ic/host/ic_vsp.h"
#include "devices/util/ic/message.h"
#include "devices/util/ic/negotiation.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/payload.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

constexpr ic::Version kFramework[] = {{3, 0}};
constexpr ic::Version kMessage[] = {{3, 0}};

class HeartbeatHostTest : public ::testing::Test {
 protected:
  HeartbeatHostTest()
      : context_(pair_.host_executor()), vsp_(HeartbeatVspClass().create(context_)) {
    guest_.on_packet = [this](Channel& channel, const Packet& packet) { Answer(channel, packet); };
    pair_.guest().Start(guest_);
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    EXPECT_TRUE(vsp_->OnOpen(pair_.host(), context_.open_data()).ok());
  }
  ~HeartbeatHostTest() override {
    {
      SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
      pair_.host().Close(absl::CancelledError("test ends"));
      vsp_->OnClose(pair_.host());
    }
    EXPECT_TRUE(pair_.Run());
  }

  // A guest that obeys: agrees to 3.0 and counts sequence numbers up, while `answering_`.
  void Answer(Channel& channel, const Packet& packet) {
    std::vector<std::byte> bytes(packet.payload.begin(), packet.payload.end());
    absl::StatusOr<ic::Message> message = ic::ParseMessage(bytes);
    ASSERT_TRUE(message.ok()) << message.status();
    if (message->header.message_type == ic::MessageType::kNegotiate) {
      ++negotiations_;
      if (!negotiating_) return;
      ASSERT_TRUE(ic::AnswerNegotiation(*message, {kFramework, kMessage}).has_value());
    } else {
      EXPECT_EQ(message->header.framework, (ic::Version{3, 0}));
      EXPECT_EQ(message->header.message, (ic::Version{3, 0}));
      auto body = ReadAs<heartbeat::Body>(message->body);
      ASSERT_TRUE(body.has_value());
      sequences_.push_back(body->sequence);
      if (!answering_) return;
      body->sequence += sequence_step_;
      std::memcpy(message->body.data(), &*body, sizeof *body);
      message->header.flags = answer_flags_;
      message->header.transaction_id = answer_transaction_;
    }
    std::memcpy(bytes.data() + ic::kHeaderOffset, &message->header, sizeof message->header);
    ASSERT_EQ(channel.Send({.payload = std::span(bytes).first(message->bytes)}), SendResult::kOk);
  }

  std::string Text(const char* name) {
    InspectNode node;
    vsp_->Inspect(node);
    for (const auto& [key, value] : node.values()) {
      if (key != name) continue;
      if (const auto* text = std::get_if<std::string>(&value)) return *text;
      if (const auto* number = std::get_if<uint64_t>(&value)) return std::to_string(*number);
    }
    return "(not there)";
  }

  bool negotiating_ = true;
  bool answering_ = true;
  uint64_t sequence_step_ = 1;
  uint8_t answer_flags_ = ic::kResponseFlags;
  uint8_t answer_transaction_ = 0;
  int negotiations_ = 0;
  std::vector<uint64_t> sequences_;
  RecordingHandler guest_;
  ChannelPair pair_;
  FakeVspContext context_;
  std::unique_ptr<Vsp> vsp_;
};

TEST_F(HeartbeatHostTest, OffersAPipeInMessageMode) {
  const VspClass& klass = HeartbeatVspClass();
  EXPECT_EQ(klass.offer_flags, 0x11);
  EXPECT_EQ(std::to_integer<int>(klass.user_defined[0]), 4);
  EXPECT_EQ(klass.default_instance_id.ToString(), "fd149e91-82e0-4a7d-afa6-2a4166cbd7c0");
}

// A saved state may have one. Closed before its primary channel, it would leave that one without an object to send on.
TEST_F(HeartbeatHostTest, ASubchannelThatNobodyAskedForIsRefused) {
  ChannelPair other;
  FakeVspContext context(other.host_executor());
  const std::unique_ptr<Vsp> vsp = HeartbeatVspClass().create(context);
  const absl::Status refused = vsp->OnOpen(other.host(), context.open_data(1));
  EXPECT_EQ(std::string(refused.message()),
            other.host().name() + ": subchannel_index is 1: the service has one channel");
  EXPECT_FALSE(vsp->OnReopen(other.host(), context.open_data(1)).ok());
}

TEST_F(HeartbeatHostTest, NegotiatesThenBeatsEveryTwoSeconds) {
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(negotiations_, 1);
  EXPECT_EQ(sequences_, (std::vector<uint64_t>{1}));
  EXPECT_EQ(Text("versions"), "framework 3.0, message 3.0");
  EXPECT_EQ(Text("guest"), "ok");
  ASSERT_TRUE(pair_.RunFor(6s));
  EXPECT_EQ(sequences_, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_EQ(Text("beats_missed"), "0");
}

TEST_F(HeartbeatHostTest, GuestIsLostAfterThreeMissedBeatsAndFoundAgain) {
  ASSERT_TRUE(pair_.Run());
  answering_ = false;
  ASSERT_TRUE(pair_.RunFor(7s));
  EXPECT_EQ(Text("guest"), "ok") << "the first of these beats was answered, two were missed";
  EXPECT_EQ(Text("beats_missed"), "2");
  ASSERT_TRUE(pair_.RunFor(2s));
  EXPECT_EQ(Text("guest"), "lost");
  answering_ = true;
  ASSERT_TRUE(pair_.RunFor(2s));
  EXPECT_EQ(Text("guest"), "ok");
}

TEST_F(HeartbeatHostTest, ARestoredServiceNegotiatesAnewAndItsSequenceGoesOn) {
  ASSERT_TRUE(pair_.RunFor(5s));
  ASSERT_EQ(sequences_, (std::vector<uint64_t>{1, 2, 3}));
  StateWriter writer;
  ASSERT_EQ(vsp_->Save(writer), absl::OkStatus());
  const std::vector<std::byte> bytes = std::move(writer).Take();
  std::unique_ptr<Vsp> restored = HeartbeatVspClass().create(context_);
  StateReader reader(bytes);
  ASSERT_EQ(restored->Restore(reader), absl::OkStatus());
  ASSERT_EQ(reader.Finish(), absl::OkStatus());
  std::swap(vsp_, restored);
  EXPECT_EQ(Text("sequence"), "3");
  EXPECT_EQ(Text("replies"), "3");
  EXPECT_EQ(Text("state"), "closed");
  std::swap(vsp_, restored);
  StateReader truncated{std::span(bytes).first(bytes.size() - 1)};
  EXPECT_FALSE(restored->Restore(truncated).ok());
}

TEST_F(HeartbeatHostTest, AnAnswerToAnOlderBeatDoesNotCount) {
  sequence_step_ = 0;
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(Text("replies"), "1");
  EXPECT_EQ(Text("guest"), "unknown");
}

TEST_F(HeartbeatHostTest, AGuestThatNeverNegotiatesIsLeftInPeace) {
  negotiating_ = false;
  ASSERT_TRUE(pair_.RunFor(600s));
  EXPECT_EQ(negotiations_, 1);
  EXPECT_TRUE(sequences_.empty());
  EXPECT_EQ(Text("state"), "negotiating");
}

TEST_F(HeartbeatHostTest, ARenegotiationStartsOverAndDropsWhatIsStale) {
  ASSERT_TRUE(pair_.Run());
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    static_cast<ic::IcVsp&>(*vsp_).Renegotiate();
  }
  EXPECT_EQ(Text("guest"), "unknown");
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(negotiations_, 2);
  EXPECT_EQ(sequences_, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(Text("guest"), "ok");
}

// Found by ic_service_fuzz: the second answer of a guest that obeys ended
// the service.
TEST_F(HeartbeatHostTest, ARenegotiationBeforeTheFirstAnswerIsAnsweredTwice) {
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    static_cast<ic::IcVsp&>(*vsp_).Renegotiate();
  }
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(negotiations_, 2);
  EXPECT_EQ(Text("state"), "ready");
  EXPECT_EQ(Text("stale"), "1");
  EXPECT_EQ(Text("guest"), "ok");
}

TEST_F(HeartbeatHostTest, WrongFlagsEndTheService) {
  answer_flags_ = ic::kRequestFlags;
  ASSERT_TRUE(pair_.RunFor(10s));
  EXPECT_EQ(Text("state"), "ended");
  EXPECT_NE(Text("ended_because").find("ic answer flags is 3"), std::string::npos);
  EXPECT_EQ(sequences_.size(), 1u) << "an ended service sends nothing more";
}

TEST_F(HeartbeatHostTest, AForeignTransactionIdEndsTheService) {
  answer_transaction_ = 9;
  ASSERT_TRUE(pair_.RunFor(10s));
  EXPECT_NE(Text("ended_because").find("ic answer transaction id is 9"), std::string::npos);
}

TEST_F(HeartbeatHostTest, GarbageEndsTheServiceNotTheHost) {
  ASSERT_TRUE(pair_.Run());
  const std::vector<std::byte> garbage(64, std::byte{0xFF});
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.guest_executor()));
    ASSERT_EQ(pair_.guest().Send({.payload = garbage}), SendResult::kOk);
  }
  ASSERT_TRUE(pair_.RunFor(4s));
  EXPECT_NE(Text("ended_because").find("pipe type"), std::string::npos);
  EXPECT_FALSE(pair_.host().closed());
}

TEST_F(HeartbeatHostTest, AnswerLargerThanAnyMessageEndsTheService) {
  ASSERT_TRUE(pair_.Run());
  const std::vector<std::byte> large(4200);
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.guest_executor()));
    ASSERT_EQ(pair_.guest().Send({.payload = large}), SendResult::kOk);
  }
  ASSERT_TRUE(pair_.Run());
  EXPECT_NE(Text("ended_because").find("ic answer bytes is 4200"), std::string::npos);
}

TEST_F(HeartbeatHostTest, NothingBeatsAfterTheChannelClosed) {
  ASSERT_TRUE(pair_.Run());
  {
    SimTurn turn = pair_.sim().Enter(static_cast<SimExecutor&>(pair_.host_executor()));
    vsp_->OnClose(pair_.host());
  }
  ASSERT_TRUE(pair_.RunFor(60s));
  EXPECT_EQ(sequences_.size(), 1u);
  EXPECT_EQ(Text("state"), "closed");
}

}  // namespace
}  // namespace vmbuskit
