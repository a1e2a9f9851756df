#include "framework/channel/ring_reader.h"

#include <array>
#include <string>
#include <vector>

#include "framework/base/hex.h"
#include "framework/channel/ring_testing.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// A descriptor and `body`, with the trailer; lengths as they should be.
std::vector<std::byte> RawPacket(uint16_t type, uint16_t flags, uint64_t id,
                                 std::span<const std::byte> body) {
  const auto length = static_cast<uint16_t>(AlignTo8(16 + body.size()));
  const PacketDescriptor descriptor = {type, 2, static_cast<uint16_t>(length / 8), flags, id};
  std::vector<std::byte> bytes(length + 8);
  std::memcpy(bytes.data(), &descriptor, sizeof descriptor);
  if (!body.empty()) std::memcpy(bytes.data() + 16, body.data(), body.size());
  return bytes;
}

PacketDescriptor& DescriptorAt(TestRing& ring, uint32_t index) {
  return *reinterpret_cast<PacketDescriptor*>(ring.memory().data + index);
}

TEST(RingReaderVectors, InBandPacketAndCompletion) {  // protocol 02, 13.6
  TestRing ring(0x1000);
  ring.Publish(0, FromHex("06 00 02 00 04 00 01 00 2a 00 00 00 00 00 00 00"
                          " 68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00"
                          " 00 00 00 00 00 00 00 00"));
  ring.Publish(0x28, FromHex("0b 00 02 00 03 00 00 00 2a 00 00 00 00 00 00 00"
                             " 00 00 00 00 00 00 00 00 00 00 00 00 28 00 00 00"));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.type, PacketType::kInBand);
  EXPECT_TRUE(packet.completion_requested);
  EXPECT_EQ(packet.transaction_id, 0x2Au);
  EXPECT_TRUE(packet.extension.empty());
  EXPECT_EQ(ToHex(packet.payload), "68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00");
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.type, PacketType::kCompletion);
  EXPECT_FALSE(packet.completion_requested);
  EXPECT_EQ(packet.payload.size(), 8u);
  EXPECT_EQ(reader.Next(packet), ReadResult::kEmpty);
  EXPECT_EQ(ring.words().read_index, 0u) << "not committed";
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(ring.words().read_index, 0x48u);
}

TEST(RingReaderVectors,
     PacketWrapsAroundTheEnd) {  // 13.6; a trailer that some hosts leave out is not needed
  TestRing ring(0x1000, 0xFF0);
  ring.Publish(0xFF0, FromHex("06 00 02 00 04 00 01 00 2a 00 00 00 00 00 00 00"
                              " 68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00"
                              " de ad be ef de ad be ef"));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(ToHex(packet.payload), "68 65 6c 6c 6f 20 76 6d 62 75 73 00 00 00 00 00");
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(ring.words().read_index, 0x18u);
}

TEST(RingReaderVectors, RangesAreTheExtension) {  // 13.7 and 13.8
  TestRing ring(0x1000);
  ring.Publish(0, FromHex("09 00 06 00 07 00 01 00 07 00 00 00 00 00 00 00"
                          " 00 00 00 00 01 00 00 00 00 10 00 00 00 01 00 00"
                          " 00 02 00 00 00 00 00 00 01 02 00 00 00 00 00 00"
                          " 01 02 03 04 05 06 07 08 00 00 00 00 00 00 00 00"));
  ring.Publish(0x40, FromHex("07 00 05 00 06 00 01 00 99 00 00 00 00 00 00 00"
                             " fe ca 00 00 02 00 00 00 60 00 00 00 00 00 00 00"
                             " ea 05 00 00 00 06 00 00 00 00 00 00 00 00 00 00"
                             " 00 00 00 00 00 00 00 00"));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.type, PacketType::kGpaDirect);
  EXPECT_EQ(packet.extension.size(), 32u);
  EXPECT_EQ(ToHex(packet.payload), "01 02 03 04 05 06 07 08");
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.type, PacketType::kTransferPages);
  EXPECT_EQ(packet.transaction_id, 0x99u);
  EXPECT_EQ(ToHex(packet.extension.first(8)), "fe ca 00 00 02 00 00 00");
  EXPECT_EQ(packet.payload.size(), 8u);
}

TEST(RingReader, EveryLengthIsCopiedExactly) {
  for (uint32_t size = 0; size <= 700; size += 8) {
    TestRing ring(0x1000, 0xF00);
    const std::vector<std::byte> payload = Pattern(size);
    ring.Publish(0xF00, RawPacket(6, 0, size, payload));
    RingReader reader(ring.memory(), {});
    Packet packet;
    ASSERT_EQ(reader.Next(packet), ReadResult::kPacket) << size;
    EXPECT_EQ(std::vector(packet.payload.begin(), packet.payload.end()), payload);
    EXPECT_EQ(packet.transaction_id, size);
  }
}

TEST(RingReader, OpensMaskedAtTheIndicesFound) {
  TestRing ring(0x1000, 0x800);
  RingReader reader(ring.memory(), {});
  EXPECT_EQ(ring.words().interrupt_mask, 1u);
  EXPECT_EQ(ring.words().feature_bits, 0u) << "the producer's word";
  ring.Publish(0x800, RawPacket(6, 0, 5, {}));
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.transaction_id, 5u);
}

TEST(RingReader, WriteIndexIsReadAgainOnlyWhenPacketsRunOut) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, {}));
  ring.Publish(24, RawPacket(6, 0, 2, {}));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(reader.available_bytes(), 24u);
  ring.words().write_index = 3;  // would be a violation if it were looked at
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  ring.words().write_index = 48;
  EXPECT_EQ(reader.Next(packet), ReadResult::kEmpty);
}

TEST(RingReader, PacketIsAPrivateCopy) {
  TestRing ring(0x1000);
  const auto payload = Pattern(64);
  ring.Publish(0, RawPacket(6, 0, 1, payload));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  std::fill_n(ring.memory().data, 0x1000, std::byte{0xFF});  // the peer changes its mind
  EXPECT_EQ(std::vector(packet.payload.begin(), packet.payload.end()), payload);
}

TEST(RingReader, InPlaceShowsTheRingItself) {
  TestRing ring(0x1000, 0xFF0);
  const auto payload = Pattern(64);
  ring.Publish(0xFF0, RawPacket(6, 1, 9, payload));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.NextInPlace(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.payload.data(), ring.memory().data + 0x1000);
  EXPECT_EQ(std::vector(packet.payload.begin(), packet.payload.end()), payload);
  EXPECT_TRUE(packet.completion_requested);
  EXPECT_EQ(packet.transaction_id, 9u);
  EXPECT_EQ(reader.NextInPlace(packet), ReadResult::kEmpty);
}

TEST(RingReader, InPlaceChecksTheSame) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, {}));
  DescriptorAt(ring, 0).offset8 = 3;
  RingReader reader(ring.memory(), {});
  Packet packet;
  EXPECT_EQ(reader.NextInPlace(packet), ReadResult::kCorrupt);
  EXPECT_STREQ(reader.violation().field, "offset8");
}

// ---- Freed space (section 7.4 step 5).

struct CrossingCase {
  uint32_t pending;
  bool signal;
};

// Vector 13.6: write index 0x100, the read index moves from 0x180 to 0x280, so free goes from 0x80
// to 0x180.
bool CommitSignals(uint32_t pending, bool feature_bit, bool guest_end) {
  TestRing ring(0x1000, 0x180);
  ring.Publish(0x180, RawPacket(6, 0, 1, Pattern(0x100 - 24)));
  ring.Publish(0x280, RawPacket(6, 0, 2, Pattern(0xE80 - 24)));  // up to 0x100
  RingReader reader(ring.memory(), {.guest_end = guest_end});
  EXPECT_EQ(ring.words().write_index, 0x100u);
  ring.words().feature_bits = feature_bit;
  ring.words().pending_send_sz = pending;
  Packet packet;
  EXPECT_EQ(reader.Next(packet), ReadResult::kPacket);
  const bool signal = reader.Commit();
  EXPECT_EQ(ring.words().read_index, 0x280u);
  EXPECT_EQ(ring.words().pending_send_sz, pending) << "the producer's word";
  return signal;
}

TEST(RingReaderSignals, WhenFreeSpaceCrossesPending) {
  for (const CrossingCase& test :
       {CrossingCase{0, false}, CrossingCase{0x78, false}, CrossingCase{0x80, true},
        CrossingCase{0x100, true}, CrossingCase{0x178, true}, CrossingCase{0x17F, true},
        CrossingCase{0x180, false}, CrossingCase{0x200, false}, CrossingCase{0xFFFFFFFF, false}}) {
    EXPECT_EQ(CommitSignals(test.pending, true, true), test.signal) << test.pending;
    EXPECT_EQ(CommitSignals(test.pending, true, false), test.signal) << test.pending;
  }
}

TEST(RingReaderSignals, GuestNeverSignalsAHostWithoutTheFeature) {
  EXPECT_FALSE(CommitSignals(0x100, false, true));
}

TEST(RingReaderSignals, HostDoesNotAskForTheFeature) {
  EXPECT_TRUE(CommitSignals(0x100, false, false));
}

TEST(RingReaderSignals, UefiWaitsForAnEmptyRing) {  // pending = data size - 1
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, {}));
  ring.Publish(24, RawPacket(6, 0, 2, {}));
  ring.words().pending_send_sz = 0x1000 - 1;
  RingReader reader(ring.memory(), {.guest_end = false});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_FALSE(reader.Commit());
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_TRUE(reader.Commit());
}

TEST(RingReaderSignals, WhatThePeerWroteMeanwhileCounts) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, Pattern(0x800 - 24)));
  RingReader reader(ring.memory(), {.guest_end = false});
  ring.words().pending_send_sz = 0x900;
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  ring.Publish(0x800, RawPacket(6, 0, 1, Pattern(0x700 - 24)));  // free is 0x900 now, not 0x1000
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(reader.available_bytes(), 0x700u);
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_TRUE(reader.Commit());
}

TEST(RingReaderSignals, NothingReadIsNothingCommitted) {
  TestRing ring(0x1000);
  ring.words().pending_send_sz = 0xFF8;
  RingReader reader(ring.memory(), {.guest_end = false});
  ring.words().read_index = 8;
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(ring.words().read_index, 8u) << "not even stored";
}

TEST(RingReaderSignals, BatchIsOneDecision) {
  TestRing ring(0x1000);
  uint32_t index = 0;
  for (int i = 0; i < 10; ++i, index += 0x180) {
    ring.Publish(index, RawPacket(6, 0, 1, Pattern(0x180 - 24)));
  }
  ring.words().pending_send_sz = 0x200;  // free is 0x100
  RingReader reader(ring.memory(), {.guest_end = false});
  Packet packet;
  while (reader.Next(packet) == ReadResult::kPacket) {
  }
  EXPECT_TRUE(reader.Commit());
  EXPECT_FALSE(reader.Commit());
}

// ---- Masking (section 7.6).

TEST(RingReaderMask, UnmaskTellsAboutPacketsThatCameMeanwhile) {
  TestRing ring(0x1000);
  RingReader reader(ring.memory(), {});
  reader.Mask();
  EXPECT_EQ(ring.words().interrupt_mask, 1u);
  EXPECT_FALSE(reader.Unmask());
  EXPECT_EQ(ring.words().interrupt_mask, 0u);
  reader.Mask();
  ring.Publish(0, RawPacket(6, 0, 1, {}));
  EXPECT_TRUE(reader.Unmask());
  Packet packet;
  EXPECT_EQ(reader.Next(packet), ReadResult::kPacket);
}

TEST(RingReaderMask, UnmaskOfACorruptRingMakesTheCallerLook) {
  TestRing ring(0x1000);
  RingReader reader(ring.memory(), {});
  ring.words().write_index = 0x1000;
  EXPECT_TRUE(reader.Unmask());
  Packet packet;
  EXPECT_EQ(reader.Next(packet), ReadResult::kCorrupt);
}

// ---- A producer that lies (section 8.3). Each violation sticks.

struct Lie {
  bool guest_end = true;
  uint32_t max_packet_bytes = 4096;
};

// The ring holds a good 32-byte packet at 0 and a 48-byte one (len8 5) at 0x20; `lie` changes the
// second.
template <typename Change>
void ExpectRefused(Change lie, const char* field, uint64_t value, Lie options = {}) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, Pattern(8)));
  ring.Publish(0x20, RawPacket(6, 0, 2, Pattern(24)));
  RingReader reader(ring.memory(),
                    {.max_packet_bytes = options.max_packet_bytes, .guest_end = options.guest_end});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  lie(ring, DescriptorAt(ring, 0x20));
  ASSERT_EQ(reader.Next(packet), ReadResult::kCorrupt);
  ASSERT_TRUE(reader.violation());
  EXPECT_STREQ(reader.violation().field, field);
  EXPECT_EQ(reader.violation().value, value);
  EXPECT_EQ(reader.available_bytes(), 0u);
  ring.Publish(0x20, RawPacket(6, 0, 2, Pattern(24)));
  EXPECT_EQ(reader.Next(packet), ReadResult::kCorrupt) << "sticks";
  EXPECT_FALSE(reader.Commit()) << "what was good is still given back";
  EXPECT_EQ(ring.words().read_index, 0x20u);
}

using D = PacketDescriptor;

TEST(RingReaderHostile, Len8IsZero) {
  ExpectRefused([](TestRing&, D& d) { d.len8 = 0; }, "len8", 0);
}
TEST(RingReaderHostile, Len8IsOne) {
  ExpectRefused([](TestRing&, D& d) { d.len8 = 1; }, "len8", 1);
}
TEST(RingReaderHostile, Len8PassesTheWriteIndex) {
  ExpectRefused([](TestRing&, D& d) { d.len8 = 7; }, "len8", 7);
}
TEST(RingReaderHostile, TrailerPassesTheWriteIndex) {
  ExpectRefused([](TestRing&, D& d) { d.len8 = 6; }, "len8", 6);
}
TEST(RingReaderHostile, Len8IsTheLargestNumber) {
  ExpectRefused([](TestRing&, D& d) { d.len8 = 0xFFFF; }, "len8", 0xFFFF);
}
TEST(RingReaderHostile, PacketAboveTheChannelsLimit) {
  ExpectRefused([](TestRing&, D&) {}, "len8", 5, {.max_packet_bytes = 32});
}
TEST(RingReaderHostile, Offset8IsZero) {
  ExpectRefused([](TestRing&, D& d) { d.offset8 = 0; }, "offset8", 0);
}
TEST(RingReaderHostile, Offset8IsOne) {
  ExpectRefused([](TestRing&, D& d) { d.offset8 = 1; }, "offset8", 1);
}
TEST(RingReaderHostile, Offset8PassesLen8) {
  ExpectRefused([](TestRing&, D& d) { d.offset8 = 6; }, "offset8", 6);
}
TEST(RingReaderHostile, UnknownTypeAtTheHostEnd) {
  ExpectRefused([](TestRing&, D& d) { d.type = 8; }, "packet type", 8, {.guest_end = false});
  ExpectRefused([](TestRing&, D& d) { d.type = 38; }, "packet type", 38, {.guest_end = false});
}
TEST(RingReaderHostile, UnknownFlagsAtTheHostEnd) {
  ExpectRefused([](TestRing&, D& d) { d.flags = 3; }, "packet flags", 3, {.guest_end = false});
}

// The reader consumed everything up to 0x20 without a commit, then looks at the write index again.
void ExpectWriteIndexRefused(uint32_t lie, const char* field, uint64_t value) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, Pattern(8)));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  ring.words().write_index = lie;
  ASSERT_EQ(reader.Next(packet), ReadResult::kCorrupt);
  EXPECT_STREQ(reader.violation().field, field);
  EXPECT_EQ(reader.violation().value, value);
  ring.words().write_index = 0x20;
  EXPECT_EQ(reader.Next(packet), ReadResult::kCorrupt) << "sticks";
}

TEST(RingReaderHostile, WriteIndexAtTheEnd) {
  ExpectWriteIndexRefused(0x1000, "write_index", 0x1000);
}
TEST(RingReaderHostile, WriteIndexFarOutside) {
  ExpectWriteIndexRefused(0xFFFFFFF8, "write_index", 0xFFFFFFF8);
}
TEST(RingReaderHostile, WriteIndexMisaligned) {
  ExpectWriteIndexRefused(0x41, "write_index", 0x41);
}
TEST(RingReaderHostile, WriteIndexMovesBack) { ExpectWriteIndexRefused(0x18, "write_index", 0x18); }
TEST(RingReaderHostile, LessThanAPacketIsReadable) {
  ExpectWriteIndexRefused(0x28, "readable bytes", 8);
  ExpectWriteIndexRefused(0x30, "readable bytes", 16);
}

TEST(RingReaderHostile, WriteIndexMovesBackBelowKnownPackets) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, Pattern(8)));
  ring.Publish(0x20, RawPacket(6, 0, 2, Pattern(8)));
  ring.words().pending_send_sz = 0xFD0;
  RingReader reader(ring.memory(), {.guest_end = false});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  ring.words().write_index = 0x20;
  EXPECT_FALSE(reader.Commit()) << "which looks at it because the producer waits";
  EXPECT_EQ(reader.Next(packet), ReadResult::kCorrupt);
  EXPECT_STREQ(reader.violation().rule, "must not move back");
}

TEST(RingReaderHostile, ReadIndexFoundAtOpenIsChecked) {
  TestRing ring(0x1000);
  ring.words().read_index = 0x1008;
  RingReader reader(ring.memory(), {});
  Packet packet;
  EXPECT_EQ(reader.Next(packet), ReadResult::kCorrupt);
  EXPECT_STREQ(reader.violation().field, "read_index");
}

TEST(RingReaderHostile, OwnReadIndexInMemoryIsNeverReadBack) {
  TestRing ring(0x1000);
  RingReader reader(ring.memory(), {});
  ring.words().read_index = 0x777;
  ring.Publish(0, RawPacket(6, 0, 1, {}));
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(ring.words().read_index, 24u);
}

TEST(RingReaderHostile, GuestSkipsUnknownPacketsAndCountsThem) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(8, 0, 1, Pattern(40)));
  ring.Publish(64, RawPacket(6, 2, 2, {}));
  ring.Publish(88, RawPacket(0xFFFF, 0, 3, {}));
  ring.Publish(112, RawPacket(6, 0, 4, {}));
  ring.Publish(136, RawPacket(0xA, 0, 5, {}));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_EQ(packet.transaction_id, 4u);
  EXPECT_EQ(reader.ignored(), 3u);
  EXPECT_EQ(reader.Next(packet), ReadResult::kEmpty);
  EXPECT_EQ(reader.ignored(), 4u);
  EXPECT_FALSE(reader.Commit());
  EXPECT_EQ(ring.words().read_index, 160u) << "their space is given back";
}

TEST(RingReaderHostile, PayloadShorterThanTheStruct) {
  TestRing ring(0x1000);
  ring.Publish(0, RawPacket(6, 0, 1, Pattern(8)));
  RingReader reader(ring.memory(), {});
  Packet packet;
  ASSERT_EQ(reader.Next(packet), ReadResult::kPacket);
  EXPECT_TRUE(packet.PayloadAs<uint64_t>().has_value());
  EXPECT_TRUE(packet.PayloadAs<uint32_t>(4).has_value());
  EXPECT_FALSE(packet.PayloadAs<uint32_t>(5).has_value());
  EXPECT_FALSE((packet.PayloadAs<std::array<uint32_t, 3>>().has_value()));
  EXPECT_FALSE(packet.PayloadAs<uint8_t>(SIZE_MAX).has_value());
}

}  // namespace
}  // namespace vmbuskit
