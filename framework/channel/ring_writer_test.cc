#include "framework/channel/ring_writer.h"

#include <array>
#include <string>
#include <vector>

#include "framework/base/hex.h"
#include "framework/channel/ring_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using ::testing::Each;

std::span<const std::byte> Text(std::string_view text) { return std::as_bytes(std::span(text)); }

// A packet of exactly `total` bytes on the ring.
class Filler {
 public:
  explicit Filler(uint32_t total) : payload_(Pattern(total - kMinRingBytes)) {}
  operator OutgoingPacket() const { return {.payload = payload_}; }

 private:
  std::vector<std::byte> payload_;
};

const OutgoingPacket kHello = {
    .completion_requested = true, .transaction_id = 0x2A, .payload = Text("hello vmbus")};

TEST(RingWriterVectors, InBandPacketAtTheStart) {  // protocol 02, 13.6
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  EXPECT_EQ(RingBytes(kHello), 40u);
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ToHex(ring.Data(0, 40)),
            "06 00 02 00 04 00 01 00 2a 00 00 00 00 00 00 00 "
            "68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00 "
            "00 00 00 00 00 00 00 00");
  EXPECT_EQ(ring.words().write_index, 0x28u);
}

TEST(RingWriterVectors, CompletionBehindIt) {  // 13.6
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  const std::array<std::byte, 8> zeros{};
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  ASSERT_EQ(
      writer.Append({.type = PacketType::kCompletion, .transaction_id = 0x2A, .payload = zeros}),
      AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ToHex(ring.Data(0x28, 32)),
            "0b 00 02 00 03 00 00 00 2a 00 00 00 00 00 00 00 "
            "00 00 00 00 00 00 00 00 00 00 00 00 28 00 00 00");
  EXPECT_EQ(ring.words().write_index, 0x48u);
}

TEST(RingWriterVectors, PacketWrapsAroundTheEnd) {  // 13.6
  TestRing ring(0x1000, 0xFF0);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ToHex(ring.Data(0xFF0, 16)), "06 00 02 00 04 00 01 00 2a 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(ring.Data(0, 24)),
            "68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00 "
            "00 00 00 00 f0 0f 00 00");
  EXPECT_EQ(ring.words().write_index, 0x18u);
}

TEST(RingWriterVectors, Space) {  // 13.6
  TestRing empty(0x1000);
  RingWriter writer(empty.memory());
  EXPECT_EQ(writer.FreeBytes(), 0x1000u);
  EXPECT_EQ(writer.max_total(), 4088u);

  TestRing used(0x1000, 0xFF0);
  used.words().write_index = 0x18;
  EXPECT_EQ(RingWriter(used.memory()).FreeBytes(), 0xFD8u);
}

TEST(RingWriter, EveryLengthIsCopiedExactlyAndPaddedWithZeros) {
  TestRing ring(0x1000);
  for (size_t size = 0; size <= 700; ++size) {
    ring.words().write_index = ring.words().read_index = 0xF00;
    std::fill_n(ring.memory().data, ring.memory().data_bytes, std::byte{0xEE});
    RingWriter writer(ring.memory());
    const std::vector<std::byte> payload = Pattern(size);
    ASSERT_EQ(writer.Append({.payload = payload}), AppendResult::kOk);
    const auto padded = static_cast<uint32_t>(AlignTo8(size));
    EXPECT_EQ(ring.Data(0xF10, static_cast<uint32_t>(size)), payload);
    const auto size32 = static_cast<uint32_t>(size);
    EXPECT_THAT(ring.Data(0xF10 + size32, padded - size32 + 4), Each(std::byte{0})) << size;
    EXPECT_EQ(ToHex(ring.Data(0xF10 + padded + 4, 4)), "00 0f 00 00") << size;
    EXPECT_EQ(ToHex(ring.Data(0xF10 + padded + 8, 4)), "ee ee ee ee") << size;
    EXPECT_EQ(ToHex(ring.Data(0xEFC, 4)), "ee ee ee ee") << size;
  }
}

TEST(RingWriter, ExtensionPayloadAndTailFollowEachOther) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  const auto extension = Pattern(24, 1), payload = Pattern(13, 2), tail = Pattern(30, 3);
  const OutgoingPacket packet = {.type = PacketType::kGpaDirect,
                                 .transaction_id = 0x1122334455667788,
                                 .extension = extension,
                                 .payload = payload,
                                 .payload_tail = tail};
  EXPECT_EQ(RingBytes(packet), 16u + 24 + 48 + 8);
  ASSERT_EQ(writer.Append(packet), AppendResult::kOk);
  EXPECT_EQ(ToHex(ring.Data(0, 16)), "09 00 05 00 0b 00 00 00 88 77 66 55 44 33 22 11");
  EXPECT_EQ(ring.Data(16, 24), extension);
  EXPECT_EQ(ring.Data(40, 13), payload);
  EXPECT_EQ(ring.Data(53, 30), tail);
  EXPECT_THAT(ring.Data(83, 5 + 8), Each(std::byte{0}));
}

TEST(RingWriter, NothingIsVisibleBeforePublish) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_EQ(ring.words().write_index, 0u);
  EXPECT_EQ(writer.unpublished_bytes(), 80u);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ring.words().write_index, 80u);
  EXPECT_EQ(writer.unpublished_bytes(), 0u);
  EXPECT_FALSE(writer.Publish()) << "nothing new";
}

TEST(RingWriter, OpeningSetsTheFeatureBitAndKeepsTheIndices) {
  TestRing ring(0x2000, 0x1F00);
  ring.words().feature_bits = 0x80;
  ring.words().pending_send_sz = 77;
  ring.words().interrupt_mask = 1;
  RingWriter writer(ring.memory());
  EXPECT_EQ(ring.words().feature_bits, 0x81u);
  EXPECT_EQ(ring.words().pending_send_sz, 0u);
  EXPECT_EQ(ring.words().interrupt_mask, 1u) << "the consumer's word";
  EXPECT_EQ(ring.words().write_index, 0x1F00u);
  EXPECT_EQ(writer.FreeBytes(), 0x2000u);
}

// ---- Space (section 7.2).

TEST(RingWriterSpace, LargestPacketLeavesEightBytes) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  EXPECT_EQ(writer.Append(Filler(4096)), AppendResult::kTooBig);
  EXPECT_EQ(writer.Append(Filler(1 << 20)), AppendResult::kTooBig);
  EXPECT_EQ(writer.Append(Filler(4088)), AppendResult::kOk);
  EXPECT_EQ(writer.FreeBytes(), 8u);
  EXPECT_EQ(writer.Append({}), AppendResult::kFull);
}

TEST(RingWriterSpace, FreeMustExceedTotal) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(4096 - 88)), AppendResult::kOk);
  EXPECT_EQ(writer.FreeBytes(), 88u);
  EXPECT_EQ(writer.Append(Filler(88)), AppendResult::kFull)
      << "free == total would make it look empty";
  EXPECT_EQ(writer.Append(Filler(80)), AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ring.words().write_index, 4088u);
}

TEST(RingWriterSpace, ReadIndexIsReadAgainOnlyWhenSpaceRunsOut) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ring.words().read_index = 3;  // would be a violation if it were looked at
  for (int i = 0; i < 40; ++i) EXPECT_EQ(writer.Append(Filler(96)), AppendResult::kOk);
  ring.words().read_index = 0;
  EXPECT_EQ(writer.Append(Filler(512)), AppendResult::kFull);
  (void)writer.Publish();
  ring.words().read_index = 960;
  EXPECT_EQ(writer.Append(Filler(512)), AppendResult::kOk);
}

TEST(RingWriterSpace, LengthFieldLimitsPacketsOfHugeRings) {
  TestRing ring(1 << 20);
  RingWriter writer(ring.memory());
  EXPECT_EQ(writer.max_total(), 0xFFFFu * 8 + 8);
  EXPECT_EQ(writer.Append(Filler(0xFFFF * 8 + 16)), AppendResult::kTooBig);
  EXPECT_EQ(writer.Append(Filler(0xFFFF * 8 + 8)), AppendResult::kOk);
  EXPECT_EQ(ToHex(ring.Data(0, 8)), "06 00 02 00 ff ff 00 00");
  EXPECT_EQ(writer.FreeBytes(), (1u << 20) - (0xFFFFu * 8 + 8));
}

// ---- Signalling (section 7.3 steps 5 and 6).

struct SignalCase {
  uint32_t mask;
  uint32_t read_index;  // at the time of the decision; the batch started at 0x100
  bool signal;
};

TEST(RingWriterSignals, OnlyOnTheEdgeAndUnmasked) {
  for (const SignalCase& test :
       {SignalCase{0, 0x100, true},     // was empty: edge
        SignalCase{1, 0x100, false},    // masked
        SignalCase{0, 0x80, false},     // reader has more before it
        SignalCase{0, 0x110, false},    // reader is in the new packets already
        SignalCase{1, 0x80, false}}) {  // neither
    TestRing ring(0x1000);
    ring.words().write_index = 0x100;
    ring.words().read_index = 0x80;
    RingWriter writer(ring.memory());
    ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
    ring.words().interrupt_mask = test.mask;
    ring.words().read_index = test.read_index;
    EXPECT_EQ(writer.Publish(), test.signal) << test.mask << " " << test.read_index;
  }
}

TEST(RingWriterSignals, OneDecisionForAWholeBatch) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  for (int i = 0; i < 5; ++i) ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_FALSE(writer.Publish()) << "the reader was told and has not read yet";
}

// ---- Waiting for space (section 7.5).

TEST(RingWriterPending, IsSetWhenFullAndClearedWhenItFits) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(4000)), AppendResult::kOk);
  (void)writer.Publish();
  ASSERT_EQ(writer.Append(Filler(200)), AppendResult::kFull);
  EXPECT_FALSE(writer.RequestSpace(200));
  EXPECT_EQ(ring.words().pending_send_sz, 200u);
  EXPECT_FALSE(writer.RequestSpace(200)) << "a wake-up that came early";
  EXPECT_EQ(ring.words().pending_send_sz, 200u);
  ring.words().read_index = 4000;
  EXPECT_EQ(writer.Append(Filler(200)), AppendResult::kOk);
  EXPECT_EQ(ring.words().pending_send_sz, 0u);
}

TEST(RingWriterPending, IsNotSetWhenTheReaderWasFaster) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(4000)), AppendResult::kOk);
  (void)writer.Publish();
  ASSERT_EQ(writer.Append(Filler(200)), AppendResult::kFull);
  ring.words().read_index = 4000;
  EXPECT_TRUE(writer.RequestSpace(200));
  EXPECT_EQ(ring.words().pending_send_sz, 0u);
  EXPECT_EQ(writer.Append(Filler(200)), AppendResult::kOk);
}

TEST(RingWriterPending, SmallerPacketsDoNotEndTheWait) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(3800)), AppendResult::kOk);
  (void)writer.Publish();
  EXPECT_FALSE(writer.RequestSpace(1024));
  EXPECT_EQ(writer.Append(Filler(64)), AppendResult::kOk);
  (void)writer.Publish();
  EXPECT_EQ(ring.words().pending_send_sz, 1024u);
  writer.CancelSpaceRequest();
  EXPECT_EQ(ring.words().pending_send_sz, 0u);
}

TEST(RingWriterPending, CorruptionEndsTheWait) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(4000)), AppendResult::kOk);
  (void)writer.Publish();
  ring.words().read_index = 0x1000;
  EXPECT_TRUE(writer.RequestSpace(200)) << "the next Append tells";
  EXPECT_EQ(writer.Append(Filler(24)), AppendResult::kCorrupt);
}

// ---- A consumer that lies (section 8.3). Each violation sticks.

void ExpectReadIndexRefused(uint32_t lie, const char* rule) {
  TestRing ring(0x1000, 0x800);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(2048)), AppendResult::kOk);  // published: 0x800 .. 0x1000 = 0
  (void)writer.Publish();
  ring.words().read_index = 0xC00;
  EXPECT_EQ(writer.FreeBytes(), 0xC00u);
  ring.words().read_index = lie;
  EXPECT_EQ(writer.Append(Filler(4000)), AppendResult::kCorrupt);
  EXPECT_STREQ(writer.violation().field, "read_index");
  EXPECT_EQ(writer.violation().value, lie);
  EXPECT_STREQ(writer.violation().rule, rule);
  ring.words().read_index = 0xC00;
  EXPECT_EQ(writer.Append(Filler(24)), AppendResult::kCorrupt) << "sticks";
  EXPECT_EQ(writer.FreeBytes(), 0u);
  EXPECT_EQ(writer.violation().value, lie);
}

constexpr char kOutside[] = "must be a multiple of 8 inside the ring";
constexpr char kMoved[] = "must not move back or pass the write index";

TEST(RingWriterHostile, ReadIndexAtTheEnd) { ExpectReadIndexRefused(0x1000, kOutside); }
TEST(RingWriterHostile, ReadIndexFarOutside) { ExpectReadIndexRefused(0xFFFFFFF8, kOutside); }
TEST(RingWriterHostile, ReadIndexMisaligned) { ExpectReadIndexRefused(0xC04, kOutside); }
TEST(RingWriterHostile, ReadIndexMovesBack) { ExpectReadIndexRefused(0xBF8, kMoved); }
TEST(RingWriterHostile, ReadIndexPassesTheWriteIndex) { ExpectReadIndexRefused(8, kMoved); }

TEST(RingWriterHostile, ReadIndexEntersAnUnpublishedBatch) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ASSERT_EQ(writer.Append(Filler(64)), AppendResult::kOk);
  ring.words().read_index = 32;
  EXPECT_EQ(writer.FreeBytes(), 0u);
  EXPECT_STREQ(writer.violation().rule, kMoved);
}

TEST(RingWriterHostile, IndicesFoundAtOpenAreChecked) {
  TestRing read(0x1000);
  read.words().read_index = 12;
  RingWriter first(read.memory());
  EXPECT_EQ(first.Append({}), AppendResult::kCorrupt);
  EXPECT_STREQ(first.violation().field, "read_index");

  TestRing write(0x1000);
  write.words().write_index = 0x2000;
  RingWriter second(write.memory());
  EXPECT_EQ(second.Append({}), AppendResult::kCorrupt);
  EXPECT_STREQ(second.violation().field, "write_index");
  EXPECT_EQ(second.violation().value, 0x2000u);
}

TEST(RingWriterHostile, OwnWriteIndexInMemoryIsNeverReadBack) {
  TestRing ring(0x1000);
  RingWriter writer(ring.memory());
  ring.words().write_index = 0x555;
  ASSERT_EQ(writer.Append(kHello), AppendResult::kOk);
  EXPECT_TRUE(writer.Publish());
  EXPECT_EQ(ring.words().write_index, 0x28u);
}

}  // namespace
}  // namespace vmbuskit
