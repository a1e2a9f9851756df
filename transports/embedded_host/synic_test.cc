// SINTs, message slots and event flags, with the guest acting between the host's steps.
#include "transports/embedded_host/synic.h"

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

std::span<const std::byte> AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }
OutgoingMessage Message(std::string_view text) {
  return OutgoingMessage(kMessageTypeVmbus, AsBytes(text));
}
std::string Text(const std::optional<FetchedMessage>& message) {
  if (!message) return "nothing";
  return {reinterpret_cast<const char*>(message->payload.data()), message->payload.size()};
}

// ---- The slot alone: the EOM race of section 4.3, step by step.

TEST(MessageSlot, WritesTheBytesOfSection8_5) {
  SynicMessagePage page{};
  const uint32_t rescind[3] = {2, 0, 5};
  MessageSlot(page.slot[kVmbusSint])
      .Write(OutgoingMessage(kMessageTypeVmbus, std::as_bytes(std::span(rescind))), true);
  const uint8_t expected[28] = {1, 0, 0, 0, 0x0c, 1, 0, 0, 0, 0, 0, 0, 0, 0,
                                0, 0, 2, 0, 0,    0, 0, 0, 0, 0, 5, 0, 0, 0};
  EXPECT_EQ(std::memcmp(reinterpret_cast<std::byte*>(&page) + 0x200, expected, 28), 0);
}

TEST(MessageSlot, FreedBeforeTheMarkMeansFreeAndNoEomIsAwaited) {
  SynicMessage slot{};
  MessageSlot host(slot);
  host.Write(Message("first"), false);
  EXPECT_FALSE(host.IsFree());
  // The guest frees the slot and looks at the flags before the host marks it: no EOM will come.
  EXPECT_FALSE(FetchMessage(slot)->pending);
  EXPECT_FALSE(host.MarkPending()) << "the second look finds it free";
  host.Write(Message("second"), false);
  EXPECT_EQ(Text(FetchMessage(slot)), "second");
}

TEST(MessageSlot, FreedAfterTheMarkMeansAnEomComes) {
  SynicMessage slot{};
  MessageSlot host(slot);
  host.Write(Message("first"), false);
  EXPECT_FALSE(host.IsFree());
  EXPECT_TRUE(host.MarkPending()) << "still taken: queue";
  EXPECT_TRUE(FetchMessage(slot)->pending) << "the guest must write EOM";
  EXPECT_TRUE(host.IsFree());
}

TEST(MessageSlot, TheMarkDoesNotResurrectAFreedSlot) {
  SynicMessage slot{};
  MessageSlot host(slot);
  host.Write(Message("first"), false);
  (void)FetchMessage(slot);
  EXPECT_FALSE(host.MarkPending());
  EXPECT_EQ(slot.type, kMessageTypeNone);
}

// One thread posts, the other consumes, both as the tables say. EOMs carry the whole protocol: a lost one would leave
// the poster waiting for ever.
TEST(MessageSlot, NoMessageIsLostBetweenTwoThreads) {
  constexpr uint32_t kMessages = 20000;
  SynicMessage slot{};
  std::atomic<uint32_t> eoms = 0;
  std::atomic<bool> done = false;
  uint32_t received = 0;
  bool in_order = true;
  std::thread guest([&] {
    while (received < kMessages) {
      const std::optional<FetchedMessage> message = FetchMessage(slot);
      if (!message) {
        std::this_thread::yield();
        continue;
      }
      uint32_t number;
      std::memcpy(&number, message->payload.data(), sizeof number);
      in_order = in_order && number == received++;
      if (message->pending) eoms.fetch_add(1);
    }
    done.store(true);
  });
  MessageSlot host(slot);
  for (uint32_t i = 0; i < kMessages; ++i) {
    const OutgoingMessage message(kMessageTypeVmbus, std::as_bytes(std::span(&i, 1)));
    uint32_t seen = eoms.load();
    while (!host.IsFree() && host.MarkPending()) {
      // Queued: nothing but an EOM makes the host look again.
      while (eoms.load() == seen) std::this_thread::yield();
      seen = eoms.load();
    }
    host.Write(message, false);
  }
  guest.join();
  EXPECT_TRUE(done.load());
  EXPECT_TRUE(in_order);
  EXPECT_EQ(received, kMessages);
}

// ---- Messages through a processor's SynIC.

class SynicTest : public PartitionTest {
 protected:
  bool Post(uint32_t vp, std::string_view text, uint32_t sint = kVmbusSint) {
    return partition_->PostMessage(vp, sint, AsBytes(text));
  }
};

TEST_F(SynicTest, RegistersStartAtTheirResetValues) {
  EXPECT_EQ(Read(0, kRegScontrol), 1u);
  EXPECT_EQ(Read(0, kRegSversion), 1u);
  EXPECT_EQ(Read(0, kRegSimp), 0u);
  EXPECT_EQ(Read(0, kRegSiefp), 0u);
  EXPECT_EQ(Read(0, kRegEom), 0u);
  for (uint32_t sint = 0; sint < kSintCount; ++sint) {
    EXPECT_EQ(Read(1, kRegSint0 + sint), 0x10000u);
  }
}

TEST_F(SynicTest, AMessageGoesIntoTheSlotAndInterrupts) {
  BringUpSynic(0);
  ASSERT_TRUE(Post(0, "hello"));
  Run();
  EXPECT_EQ(interrupt0_.count, 1);
  EXPECT_EQ(Slot(0).type, kMessageTypeVmbus);
  EXPECT_EQ(Slot(0).payload_size, 5);
  EXPECT_EQ(Slot(0).flags, 0);
  EXPECT_EQ(Text(Fetch(0)), "hello");
  EXPECT_EQ(Text(Fetch(0)), "nothing");
}

TEST_F(SynicTest, MessagesWaitForTheSlotAndComeAfterEom) {
  BringUpSynic(0);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Post(0, "message " + std::to_string(i)));
  Run();
  EXPECT_EQ(partition_->messages_waiting(0, kVmbusSint), 4u);
  EXPECT_EQ(Slot(0).flags & kMessageFlagPending, 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Text(Fetch(0)), "message " + std::to_string(i));
  EXPECT_EQ(Text(Fetch(0)), "nothing");
  EXPECT_EQ(interrupt0_.count, 5);
}

TEST_F(SynicTest, TheLastOfAQueueAsksForNoEom) {
  BringUpSynic(0);
  ASSERT_TRUE(Post(0, "a"));
  ASSERT_TRUE(Post(0, "b"));
  Run();
  EXPECT_TRUE(Fetch(0)->pending);
  EXPECT_FALSE(Fetch(0)->pending);
}

TEST_F(SynicTest, WithoutEomNothingMoves) {
  BringUpSynic(0);
  ASSERT_TRUE(Post(0, "a"));
  ASSERT_TRUE(Post(0, "b"));
  Run();
  EXPECT_EQ(Text(FetchMessage(Slot(0))), "a");
  Run();
  EXPECT_EQ(Text(FetchMessage(Slot(0))), "nothing");
  ASSERT_TRUE(Write(0, kRegEom, 0).ok());
  Run();
  EXPECT_EQ(Text(FetchMessage(Slot(0))), "b");
}

TEST_F(SynicTest, EachProcessorAndSintHasItsOwnSlot) {
  BringUpSynic(0);
  BringUpSynic(1);
  ASSERT_TRUE(Write(0, kRegSint0 + 5, 0x41).ok());
  ASSERT_TRUE(Post(0, "vp 0"));
  ASSERT_TRUE(Post(1, "vp 1"));
  ASSERT_TRUE(Post(0, "sint 5", 5));
  Run();
  EXPECT_EQ(Text(Fetch(0)), "vp 0");
  EXPECT_EQ(Text(Fetch(1)), "vp 1");
  EXPECT_EQ(Text(Fetch(0, 5)), "sint 5");
  EXPECT_EQ(interrupt0_.count, 1);
  EXPECT_EQ(interrupt1_.count, 1);
}

TEST_F(SynicTest, AMaskedSintGetsItsMessagesAfterUnmasking) {
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintMasked).ok());
  ASSERT_TRUE(Post(0, "late"));
  Run();
  EXPECT_EQ(Slot(0).type, kMessageTypeNone);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector).ok());
  Run();
  EXPECT_EQ(Text(Fetch(0)), "late");
  EXPECT_EQ(interrupt0_.count, 1);
}

TEST_F(SynicTest, AMaskedSintLosesItsMessagesLikeOpenVmm) {
  Make({.masked_messages = MaskedMessages::kDrop});
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintMasked).ok());
  ASSERT_TRUE(Post(0, "lost"));
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector).ok());
  Run();
  EXPECT_EQ(Text(Fetch(0)), "nothing");
}

TEST_F(SynicTest, MessagesWaitForTheMessagePageAndForScontrol) {
  ASSERT_TRUE(Post(0, "early"));
  ASSERT_TRUE(Write(0, kRegScontrol, 0).ok());
  BringUpSynic(0);
  Run();
  EXPECT_EQ(Text(Fetch(0)), "early");
  ASSERT_TRUE(Write(0, kRegScontrol, 0).ok());
  ASSERT_TRUE(Post(0, "off"));
  Run();
  EXPECT_EQ(Text(Fetch(0)), "nothing");
  ASSERT_TRUE(Write(0, kRegSimp, 0).ok());
  ASSERT_TRUE(Write(0, kRegScontrol, 1).ok());
  Run();
  EXPECT_EQ(Text(Fetch(0)), "nothing");
  ASSERT_TRUE(Write(0, kRegSimp, PageRegister(SimpGpa(0))).ok());
  Run();
  EXPECT_EQ(Text(Fetch(0)), "off");
}

TEST_F(SynicTest, APollingSintTakesMessagesWithoutInterrupt) {
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintPolling).ok());
  ASSERT_TRUE(Post(0, "polled"));
  Run();
  EXPECT_EQ(interrupt0_.count, 0);
  EXPECT_EQ(Text(Fetch(0)), "polled");
}

TEST_F(SynicTest, AFullQueueRefuses) {
  Make({.synic_queue_messages_max = 2});
  BringUpSynic(0);
  EXPECT_TRUE(Post(0, "slot"));
  EXPECT_TRUE(Post(0, "first"));
  EXPECT_TRUE(Post(0, "second"));
  EXPECT_FALSE(Post(0, "third"));
  Run();
  EXPECT_EQ(Text(Fetch(0)), "slot");
  EXPECT_TRUE(Post(0, "third"));
  EXPECT_EQ(Text(Fetch(0)), "first");
}

TEST_F(SynicTest, WrongTargetsAreRefused) {
  EXPECT_FALSE(Post(2, "x"));
  EXPECT_FALSE(Post(0, "x", 16));
  const std::string big(241, 'x');
  EXPECT_FALSE(Post(0, big));
  EXPECT_EQ(partition_->messages_waiting(7, 7), 0u);
}

TEST_F(SynicTest, AVectorBelow16OrWithoutHandlerRaisesNothing) {
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, 15).ok());
  ASSERT_TRUE(Post(0, "a"));
  ASSERT_TRUE(Write(0, kRegSint0 + 3, 0x77).ok());
  ASSERT_TRUE(Post(0, "b", 3));
  Run();
  EXPECT_EQ(interrupt0_.count, 0);
  InspectNode node;
  partition_->Inspect(node);
  const InspectNode* synic = node.Find("vp0/synic");
  ASSERT_NE(synic, nullptr);
  for (const auto& [name, value] : synic->values()) {
    if (name == "interrupts_spurious") {
      EXPECT_EQ(std::get<uint64_t>(value), 1u);
    }
  }
}

TEST_F(SynicTest, ADisconnectedHandlerIsNotSignalledAnyMore) {
  BringUpSynic(0);
  auto handler = std::make_unique<CountingEvent>(cpu0_);
  partition_->ConnectInterrupt(0, kVector, &handler->event);
  ASSERT_TRUE(Post(0, "a"));
  Run();
  EXPECT_EQ(handler->count, 1);
  partition_->ConnectInterrupt(0, kVector, nullptr);
  handler.reset();
  ASSERT_TRUE(Post(0, "b"));
  Run();
}

// ---- Event flags.

TEST_F(SynicTest, AnEventFlagInterruptsOnlyWhenItWasClear) {
  BringUpSynic(1);
  EXPECT_EQ(partition_->SetEventFlag(1, kVmbusSint, 291), EventResult::kInterrupted);
  Run();
  EXPECT_EQ(std::to_integer<int>(At(SiefpGpa(1))[0x224]), 0x08);
  EXPECT_EQ(interrupt1_.count, 1);
  EXPECT_EQ(partition_->SetEventFlag(1, kVmbusSint, 291), EventResult::kMerged);
  Run();
  EXPECT_EQ(interrupt1_.count, 1);
  EXPECT_TRUE(TakeFlag(1, 291));
  EXPECT_EQ(partition_->SetEventFlag(1, kVmbusSint, 291), EventResult::kInterrupted);
  Run();
  EXPECT_EQ(interrupt1_.count, 2);
}

TEST_F(SynicTest, OtherFlagsStayAsTheyAre) {
  BringUpSynic(0);
  for (uint32_t flag : {1u, 63u, 64u, 2047u}) {
    EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, flag), EventResult::kInterrupted);
  }
  EXPECT_TRUE(TakeFlag(0, 64));
  EXPECT_TRUE(FlagSet(0, 1));
  EXPECT_TRUE(FlagSet(0, 63));
  EXPECT_FALSE(FlagSet(0, 64));
  EXPECT_TRUE(FlagSet(0, 2047));
  EXPECT_FALSE(FlagSet(0, 2047, /*sint=*/3));
}

TEST_F(SynicTest, WhileMaskedOrDisabledASignalIsGone) {
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintMasked).ok());
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 5), EventResult::kLost);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector).ok());
  ASSERT_TRUE(Write(0, kRegScontrol, 0).ok());
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 5), EventResult::kLost);
  ASSERT_TRUE(Write(0, kRegScontrol, 1).ok());
  ASSERT_TRUE(Write(0, kRegSiefp, 0).ok());
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 5), EventResult::kLost);
  ASSERT_TRUE(Write(0, kRegSiefp, PageRegister(SiefpGpa(0))).ok());
  Run();
  EXPECT_FALSE(FlagSet(0, 5));
  EXPECT_EQ(interrupt0_.count, 0);
}

TEST_F(SynicTest, AKinderHostLatchesSignals) {
  Make({.masked_events = MaskedEvents::kLatch});
  BringUpSynic(0);
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintMasked).ok());
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 5), EventResult::kLatched);
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 6), EventResult::kLatched);
  Run();
  EXPECT_FALSE(FlagSet(0, 5));
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector).ok());
  Run();
  EXPECT_TRUE(FlagSet(0, 5));
  EXPECT_TRUE(FlagSet(0, 6));
  EXPECT_EQ(interrupt0_.count, 1);
}

TEST_F(SynicTest, WrongFlagsAreLost) {
  BringUpSynic(0);
  EXPECT_EQ(partition_->SetEventFlag(0, kVmbusSint, 2048), EventResult::kLost);
  EXPECT_EQ(partition_->SetEventFlag(0, 16, 1), EventResult::kLost);
  EXPECT_EQ(partition_->SetEventFlag(2, kVmbusSint, 1), EventResult::kLost);
}

// The host sets flags as fast as it can while the guest switches its page on and off: after the register write the
// page is the guest's alone, and the thread sanitizer sees every stray access.
TEST_F(SynicTest, AfterDisablingNobodyTouchesThePage) {
  BringUpSynic(0);
  std::atomic<bool> stop = false;
  std::thread host([&] {
    for (uint32_t flag = 0; !stop.load(std::memory_order_relaxed); flag = (flag + 1) % 2048) {
      (void)partition_->SetEventFlag(0, kVmbusSint, flag);
    }
  });
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(Write(0, kRegSiefp, 0).ok());
    std::memset(At(SiefpGpa(0)), i, kPageSize);
    ASSERT_EQ(std::to_integer<int>(At(SiefpGpa(0))[0x250]), i & 0xFF);
    ASSERT_TRUE(Write(0, kRegSiefp, PageRegister(SiefpGpa(0))).ok());
  }
  stop.store(true);
  host.join();
}

}  // namespace
}  // namespace vmbuskit
