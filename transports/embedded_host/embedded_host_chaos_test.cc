// A guest that posts, signals and scribbles whatever it likes, at a host whose devices come and go: nothing crashes,
// every open is closed, and a crash of the guest leaves no page in the host's hands.
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "platform/random.h"
#include "transports/embedded_host/raw_guest_testing.h"
#include "transports/embedded_host/strict_vsp.h"

namespace vmbuskit {
namespace {

class EmbeddedHostChaosTest : public RawGuestTest {
 protected:
  static constexpr Pfn kRingPages = 40;  // the ring of handle h: six pages from 40 + 6 * (h % 8) on

  Guid Instance(uint32_t number) {
    Guid instance = kStrictVspClass.default_instance_id;
    instance.bytes[0] = static_cast<uint8_t>(number);
    return instance;
  }
  uint32_t Relid() { return static_cast<uint32_t>(random_.Below(6)); }
  // Mostly the one that belongs to the channel.
  uint32_t Handle(uint32_t relid) {
    return random_.OneIn(8) ? 1 + static_cast<uint32_t>(random_.Below(8)) : 1 + relid;
  }
  template <typename T>
  void Fire(const T& message) {
    MessageBuffer bytes = Emit(message, negotiated_);
    if (random_.OneIn(50)) bytes = EmitSized(message, random_.Below(sizeof message));
    (void)TryPost(bytes, kMessageConnection);
  }

  void FireGpadl() {
    const uint32_t relid = Relid();
    const uint32_t handle = Handle(relid);
    std::vector<Pfn> pages;
    for (Pfn i = 0; i < 6; ++i) pages.push_back(kRingPages + 6 * (handle % 8) + i);
    if (random_.OneIn(20)) pages[0] = 100'000;
    (void)PostGpadl(relid, handle, pages);
  }
  void FireOpen() {
    const uint32_t relid = Relid();
    OpenChannelMessage open{.relid = relid, .ring_gpadl = Handle(relid), .downstream_page = 3};
    open.target_vp = random_.OneIn(8) ? kNoTargetVp : static_cast<uint32_t>(random_.Below(3));
    if (random_.OneIn(8)) open.downstream_page = static_cast<uint32_t>(random_.Below(8));
    if (random_.OneIn(8)) open.user_data[0] = std::byte{0xFF};
    Fire(open);
  }
  // Publishes a packet, good or not, in some ring, and signals somebody.
  void FirePacket() {
    const uint32_t relid = Relid();
    const Pfn ring = kRingPages + 6 * (Handle(relid) % 8);
    auto& control = *reinterpret_cast<RingControl*>(At(ring * kPageSize));
    const uint32_t index = control.write_index % 8192 / 8 * 8;
    if (random_.OneIn(6)) {
      control.write_index = static_cast<uint32_t>(random_.Next());
    } else if (index + 32 < 8192) {
      uint64_t words[4] = {0x0000'0003'0002'0006, random_.Next(),
                           random_.Below(3) | Handle(relid) << 8, 0};
      if (random_.OneIn(6)) words[0] = random_.Next();
      std::memcpy(At((ring + 1) * kPageSize + index), words, sizeof words);
      std::atomic_ref(control.write_index).store((index + 32) % 8192);
    }
    (void)Signal(EventConnectionId(relid, kVmbusSint));
  }
  void ChangeDevices() {
    const auto number = static_cast<uint32_t>(random_.Below(3));
    const auto found = devices_.find(number);
    if (found == devices_.end()) {
      const absl::StatusOr<DeviceId> id = host_->AddDevice(kStrictVspClass, Instance(number));
      ASSERT_TRUE(id.ok()) << id.status();
      devices_[number] = *id;
    } else {
      ASSERT_TRUE(host_->RemoveDevice(found->second).ok());
      devices_.erase(found);
    }
  }
  void FireClose() {
    const uint32_t relid = Relid();
    switch (random_.Below(4)) {
      case 0:
        return Fire(CloseChannelMessage{.relid = relid});
      case 1:
        return Fire(GpadlTeardownMessage{.relid = relid, .gpadl = Handle(relid)});
      case 2:
        return Fire(RelidReleasedMessage{.relid = relid});
      default:
        return Fire(ModifyChannelMessage{.relid = relid,
                                         .target_vp = static_cast<uint32_t>(random_.Below(3))});
    }
  }
  void FireConnection() {
    if (random_.OneIn(20)) Fire(UnloadMessage{});
    if (!random_.OneIn(8) && host_->server().state() == VmbusServer::State::kConnected) return;
    (void)TryPost(EmitContact({.version = negotiated_.version,
                               .parent_to_child = kParentToChild,
                               .child_to_parent = kChildToParent}),
                  kMessageConnection);
    Fire(RequestOffersMessage{});
  }
  void Step() {
    switch (random_.Below(16)) {
      case 0:
        if (!random_.OneIn(4)) return;
        return ChangeDevices();
      case 1:
        return FireClose();
      case 2:
        return FireConnection();
      case 3:
      case 4:
        return FireGpadl();
      case 5:
      case 6:
        return FireOpen();
      case 7:
        reinterpret_cast<MonitorPage*>(At(kChildToParent))
            ->trigger_group[random_.Below(4)]
            .pending = static_cast<uint32_t>(random_.Next());
        return;
      default:
        return FirePacket();
    }
  }

  Random random_{1};
  std::map<uint32_t, DeviceId> devices_;
};

TEST_F(EmbeddedHostChaosTest, NothingIsLeftInTheHostsHands) {
  uint64_t opens = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    random_ = Random(seed);
    negotiated_ = {.version = kVersion5_3};
    BringUp();
    for (int i = 0; i < 3000; ++i) {
      ASSERT_NO_FATAL_FAILURE(Step());
      if (random_.OneIn(3)) Run();
      if (random_.OneIn(2)) (void)Fetch(static_cast<uint32_t>(random_.Below(2)));
      if (random_.OneIn(40)) {
        ASSERT_TRUE(sim_.RunFor(std::chrono::microseconds(150)).ok());
      }
      opens += host_->shared_pages().mapped != 0;
    }
    host_->CrashGuest();
    EXPECT_EQ(host_->shared_pages().total(), 0u);
    Run();
    EXPECT_EQ(host_->shared_pages().total(), 0u) << "what was under way took nothing back";
  }
  EXPECT_GT(opens, 1000u) << "the chaos gets as far as open channels";

  // And a well-behaved guest finds a working host.
  for (const auto& [number, id] : devices_) ASSERT_TRUE(host_->RemoveDevice(id).ok());
  ASSERT_TRUE(host_->AddDevice(kStrictVspClass, Instance(9)).ok());
  const OfferChannelMessage offer = ConnectAndGetOffer();
  RawGuestChannel rings(partition(), cpu0_, {200, 201, 202, 203, 204, 205});
  ASSERT_EQ(Open(offer, rings, 5), kStatusSuccess);
  Channel& channel = rings.Start(offer.connection_id);
  (void)channel.Send({.payload = AsBytes("12345678")});
  Exchange(rings, offer.relid);
  ASSERT_EQ(rings.received.size(), 1u);
  EXPECT_EQ(rings.received[0], "12345678");
}

}  // namespace
}  // namespace vmbuskit
