// Both ends of rings together, in one thread.
#include "framework/channel/ring.h"

#include <vector>

#include "framework/channel/ring_testing.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"

namespace vmbuskit {
namespace {

bool Same(std::span<const std::byte> padded, std::span<const std::byte> sent) {
  return padded.size() == AlignTo8(sent.size()) &&
         std::equal(sent.begin(), sent.end(), padded.begin());
}

TEST(Ring, PacketSurvivesEveryStartIndex) {
  const auto payload = Pattern(117);
  TestRing ring(0x1000);
  for (uint32_t start = 0; start < 0x1000; start += 8) {
    ring.words().write_index = ring.words().read_index = start;
    RingWriter writer(ring.memory());
    RingReader reader(ring.memory(), {});
    ASSERT_EQ(
        writer.Append({.completion_requested = true, .transaction_id = start, .payload = payload}),
        AppendResult::kOk);
    (void)writer.Publish();
    Packet packet;
    ASSERT_EQ(reader.Next(packet), ReadResult::kPacket) << start;
    EXPECT_TRUE(Same(packet.payload, payload)) << start;
    EXPECT_EQ(packet.transaction_id, start);
    EXPECT_EQ(reader.Next(packet), ReadResult::kEmpty);
  }
}

TEST(Ring, AnyMixOfSizesArrivesInOrderOverManyWraps) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  RingReader reader(ring.memory(), {});
  uint64_t sent = 0, received = 0;
  uint32_t random = 12345;
  const auto size_of = [](uint64_t id) { return static_cast<size_t>(id * 2654435761u % 1500); };
  while (received < 20000) {
    random = random * 1664525 + 1013904223;
    for (uint32_t batch = random >> 28; batch > 0; --batch) {
      const auto payload = Pattern(size_of(sent), static_cast<uint32_t>(sent));
      if (writer.Append({.transaction_id = sent, .payload = payload}) != AppendResult::kOk) break;
      ++sent;
    }
    (void)writer.Publish();
    Packet packet;
    for (uint32_t batch = random >> 24 & 15; batch > 0; --batch) {
      if (reader.Next(packet) != ReadResult::kPacket) break;
      ASSERT_EQ(packet.transaction_id, received);
      ASSERT_TRUE(
          Same(packet.payload, Pattern(size_of(received), static_cast<uint32_t>(received))));
      ++received;
    }
    (void)reader.Commit();
    ASSERT_FALSE(reader.violation()) << reader.violation().field;
    ASSERT_FALSE(writer.violation()) << writer.violation().field;
  }
}

TEST(Ring, LargestPacketPassesThroughAtEveryAlignment) {
  for (uint32_t start = 0; start < 0x1000; start += 512) {
    TestRing ring(0x1000, start);
    RingWriter writer(ring.memory());
    RingReader reader(ring.memory(), {.max_packet_bytes = 4080});
    const auto payload = Pattern(writer.max_total() - kMinRingBytes);
    ASSERT_EQ(writer.Append({.payload = payload}), AppendResult::kOk);
    EXPECT_FALSE(writer.Publish()) << "the reader opened masked";
    Packet packet;
    ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
    EXPECT_TRUE(Same(packet.payload, payload));
    EXPECT_EQ(reader.Next(packet), ReadResult::kEmpty);
    EXPECT_FALSE(reader.Commit());
    EXPECT_EQ(writer.FreeBytes(), 0x1000u);
  }
}

// One end of a channel: writes one ring, reads the other.
struct End {
  End(TestRing& out, TestRing& in, bool guest)
      : writer(out.memory()), reader(in.memory(), {.guest_end = guest}) {}

  uint32_t Fill(std::span<const std::byte> payload) {
    uint32_t count = 0;
    while (writer.Append({.payload = payload}) == AppendResult::kOk) ++count;
    return count;
  }
  uint32_t Drain() {
    Packet packet;
    uint32_t count = 0;
    while (reader.Next(packet) == ReadResult::kPacket) ++count;
    return count;
  }

  RingWriter writer;
  RingReader reader;
};

TEST(Ring, BothDirectionsFullAtOnceGoOnBySignalsAlone) {
  TestRing up(0x1000), down(0x1000);
  End guest(up, down, true), host(down, up, false);
  const auto payload = Pattern(104);  // 128 bytes on the ring
  ASSERT_FALSE(guest.reader.Unmask());
  ASSERT_FALSE(host.reader.Unmask());
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(guest.Fill(payload), 31u) << "32 would make the ring look empty";
    EXPECT_EQ(host.Fill(payload), 31u);
    EXPECT_TRUE(guest.writer.Publish()) << "wakes the host";
    EXPECT_TRUE(host.writer.Publish()) << "wakes the guest";
    ASSERT_FALSE(guest.writer.RequestSpace(128));
    ASSERT_FALSE(host.writer.RequestSpace(128));
    EXPECT_EQ(host.Drain(), 31u);
    EXPECT_TRUE(host.reader.Commit()) << "the guest waits for space";
    EXPECT_EQ(guest.Drain(), 31u);
    EXPECT_TRUE(guest.reader.Commit()) << "the host waits for space";
    ASSERT_FALSE(guest.reader.Unmask());
    ASSERT_FALSE(host.reader.Unmask());
  }
  EXPECT_EQ(guest.writer.FreeBytes(), 0x1000u);
  EXPECT_EQ(up.words().pending_send_sz, 0u) << "seen space ends the wait";
}

TEST(Ring, WaitingForAQuarterAvoidsASignalPerPacket) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  RingReader reader(ring.memory(), {.guest_end = false});
  const auto payload = Pattern(104);
  while (writer.Append({.payload = payload}) == AppendResult::kOk) {
  }
  (void)writer.Publish();
  ASSERT_FALSE(writer.RequestSpace(0x400));
  Packet packet;
  int signals = 0;
  while (reader.Next(packet) == ReadResult::kPacket) signals += reader.Commit();
  EXPECT_EQ(signals, 1);
}

TEST(Ring, HvsocketKeepsPendingSetForEver) {  // section 9.5: the reader must not clear it
  TestRing ring(0x5000);
  RingWriter writer(ring.memory());
  RingReader reader(ring.memory(), {.guest_end = false});
  ring.words().pending_send_sz = 4120;
  const auto payload = Pattern(4088);
  int signals = 0;
  Packet packet;
  for (int round = 0; round < 10; ++round) {
    while (writer.Append({.payload = payload}) == AppendResult::kOk) {
    }
    (void)writer.Publish();
    while (reader.Next(packet) == ReadResult::kPacket) signals += reader.Commit();
  }
  EXPECT_EQ(signals, 10) << "one crossing per round";
  EXPECT_EQ(ring.words().pending_send_sz, 4120u);
}

TEST(Ring, NothingIsAllocatedPerPacket) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  RingReader reader(ring.memory(), {});
  const auto payload = Pattern(64);
  const uint64_t before = ThreadAllocations();
  for (int i = 0; i < 1000; ++i) {
    while (writer.Append({.payload = payload, .payload_tail = payload}) == AppendResult::kOk) {
    }
    (void)writer.Publish();
    (void)writer.RequestSpace(512);
    Packet packet;
    while (reader.Next(packet) == ReadResult::kPacket) {
    }
    (void)reader.Commit();
    (void)reader.Unmask();
    reader.Mask();
  }
  EXPECT_EQ(ThreadAllocations() - before, 0u);
}

}  // namespace
}  // namespace vmbuskit
