#include "framework/channel/packet_ranges.h"

#include <array>
#include <cstring>
#include <vector>

#include "framework/base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;

void Put32(std::span<std::byte> bytes, size_t offset, uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

std::vector<GpaSegment> Walk(const GpaDirectRanges& ranges) {
  std::vector<GpaSegment> segments;
  GpaSegment segment;
  for (GpaCursor cursor(ranges); cursor.Next(segment);) segments.push_back(segment);
  return segments;
}

// ---- Transfer pages. Protocol 02, vector 13.8: the bytes between descriptor and payload.

constexpr char kTransferVector[] =
    "fe ca 00 00 02 00 00 00 60 00 00 00 00 00 00 00 ea 05 00 00 00 06 00 00";

TEST(TransferPages, BuildsTheVector) {
  std::array<std::byte, 24> space;
  const std::array<TransferRange, 2> ranges = {{{0x60, 0}, {0x5EA, 0x600}}};
  EXPECT_EQ(ToHex(BuildTransferPages(space, 0xCAFE, ranges)), kTransferVector);
}

TEST(TransferPages, ParsesTheVector) {
  const auto extension = FromHex(kTransferVector);
  const auto pages = TransferPages::Parse(extension, 0x600 + 0x5EA);
  ASSERT_TRUE(pages.has_value());
  EXPECT_EQ(pages->set_id(), 0xCAFE);
  ASSERT_EQ(pages->size(), 2u);
  EXPECT_EQ((*pages)[0], (TransferRange{0x60, 0}));
  EXPECT_EQ((*pages)[1], (TransferRange{0x5EA, 0x600}));
}

TEST(TransferPages, ReservedByteMayBeGarbage) {
  auto extension = FromHex(kTransferVector);
  extension[2] = extension[3] = std::byte{0xFF};
  EXPECT_TRUE(TransferPages::Parse(extension, 0x1000).has_value());
}

TEST(TransferPages, BuildRefusesWhatDoesNotFit) {
  std::array<std::byte, 23> space;
  const std::array<TransferRange, 2> ranges{};
  EXPECT_TRUE(BuildTransferPages(space, 1, ranges).empty());
  EXPECT_TRUE(BuildTransferPages(space, 1, {}).empty());
  EXPECT_EQ(BuildTransferPages(space, 1, std::span(ranges).first(1)).size(), 16u);
}

TEST(TransferPagesHostile, RangeCountAboveWhatFits) {
  auto extension = FromHex(kTransferVector);
  for (uint32_t count : {0u, 3u, 0x20000002u, 0xFFFFFFFFu}) {
    Put32(extension, 4, count);
    EXPECT_FALSE(TransferPages::Parse(extension, 0x1000).has_value()) << count;
  }
}

TEST(TransferPagesHostile, ExtensionTooShortForACount) {
  EXPECT_FALSE(TransferPages::Parse({}, 0x1000).has_value());
}

TEST(TransferPagesHostile, RangePastTheBuffer) {
  auto extension = FromHex(kTransferVector);
  EXPECT_FALSE(TransferPages::Parse(extension, 0x600 + 0x5E9).has_value()) << "length one too many";
  Put32(extension, 20, 0xBEB);
  EXPECT_FALSE(TransferPages::Parse(extension, 0xBEA).has_value()) << "offset behind the end";
  Put32(extension, 16, 0xFFFFFFFF);
  Put32(extension, 20, 2);
  EXPECT_FALSE(TransferPages::Parse(extension, 0x1000).has_value()) << "the sum overflows 32 bits";
}

TEST(TransferPagesHostile, EmptyRangeAtTheEndIsInside) {
  auto extension = FromHex(kTransferVector);
  Put32(extension, 16, 0);
  Put32(extension, 20, 0x1000);
  EXPECT_TRUE(TransferPages::Parse(extension, 0x1000).has_value());
}

// ---- GPA-direct. Vector 13.7.

constexpr char kGpaVector[] =
    "00 00 00 00 01 00 00 00 00 10 00 00 00 01 00 00 "
    "00 02 00 00 00 00 00 00 01 02 00 00 00 00 00 00";

TEST(GpaDirect, BuildsTheVector) {
  std::array<std::byte, GpaDirectBytes(2)> space;
  const std::array<Pfn, 2> pfns = {0x200, 0x201};
  EXPECT_EQ(ToHex(BuildMultiPage(space, 0x100, 0x1000, pfns)), kGpaVector);
}

TEST(GpaDirect, WalksTheVectorAsOneRun) {
  const auto extension = FromHex(kGpaVector);
  const auto ranges = GpaDirectRanges::Parse(extension);
  ASSERT_TRUE(ranges.has_value());
  EXPECT_EQ(ranges->range_count(), 1u);
  EXPECT_EQ(ranges->total_bytes(), 0x1000u);
  EXPECT_THAT(Walk(*ranges), ElementsAre(GpaSegment{0x200100, 0x1000}));
}

TEST(GpaDirect, ScatteredPagesAreSegments) {
  std::array<std::byte, GpaDirectBytes(4)> space;
  const std::array<Pfn, 4> pfns = {7, 8, 3, 4};
  const auto extension = BuildMultiPage(space, 0xF00, 0x100 + 3 * 0x1000 - 1, pfns);
  const auto ranges = GpaDirectRanges::Parse(extension);
  ASSERT_TRUE(ranges.has_value());
  EXPECT_THAT(Walk(*ranges), ElementsAre(GpaSegment{0x7F00, 0x1100}, GpaSegment{0x3000, 0x1FFF}));
}

TEST(GpaDirect, PageBuffersAreOneRangeEach) {
  std::array<std::byte, PageBuffersBytes(2)> space;
  const std::array<PageBuffer, 2> buffers = {
      {{.pfn = 5, .offset = 0x10, .length = 0xFF0}, {.pfn = 6, .offset = 0, .length = 1}}};
  const auto extension = BuildPageBuffers(space, buffers);
  EXPECT_EQ(ToHex(extension),
            "00 00 00 00 02 00 00 00 f0 0f 00 00 10 00 00 00 05 00 00 00 00 00 00 00 "
            "01 00 00 00 00 00 00 00 06 00 00 00 00 00 00 00");
  const auto ranges = GpaDirectRanges::Parse(extension);
  ASSERT_TRUE(ranges.has_value());
  EXPECT_EQ(ranges->range_count(), 2u);
  EXPECT_EQ(ranges->total_bytes(), 0xFF1u);
  EXPECT_THAT(Walk(*ranges), ElementsAre(GpaSegment{0x5010, 0xFF0}, GpaSegment{0x6000, 1}))
      << "ranges stay apart";
}

TEST(GpaDirect, SeveralRangesOfSeveralPages) {
  // Two multi-page ranges in one packet: no builder sends it, other guests may.
  const auto extension = FromHex(
      "00 00 00 00 02 00 00 00 00 10 00 00 01 00 00 00 09 00 00 00 00 00 00 00 "
      "02 00 00 00 00 00 00 00 00 20 00 00 00 00 00 00 03 00 00 00 00 00 00 00 "
      "04 00 00 00 00 00 00 00");
  const auto ranges = GpaDirectRanges::Parse(extension);
  ASSERT_TRUE(ranges.has_value());
  EXPECT_THAT(Walk(*ranges), ElementsAre(GpaSegment{0x9001, 0xFFF}, GpaSegment{0x2000, 1},
                                         GpaSegment{0x3000, 0x2000}));
}

TEST(GpaDirect, PagesSpannedCountsTouchedPages) {  // protocol 02, vector 13.4
  EXPECT_EQ(PagesSpanned(0, 0x2000), 2u);
  EXPECT_EQ(PagesSpanned(0xE00, 0x200), 1u);
  EXPECT_EQ(PagesSpanned(0xE00, 0x201), 2u);
  EXPECT_EQ(PagesSpanned(0xFFF, 2), 2u);
  EXPECT_EQ(PagesSpanned(0xFFF, 0xFFFFFFFF), 0x100001u) << "no overflow";
}

TEST(GpaDirect, ReservedWordIsIgnored) {
  auto extension = FromHex(kGpaVector);
  Put32(extension, 0, 0xFFFFFFFF);
  EXPECT_TRUE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirect, BytesBehindTheLastRangeAreIgnored) {
  auto extension = FromHex(kGpaVector);
  extension.resize(extension.size() + 8);
  EXPECT_TRUE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirect, BuildersRefuseBrokenRules) {
  std::array<std::byte, PageBuffersBytes(33)> space;
  const std::array<Pfn, 2> pfns = {1, 2};
  EXPECT_TRUE(BuildMultiPage(space, 0, 0x1000, pfns).empty()) << "one page would do";
  EXPECT_TRUE(BuildMultiPage(space, 1, 0x2000, pfns).empty()) << "needs three";
  EXPECT_TRUE(BuildMultiPage(space, 0x1000, 0x10, pfns).empty()) << "offset of a page";
  EXPECT_TRUE(BuildMultiPage(space, 0, 0, {}).empty()) << "nothing";
  EXPECT_TRUE(BuildMultiPage(std::span(space).first(31), 0, 0x2000, pfns).empty()) << "space";
  EXPECT_EQ(BuildMultiPage(std::span(space).first(32), 0, 0x2000, pfns).size(), 32u);

  std::vector<PageBuffer> buffers(33, PageBuffer{.pfn = 1, .offset = 0, .length = 0x1000});
  EXPECT_TRUE(BuildPageBuffers(space, buffers).empty()) << "at most 32";
  buffers.pop_back();
  EXPECT_EQ(BuildPageBuffers(space, buffers).size(), PageBuffersBytes(32));
  EXPECT_TRUE(BuildPageBuffers(std::span(space).first(100), buffers).empty()) << "space";
  buffers.back().offset = 1;
  EXPECT_TRUE(BuildPageBuffers(space, buffers).empty()) << "crosses the page";
  buffers.back() = {.pfn = 1, .offset = 0, .length = 0};
  EXPECT_TRUE(BuildPageBuffers(space, buffers).empty()) << "empty";
  EXPECT_TRUE(BuildPageBuffers(space, {}).empty());
}

TEST(GpaDirectHostile, RangeCountAboveWhatFits) {
  auto extension = FromHex(kGpaVector);
  for (uint32_t count : {0u, 2u, 0x10000001u, 0xFFFFFFFFu}) {
    Put32(extension, 4, count);
    EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value()) << count;
  }
}

TEST(GpaDirectHostile, PfnsDoNotFit) {
  auto extension = FromHex(kGpaVector);
  Put32(extension, 8, 0x1F01);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value()) << "three pages, two PFNs";
  Put32(extension, 8, 0xFFFFFFFF);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value());
  Put32(extension, 8, 0x1F00);
  EXPECT_TRUE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirectHostile, SecondRangesHeadDoesNotFit) {
  auto extension = FromHex(kGpaVector);  // the first range takes all
  Put32(extension, 4, 2);
  extension.resize(extension.size() + 8);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value()) << "a head, but no PFN";
}

TEST(GpaDirectHostile, EmptyRange) {
  auto extension = FromHex(kGpaVector);
  Put32(extension, 8, 0);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirectHostile, OffsetOfAPageOrMore) {
  auto extension = FromHex(kGpaVector);
  Put32(extension, 12, 0x1000);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value());
  Put32(extension, 12, 0xFFFFFFFF);
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirectHostile, PageNumberThatNoAddressHas) {
  auto extension = FromHex(kGpaVector);
  Put32(extension, 28, 0x00100000);  // 2^52 and a bit
  EXPECT_FALSE(GpaDirectRanges::Parse(extension).has_value());
  Put32(extension, 28, 0x000FFFFF);
  EXPECT_TRUE(GpaDirectRanges::Parse(extension).has_value());
}

TEST(GpaDirectHostile, ExtensionTooShortForACount) {
  EXPECT_FALSE(GpaDirectRanges::Parse({}).has_value());
  EXPECT_FALSE(GpaDirectRanges::Parse(FromHex("00 00 00 00 01 00 00 00")).has_value());
}

}  // namespace
}  // namespace vmbuskit
