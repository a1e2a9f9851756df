// Save and restore of the whole host, against a guest that is written out step by step and must not notice.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "framework/base/saved_state.h"
#include "framework/base/string_view.h"
#include "gtest/gtest.h"
#include "platform/random.h"
#include "transports/embedded_host/raw_guest.h"

namespace vmbuskit {
namespace {

using Log = std::vector<std::string>;
using Bytes = std::vector<std::byte>;

// Sends back what comes in, with a number that only it knows: lost unless it is saved.
class CountingVsp : public Vsp {
 public:
  explicit CountingVsp(VspContext& context) : context_(context) {}

  absl::Status OnOpen(Channel& channel, const OpenData&) override {
    if (context_.OfferSubchannels(wanted_subchannels) < wanted_subchannels) {
      return absl::InternalError("sub-channels");
    }
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel&) override { ++closes; }
  absl::Status Save(StateWriter& state) override {
    state(count_);
    return save_result;
  }
  absl::Status Restore(StateReader& state) override {
    state(count_);
    return state.status();
  }
  absl::Status OnReopen(Channel& channel, const OpenData& data) override {
    if (data.user_data[0] != std::byte{9}) return absl::InternalError("another guest's data");
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnPacket(Channel& channel, const Packet& packet) override {
    if (on_packet != nullptr) on_packet();
    std::string text(reinterpret_cast<const char*>(packet.payload.data()), packet.payload.size());
    text += std::to_string(++count_);
    EXPECT_EQ(channel.Send({.payload = AsBytes(text)}), SendResult::kOk);
  }
  void Inspect(InspectNode& node) const override { node.Set("count", count_); }

  static inline uint32_t wanted_subchannels = 0;
  static inline absl::Status save_result;
  static inline std::function<void()> on_packet;
  int closes = 0;

 private:
  VspContext& context_;
  uint64_t count_ = 0;
};

constexpr VspClass Class(const char* name, const char* id, bool monitored) {
  return {.name = name,
          .class_id = *Guid::FromString(id),
          .default_instance_id = *Guid::FromString(id),
          .monitored = monitored,
          .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
            return std::make_unique<CountingVsp>(context);
          }};
}
const VspClass kFirst = Class("first", "5a1c6f3e-7d2b-4c11-9e0f-0123456789ab", true);
const VspClass kSecond = Class("second", "6a1c6f3e-7d2b-4c11-9e0f-0123456789ab", false);

class EmbeddedHostStateTest : public RawGuestTest {
 protected:
  EmbeddedHostStateTest() {
    CountingVsp::wanted_subchannels = 0;
    CountingVsp::save_result = absl::OkStatus();
    CountingVsp::on_packet = nullptr;
  }

  DeviceId Add(const VspClass& vsp_class) {
    absl::StatusOr<DeviceId> id = host_->AddDevice(vsp_class, vsp_class.default_instance_id);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  std::string Json() {
    InspectNode node;
    host_->Inspect(node);
    return node.ToJson();
  }
  Bytes Save() {
    absl::StatusOr<Bytes> bytes = host_->Save();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return *std::move(bytes);
  }
  // The host goes away and comes back as it was.
  void Cycle() {
    const std::string before = Json();
    ASSERT_EQ(host_->Restore(Save()), absl::OkStatus());
    ASSERT_EQ(Json(), before);
  }
  // Before the host saw the message, before it is at rest, and after.
  template <typename T>
  void PostThroughCycles(const T& message) {
    Cycle();
    ASSERT_EQ(TryPost(Emit(message, negotiated_), kMessageConnection), HypercallStatus::kSuccess);
    Cycle();
    Run();
    Cycle();
  }
  OpenChannelMessage OpenData() {
    OpenChannelMessage open;
    open.user_data[0] = std::byte{9};
    return open;
  }
  void Say(RawGuestChannel& rings, const std::string& text, uint32_t flag) {
    ASSERT_EQ(rings.channel().Send({.payload = AsBytes(text)}), SendResult::kOk);
    Exchange(rings, flag);
  }

  RawGuestChannel rings_{partition(), cpu0_, {40, 41, 42, 43, 44, 45}};
};

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

// ---- Bytes that no Save wrote.

constexpr size_t kBodyAt = 8 + 4 + 4 + 8 + 8 + 4;
constexpr size_t kChecksumAt = 8 + 4 + 4 + 8;

// So that not the checksum finds it.
void FixChecksum(Bytes& bytes) {
  uint64_t sum = 0xCBF29CE484222325;
  for (size_t i = kBodyAt; i < bytes.size(); ++i) {
    sum = (sum ^ std::to_integer<uint8_t>(bytes[i])) * 0x100000001B3;
  }
  std::memcpy(bytes.data() + kChecksumAt, &sum, sizeof sum);
  const auto size = static_cast<uint32_t>(bytes.size() - kBodyAt);
  std::memcpy(bytes.data() + kChecksumAt + 8, &size, sizeof size);
}

class HostileStateTest : public EmbeddedHostStateTest {
 protected:
  // A state with something of everything.
  Bytes Rich() {
    CountingVsp::wanted_subchannels = 1;
    Add(kFirst);
    const OfferChannelMessage offer = ConnectAndGetOffer();
    EXPECT_EQ(OpenPrimary(offer), kStatusSuccess);
    CreateGpadl(offer.relid, 8, {60, 61, 70});
    const DeviceId second = Add(kSecond);
    Run();
    EXPECT_EQ(host_->RemoveDevice(second), absl::OkStatus());
    Add(kSecond);
    std::vector<Pfn> many(100, 61);
    const GpadlRange range = GpadlRange::Pages(many);
    auto messages = GpadlMessages::Create(offer.relid, 9, std::span(&range, 1));
    MessageBuffer message;
    EXPECT_TRUE(messages->Next(message));
    EXPECT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);
    Run();
    EXPECT_TRUE(messages->Next(message));
    EXPECT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);  // in the inbox
    Write(0, kRegStimer0Config, kStimerPeriodic | kStimerEnable | StimerDirectVector(kVector));
    Write(0, kRegStimer0Count, 1 << 20);
    return Save();
  }
  uint32_t OpenPrimary(const OfferChannelMessage& offer) {
    CreateGpadl(offer.relid, 7, rings_.pages());
    OpenChannelMessage open = OpenData();
    open.relid = offer.relid;
    open.ring_gpadl = 7;
    open.downstream_page = rings_.downstream_page();
    Post(open);
    EXPECT_EQ(Expect<OfferChannelMessage>().subchannel_index, 1);
    return Expect<OpenChannelResultMessage>().status;
  }
  // Whatever was restored: the host works, and can start over.
  void Shake(bool restored) {
    std::string json = Json();
    EXPECT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
    if (restored) {
      (void)TryPost(Emit(UnloadMessage{}, negotiated_), kMessageConnection);
      (void)sim_.RunUntilIdle();
      (void)host_->Save();
      host_->CrashGuest();
    }
    EXPECT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
    EXPECT_EQ(host_->shared_pages().mapped, 0u);
  }
};

TEST_F(HostileStateTest, ATruncatedOrSpoiltStateChangesNothing) {
  const Bytes good = Rich();
  const std::string before = Json();
  for (size_t size = 0; size < good.size(); size += size < 2 * kBodyAt ? 1 : 97) {
    const Bytes part(good.begin(), good.begin() + size);
    ASSERT_EQ(host_->Restore(part).code(), absl::StatusCode::kDataLoss) << size;
  }
  for (size_t at = 0; at < good.size(); at += at < 2 * kBodyAt ? 1 : 89) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x10};
    ASSERT_EQ(host_->Restore(bad).code(), absl::StatusCode::kDataLoss) << at;
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(host_->Restore(longer).ok());
  EXPECT_EQ(Json(), before);
  EXPECT_EQ(host_->Restore(good), absl::OkStatus());
  EXPECT_EQ(Json(), before);
}

TEST_F(HostileStateTest, NoForgedByteDoesHarm) {
  const Bytes good = Rich();
  Random random(1);
  int refused = 0;
  int taken = 0;
  for (size_t at = kBodyAt; at < good.size(); at += 1 + random.Below(at < 1500 ? 7 : 60)) {
    Bytes bad = good;
    constexpr uint8_t kValues[] = {0, 1, 2, 4, 5, 7, 8, 0x7F, 0x80, 0xFF};
    bad[at] = static_cast<std::byte>(kValues[random.Below(std::size(kValues))]);
    FixChecksum(bad);
    const absl::Status status = host_->Restore(bad);
    ++(status.ok() ? taken : refused);
    Shake(status.ok());
    ASSERT_FALSE(HasFailure()) << "byte " << at;
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(taken, 100);
}

TEST_F(HostileStateTest, NoForgedLengthDoesHarmAndAFreshGuestIsServedAfterwards) {
  const Bytes good = Rich();
  Random random(2);
  for (int i = 0; i < 400; ++i) {
    Bytes bad = good;
    const size_t at = kBodyAt + random.Below(bad.size() - kBodyAt);
    if (random.Below(2) == 0) {
      bad.erase(bad.begin() + at, bad.begin() + at + std::min<size_t>(8, bad.size() - at));
    } else {
      bad.insert(bad.begin() + at, 1 + random.Below(8), static_cast<std::byte>(random.Below(3)));
    }
    FixChecksum(bad);
    Shake(host_->Restore(bad).ok());
    ASSERT_FALSE(HasFailure()) << "change " << i << " at " << at;
  }
  DisconnectInterrupts();
  host_->CrashGuest();
  BringUp();
  Contact(kVersion5_3);
  Post(RequestOffersMessage{});
  EXPECT_EQ(Expect<OfferChannelMessage>().class_id, kFirst.class_id);
}

TEST_F(HostileStateTest, AStateOfAnotherMachineIsRefused) {
  const Bytes good = Rich();
  Bytes bad = good;
  bad[12] = std::byte{3};
  EXPECT_EQ(ToStd(host_->Restore(bad).message()),
            "saved state: processors is 3: another number here");
  bad = good;
  bad[16] = std::byte{1};
  EXPECT_EQ(ToStd(host_->Restore(bad).message()),
            "saved state: guest pages is 257: another number here");
  bad = good;
  bad[8] = std::byte{2};
  EXPECT_EQ(ToStd(host_->Restore(bad).message()), "saved state: format is 2: another version's");
}

}  // namespace
}  // namespace vmbuskit
