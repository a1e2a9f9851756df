// The whole host against a guest that is written out step by step: bytes in, bytes out.
#include "transports/embedded_host/embedded_host.h"

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "transports/embedded_host/raw_guest_testing.h"

namespace vmbuskit {
namespace {

// Sends back what comes in, and writes down what happens to it.
class EchoVsp : public Vsp {
 public:
  explicit EchoVsp(VspContext& context) : context(context) {}

  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    log.push_back("open " + std::to_string(data.subchannel_index) + " " +
                  std::to_string(std::to_integer<int>(data.user_data[0])));
    if (refuse) return absl::ResourceExhaustedError("refused by the test");
    open = &channel;
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel& channel) override {
    log.push_back(channel.closed() ? "close" : "close while running");
    if (open == &channel) open = nullptr;
  }
  void OnGpadlTornDown(uint32_t handle) override {
    log.push_back("torn down " + std::to_string(handle));
    mapping.Reset();
  }
  void OnPacket(Channel& channel, const Packet& packet) override {
    ++packets;
    const SendResult result = channel.Send({.payload = packet.payload});
    EXPECT_EQ(result, SendResult::kOk);
  }
  void OnClosed(Channel&, const absl::Status& reason) override { closed_reason = reason; }

  VspContext& context;
  std::vector<std::string> log;
  bool refuse = false;
  Channel* open = nullptr;
  int packets = 0;
  Mapping mapping;
  absl::Status closed_reason;
};

const VspClass kEchoClass{
    .name = "echo",
    .class_id = Guid::Parse("5a1c6f3e-7d2b-4c11-9e0f-0123456789ab"),
    .default_instance_id = Guid::Parse("11111111-2222-3333-4444-555555555555"),
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return std::make_unique<EchoVsp>(context);
    },
};
VspClass MonitoredClass() {
  VspClass monitored = kEchoClass;
  monitored.monitored = true;
  return monitored;
}
const VspClass kMonitoredClass = MonitoredClass();
constexpr Guid kSecondInstance = Guid::Parse("22222222-2222-3333-4444-555555555555");

class EmbeddedHostTest : public RawGuestTest {
 protected:
  EchoVsp& AddEcho(const VspClass& vsp_class = kEchoClass) {
    absl::StatusOr<DeviceId> id = host_->AddDevice(vsp_class, vsp_class.default_instance_id);
    EXPECT_TRUE(id.ok()) << id.status();
    device_ = *id;
    return static_cast<EchoVsp&>(*host_->FindVsp(*id));
  }

  DeviceId device_{};
  // Three pages for each direction: control and two of data.
  RawGuestChannel rings_{partition(), cpu0_, {40, 41, 42, 43, 44, 45}};
};

using Log = std::vector<std::string>;

// Every page that does not follow the one before costs the host's process a mapping of its own.
TEST_F(EmbeddedHostTest, RingsInMorePiecesThanTheHostCanMapAreRefused) {
  EmbeddedHost::Options options;
  options.mapped_pieces_max = 8;
  MakeHost(options);
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  RawGuestChannel scattered{partition(), cpu0_, {60, 62, 64, 66, 68, 70}};
  EXPECT_EQ(Open(offer, scattered, 1), kStatusUnsuccessful);
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  TearDownGpadl(offer.relid, 1);
  RawGuestChannel compact{partition(), cpu0_, {60, 61, 62, 63, 64, 65}};
  EXPECT_EQ(Open(offer, compact, 2), kStatusSuccess);
  EXPECT_EQ(host_->shared_pages().mapped, 2u * 5);
}

TEST_F(EmbeddedHostTest, ConnectOpenEchoCloseUnload) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  EXPECT_EQ(offer.class_id, kEchoClass.class_id);
  EXPECT_EQ(offer.instance_id, kEchoClass.default_instance_id);
  EXPECT_EQ(offer.relid, 1u);
  EXPECT_EQ(offer.connection_id, EventConnectionId(1, kVmbusSint));
  EXPECT_GT(interrupt0_.count, 0) << "messages interrupt";
  EXPECT_EQ(host_->shared_pages().overlays_and_monitors, 1u + 4 + 2);

  OpenChannelMessage open;
  open.user_data[0] = std::byte{9};
  ASSERT_EQ(Open(offer, rings_, 0xE1E10, open), kStatusSuccess);
  EXPECT_EQ(echo.log, Log{"open 0 9"});
  EXPECT_EQ(host_->shared_pages().gpadls, 6u);
  EXPECT_EQ(host_->shared_pages().mapped, 2u * 5) << "control once, data twice";
  EXPECT_EQ(rings_.control(3).feature_bits, 1u) << "the host's ring has the feature bit";

  Channel& channel = rings_.Start(offer.connection_id);
  for (int i = 0; i < 300; ++i) {  // several times round the ring
    ASSERT_EQ(channel.Send({.payload = AsBytes("packet " + std::to_string(1000 + i) + "-----")}),
              SendResult::kOk);
    Exchange(rings_, offer.relid);
  }
  ASSERT_EQ(rings_.received.size(), 300u);
  EXPECT_EQ(rings_.received[0], "packet 1000-----");
  EXPECT_EQ(rings_.received[299], "packet 1299-----");
  EXPECT_EQ(rings_.last_signal, HypercallStatus::kSuccess);
  rings_.Stop();

  Post(CloseChannelMessage{.relid = offer.relid});
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  TearDownGpadl(offer.relid, 0xE1E10);
  EXPECT_EQ(echo.log, (Log{"open 0 9", "close", "torn down 925200"}));
  EXPECT_EQ(host_->shared_pages().gpadls, 0u);

  Post(UnloadMessage{});
  Expect<UnloadResponseMessage>();
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kDisconnected);
  SwitchOff();
  EXPECT_EQ(host_->shared_pages().total(), 0u);
}

TEST_F(EmbeddedHostTest, SignalsOutsideOfAnOpenChannelGoNowhere) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kSuccess);
  Post(CloseChannelMessage{.relid = offer.relid});
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
}

TEST_F(EmbeddedHostTest, AnOpenThatTheDeviceRefusesLeavesNothingBehind) {
  EchoVsp& echo = AddEcho();
  echo.refuse = true;
  const OfferChannelMessage offer = ConnectAndGetOffer();
  EXPECT_NE(Open(offer, rings_, 5), kStatusSuccess);
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  TearDownGpadl(offer.relid, 5);
  echo.refuse = false;
  EXPECT_EQ(Open(offer, rings_, 6), kStatusSuccess);
}

TEST_F(EmbeddedHostTest, DevicesComeAndGoAtAnyTime) {
  BringUp();
  Contact(kVersion5_3);
  Post(RequestOffersMessage{});
  Expect<AllOffersDeliveredMessage>();

  EchoVsp& echo = AddEcho();
  const auto offer = Expect<OfferChannelMessage>();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  Channel& channel = rings_.Start(offer.connection_id);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Exchange(rings_, offer.relid);
  EXPECT_EQ(echo.packets, 1);

  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  EXPECT_EQ(host_->shared_pages().mapped, 0u) << "before the guest hears of it";
  EXPECT_EQ(Expect<RescindMessage>().relid, offer.relid);
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
  EXPECT_EQ(host_->FindVsp(device_), nullptr);
  Post(RelidReleasedMessage{.relid = offer.relid});
  EXPECT_EQ(host_->shared_pages().gpadls, 0u);

  AddEcho();
  EXPECT_EQ(Expect<OfferChannelMessage>().relid, offer.relid) << "free again";
}

TEST_F(EmbeddedHostTest, RemovingTellsTheDeviceToLetGoFirst) {
  absl::StatusOr<DeviceId> id;
  Log log;
  class Recording : public EchoVsp {
   public:
    Recording(VspContext& context, Log& log) : EchoVsp(context), log_(log) {}
    ~Recording() override { log_ = std::move(this->EchoVsp::log); }

   private:
    Log& log_;
  };
  id = host_->AddDevice(kEchoClass, kEchoClass.default_instance_id, [&](VspContext& context) {
    return std::unique_ptr<Vsp>(std::make_unique<Recording>(context, log));
  });
  ASSERT_TRUE(id.ok());
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  CreateGpadl(offer.relid, 6, {60, 61});
  ASSERT_TRUE(host_->RemoveDevice(*id).ok());
  EXPECT_EQ(log, (Log{"open 0 0", "close", "torn down 5", "torn down 6"}));
}

TEST_F(EmbeddedHostTest, WrongDevicesAreRefused) {
  AddEcho();
  EXPECT_EQ(host_->AddDevice(kEchoClass, kEchoClass.default_instance_id).status().code(),
            absl::StatusCode::kAlreadyExists);
  VspClass bare = kEchoClass;
  bare.create = nullptr;
  EXPECT_EQ(host_->AddDevice(bare, kSecondInstance).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(host_->RemoveDevice(DeviceId{99}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(host_->FindVsp(DeviceId{99}), nullptr);
}

TEST_F(EmbeddedHostTest, RetargetMovesTheInterrupts) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  Channel& channel = rings_.Start(offer.connection_id);
  Run();
  Post(ModifyChannelMessage{.relid = offer.relid, .target_vp = 1});
  EXPECT_EQ(Expect<ModifyChannelResponseMessage>().status, kStatusSuccess);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Run();
  EXPECT_FALSE(TakeFlag(0, offer.relid));
  EXPECT_EQ(interrupt1_.count, 1);
  Exchange(rings_, offer.relid, /*vp=*/1);
  EXPECT_EQ(rings_.received, Log{"12345678"});
}

TEST_F(EmbeddedHostTest, AGuestThatCrashesLeavesNoPageInTheHostsHands) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  CreateGpadl(offer.relid, 6, {60, 61, 62});
  echo.mapping = *echo.context.MapGpadl(6);
  EXPECT_EQ(host_->shared_pages().total(), 7u + 9 + 10 + 3);

  host_->CrashGuest();
  EXPECT_EQ(host_->shared_pages().total(), 0u);
  EXPECT_EQ(echo.log, (Log{"open 0 0", "close", "torn down 6", "torn down 5"}));
  EXPECT_EQ(partition().Hypercall(0, kCallSignalEventFast, offer.connection_id, 0),
            Partition::kHypercallUndefined);
  Run();

  // The next kernel finds the device again.
  const OfferChannelMessage again = ConnectAndGetOffer();
  EXPECT_EQ(again.instance_id, offer.instance_id);
  RawGuestChannel rings(partition(), cpu0_, {50, 51, 52, 53, 54, 55});
  EXPECT_EQ(Open(again, rings, 5), kStatusSuccess);
}

TEST_F(EmbeddedHostTest, TheResetRegisterResetsEverything) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  Write(1, kRegReset, kResetPartition);
  Run();
  EXPECT_EQ(host_->shared_pages().total(), 0u);
  EXPECT_EQ(*partition().ReadRegister(0, kRegGuestOsId), 0u);
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kDisconnected);
}

TEST_F(EmbeddedHostTest, UnloadSweepsOpenChannelsAway) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  Post(UnloadMessage{});
  Expect<UnloadResponseMessage>();
  EXPECT_EQ(echo.log, (Log{"open 0 0", "close", "torn down 5"}));
  EXPECT_EQ(host_->shared_pages().gpadls + host_->shared_pages().mapped, 0u);
  EXPECT_EQ(host_->shared_pages().overlays_and_monitors, 5u) << "hypercall page and SynICs";
}

TEST_F(EmbeddedHostTest, DevicesMapTheirOwnGpadlsOnly) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_TRUE(host_->AddDevice(kEchoClass, kSecondInstance).ok());
  const auto other = Expect<OfferChannelMessage>();
  CreateGpadl(offer.relid, 6, {60, 62, 61});
  CreateGpadl(other.relid, 7, {63});
  std::memcpy(At(62 * kPageSize), "second", 6);

  absl::StatusOr<Mapping> mapping = echo.context.MapGpadl(6);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  ASSERT_EQ(mapping->bytes().size(), 3 * kPageSize);
  EXPECT_EQ(std::memcmp(mapping->bytes().data() + kPageSize, "second", 6), 0);
  echo.mapping = std::move(*mapping);
  EXPECT_EQ(echo.context.MapGpadl(7).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(echo.context.MapGpadl(8).status().code(), absl::StatusCode::kNotFound);

  EXPECT_EQ(host_->shared_pages().mapped, 3u);
  TearDownGpadl(offer.relid, 6);
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
}

TEST_F(EmbeddedHostTest, SubchannelsFollowTheirPrimary) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  EXPECT_EQ(echo.context.OfferSubchannels(2), 2u);
  const auto first = Expect<OfferChannelMessage>();
  const auto second = Expect<OfferChannelMessage>();
  EXPECT_EQ(first.subchannel_index, 1);
  EXPECT_EQ(second.subchannel_index, 2);
  EXPECT_EQ(first.instance_id, offer.instance_id);
  EXPECT_NE(first.relid, second.relid);

  RawGuestChannel rings(partition(), cpu0_, {50, 51, 52, 53, 54, 55});
  ASSERT_EQ(Open(first, rings, 6), kStatusSuccess);
  EXPECT_EQ(echo.log.back(), "open 1 0");
  EXPECT_EQ(echo.context.OfferSubchannels(3), 3u) << "one more";
  EXPECT_EQ(Expect<OfferChannelMessage>().subchannel_index, 3);

  Post(CloseChannelMessage{.relid = offer.relid});
  for (int i = 0; i < 3; ++i) Expect<RescindMessage>();
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  EXPECT_EQ(echo.context.OfferSubchannels(0), 0u);
}

TEST_F(EmbeddedHostTest, IndicesFoundAtOpenAreTakenOver) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  rings_.control(0).write_index = rings_.control(0).read_index = 4096;
  rings_.control(3).write_index = rings_.control(3).read_index = 8184;
  rings_.control(3).pending_send_sz = 99;
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  EXPECT_EQ(rings_.control(3).pending_send_sz, 0u);
  Channel& channel = rings_.Start(offer.connection_id);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Exchange(rings_, offer.relid);
  EXPECT_EQ(rings_.received, Log{"12345678"});
}

TEST_F(EmbeddedHostTest, ACorruptRingFailsItsChannelAndNoOther) {
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_TRUE(host_->AddDevice(kEchoClass, kSecondInstance).ok());
  const auto other_offer = Expect<OfferChannelMessage>();
  RawGuestChannel other(partition(), cpu0_, {50, 51, 52, 53, 54, 55});
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  ASSERT_EQ(Open(other_offer, other, 6), kStatusSuccess);
  other.Start(other_offer.connection_id);

  rings_.control(0).write_index = 12345;
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kSuccess);
  Run();
  EXPECT_EQ(echo.closed_reason.code(), absl::StatusCode::kDataLoss) << echo.closed_reason;
  (void)other.channel().Send({.payload = AsBytes("12345678")});
  Exchange(other, other_offer.relid);
  EXPECT_EQ(other.received, Log{"12345678"});
  // The guest can still close what it broke.
  Post(CloseChannelMessage{.relid = offer.relid});
  TearDownGpadl(offer.relid, 5);
}

TEST_F(EmbeddedHostTest, ADownstreamRingNeedsItsPages) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  CreateGpadl(offer.relid, 5, rings_.pages());
  for (uint32_t downstream : {0u, 1u, 5u, 6u, 0xFFFFFFFFu}) {
    Post(OpenChannelMessage{.relid = offer.relid, .ring_gpadl = 5, .downstream_page = downstream});
    EXPECT_NE(Expect<OpenChannelResultMessage>().status, kStatusSuccess) << downstream;
  }
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
}

TEST_F(EmbeddedHostTest, AMonitoredChannelIsSignalledWithoutAHypercall) {
  EchoVsp& echo = AddEcho(kMonitoredClass);
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(offer.monitor_allocated, 1);
  ASSERT_LT(offer.monitor_id, 128);
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  rings_.signals_held = true;
  Channel& channel = rings_.Start(offer.connection_id);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Run();
  EXPECT_EQ(echo.packets, 0);
  auto& page = *reinterpret_cast<MonitorPage*>(At(kChildToParent));
  std::atomic_ref(page.trigger_group[offer.monitor_id / 32].pending)
      .fetch_or(1u << offer.monitor_id % 32);
  ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(200)).ok());
  EXPECT_EQ(echo.packets, 1);
}

TEST_F(EmbeddedHostTest, NeedlessSignalsAreCountedAndSuspendTheGuest) {
  EmbeddedHost::Options options;
  options.partition.throttle = {.needless_signals_max = 4,
                                .window = std::chrono::seconds(1),
                                .suspension = std::chrono::seconds(2)};
  DisconnectInterrupts();
  MakeHost(options);
  EchoVsp& echo = AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer(kVersion5_3);
  RawGuestChannel rings(partition(), cpu0_, {40, 41, 42, 43, 44, 45});
  ASSERT_EQ(Open(offer, rings, 5), kStatusSuccess);
  Channel& channel = rings.Start(offer.connection_id);
  Run();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kSuccess);
    Run();
  }
  EXPECT_EQ(host_->hypervisor().throttle().needless(), 5u);
  EXPECT_EQ(host_->hypervisor().throttle().suspensions(), 1u);

  (void)channel.Send({.payload = AsBytes("12345678")});
  Exchange(rings, offer.relid);
  EXPECT_EQ(echo.packets, 0) << "suspended";
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(1900)).ok());
  EXPECT_EQ(echo.packets, 0);
  ASSERT_TRUE(sim_.RunFor(std::chrono::milliseconds(200)).ok());
  EXPECT_EQ(echo.packets, 1);
}

TEST_F(EmbeddedHostTest, AGuestThatFetchesNothingIsHeldUpAndLosesNothing) {
  EmbeddedHost::Options options;
  options.partition.inbox_messages_max = 8;
  options.unfetched_messages_max = 4;
  DisconnectInterrupts();
  MakeHost(options);
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  // Every bad GPADL header is answered, and the guest reads none of the answers.
  uint32_t accepted = 0;
  HypercallStatus status = HypercallStatus::kSuccess;
  while (status == HypercallStatus::kSuccess && accepted < 100) {
    GpadlHeaderMessage header{
        .relid = offer.relid, .gpadl = 1000 + accepted, .range_bytes = 16, .range_count = 1};
    MessageBuffer message = EmitSized(header, sizeof header);
    const uint64_t range[2] = {0, 60};  // of no bytes
    ASSERT_TRUE(message.Append(std::as_bytes(std::span(range))));
    status = TryPost(message, kMessageConnection);
    Run();
    if (status == HypercallStatus::kSuccess) ++accepted;
  }
  EXPECT_EQ(status, HypercallStatus::kInsufficientBuffers);
  EXPECT_EQ(accepted, 8u + 4 + 2) << "inbox, queue with one more, slot";
  for (uint32_t i = 0; i < accepted; ++i) {
    EXPECT_EQ(Expect<GpadlCreatedMessage>().gpadl, 1000 + i);
  }
  ExpectNothing();
}

TEST_F(EmbeddedHostTest, AGuestOf6_0ChoosesItsConnectionIdAndFlag) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer(kVersion6_0, kFeatureGuestSignalParameters);
  OpenChannelMessage open;
  open.connection_id = 0x4321;
  open.event_flag = 1999;
  ASSERT_EQ(Open(offer, rings_, 5, open), kStatusSuccess);
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
  Channel& channel = rings_.Start(0x4321);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Exchange(rings_, 1999);
  EXPECT_EQ(rings_.received, Log{"12345678"});
}

TEST_F(EmbeddedHostTest, InspectShowsTheWholeTree) {
  AddEcho();
  const OfferChannelMessage offer = ConnectAndGetOffer();
  ASSERT_EQ(Open(offer, rings_, 5), kStatusSuccess);
  InspectNode root;
  host_->Inspect(root);
  EXPECT_NE(root.Find("partition/vp0/synic/sint2"), nullptr);
  EXPECT_NE(root.Find("partition/throttle"), nullptr);
  EXPECT_NE(root.Find("server"), nullptr);
  EXPECT_NE(root.Find("device1/channel0/channel"), nullptr);
}

}  // namespace
}  // namespace vmbuskit
