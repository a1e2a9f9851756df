// When a channel signals, publishes, waits for space, yields and allocates.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "framework/channel/channel.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/task/deadline.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"

namespace vmbuskit {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class FlowTest : public testing::Test {
 protected:
  explicit FlowTest(ChannelPair::Options options = {}) : pair(options) {}

  void Start() {
    pair.guest().Start(guest);
    pair.host().Start(host);
    ASSERT_TRUE(pair.Run());
    pair.to_guest().TakeRaised();
    pair.to_host().TakeRaised();
  }
  void GuestSends(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(pair.guest().Send({.payload = TextBytes("12345678")}), SendResult::kOk);
    }
  }

  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair;
};

TEST_F(FlowTest, OnlyTheFirstPacketIntoAnEmptyRingSignals) {
  Start();
  GuestSends(1);
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
  GuestSends(9);  // the host did not run yet
  EXPECT_EQ(pair.to_host().TakeRaised(), 0u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 10u);
  GuestSends(1);
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
  EXPECT_EQ(pair.guest().counters().signals_sent, 2u);
}

TEST_F(FlowTest, BatchPublishesOnceAtItsOutermostEnd) {
  Start();
  {
    Channel::Batch batch(pair.guest());
    GuestSends(5);
    {
      Channel::Batch inner(pair.guest());
      GuestSends(5);
    }
    EXPECT_EQ(pair.up().words().write_index, 0u);
    EXPECT_EQ(pair.to_host().TakeRaised(), 0u);
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(host.packet_count, 0u);
  }
  EXPECT_EQ(pair.up().words().write_index, 10u * (16 + 8 + 8));
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 10u);
  EXPECT_EQ(host.drained, 1u);
}

TEST_F(FlowTest, AnswersOfOneDrainArePublishedTogether) {
  std::vector<uint32_t> write_indices;
  host.on_packet = [&](Channel& channel, const Packet& packet) {
    EXPECT_EQ(channel.Send({.payload = packet.payload}), SendResult::kOk);
    write_indices.push_back(pair.down().words().write_index);
  };
  host.on_drained = [&](Channel& channel) {
    EXPECT_EQ(channel.Send({.payload = TextBytes("that was all")}), SendResult::kOk);
    write_indices.push_back(pair.down().words().write_index);
  };
  Start();
  GuestSends(10);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(write_indices, std::vector<uint32_t>(11, 0));
  EXPECT_EQ(pair.to_guest().TakeRaised(), 1u);
  EXPECT_EQ(guest.packet_count, 11u);
  EXPECT_EQ(guest.drained, 1u);
}

TEST_F(FlowTest, WhileTheReaderIsBusyNobodySignals) {
  // Packets that arrive during a drain are found by the re-check after unmasking.
  bool more = true;
  host.on_packet = [&](Channel&, const Packet&) {
    if (more) GuestSends(3);
    more = false;
  };
  Start();
  GuestSends(1);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 4u);
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
  EXPECT_EQ(pair.host().counters().wakeups, 1u);
}

TEST_F(FlowTest, APacketBetweenTheLastReadAndTheUnmaskIsFoundByTheRecheck) {
  bool more = true;
  host.on_drained = [&](Channel&) {
    if (more) GuestSends(1);  // the host still masks, so there is no signal
    more = false;
  };
  Start();
  GuestSends(1);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 2u);
  EXPECT_EQ(host.drained, 2u);
  EXPECT_EQ(pair.to_host().TakeRaised(), 1u);
}

TEST_F(FlowTest, SpuriousAndDuplicateInterruptsChangeNothing) {
  pair.to_host().set_duplicate(true);
  Start();
  GuestSends(3);
  ASSERT_TRUE(pair.RunFor(milliseconds(1)));
  EXPECT_EQ(host.packet_count, 3u);
  EXPECT_EQ(pair.host().counters().wakeups, 2u);
  EXPECT_EQ(pair.host().counters().empty_wakeups, 1u);
  pair.host().wake().Signal();
  ASSERT_TRUE(pair.Run());
  pair.host().OnSignal();
  EXPECT_EQ(pair.host().counters().wakeups, 4u);
  EXPECT_EQ(pair.host().counters().empty_wakeups, 3u);
  EXPECT_EQ(host.packet_count, 3u);
  EXPECT_EQ(host.drained, 1u);
}

TEST_F(FlowTest, EarlyInterruptBeforeStartIsNotLost) {
  ASSERT_EQ(pair.host().Send({.payload = TextBytes("hello")}), SendResult::kOk);
  pair.guest().wake().Signal();  // although the guest has not unmasked yet
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 0u);
  pair.guest().Start(guest);
  EXPECT_EQ(guest.packet_count, 0u);  // from the next turn on
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.packet_count, 1u);
  EXPECT_EQ(pair.guest().counters().wakeups, 0u);  // its own turn, not the peer's signal
}

TEST_F(FlowTest, LateInterruptsOnlyDelay) {
  pair.to_host().set_delay(milliseconds(3));
  host.on_packet = [](Channel& channel, const Packet& packet) {
    EXPECT_EQ(channel.Send({.payload = packet.payload}), SendResult::kOk);
  };
  Start();
  GuestSends(2);
  ASSERT_TRUE(pair.RunFor(milliseconds(3) - Duration(1)));
  EXPECT_EQ(guest.packet_count, 0u);
  ASSERT_TRUE(pair.RunFor(Duration(1)));
  EXPECT_EQ(guest.packet_count, 2u);
}

TEST_F(FlowTest, ALostInterruptLastsOnlyUntilTheNext) {
  pair.to_host().Drop(1);
  Start();
  GuestSends(1);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 0u);
  pair.host().OnSignal();  // as any other interrupt of that processor would
  EXPECT_EQ(host.packet_count, 1u);
}

TEST_F(FlowTest, SteadyStateAllocatesNothing) {
  class Answered : public Request {
   public:
    void OnEnd(RequestEnd end, const Packet* completion) override {
      completed += end == RequestEnd::kCompleted && completion->payload.size() == 8;
    }
    uint64_t completed = 0;
  };
  host.keep_packets = guest.keep_packets = false;
  host.on_packet = [](Channel& channel, const Packet& packet) {
    if (packet.completion_requested) {
      (void)channel.Complete(packet.transaction_id, packet.payload);
    } else {
      (void)channel.Send({.payload = packet.payload});
    }
  };
  Answered requests[4];
  Start();
  auto round = [&] {
    GuestSends(3);
    for (Answered& request : requests) {
      ASSERT_EQ(pair.guest().SendRequest({.payload = TextBytes("question")}, request,
                                         DeadlineIn(pair.guest_executor())),
                SendResult::kOk);
    }
    ASSERT_TRUE(pair.Run());
  };
  round();
  const uint64_t before = ThreadAllocations();
  for (int i = 0; i < 1000; ++i) round();
  EXPECT_EQ(ThreadAllocations() - before, 0u);
  EXPECT_EQ(guest.packet_count, 3u * 1001);
  for (const Answered& request : requests) EXPECT_EQ(request.completed, 1001u);
}

class SmallRings : public FlowTest {
 protected:
  SmallRings() : FlowTest({.up_bytes = 4096, .down_bytes = 4096, .guest = {.max_requests = 2}}) {}

  // Sends until the ring is full; how many went in.
  uint32_t Fill(Channel& channel, size_t payload_bytes) {
    const std::string payload(payload_bytes, 'f');
    uint32_t count = 0;
    while (channel.Send({.payload = TextBytes(payload)}) == SendResult::kOk) ++count;
    return count;
  }
};

TEST_F(SmallRings, AFullRingAsksForSpaceAndOnWritableComesWhenItFits) {
  Start();
  // 1000 + 24 bytes each: three fit into 4096, a fourth is one byte too many (section 7.2).
  EXPECT_EQ(Fill(pair.guest(), 1000), 3u);
  EXPECT_EQ(pair.up().words().pending_send_sz, 1024u);
  EXPECT_EQ(pair.guest().counters().full, 1u);
  EXPECT_EQ(guest.writable, 0u);
  pair.to_guest().TakeRaised();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 3u);
  EXPECT_EQ(pair.to_guest().TakeRaised(), 1u);  // one signal for the space
  EXPECT_EQ(guest.writable, 1u);
  EXPECT_EQ(pair.up().words().pending_send_sz, 0u);
  EXPECT_EQ(pair.guest().counters().empty_wakeups, 0u);
  // Once: later signals do not bring it again.
  pair.guest().wake().Signal();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.writable, 1u);
}

TEST_F(SmallRings, OnWritableComesForTheSmallestPacketRefused) {
  Start();
  EXPECT_EQ(Fill(pair.guest(), 1000), 3u);
  ASSERT_EQ(pair.guest().Send({.payload = TextBytes(std::string(3000, 'b'))}), SendResult::kFull);
  EXPECT_EQ(pair.up().words().pending_send_sz, 1024u);
  ASSERT_EQ(Fill(pair.guest(), 504), 1u);  // a smaller one still fits, the next does not
  EXPECT_EQ(pair.up().words().pending_send_sz, 528u);
}

TEST_F(SmallRings, ABatchThatFillsTheRingIsPublishedForThePeerToMakeRoom) {
  Start();
  Channel::Batch batch(pair.guest());
  EXPECT_EQ(Fill(pair.guest(), 1000), 3u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 3u);
  EXPECT_EQ(guest.writable, 1u);
}

TEST_F(SmallRings, AnAnswerFreesASlotAndThenARequestFits) {
  RecordingRequest requests[3];
  auto ask = [&](RecordingRequest& request) {
    return pair.guest().SendRequest({}, request, DeadlineIn(pair.guest_executor()));
  };
  Start();
  ASSERT_EQ(ask(requests[0]), SendResult::kOk);
  ASSERT_EQ(ask(requests[1]), SendResult::kOk);
  ASSERT_EQ(ask(requests[2]), SendResult::kFull);
  EXPECT_FALSE(requests[2].outstanding());
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.writable, 0u);
  ASSERT_EQ(pair.host().Complete(2, {}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.writable, 1u);
  EXPECT_EQ(ask(requests[2]), SendResult::kOk);
  pair.guest().Close(absl::CancelledError("end"));
}

TEST_F(SmallRings, ARequestThatFoundNoSpaceTookNoSlot) {
  RecordingRequest request;
  Start();
  Fill(pair.guest(), 0);
  ASSERT_EQ(pair.guest().SendRequest({}, request, DeadlineIn(pair.guest_executor())),
            SendResult::kFull);
  EXPECT_EQ(pair.guest().requests_outstanding(), 0u);
  EXPECT_EQ(pair.guest().requests().counters().added, 0u);
}

// A host that frees space between a guest's look at it and the guest's request to be told: the test
// plays that host, and no signal comes.
class SpaceSeenInPassing : public testing::Test {
 protected:
  SpaceSeenInPassing() {
    pair.guest().Start(guest);
    EXPECT_TRUE(pair.Run());
    for (SendResult result = SendResult::kOk; result == SendResult::kOk;) result = Send(1000);
    EXPECT_EQ(pair.up().words().pending_send_sz, 1024u);
  }
  SendResult Send(size_t bytes) {
    return pair.guest().Send({.payload = TextBytes(std::string(bytes, 's'))});
  }

  RecordingHandler guest;
  ChannelPair pair{{.up_bytes = 4096, .with_host = false}};
};

TEST_F(SpaceSeenInPassing, ByASmallerPacketThatFits) {
  pair.up().words().read_index = 1024;
  EXPECT_EQ(Send(8), SendResult::kOk);  // fits into what was free before: no look
  EXPECT_EQ(Send(1000), SendResult::kOk);
  EXPECT_EQ(pair.up().words().pending_send_sz, 0u);
  ASSERT_TRUE(pair.Run());
  // Taken by ourselves meanwhile, so it is asked for again and comes with the next space.
  EXPECT_EQ(guest.writable, 0u);
  EXPECT_EQ(pair.up().words().pending_send_sz, 1024u);
  pair.up().words().read_index = 3072;
  EXPECT_EQ(Send(8), SendResult::kOk);
  EXPECT_EQ(Send(1000), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.writable, 1u);
}

TEST_F(SpaceSeenInPassing, ByALargerPacketThatDoesNotFit) {
  pair.up().words().read_index = 1024;
  EXPECT_EQ(Send(3000), SendResult::kFull);
  EXPECT_EQ(pair.up().words().pending_send_sz, 0u);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(guest.writable, 1u);
}

// Sends `count` numbered packets of varying size as space allows, and checks those that come.
class Pump : public ChannelHandler {
 public:
  explicit Pump(uint32_t count) : count_(count) {}

  void OnPacket(Channel& channel, const Packet& packet) override {
    (void)channel;
    EXPECT_EQ(packet.transaction_id, received++);
    EXPECT_GE(packet.payload.size(), Size(packet.transaction_id));
  }
  void OnWritable(Channel& channel) override { Continue(channel); }
  void Continue(Channel& channel) {
    const std::string payload(4096, 'p');
    while (sent < count_) {
      const SendResult result =
          channel.Send({.transaction_id = sent, .payload = TextBytes(payload).first(Size(sent))});
      if (result != SendResult::kOk) {
        EXPECT_EQ(result, SendResult::kFull);
        return;
      }
      ++sent;
    }
  }
  uint64_t sent = 0;
  uint64_t received = 0;

 private:
  static size_t Size(uint64_t number) { return number * 977 % 3001; }
  const uint32_t count_;
};

TEST(Flow, BothRingsFullAtOnceAndBothRecoverUnderEverySeed) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Pump guest(300);
    Pump host(300);
    ChannelPair pair({.seed = seed, .up_bytes = 4096, .down_bytes = 8192});
    guest.Continue(pair.guest());
    host.Continue(pair.host());
    EXPECT_LT(guest.sent, 300u);
    EXPECT_LT(host.sent, 300u);
    pair.guest().Start(guest);
    pair.host().Start(host);
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(guest.received, 300u) << "seed " << seed;
    EXPECT_EQ(host.received, 300u) << "seed " << seed;
    EXPECT_GT(pair.guest().counters().full, 10u);
  }
}

TEST(Flow, LateAndDoubledInterruptsLoseNothingUnderEverySeed) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Pump guest(200);
    Pump host(200);
    ChannelPair pair({.seed = seed, .up_bytes = 4096, .down_bytes = 4096});
    pair.to_guest().set_delay(microseconds(seed % 7));
    pair.to_host().set_duplicate(seed % 2 == 0);
    pair.guest().Start(guest);
    pair.host().Start(host);
    guest.Continue(pair.guest());
    host.Continue(pair.host());
    ASSERT_TRUE(pair.RunFor(seconds(1)));
    EXPECT_EQ(guest.received, 200u) << "seed " << seed;
    EXPECT_EQ(host.received, 200u) << "seed " << seed;
  }
}

TEST(Flow, NoNeedlessSignalsInAConversation) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    RecordingHandler guest;
    RecordingHandler host;
    guest.keep_packets = host.keep_packets = false;
    int left = 1000;
    guest.on_packet = [&](Channel& channel, const Packet&) {
      if (left-- <= 0) return;
      EXPECT_EQ(channel.Send({}), SendResult::kOk);
    };
    host.on_packet = [](Channel& channel, const Packet&) {
      EXPECT_EQ(channel.Send({}), SendResult::kOk);
    };
    ChannelPair pair({.seed = seed});
    pair.guest().Start(guest);
    pair.host().Start(host);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(pair.guest().Send({}), SendResult::kOk);
    ASSERT_TRUE(pair.Run());
    EXPECT_EQ(host.packet_count, 1005u);
    EXPECT_EQ(pair.guest().counters().empty_wakeups, 0u) << "seed " << seed;
    EXPECT_EQ(pair.host().counters().empty_wakeups, 0u) << "seed " << seed;
  }
}

TEST(Flow, ExhaustedBudgetLetsOtherWorkOfTheExecutorRun) {
  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair({.host = {.drain_budget = 4}});
  pair.guest().Start(guest);
  pair.host().Start(host);
  ASSERT_TRUE(pair.Run());
  // Other work, woken at the same time as the channel.
  std::vector<uint64_t> seen;
  struct Other {
    void Run() {
      seen.push_back(host.packet_count);
      if (seen.size() < 4) event.Signal();
    }
    std::vector<uint64_t>& seen;
    RecordingHandler& host;
    Event event;
  };
  Other other{seen, host,
              Event(pair.host_executor(),
                    Callback([](void* other) { static_cast<Other*>(other)->Run(); }, &other))};
  for (int i = 0; i < 10; ++i) ASSERT_EQ(pair.guest().Send({}), SendResult::kOk);
  other.event.Signal();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(seen, (std::vector<uint64_t>{4, 8, 10, 10}));
  EXPECT_EQ(host.drained, 3u);
  EXPECT_EQ(pair.host().counters().wakeups, 1u);  // the peer signalled once
  EXPECT_EQ(pair.to_host().raised(), 1u);         // masked in between
}

TEST(Flow, ABudgetEqualToWhatIsThereEndsUnmasked) {
  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair({.host = {.drain_budget = 4}});
  pair.guest().Start(guest);
  pair.host().Start(host);
  ASSERT_TRUE(pair.Run());
  for (int i = 0; i < 4; ++i) ASSERT_EQ(pair.guest().Send({}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(pair.up().words().interrupt_mask, 0u);
  ASSERT_EQ(pair.guest().Send({}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 5u);
}

// Found by channel_fuzz: it woke itself for ever, since a look that found nothing used up its budget.
TEST(Flow, ABudgetOfOnePacketComesToRest) {
  RecordingHandler guest;
  RecordingHandler host;
  ChannelPair pair({.host = {.drain_budget = 1}});
  pair.guest().Start(guest);
  pair.host().Start(host);
  ASSERT_TRUE(pair.Run());
  for (int i = 0; i < 4; ++i) ASSERT_EQ(pair.guest().Send({}), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(host.packet_count, 4u);
  EXPECT_EQ(host.drained, 4u);
  EXPECT_EQ(pair.up().words().interrupt_mask, 0u);
  EXPECT_LE(pair.sim().steps(), 10u);
}

}  // namespace
}  // namespace vmbuskit
