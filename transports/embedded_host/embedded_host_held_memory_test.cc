// A back end still uses the guest's memory for a channel that closes: the guest hears of the close only afterwards.
#include <memory>
#include <set>

#include "gtest/gtest.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/embedded_host/raw_guest_testing.h"

namespace vmbuskit {
namespace {

class BusyVsp final : public Vsp {
 public:
  explicit BusyVsp(VspContext& of_host) : context(of_host) {}

  absl::Status OnOpen(Channel& channel, const OpenData&) override {
    ++opened;
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel&) override { ++closed; }
  void OnPacket(Channel&, const Packet&) override {}
  bool HoldsMemory(uint16_t index) const override { return held.contains(index); }

  void Release(uint16_t index) {
    held.erase(index);
    context.OnMemoryReleased();
  }

  VspContext& context;
  std::set<uint16_t> held;
  int opened = 0;
  int closed = 0;
};

const VspClass kBusyClass{
    .name = "busy",
    .class_id = Guid::Parse("5a1c6f3e-7d2b-4c11-9e0f-0123456789ac"),
    .default_instance_id = Guid::Parse("11111111-2222-3333-4444-555555555556"),
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return std::make_unique<BusyVsp>(context);
    },
};

class HeldMemoryTest : public RawGuestTest {
 protected:
  HeldMemoryTest() {
    device_ = *host_->AddDevice(kBusyClass, kBusyClass.default_instance_id);
    vsp_ = static_cast<BusyVsp*>(host_->FindVsp(device_));
  }
  OfferChannelMessage ConnectAndOpen() {
    const OfferChannelMessage offer = ConnectAndGetOffer();
    EXPECT_EQ(Open(offer, rings_, 5), kStatusSuccess);
    return offer;
  }
  void Release(uint16_t index) {
    vsp_->Release(index);
    Run();
  }

  DeviceId device_{};
  BusyVsp* vsp_ = nullptr;
  RawGuestChannel rings_{partition(), cpu0_, {40, 41, 42, 43, 44, 45}};
};

TEST_F(HeldMemoryTest, TheRingsGpadlIsTornDownWhenTheBackEndIsDone) {
  const OfferChannelMessage offer = ConnectAndOpen();
  vsp_->held = {0};
  Post(CloseChannelMessage{.relid = offer.relid});
  EXPECT_EQ(vsp_->closed, 1) << "the channel itself goes at once";
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  Post(GpadlTeardownMessage{.relid = offer.relid, .gpadl = 5});
  ExpectNothing();
  vsp_->Release(1);
  Run();
  ExpectNothing();
  Release(0);
  EXPECT_EQ(Expect<GpadlTorndownMessage>().gpadl, 5u);
  EXPECT_EQ(host_->shared_pages().gpadls, 0u);
}

TEST_F(HeldMemoryTest, AnOpenThatFollowsTheCloseWaitsForIt) {
  const OfferChannelMessage offer = ConnectAndOpen();
  vsp_->held = {0};
  Post(CloseChannelMessage{.relid = offer.relid});
  OpenChannelMessage open;
  open.relid = offer.relid;
  open.open_id = 77;
  open.ring_gpadl = 5;
  open.downstream_page = rings_.downstream_page();
  Post(open);
  ExpectNothing();
  EXPECT_EQ(vsp_->opened, 1);
  Release(0);
  EXPECT_EQ(Expect<OpenChannelResultMessage>().status, kStatusSuccess);
  EXPECT_EQ(vsp_->opened, 2);
}

TEST_F(HeldMemoryTest, APrimaryClosesAfterItsSubchannels) {
  const OfferChannelMessage offer = ConnectAndOpen();
  ASSERT_EQ(vsp_->context.OfferSubchannels(2), 2u);
  const auto first = Expect<OfferChannelMessage>();
  const auto second = Expect<OfferChannelMessage>();
  RawGuestChannel rings(partition(), cpu0_, {50, 51, 52, 53, 54, 55});
  ASSERT_EQ(Open(first, rings, 6), kStatusSuccess);
  vsp_->held = {1};
  Post(CloseChannelMessage{.relid = offer.relid});
  EXPECT_EQ(vsp_->closed, 2);
  EXPECT_EQ(Expect<RescindMessage>().relid, second.relid) << "nobody uses memory for it";
  ExpectNothing();
  Post(GpadlTeardownMessage{.relid = offer.relid, .gpadl = 5});
  ExpectNothing();
  Release(1);
  EXPECT_EQ(Expect<RescindMessage>().relid, first.relid);
  EXPECT_EQ(Expect<GpadlTorndownMessage>().gpadl, 5u);
}

TEST_F(HeldMemoryTest, ARemovedDeviceIsRescindedWhenTheBackEndIsDone) {
  const OfferChannelMessage offer = ConnectAndOpen();
  vsp_->held = {0};
  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  EXPECT_EQ(vsp_->closed, 1);
  EXPECT_EQ(host_->FindVsp(device_), nullptr);
  EXPECT_EQ(host_->devices_leaving(), 1u);
  ExpectNothing();
  EXPECT_EQ(Signal(offer.connection_id), HypercallStatus::kInvalidConnectionId);
  EXPECT_EQ(host_->AddDevice(kBusyClass, kBusyClass.default_instance_id).status().code(),
            absl::StatusCode::kAlreadyExists);
  Release(0);
  EXPECT_EQ(Expect<RescindMessage>().relid, offer.relid);
  EXPECT_EQ(host_->devices_leaving(), 0u);
  EXPECT_TRUE(host_->AddDevice(kBusyClass, kBusyClass.default_instance_id).ok());
}

TEST_F(HeldMemoryTest, ALeavingDeviceTakesNoOpen) {
  const OfferChannelMessage offer = ConnectAndGetOffer();
  vsp_->held = {0};
  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  EXPECT_EQ(Open(offer, rings_, 5), kStatusUnsuccessful);
  EXPECT_EQ(vsp_->opened, 0);
  Release(0);
  Expect<RescindMessage>();
}

TEST_F(HeldMemoryTest, UnloadIsAnsweredWhenTheBackEndIsDone) {
  (void)ConnectAndOpen();
  vsp_->held = {0};
  Post(UnloadMessage{});
  EXPECT_EQ(vsp_->closed, 1);
  ExpectNothing();
  Release(0);
  Expect<UnloadResponseMessage>();
}

TEST_F(HeldMemoryTest, AfterACrashTheNextGuestWaitsForTheBackEnd) {
  (void)ConnectAndOpen();
  vsp_->held = {0};
  host_->CrashGuest();
  EXPECT_EQ(host_->shared_pages().mapped, 0u);
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kDisconnecting);
  Release(0);
  EXPECT_EQ(host_->server().state(), VmbusServer::State::kDisconnected);
  EXPECT_EQ(host_->shared_pages().total(), 0u);
}

TEST_F(HeldMemoryTest, AHostThatEndsWaitsForNobody) {
  (void)ConnectAndOpen();
  vsp_->held = {0};
  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  DisconnectInterrupts();
  MakeHost({});
  EXPECT_EQ(host_->devices_leaving(), 0u);
}

// Storage campaign, seed 10233: the restore sent the RESCIND, and the back end wrote what the guest had there by then.
TEST_F(HeldMemoryTest, ARemovedDeviceIsRescindedWhenTheBackEndIsDoneAlsoAfterARestore) {
  const OfferChannelMessage offer = ConnectAndOpen();
  ASSERT_EQ(vsp_->context.OfferSubchannels(1), 1u);
  const auto subchannel = Expect<OfferChannelMessage>();
  vsp_->held = {0, 1};
  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  for (int i = 0; i < 2; ++i) {
    const auto saved = host_->Save();
    ASSERT_TRUE(saved.ok()) << saved.status();
    ASSERT_EQ(host_->Restore(*saved), absl::OkStatus());
    Run();
  }
  ExpectNothing();
  EXPECT_EQ(host_->devices_leaving(), 1u);
  EXPECT_NE(host_->shared_pages().gpadls, 0u);
  Release(1);
  EXPECT_EQ(Expect<RescindMessage>().relid, subchannel.relid);
  Post(CloseChannelMessage{.relid = offer.relid});
  ExpectNothing();
  Release(0);
  EXPECT_EQ(Expect<RescindMessage>().relid, offer.relid);
  EXPECT_EQ(host_->devices_leaving(), 0u);
}

TEST_F(HeldMemoryTest, ARestoreThatKnowsNothingOfARemovedDeviceEndsIt) {
  const auto before = host_->Save();
  ASSERT_TRUE(before.ok()) << before.status();
  (void)ConnectAndOpen();
  vsp_->held = {0};
  ASSERT_TRUE(host_->RemoveDevice(device_).ok());
  DisconnectInterrupts();
  ASSERT_EQ(host_->Restore(*before), absl::OkStatus());
  EXPECT_EQ(host_->devices_leaving(), 1u);
  Release(0);
  EXPECT_EQ(host_->devices_leaving(), 0u);
}

TEST_F(HeldMemoryTest, ASavedHostGoesOnClosing) {
  const OfferChannelMessage offer = ConnectAndOpen();
  vsp_->held = {0};
  Post(CloseChannelMessage{.relid = offer.relid});
  const auto saved = host_->Save();
  ASSERT_TRUE(saved.ok()) << saved.status();
  DisconnectInterrupts();
  ASSERT_TRUE(host_->Restore(*saved).ok());
  Run();
  // The new VSP holds nothing.
  EXPECT_FALSE(host_->server().channels().all().begin()->second.HoldsRings());
}

}  // namespace
}  // namespace vmbuskit
