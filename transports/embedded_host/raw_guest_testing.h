// For tests: a RawGuest of an EmbeddedHost that moves only when the test says so, and expects every move to succeed.
//
//   class HostTest : public RawGuestTest {};
//   TEST_F(HostTest, ...) {
//     BringUp();
//     Contact(kVersion5_3);
//     Post(RequestOffersMessage{});
//     const auto offer = Expect<OfferChannelMessage>();
//
// Thread safety: one thread, the test's.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_TESTING_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_TESTING_H_

#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/embedded_host/partition_testing.h"
#include "transports/embedded_host/raw_guest.h"
#include "transports/embedded_host/raw_guest_channel.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

class RawGuestTest : public ::testing::Test, protected RawGuest {
 protected:
  RawGuestTest() : memory_(*MemfdMemory::Create({.page_count = 256})) { MakeHost({}); }
  ~RawGuestTest() override { DisconnectInterrupts(); }

  void MakeHost(const EmbeddedHost::Options& options) {
    host_.reset();
    host_ = std::make_unique<EmbeddedHost>(*memory_, host_cpu_,
                                           std::vector<Executor*>{&cpu0_, &cpu1_}, options);
  }
  Partition& partition() override { return host_->partition(); }
  void Write(uint32_t vp, uint32_t reg, uint64_t value) {
    ASSERT_EQ(RawGuest::Write(vp, reg, value), absl::OkStatus()) << std::hex << reg;
  }
  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  void BringUp() {
    ConnectInterrupts({&interrupt0_.event, &interrupt1_.event});
    ASSERT_EQ(RawGuest::BringUp(), absl::OkStatus());
  }
  void SwitchOff() {
    ASSERT_EQ(RawGuest::SwitchOff(), absl::OkStatus());
    DisconnectInterrupts();
  }
  CountingEvent& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }

  HypercallStatus TryPost(const MessageBuffer& message, uint32_t connection_id) {
    return PostBytes(message.bytes(), connection_id);
  }
  template <typename T>
  void Post(const T& message) {
    ASSERT_EQ(TryPost(Emit(message, negotiated_), kMessageConnection), HypercallStatus::kSuccess);
    Run();
  }

  std::optional<FetchedMessage> Fetch(uint32_t vp = 0) {
    Run();
    return FetchSlot(vp);
  }
  // The next message, which must be a T.
  template <typename T>
  T Expect(uint32_t vp = 0) {
    T result{};
    const std::optional<FetchedMessage> message = Fetch(vp);
    if (!message) {
      ADD_FAILURE() << "no message, expected " << MessageName(static_cast<uint32_t>(T::kType));
      return result;
    }
    uint32_t type;
    std::memcpy(&type, message->payload.data(), sizeof type);
    EXPECT_EQ(MessageName(type), MessageName(static_cast<uint32_t>(T::kType)));
    std::memcpy(static_cast<void*>(&result), message->payload.data(),
                std::min(sizeof result, message->payload.size()));
    return result;
  }
  void ExpectNothing(uint32_t vp = 0) { EXPECT_FALSE(Fetch(vp).has_value()); }

  // INITIATE_CONTACT and its answer.
  void Contact(uint32_t version, uint32_t features = 0, bool monitors = true) {
    negotiated_ = {.version = version, .features = features};
    ASSERT_EQ(PostContact({.version = version,
                           .features = features,
                           .parent_to_child = monitors ? kParentToChild : 0,
                           .child_to_parent = monitors ? kChildToParent : 0}),
              HypercallStatus::kSuccess);
    EXPECT_EQ(Expect<VersionResponseMessage>().supported, 1);
  }
  // Everything up to the offer of one device.
  OfferChannelMessage ConnectAndGetOffer(uint32_t version = kVersion5_3, uint32_t features = 0) {
    BringUp();
    Contact(version, features);
    Post(RequestOffersMessage{});
    const auto offer = Expect<OfferChannelMessage>();
    Expect<AllOffersDeliveredMessage>();
    return offer;
  }

  void CreateGpadl(uint32_t relid, uint32_t handle, const std::vector<Pfn>& pages) {
    ASSERT_EQ(PostGpadl(relid, handle, pages), HypercallStatus::kSuccess);
    const auto created = Expect<GpadlCreatedMessage>();
    EXPECT_EQ(created.gpadl, handle);
    EXPECT_EQ(created.status, kStatusSuccess);
  }
  void TearDownGpadl(uint32_t relid, uint32_t handle) {
    Post(GpadlTeardownMessage{.relid = relid, .gpadl = handle});
    EXPECT_EQ(Expect<GpadlTorndownMessage>().gpadl, handle);
  }
  // Ring GPADL and OPEN; the status of the answer.
  uint32_t Open(const OfferChannelMessage& offer, RawGuestChannel& rings, uint32_t handle,
                OpenChannelMessage open = {}) {
    CreateGpadl(offer.relid, handle, rings.pages());
    open.relid = offer.relid;
    open.open_id = 77;
    open.ring_gpadl = handle;
    open.downstream_page = rings.downstream_page();
    if (open.connection_id == 0) open.connection_id = offer.connection_id;
    if (open.event_flag == 0) open.event_flag = static_cast<uint16_t>(offer.relid);
    Post(open);
    const auto result = Expect<OpenChannelResultMessage>();
    EXPECT_EQ(result.relid, offer.relid);
    EXPECT_EQ(result.open_id, 77u);
    return result.status;
  }

  // Lets host and guest act until nothing moves, with the channel served at its event flag.
  void Exchange(RawGuestChannel& channel, uint32_t flag, uint32_t vp = 0) {
    for (int turns = 0; turns < 1000; ++turns) {
      Run();
      if (!TakeFlag(vp, flag)) return;
      channel.channel().OnSignal();
    }
    FAIL() << "the two never come to rest";
  }

  std::unique_ptr<MemfdMemory> memory_;
  SimScheduler sim_{0};
  SimExecutor& host_cpu_ = sim_.NewExecutor(0);
  SimExecutor& cpu0_ = sim_.NewExecutor(1);
  SimExecutor& cpu1_ = sim_.NewExecutor(2);
  CountingEvent interrupt0_{cpu0_};
  CountingEvent interrupt1_{cpu1_};
  std::unique_ptr<EmbeddedHost> host_;
  Negotiated negotiated_{.version = kVersion5_3};
};

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_TESTING_H_
