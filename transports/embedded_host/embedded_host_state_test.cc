// Save and restore of the whole host, against a guest that is written out step by step and must not notice.
#include "transports/embedded_host/embedded_host_state_testing.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {
namespace {

using Bytes = std::vector<std::byte>;

TEST_F(EmbeddedHostStateTest, AGuestNoticesNothingAtAnyStepOfItsLife) {
  Add(kFirst);
  Add(kSecond);
  Cycle();
  BringUp();
  Contact(kVersion5_3);
  PostThroughCycles(RequestOffersMessage{});
  const auto offer = Expect<OfferChannelMessage>();
  Cycle();
  EXPECT_EQ(Expect<OfferChannelMessage>().class_id, kSecond.class_id);
  Cycle();
  Expect<AllOffersDeliveredMessage>();
  ExpectNothing();

  const GpadlRange range = GpadlRange::Pages(rings_.pages());
  auto messages = GpadlMessages::Create(offer.relid, 7, std::span(&range, 1));
  MessageBuffer message;
  while (messages->Next(message)) {
    ASSERT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);
    Cycle();
  }
  EXPECT_EQ(Expect<GpadlCreatedMessage>().status, kStatusSuccess);
  OpenChannelMessage open = OpenData();
  open.relid = offer.relid;
  open.ring_gpadl = 7;
  open.downstream_page = rings_.downstream_page();
  PostThroughCycles(open);
  EXPECT_EQ(Expect<OpenChannelResultMessage>().status, kStatusSuccess);
  rings_.Start(offer.connection_id);
  for (int i = 1; i <= 300; ++i) {  // several times round the ring
    ASSERT_EQ(rings_.channel().Send({.payload = AsBytes("packet--")}), SendResult::kOk);
    if (i % 7 == 0) Cycle();  // the signal is under way
    Exchange(rings_, offer.relid);
  }
  ASSERT_EQ(rings_.received.size(), 300u);
  EXPECT_EQ(rings_.received[299].substr(0, 11), "packet--300");
  rings_.Stop();

  PostThroughCycles(CloseChannelMessage{.relid = offer.relid});
  PostThroughCycles(GpadlTeardownMessage{.relid = offer.relid, .gpadl = 7});
  Expect<GpadlTorndownMessage>();
  PostThroughCycles(UnloadMessage{});
  Expect<UnloadResponseMessage>();
  SwitchOff();
  Cycle();
  EXPECT_EQ(host_->shared_pages().total(), 0u);
}

TEST_F(EmbeddedHostStateTest, MessagesThatWaitForTheirSlotComeOnceAndInOrder) {
  constexpr int kDevices = 5;
  for (int i = 0; i < kDevices; ++i) {
    Guid instance = kFirst.class_id;
    instance.bytes[0] = static_cast<uint8_t>(i);
    ASSERT_TRUE(host_->AddDevice(kFirst, instance).ok());
  }
  BringUp();
  Contact(kVersion5_3);
  Post(RequestOffersMessage{});
  const int interrupts = interrupt0_.count;
  Cycle();
  Run();
  EXPECT_EQ(interrupt0_.count, interrupts) << "no interrupt for a message that it knows of";
  for (int i = 0; i < kDevices; ++i) {
    EXPECT_EQ(Expect<OfferChannelMessage>().instance_id.bytes[0], i);
    Cycle();
  }
  Expect<AllOffersDeliveredMessage>();
  ExpectNothing();
}

TEST_F(EmbeddedHostStateTest, AGpadlIsPutTogetherAcrossTheRestore) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  std::vector<Pfn> many;
  for (Pfn page = 60; page < 160; ++page) many.push_back(page);
  const GpadlRange range = GpadlRange::Pages(many);
  auto messages = GpadlMessages::Create(offer.relid, 7, std::span(&range, 1));
  MessageBuffer message;
  int count = 0;
  for (; messages->Next(message); ++count) {
    ASSERT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);
    Run();
    Cycle();
  }
  EXPECT_GT(count, 3);
  EXPECT_EQ(Expect<GpadlCreatedMessage>().status, kStatusSuccess);
  EXPECT_EQ(host_->shared_pages().gpadls, 100u);
}

TEST_F(EmbeddedHostStateTest, APausedConnectionGetsItsMessagesAfterTheResume) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer(kVersion6_0, kFeaturePauseResume);
  Post(PauseMessage{});
  Expect<PauseResponseMessage>();
  Add(kSecond);
  ASSERT_EQ(host_->RemoveDevice(DeviceId{1}), absl::OkStatus());
  Cycle();
  ExpectNothing();
  Post(ResumeMessage{});
  EXPECT_EQ(Expect<OfferChannelMessage>().class_id, kSecond.class_id);
  EXPECT_EQ(Expect<RescindMessage>().relid, offer.relid);
}

TEST_F(EmbeddedHostStateTest, ARevokedChannelStaysTheGuestsAndItsSuccessorWaits) {
  const DeviceId first = Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  ASSERT_EQ(host_->RemoveDevice(first), absl::OkStatus());
  Cycle();
  Add(kFirst);
  Cycle();
  Expect<RescindMessage>();
  TearDownGpadl(offer.relid, 7);
  PostThroughCycles(RelidReleasedMessage{.relid = offer.relid});
  EXPECT_EQ(Expect<OfferChannelMessage>().relid, offer.relid) << "with the same number";
}

TEST_F(EmbeddedHostStateTest, SubchannelsAndMonitoredSignalsGoOn) {
  CountingVsp::wanted_subchannels = 2;
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(offer.monitor_allocated, 1);
  CreateGpadl(offer.relid, 7, rings_.pages());
  OpenChannelMessage open = OpenData();
  open.relid = offer.relid;
  open.ring_gpadl = 7;
  open.downstream_page = rings_.downstream_page();
  Post(open);
  Cycle();
  EXPECT_EQ(Expect<OfferChannelMessage>().subchannel_index, 1);
  EXPECT_EQ(Expect<OfferChannelMessage>().subchannel_index, 2);
  EXPECT_EQ(Expect<OpenChannelResultMessage>().status, kStatusSuccess);
  rings_.signals_held = true;
  rings_.Start(offer.connection_id);
  ASSERT_EQ(rings_.channel().Send({.payload = AsBytes("12345678")}), SendResult::kOk);
  Run();
  auto& page = *reinterpret_cast<MonitorPage*>(At(kChildToParent));
  std::atomic_ref(page.trigger_group[offer.monitor_id / 32].pending)
      .fetch_or(1u << offer.monitor_id % 32);
  Cycle();
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(200)).ok());
  Exchange(rings_, offer.relid);
  EXPECT_EQ(rings_.received.size(), 1u);
}

TEST_F(EmbeddedHostStateTest, ATimersTimeGoesOnWhereItStoodAndTheTscPageFollows) {
  BringUp();
  constexpr uint64_t kMillisecond = 10'000;
  Write(0, kRegReferenceTsc, PageRegister(3 * kPageSize));
  const auto& page = *reinterpret_cast<ReferenceTscPage*>(At(3 * kPageSize));
  const uint32_t sequence = page.sequence;
  const uint64_t start = *partition().ReadRegister(0, kRegTimeRefCount);
  Write(0, kRegStimer0Config, kStimerAutoEnable | StimerDirectVector(kVector));
  Write(0, kRegStimer0Count, start + 5 * kMillisecond);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(2)).ok());
  const int before = interrupt0_.count;
  const Bytes bytes = Save();
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(2)).ok());  // the machine is off
  ASSERT_EQ(host_->Restore(bytes), absl::OkStatus());
  EXPECT_EQ(*partition().ReadRegister(0, kRegTimeRefCount), start + 2 * kMillisecond);
  EXPECT_NE(page.sequence, sequence);
  EXPECT_NE(page.sequence, 0u);
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(2990)).ok());
  EXPECT_EQ(interrupt0_.count, before);
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(20)).ok());
  EXPECT_EQ(interrupt0_.count, before + 1);
}

TEST_F(EmbeddedHostStateTest, AnotherHostOverTheSameMemoryGoesOnWithTheBytesAlone) {
  Add(kFirst);
  Add(kSecond);
  BringUp();
  Contact(kVersion5_3);
  Post(RequestOffersMessage{});
  const auto offer = Expect<OfferChannelMessage>();
  Expect<OfferChannelMessage>();
  Expect<AllOffersDeliveredMessage>();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  rings_.Start(offer.connection_id);
  Say(rings_, "to the first one", offer.relid);
  rings_.Stop();  // its end knows the first host

  const Bytes bytes = Save();
  const std::string before = Json();
  DisconnectInterrupts();
  MakeHost({});
  Add(kFirst);
  Add(kSecond);
  ASSERT_EQ(host_->Restore(bytes), absl::OkStatus());
  for (uint32_t vp = 0; vp < 2; ++vp) {
    partition().ConnectInterrupt(vp, kVector, &interrupt(vp).event);
  }
  EXPECT_EQ(Json(), before);
  RawGuestChannel again(partition(), cpu0_, rings_.pages());
  again.Start(offer.connection_id);
  const int interrupts = interrupt0_.count;
  Say(again, "to the other one", offer.relid);
  ASSERT_EQ(again.received.size(), 1u);
  EXPECT_EQ(again.received[0].substr(0, 17), "to the other one2") << "the VSP counts on";
  EXPECT_GT(interrupt0_.count, interrupts);
}

TEST_F(EmbeddedHostStateTest, AMissingDeviceIsRescindedAndANewOneOffered) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  const Bytes bytes = Save();
  DisconnectInterrupts();
  MakeHost({});
  Add(kSecond);
  ASSERT_EQ(host_->Restore(bytes), absl::OkStatus());
  EXPECT_EQ(Expect<RescindMessage>().relid, offer.relid);
  EXPECT_EQ(Expect<OfferChannelMessage>().class_id, kSecond.class_id);
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
}

TEST_F(EmbeddedHostStateTest, AChannelThatFailedStaysFailed) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  rings_.control(0).write_index = 12345;
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kSuccess);
  Run();
  rings_.control(0).write_index = 0;
  Cycle();
  EXPECT_NE(Json().find("write_index is 12345"), std::string::npos);
  Post(CloseChannelMessage{.relid = offer.relid});
  TearDownGpadl(offer.relid, 7);
}

TEST_F(EmbeddedHostStateTest, AVspOfTheEmbeddersStaysTheSameObject) {
  CountingVsp* made = nullptr;
  const auto id =
      host_->AddDevice(kFirst, kFirst.default_instance_id, [&made](VspContext& context) {
        auto vsp = std::make_unique<CountingVsp>(context);
        made = vsp.get();
        return std::unique_ptr<Vsp>(std::move(vsp));
      });
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  Cycle();
  EXPECT_EQ(host_->FindVsp(*id), made);
  EXPECT_EQ(made->closes, 1);
  rings_.Start(offer.connection_id);
  Say(rings_, "12345678", offer.relid);
  EXPECT_EQ(rings_.received.size(), 1u);
}

// Has something to say on its other channels when one closes.
class TellingVsp : public CountingVsp {
 public:
  explicit TellingVsp(VspContext& its_context) : CountingVsp(its_context), context(its_context) {}
  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    open.push_back(&channel);
    return CountingVsp::OnOpen(channel, data);
  }
  void OnClose(Channel& channel) override {
    std::erase(open, &channel);
    for (Channel* other : open) said.push_back(other->Send({.payload = AsBytes("closed--")}));
  }

  VspContext& context;
  std::vector<Channel*> open;
  std::vector<SendResult> said;
};

// Found by storvsp_fuzz: it spoke on a channel whose state was saved before, and once more when that was restored.
TEST_F(EmbeddedHostStateTest, AVspOfTheEmbeddersSpeaksOnNoChannelOfADroppedState) {
  const auto id = host_->AddDevice(kFirst, kFirst.default_instance_id, [](VspContext& context) {
    return std::make_unique<TellingVsp>(context);
  });
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  auto& vsp = static_cast<TellingVsp&>(*host_->FindVsp(*id));
  ASSERT_EQ(vsp.context.OfferSubchannels(1), 1u);
  const auto second = Expect<OfferChannelMessage>();
  RawGuestChannel rings(partition(), cpu0_, {50, 51, 52, 53, 54, 55});
  ASSERT_EQ(Open(second, rings, 8, OpenData()), kStatusSuccess);
  Cycle();
  EXPECT_EQ(vsp.said, std::vector<SendResult>{SendResult::kClosed});
  rings.Start(second.connection_id);
  Say(rings, "12345678", second.relid);
  ASSERT_EQ(rings.received.size(), 1u);
  EXPECT_EQ(rings.received[0].substr(0, 9), "123456781");
}

// It never had the channel that it refused to go on with: no OnClose comes for that one.
TEST_F(EmbeddedHostStateTest, AVspOfTheEmbeddersThatRefusesTheRestoreIsToldOnce) {
  CountingVsp* made = nullptr;
  ASSERT_TRUE(host_
                  ->AddDevice(kFirst, kFirst.default_instance_id,
                              [&made](VspContext& context) {
                                auto vsp = std::make_unique<CountingVsp>(context);
                                made = vsp.get();
                                return std::unique_ptr<Vsp>(std::move(vsp));
                              })
                  .ok());
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7), kStatusSuccess);  // not with the data that OnReopen wants
  EXPECT_FALSE(host_->Restore(Save()).ok());
  EXPECT_EQ(made->closes, 1);
}

TEST_F(EmbeddedHostStateTest, AResetThatTheGuestAskedForStillComes) {
  Add(kFirst);
  ConnectAndGetOffer();
  Write(0, kRegReset, kResetPartition);
  Cycle();
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kConnected);
  Run();
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kDisconnected);
}

TEST_F(EmbeddedHostStateTest, NotFromInsideOfACall) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  absl::Status inside;
  CountingVsp::on_packet = [&] { inside = host_->Save().status(); };
  rings_.Start(offer.connection_id);
  Say(rings_, "12345678", offer.relid);
  EXPECT_EQ(inside.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(inside.message().find("from inside"), std::string::npos);
  CountingVsp::save_result = absl::UnavailableError("the back end is away");
  EXPECT_EQ(host_->Save().status(), CountingVsp::save_result);
}

TEST_F(EmbeddedHostStateTest, NoRestoreFromInsideOfAVspsCall) {
  Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  rings_.Start(offer.connection_id);
  const std::vector<std::byte> saved = Save();
  absl::Status inside;
  CountingVsp::on_packet = [&] { inside = host_->Restore(saved); };
  Say(rings_, "12345678", offer.relid);
  EXPECT_EQ(inside.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rings_.received.size(), 1u);
}

TEST_F(EmbeddedHostStateTest, NotWhileADeviceGoes) {
  const DeviceId id = Add(kFirst);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  const std::vector<std::byte> saved = Save();
  absl::Status save;
  absl::Status restore;
  CountingVsp::on_close = [&] {
    save = host_->Save().status();
    restore = host_->Restore(saved);
  };
  EXPECT_EQ(host_->RemoveDevice(id), absl::OkStatus());
  EXPECT_EQ(save.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(restore.code(), absl::StatusCode::kFailedPrecondition);
}

// What it mapped cannot stay mapped: after a restore that fails nobody would tell it.
TEST_F(EmbeddedHostStateTest, AVspOfTheEmbeddersLetsGoOfItsGpadls) {
  const auto id = host_->AddDevice(kFirst, kFirst.default_instance_id, [](VspContext& context) {
    return std::make_unique<CountingVsp>(context);
  });
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 7, OpenData()), kStatusSuccess);
  CreateGpadl(offer.relid, 8, {60, 61});
  Run();
  Cycle();
  auto& vsp = static_cast<CountingVsp&>(*host_->FindVsp(*id));
  EXPECT_EQ(vsp.torn_down, (std::vector<uint32_t>{7, 8}));
}

}  // namespace
}  // namespace vmbuskit
