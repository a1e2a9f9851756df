// Channels over the transport: rings, opening and closing, signals both ways, moving, and rescinds
// in between.
#include "transports/synic/synic_transport_testing.h"

namespace vmbuskit {
namespace {

using namespace std::chrono_literals;

class SynicChannelTest : public SynicTransportFixture {
 protected:
  void CloseOn(SimExecutor& cpu, Channel& channel) {
    SimTurn turn = sim_.Enter(cpu);
    channel.Close(absl::CancelledError("the driver closes"));
  }
  void StartOn(SimExecutor& cpu, Channel& channel) {
    SimTurn turn = sim_.Enter(cpu);
    channel.Start(handler_);
  }
  // The host's ring: an in-band packet of 16 bytes on the wire, and its index.
  void HostSends(const OpenChannelMessage& open) {
    RingControl& words = HostRing(open);
    const uint64_t packet[3] = {0x0002'0002'0006, 0, 0};
    std::memcpy(reinterpret_cast<std::byte*>(&words) + kPageSize + words.write_index, packet, 24);
    std::atomic_ref(words.write_index).fetch_add(24);
  }
  RingControl& HostRing(const OpenChannelMessage& open) {
    return *reinterpret_cast<RingControl*>(
        memory_->Translate((first_ring_page_ + open.downstream_page) * kPageSize, kPageSize)
            ->data());
  }
  std::unique_ptr<Channel> OpenRemembering(uint32_t relid, uint32_t vp) {
    host_.before[MessageType::kOpenChannel] = [&] {
      const auto& header = host_.received[host_.received.size() - 2];  // the ring's GPADL_HEADER
      std::memcpy(&first_ring_page_, header.data() + 28, 8);
    };
    return Open(relid, vp);
  }

  CountingHandler handler_;
  Pfn first_ring_page_ = 0;
};

TEST_F(SynicChannelTest, OpensAndClosesWithoutALeak) {
  Connect();
  std::unique_ptr<Channel> channel = OpenRemembering(5, 1);
  const auto open = host_.LastOf<OpenChannelMessage>();
  EXPECT_EQ(open.target_vp, 11u);
  EXPECT_EQ(open.downstream_page, 3u);
  EXPECT_EQ(&channel->executor(), &cpu1_);
  EXPECT_EQ(transport_->open_channels(), 1u);
  EXPECT_EQ(transport_->shared_pages(), 3u + 5u);
  // The guest's end of the sending ring says what it can, before the host looks.
  auto& up = *reinterpret_cast<RingControl*>(
      memory_->Translate(first_ring_page_ * kPageSize, kPageSize)->data());
  EXPECT_EQ(up.feature_bits, 1u);
  EXPECT_EQ(up.interrupt_mask, 0u);

  CloseOn(cpu1_, *channel);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  EXPECT_EQ(host_.Count(MessageType::kCloseChannel), 1u);
  EXPECT_EQ(host_.Last(), MessageType::kGpadlTeardown);
  EXPECT_EQ(host_.accepted, 0u);
  EXPECT_EQ(transport_->open_channels(), 0u);
  EXPECT_EQ(transport_->shared_pages(), 3u);
  // The channel is offered still: it may be opened again.
  channel = Open(5);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, RefusesWhatCannotBe) {
  Connect();
  auto refused = [&](OpenParameters parameters) {
    return Run(transport_->Open(std::move(parameters))).status().code();
  };
  EXPECT_EQ(refused(Parameters(6)), absl::StatusCode::kNotFound);
  EXPECT_EQ(refused(Parameters(5, 2)), absl::StatusCode::kInvalidArgument);
  OpenParameters odd = Parameters(5);
  odd.send_ring_bytes = 100;
  EXPECT_EQ(refused(odd), absl::StatusCode::kInvalidArgument);
  odd.send_ring_bytes = 0;
  EXPECT_EQ(refused(odd), absl::StatusCode::kInvalidArgument);
  odd.send_ring_bytes = 32 << 20;
  EXPECT_EQ(refused(odd), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(transport_->shared_pages(), 3u);
  EXPECT_EQ(host_.Count(MessageType::kGpadlHeader), 0u);
}

TEST_F(SynicChannelTest, PacketsComeOnTheChannelsProcessor) {
  Connect();
  std::unique_ptr<Channel> channel = OpenRemembering(5, 1);
  StartOn(cpu1_, *channel);
  Settle();
  HostSends(host_.LastOf<OpenChannelMessage>());
  partition_.SetFlag(1, 5);
  Settle();
  EXPECT_EQ(handler_.packets, 1);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  EXPECT_EQ(handler_.reason.message(), "the transport closes the channel");
  partition_.SetFlag(1, 5);  // too late: nobody is called
  Settle();
  EXPECT_EQ(transport_->synic(1).counters().unknown_flags, 1u);
}

TEST_F(SynicChannelTest, EarlyInterruptBeforeTheOpenResult) {
  Connect();
  host_.silent.insert(MessageType::kOpenChannel);
  std::optional<absl::StatusOr<std::unique_ptr<Channel>>> opening;
  host_.before[MessageType::kOpenChannel] = [&] {
    std::memcpy(&first_ring_page_, host_.received[host_.received.size() - 2].data() + 28, 8);
  };
  Start(transport_->Open(Parameters(5)), opening);
  Settle();
  const auto open = host_.LastOf<OpenChannelMessage>();
  HostSends(open);
  partition_.SetFlag(0, 5);
  Settle();
  EXPECT_FALSE(opening.has_value());
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = open.open_id});
  Settle();
  ASSERT_TRUE(opening.has_value() && opening->ok());
  std::unique_ptr<Channel> channel = **std::move(opening);
  StartOn(cpu0_, *channel);
  Settle();
  EXPECT_EQ(handler_.packets, 1);  // without another interrupt
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, SignalsByHypercallAndIgnoresAClosedPort) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  StartOn(cpu0_, *channel);
  Settle();
  partition_.signal_status = HypercallStatus::kInvalidConnectionId;
  {
    SimTurn turn = sim_.Enter(cpu0_);
    EXPECT_EQ(channel->Send({.payload = {}}), SendResult::kOk);
  }
  EXPECT_EQ(partition_.signals, std::vector<uint32_t>{0x2005});
  EXPECT_FALSE(channel->closed());
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, SignalsAMonitoredChannelByABit) {
  host_.monitor_id = 37;
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  StartOn(cpu0_, *channel);
  Settle();
  {
    SimTurn turn = sim_.Enter(cpu0_);
    EXPECT_EQ(channel->Send({.payload = {}}), SendResult::kOk);
  }
  EXPECT_TRUE(partition_.signals.empty());
  const Gpa page = host_.LastOf<InitiateContactMessage>().child_to_parent;
  const std::span<std::byte> pending = *memory_->Translate(page + 16, 4);
  EXPECT_EQ(pending[0], std::byte{0x20});  // group 1, bit 5
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, WithoutMonitorPagesEverySignalIsAHypercall) {
  Make({.monitor_pages = false});
  host_.monitor_id = 37;
  Connect();
  EXPECT_EQ(host_.LastOf<InitiateContactMessage>().child_to_parent, 0u);
  std::unique_ptr<Channel> channel = Open(5);
  StartOn(cpu0_, *channel);
  Settle();
  {
    SimTurn turn = sim_.Enter(cpu0_);
    EXPECT_EQ(channel->Send({.payload = {}}), SendResult::kOk);
  }
  EXPECT_EQ(partition_.signals.size(), 1u);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, ARefusedOpenGivesTheRingsBack) {
  Connect();
  host_.before[MessageType::kOpenChannel] = [&] { host_.status = 0x8000FFFF; };
  EXPECT_EQ(Run(transport_->Open(Parameters(5))).status().message(),
            "channel 5: the host refused to open it, status 0x8000ffff");
  EXPECT_EQ(host_.Last(), MessageType::kGpadlTeardown);
  EXPECT_EQ(transport_->shared_pages(), 3u);
  EXPECT_EQ(transport_->open_channels(), 0u);
  EXPECT_EQ(Run(transport_->Open(Parameters(5))).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(transport_->shared_pages(), 3u);  // the GPADL itself was refused
  EXPECT_EQ(pages_.leaked(), 0u);
}

TEST_F(SynicChannelTest, AnOpenWithoutAnswerWithholdsItsRings) {
  Connect();
  host_.silent.insert(MessageType::kOpenChannel);
  const Instant start = sim_.Now();
  const absl::Status status = Run(transport_->Open(Parameters(5))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(status.message().find("OPEN_CHANNEL_RESULT of channel 5"), std::string::npos) << status;
  EXPECT_NE(status.message().find("5 pages that the host may use are withheld"), std::string::npos);
  EXPECT_EQ(sim_.Now() - start, 60s);
  EXPECT_EQ(pages_.leaked(), 0u);
  EXPECT_EQ(transport_->open_channels(), 0u);
  EXPECT_EQ(transport_->withheld_pages(), 5u);
  // The answer comes after all: the client undoes the open.
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5});
  Settle();
  EXPECT_EQ(host_.Count(MessageType::kCloseChannel), 1u);
  EXPECT_EQ(host_.accepted, 0u);
}

TEST_F(SynicChannelTest, AGpadlWithoutAnswerEndsInTheDeadlineToo) {
  Connect();
  host_.silent.insert(MessageType::kGpadlHeader);
  const absl::Status status = Run(transport_->Open(Parameters(5))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(status.message().find("5 pages that the host may use are withheld"), std::string::npos);
  EXPECT_EQ(transport_->withheld_pages(), 5u);
}

TEST_F(SynicChannelTest, ATearDownWithoutAnswerWithholdsTheRings) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.silent.insert(MessageType::kGpadlTeardown);
  const absl::Status status = Run(transport_->Close(std::move(channel)));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(transport_->withheld_pages(), 5u);
  EXPECT_EQ(transport_->open_channels(), 0u);
}

TEST_F(SynicChannelTest, WithheldPagesComeBackWithTheUnload) {
  Connect();
  host_.silent.insert(MessageType::kGpadlHeader);
  EXPECT_FALSE(Run(transport_->Open(Parameters(5))).ok());
  transport_->Quarantine(*pages_.Allocate(7));
  EXPECT_EQ(transport_->withheld_pages(), 5u);
  EXPECT_EQ(pages_.leaked(), 0u);
  EXPECT_EQ(Run(transport_->Disconnect()), absl::OkStatus());
  EXPECT_EQ(transport_->withheld_pages(), 0u);
  ExpectNothingShared();
}

TEST_F(SynicChannelTest, PagesOfOthersThatAreWithheldComeBackWithTheUnload) {
  Connect();
  PageRun buffer = *pages_.Allocate(7);
  const uint64_t before = pages_.allocated();
  pages_.Withhold(buffer.first() + 2, 1);
  buffer.Reset();
  EXPECT_EQ(pages_.allocated(), before) << "freed, but the host may still write to it";
  EXPECT_EQ(Run(transport_->Disconnect()), absl::OkStatus());
  EXPECT_EQ(pages_.leaked(), 0u);
  ExpectNothingShared();
}

TEST_F(SynicChannelTest, LargeBuffersTravelInManyMessages) {
  Connect();
  absl::StatusOr<PageRun> buffer = pages_.Allocate(4096);
  absl::StatusOr<Gpadl> gpadl = Run(transport_->CreateGpadl(5, *buffer));
  ASSERT_TRUE(gpadl.ok()) << gpadl.status();
  EXPECT_EQ(host_.Count(MessageType::kGpadlBody), 146u);
  EXPECT_EQ(transport_->shared_pages(), 3u + 4096u);
  EXPECT_TRUE(Run(transport_->TearDownGpadl(*gpadl)).ok());
  EXPECT_EQ(transport_->shared_pages(), 3u);
}

TEST_F(SynicChannelTest, RescindWhileOpening) {
  Connect();
  host_.silent.insert(MessageType::kOpenChannel);
  host_.before[MessageType::kOpenChannel] = [&] { host_.Rescind(5); };
  EXPECT_EQ(Run(transport_->Open(Parameters(5))).status().message(),
            "channel 5: rescinded while it was opened");
  EXPECT_EQ(rescinds_, std::vector<uint32_t>{5});
  EXPECT_EQ(host_.Count(MessageType::kGpadlTeardown), 0u);
  EXPECT_EQ(transport_->shared_pages(), 3u);
  transport_->Release(5);
  EXPECT_EQ(host_.Last(), MessageType::kRelidReleased);
}

TEST_F(SynicChannelTest, RescindBetweenHeaderAndBody) {
  Connect();
  host_.silent.insert(MessageType::kGpadlBody);
  host_.before[MessageType::kGpadlHeader] = [&] { host_.Rescind(5); };
  absl::StatusOr<PageRun> buffer = pages_.Allocate(100);
  EXPECT_EQ(Run(transport_->CreateGpadl(5, *buffer)).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(transport_->shared_pages(), 3u);
  transport_->Release(5);
  EXPECT_EQ(host_.Last(), MessageType::kRelidReleased);  // after the last body
}

TEST_F(SynicChannelTest, RescindWhileStopping) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.silent.insert(MessageType::kGpadlTeardown);
  host_.before[MessageType::kGpadlTeardown] = [&] { host_.Rescind(5); };
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  EXPECT_EQ(transport_->shared_pages(), 3u);
  transport_->Release(5);
  EXPECT_EQ(host_.Last(), MessageType::kRelidReleased);
}

TEST_F(SynicChannelTest, TheRelidIsReleasedWhenTheRingsAreFree) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.Rescind(5);
  Settle();
  transport_->Release(5);  // the listener is quicker than the channel's owner
  EXPECT_EQ(host_.Count(MessageType::kRelidReleased), 0u);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  EXPECT_EQ(host_.Last(), MessageType::kRelidReleased);
  EXPECT_EQ(host_.Count(MessageType::kCloseChannel), 0u);
  // Its number comes back for another device.
  host_.Offer(5);
  Settle();
  EXPECT_EQ(offers_, (std::vector<uint32_t>{5, 5}));
  channel = Open(5);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, InterruptsMoveAndTheOldProcessorStillServes) {
  Connect();
  std::unique_ptr<Channel> channel = OpenRemembering(5, 0);
  const auto open = host_.LastOf<OpenChannelMessage>();
  StartOn(cpu0_, *channel);
  Settle();
  // The new processor may be interrupted before the answer.
  host_.before[MessageType::kModifyChannel] = [&] {
    HostSends(open);
    partition_.SetFlag(1, 5);
  };
  EXPECT_TRUE(Run(transport_->Retarget(5, 1)).ok());
  EXPECT_EQ(host_.LastOf<ModifyChannelMessage>().target_vp, 11u);
  Settle();
  EXPECT_EQ(handler_.packets, 1);
  EXPECT_EQ(&channel->executor(), &cpu0_);
  // An interrupt on the wrong processor, after the move.
  HostSends(open);
  partition_.SetFlag(0, 5);
  Settle();
  EXPECT_EQ(handler_.packets, 2);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  partition_.SetFlag(0, 5);
  partition_.SetFlag(1, 5);
  Settle();
  EXPECT_EQ(transport_->synic(0).counters().unknown_flags, 1u);
  EXPECT_EQ(transport_->synic(1).counters().unknown_flags, 1u);
}

TEST_F(SynicChannelTest, MovesAsTheVersionAllows) {
  host_.version_max = kVersion4_1;  // no answer exists
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  EXPECT_TRUE(Run(transport_->Retarget(5, 1)).ok());
  EXPECT_EQ(Run(transport_->Retarget(5, 2)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run(transport_->Retarget(6, 1)).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
  EXPECT_TRUE(Run(transport_->Disconnect()).ok());

  host_.version_max = kVersion4_0;
  Connect();
  channel = Open(5);
  EXPECT_EQ(Run(transport_->Retarget(5, 1)).code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, AMoveWithoutAnswerEndsInTheDeadline) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.silent.insert(MessageType::kModifyChannel);
  EXPECT_EQ(Run(transport_->Retarget(5, 1)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, MovesAgainAfterAMoveWithoutAnswer) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.silent.insert(MessageType::kModifyChannel);
  EXPECT_EQ(Run(transport_->Retarget(5, 1)).code(), absl::StatusCode::kDeadlineExceeded);
  host_.silent.clear();
  EXPECT_EQ(Run(transport_->Retarget(5, 0)), absl::OkStatus());
  EXPECT_EQ(host_.LastOf<ModifyChannelMessage>().target_vp, 10u);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, ClosingAnOldChannelLateLeavesTheNewOneItsInterrupts) {
  Connect();
  std::unique_ptr<Channel> old = Open(5, 1);
  EXPECT_TRUE(Run(transport_->Disconnect()).ok());
  Connect();
  std::unique_ptr<Channel> channel = OpenRemembering(5, 1);
  StartOn(cpu1_, *channel);
  Settle();
  EXPECT_TRUE(Run(transport_->Close(std::move(old))).ok());
  HostSends(host_.LastOf<OpenChannelMessage>());
  partition_.SetFlag(1, 5);
  Settle();
  EXPECT_EQ(handler_.packets, 1);
  EXPECT_EQ(transport_->synic(1).counters().unknown_flags, 0u);
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

TEST_F(SynicChannelTest, AChannelThatIsBeingClosedDoesNotMove) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  host_.silent.insert(MessageType::kGpadlTeardown);
  std::optional<absl::Status> closed;
  Start(transport_->Close(std::move(channel)), closed);
  Settle();
  EXPECT_FALSE(closed.has_value());
  EXPECT_EQ(Run(transport_->Retarget(5, 1)).message(), "channel 5 is not open");
  partition_.SetFlag(1, 5);
  Settle();
  EXPECT_EQ(transport_->synic(1).counters().unknown_flags, 1u);
  host_.Say(GpadlTorndownMessage{.gpadl = host_.LastOf<GpadlTeardownMessage>().gpadl});
  Settle();
  ASSERT_TRUE(closed.has_value());
  EXPECT_EQ(*closed, absl::OkStatus());
}

TEST_F(SynicChannelTest, CloseKnowsItsOwnChannelsOnly) {
  Connect();
  alignas(64) static std::byte control[2][kPageSize];
  static std::byte data[2][2 * kPageSize];
  Channel::Options options;
  options.name = "a stranger";
  options.incoming = {control[0], data[0], kPageSize};
  options.outgoing = {control[1], data[1], kPageSize};
  auto stranger = std::make_unique<Channel>(cpu0_, options);
  EXPECT_EQ(Run(transport_->Close(std::move(stranger))).code(), absl::StatusCode::kNotFound);
}

TEST_F(SynicChannelTest, TimersBelongToTheirProcessor) {
  Connect();
  struct Tick {
    void Now() { ++ticks; }
    int ticks = 0;
  } tick;
  std::unique_ptr<SyntheticTimer> timer =
      transport_->NewTimer(1, 0, Callback::To<&Tick::Now>(&tick));
  ASSERT_NE(timer, nullptr);
  ASSERT_TRUE(timer->Start().ok());
  ASSERT_TRUE(timer->Arm(500).ok());  // past
  EXPECT_EQ(partition_.reg(1, kRegStimer0Count), 500u);
  partition_.Raise(1, 0xED);
  Settle();
  EXPECT_EQ(tick.ticks, 1);
  timer.reset();
  EXPECT_EQ(partition_.reg(1, kRegStimer0Config), 0u);
}

TEST_F(SynicChannelTest, InspectShowsWhatIsHeld) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  InspectNode node;
  transport_->Inspect(node);
  const std::string json = node.ToJson();
  EXPECT_NE(json.find("\"version\": \"5.3\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"channels_open\": 1"), std::string::npos) << json;
  EXPECT_NE(json.find("\"pages_shared\": 8"), std::string::npos) << json;
  EXPECT_TRUE(Run(transport_->Close(std::move(channel))).ok());
}

// Every order of what is due at the same instant.
class SynicSeedTest : public SynicTransportFixture, public testing::WithParamInterface<uint64_t> {
 protected:
  SynicSeedTest() : SynicTransportFixture(GetParam()) {}
};

TEST_P(SynicSeedTest, AnAnswerInTheMomentOfTheDeadlineIsNotLost) {
  struct LateAnswer {
    void Come() { host.Say(GpadlCreatedMessage{.relid = 5, .gpadl = 0xE1E10}); }
    FakeHost& host;
  } late{host_};
  Connect();
  host_.silent.insert(MessageType::kGpadlHeader);
  absl::StatusOr<PageRun> buffer = pages_.Allocate(2);
  Timer timer(cpu0_, Callback::To<&LateAnswer::Come>(&late));
  timer.Arm(sim_.Now() + 60s);
  absl::StatusOr<Gpadl> gpadl = Run(transport_->CreateGpadl(5, *buffer));
  // Whichever was served first: either it is ours to tear down, or the client tears it down.
  if (gpadl.ok()) {
    EXPECT_TRUE(Run(transport_->TearDownGpadl(*gpadl)).ok());
  }
  Settle();
  EXPECT_EQ(transport_->client().gpadl_count(), 0u);
  EXPECT_EQ(host_.Count(MessageType::kGpadlTeardown), 1u);
}

TEST_P(SynicSeedTest, AMoveAndACloseAtOnceLeaveNoTarget) {
  Connect();
  std::unique_ptr<Channel> channel = Open(5);
  std::optional<absl::Status> moved;
  std::optional<absl::Status> closed;
  Start(transport_->Retarget(5, 1), moved);
  Start(transport_->Close(std::move(channel)), closed);
  Settle();
  ASSERT_TRUE(moved.has_value() && closed.has_value());
  EXPECT_EQ(*closed, absl::OkStatus());
  for (uint32_t vp : {0u, 1u}) partition_.SetFlag(vp, 5);
  Settle();
  EXPECT_EQ(transport_->synic(0).counters().unknown_flags, 1u);
  EXPECT_EQ(transport_->synic(1).counters().unknown_flags, 1u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SynicSeedTest, testing::Range<uint64_t>(0, 32));

}  // namespace
}  // namespace vmbuskit
