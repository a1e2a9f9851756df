#include "framework/channel/ring_baseline.h"

#include <vector>

#include "framework/channel/ring.h"
#include "framework/channel/ring_testing.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// The comparison is fair only if both speak the same format.
TEST(RingBaseline, RingReadsWhatItWrites) {
  TestRing ring(4096, 4000);
  BaselineWriter writer(ring.memory(), 4000);
  RingReader reader(ring.memory(), {.guest_end = false});
  for (uint32_t id = 0; id < 500; ++id) {
    const auto payload = Pattern(id % 300, id);
    bool signal = false;
    ASSERT_TRUE(writer.Write(id, payload, signal));
    EXPECT_FALSE(signal) << "masked";
    Packet packet;
    ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
    EXPECT_EQ(packet.transaction_id, id);
    ASSERT_EQ(packet.payload.size(), AlignTo8(payload.size()));
    EXPECT_TRUE(std::equal(payload.begin(), payload.end(), packet.payload.begin()));
    (void)reader.Commit();
  }
}

TEST(RingBaseline, ReadsWhatTheRingWrites) {
  TestRing ring(4096);
  RingWriter writer(ring.memory());
  BaselineReader reader(ring.memory());
  std::vector<std::byte> copy(4096);
  for (uint32_t id = 0; id < 500; ++id) {
    const auto payload = Pattern(8 * (id % 40), id);
    ASSERT_EQ(writer.Append({.transaction_id = id, .payload = payload}), AppendResult::kOk);
    EXPECT_TRUE(writer.Publish()) << "unmasked and empty before";
    uint64_t got = 0;
    bool signal = false;
    ASSERT_EQ(reader.Read(copy, got, signal), static_cast<int>(payload.size()));
    EXPECT_EQ(got, id);
    EXPECT_TRUE(std::equal(payload.begin(), payload.end(), copy.begin()));
  }
  uint64_t got;
  bool signal = false;
  EXPECT_LT(reader.Read(copy, got, signal), 0) << "empty";
}

TEST(RingBaseline, FullRingTakesNothingAndFreedSpaceSignals) {
  TestRing ring(4096);
  BaselineWriter writer(ring.memory());
  BaselineReader reader(ring.memory());
  const auto payload = Pattern(104);
  bool signal = false;
  int count = 0;
  while (writer.Write(1, payload, signal)) ++count;
  EXPECT_EQ(count, 31);
  EXPECT_TRUE(signal);
  ring.words().pending_send_sz = 128;
  std::vector<std::byte> copy(128);
  uint64_t got;
  signal = false;
  EXPECT_EQ(reader.Read(copy, got, signal), 104);
  EXPECT_TRUE(signal) << "128 free, then 256";
}

}  // namespace
}  // namespace vmbuskit
