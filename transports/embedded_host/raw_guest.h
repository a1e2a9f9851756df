// For tests: a guest of an EmbeddedHost that is written out step by step: it posts bytes through the Partition
// interface, reads its message slot and event flags, and moves only when the test says so.
//
//   class HostTest : public RawGuestTest {};
//   TEST_F(HostTest, ...) { Connect(); Post(RequestOffersMessage{}); auto offer = Expect<OfferChannelMessage>(); ... }
//
// Thread safety: one thread, the test's.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_

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
#include "transports/embedded_host/raw_guest_channel.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/gpadl_messages.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

class RawGuestTest : public ::testing::Test {
 protected:
  static constexpr uint8_t kVector = 0xF3;
  static constexpr Gpa kHypercallGpa = 1 * kPageSize;
  static constexpr Gpa kInputGpa = 2 * kPageSize;
  static constexpr Gpa kParentToChild = 4 * kPageSize;
  static constexpr Gpa kChildToParent = 5 * kPageSize;
  static constexpr Gpa SimpGpa(uint32_t vp) { return (8 + 2 * vp) * kPageSize; }
  static constexpr Gpa SiefpGpa(uint32_t vp) { return (9 + 2 * vp) * kPageSize; }

  RawGuestTest() : memory_(*MemfdMemory::Create({.page_count = 256})) { MakeHost({}); }
  ~RawGuestTest() override { DisconnectInterrupts(); }

  void MakeHost(const EmbeddedHost::Options& options) {
    host_.reset();
    host_ = std::make_unique<EmbeddedHost>(*memory_, host_cpu_,
                                           std::vector<Executor*>{&cpu0_, &cpu1_}, options);
  }
  Partition& partition() { return host_->partition(); }
  std::byte* At(Gpa gpa) { return memory_->Translate(gpa, 1)->data(); }
  void Write(uint32_t vp, uint32_t reg, uint64_t value) {
    ASSERT_TRUE(partition().WriteRegister(vp, reg, value).ok()) << std::hex << reg;
  }
  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  // Hypercall page and SynICs.
  void BringUp() {
    Write(0, kRegGuestOsId, OpenSourceGuestOsId(1, 0, 0x060100, 0));
    Write(0, kRegHypercall, PageRegister(kHypercallGpa));
    for (uint32_t vp = 0; vp < 2; ++vp) {
      partition().ConnectInterrupt(vp, kVector, &interrupt(vp).event);
      Write(vp, kRegSimp, PageRegister(SimpGpa(vp)));
      Write(vp, kRegSiefp, PageRegister(SiefpGpa(vp)));
      std::memset(At(SimpGpa(vp)), 0, kPageSize);
      std::memset(At(SiefpGpa(vp)), 0, kPageSize);
      Write(vp, kRegSint0 + kVmbusSint, kVector);
      Write(vp, kRegScontrol, kScontrolEnable);
    }
  }
  // The other way round (protocol 01 section 7.1).
  void SwitchOff() {
    for (uint32_t vp = 0; vp < 2; ++vp) {
      Write(vp, kRegSint0 + kVmbusSint, kSintMasked);
      Write(vp, kRegSimp, 0);
      Write(vp, kRegSiefp, 0);
    }
    Write(0, kRegGuestOsId, 0);
    Write(0, kRegHypercall, 0);
    DisconnectInterrupts();
  }
  void DisconnectInterrupts() {
    for (uint32_t vp = 0; vp < 2; ++vp) partition().ConnectInterrupt(vp, kVector, nullptr);
  }
  CountingEvent& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }

  HypercallStatus TryPost(const MessageBuffer& message, uint32_t connection_id) {
    PostMessageInput input{};
    input.connection_id = connection_id;
    input.message_type = kMessageTypeVmbus;
    input.payload_size = static_cast<uint32_t>(message.size());
    std::memcpy(input.payload.data(), message.bytes().data(), message.size());
    std::memcpy(At(kInputGpa), &input, sizeof input);
    return ResultStatus(partition().Hypercall(0, kCallPostMessage, kInputGpa, 0));
  }
  template <typename T>
  void Post(const T& message) {
    ASSERT_EQ(TryPost(Emit(message, negotiated_), kMessageConnection), HypercallStatus::kSuccess);
    Run();
  }

  std::optional<FetchedMessage> Fetch(uint32_t vp = 0) {
    Run();
    SynicMessage& slot = reinterpret_cast<SynicMessagePage*>(At(SimpGpa(vp)))->slot[kVmbusSint];
    std::optional<FetchedMessage> message = FetchMessage(slot);
    if (message && message->pending) Write(vp, kRegEom, 0);
    return message;
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
    const vmbuskit::Contact contact{.version = version,
                                    .features = features,
                                    .parent_to_child = monitors ? kParentToChild : 0,
                                    .child_to_parent = monitors ? kChildToParent : 0};
    ASSERT_EQ(TryPost(EmitContact(contact), ContactConnectionId(version)),
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
    const GpadlRange range = GpadlRange::Pages(pages);
    auto messages = GpadlMessages::Create(relid, handle, std::span(&range, 1));
    ASSERT_TRUE(messages.ok());
    MessageBuffer message;
    while (messages->Next(message)) {
      ASSERT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);
    }
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

  bool TakeFlag(uint32_t vp, uint32_t flag) {
    auto& page = *reinterpret_cast<SynicEventFlagsPage*>(At(SiefpGpa(vp)));
    const uint64_t bit = uint64_t{1} << flag % 64;
    std::atomic_ref word(page.flags[kVmbusSint][flag / 64]);
    return (word.fetch_and(~bit) & bit) != 0;
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
  HypercallStatus Signal(uint32_t connection_id) {
    return ResultStatus(partition().Hypercall(0, kCallSignalEventFast, connection_id, 0));
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

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_
