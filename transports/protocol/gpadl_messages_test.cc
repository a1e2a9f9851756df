#include "transports/protocol/gpadl_messages.h"

#include <cstring>
#include <vector>

#include "framework/base/hex.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

std::vector<MessageBuffer> Split(uint32_t handle, std::span<const GpadlRange> ranges) {
  auto messages = GpadlMessages::Create(5, handle, ranges);
  EXPECT_TRUE(messages.ok()) << messages.status();
  std::vector<MessageBuffer> all;
  MessageBuffer message;
  while (messages->Next(message)) all.push_back(message);
  EXPECT_EQ(all.size(), messages->message_count());
  EXPECT_FALSE(messages->Next(message));
  return all;
}

TEST(GpadlMessages, TwoPages) {
  const GpadlRange range = GpadlRange::Pages(0x12345, 2);
  const auto messages = Split(0xE1E10, {&range, 1});
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(ToHex(messages[0].bytes()),
            "08 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00 "
            "18 00 01 00 00 20 00 00 00 00 00 00 45 23 01 00 00 00 00 00 46 23 01 00 00 00 00 00");
}

TEST(GpadlMessages, TwentySevenPagesNeedABody) {
  const GpadlRange range = GpadlRange::Pages(0x200, 27);
  const auto messages = Split(0xE1E11, {&range, 1});
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(ToHex(messages[0].bytes().first(32)),
            "08 00 00 00 00 00 00 00 05 00 00 00 11 1e 0e 00 "
            "e0 00 01 00 00 b0 01 00 00 00 00 00 00 02 00 00");
  EXPECT_EQ(ToHex(messages[1].bytes()),
            "09 00 00 00 00 00 00 00 00 00 00 00 11 1e 0e 00 1a 02 00 00 00 00 00 00");
}

TEST(GpadlMessages, UnalignedRange) {
  const GpadlRange range{.byte_count = 0x200, .byte_offset = 0xE00, .first_pfn = 0x777};
  const auto messages = Split(0xE1E12, {&range, 1});
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(ToHex(messages[0].bytes()),
            "08 00 00 00 00 00 00 00 05 00 00 00 12 1e 0e 00 10 00 01 00 00 02 00 00 00 0e 00 00 "
            "77 07 00 00 00 00 00 00");
}

TEST(GpadlMessages, FourPageRing) {
  const Pfn pages[] = {0x300, 0x301, 0x302, 0x303};
  const GpadlRange range = GpadlRange::Pages(pages);
  const auto messages = Split(0xE1E13, {&range, 1});
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(ToHex(messages[0].bytes()),
            "08 00 00 00 00 00 00 00 05 00 00 00 13 1e 0e 00 28 00 01 00 00 40 00 00 00 00 00 00 "
            "00 03 00 00 00 00 00 00 01 03 00 00 00 00 00 00 02 03 00 00 00 00 00 00 "
            "03 03 00 00 00 00 00 00");
}

TEST(GpadlMessages, SplitTable) {
  const struct {
    uint32_t pages, header_bytes, range_bytes, bodies, last_body_pages;
  } kRows[] = {
      {26, 236, 216, 0, 0},        {27, 236, 224, 1, 1},     {54, 236, 440, 1, 28},
      {55, 236, 448, 2, 1},        {512, 236, 4104, 18, 10}, {1024, 236, 8200, 36, 18},
      {4096, 236, 32776, 146, 10},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.pages);
    const GpadlRange range = GpadlRange::Pages(0x1000, row.pages);
    EXPECT_EQ(GpadlMessages::Create(5, 1, {&range, 1})->range_bytes(), row.range_bytes);
    const auto messages = Split(1, {&range, 1});
    EXPECT_EQ(messages[0].size(), row.header_bytes);
    ASSERT_EQ(messages.size(), 1 + row.bodies);
    if (row.bodies != 0) {
      EXPECT_EQ(messages.back().size(), 16 + 8 * row.last_body_pages);
    }
    uint64_t pages = 0;
    Pfn next = 0x1000;
    for (size_t i = 0; i < messages.size(); ++i) {
      for (size_t at = i == 0 ? 28 : 16; at < messages[i].size(); at += 8, ++pages, ++next) {
        Pfn pfn = 0;
        std::memcpy(&pfn, messages[i].bytes().data() + at, sizeof pfn);
        ASSERT_EQ(pfn, next);
      }
    }
    EXPECT_EQ(pages, row.pages);
  }
}

TEST(GpadlMessages, ABodyMayBeginInsideAnyRange) {
  // 25 pages + word, then 2 pages + word: the second range's word is the header's last qword.
  const GpadlRange ranges[] = {GpadlRange::Pages(0x100, 25), GpadlRange::Pages(0x500, 2)};
  const auto messages = Split(1, ranges);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(ToHex(messages[0].bytes().last(8)), "00 20 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(messages[1].bytes().subspan(16)),
            "00 05 00 00 00 00 00 00 01 05 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(messages[0].bytes().subspan(16, 4)), "e8 00 02 00");
}

TEST(GpadlMessages, EightThousandOneHundredAndNinetyPagesAreTheMost) {
  const GpadlRange most = GpadlRange::Pages(0, 8190);
  EXPECT_EQ(GpadlMessages::Create(5, 1, {&most, 1})->range_bytes(), 65528u);
  EXPECT_EQ(Split(1, {&most, 1}).size(), 1u + (8190 - 26 + 27) / 28);
  const GpadlRange over = GpadlRange::Pages(0, 8191);
  EXPECT_EQ(GpadlMessages::Create(5, 1, {&over, 1}).status().message(),
            "GPADL 1: range bytes is 65536: at most 65535");
}

TEST(GpadlMessages, RefusesWhatNoGpadlCanBe) {
  const GpadlRange good = GpadlRange::Pages(1, 1);
  EXPECT_EQ(GpadlMessages::Create(5, 0, {&good, 1}).status().message(),
            "GPADL 0: handle is 0: never 0");
  EXPECT_EQ(GpadlMessages::Create(5, 1, {}).status().message(),
            "GPADL 1: range count is 0: 1 to 65535");
  const GpadlRange empty{};
  EXPECT_EQ(GpadlMessages::Create(5, 1, {&empty, 1}).status().message(),
            "GPADL 1: byte count is 0: at least 1");
  const GpadlRange far{.byte_count = 1, .byte_offset = 4096};
  EXPECT_EQ(GpadlMessages::Create(5, 1, {&far, 1}).status().message(),
            "GPADL 1: byte offset is 4096: below 4096");
  const Pfn pages[] = {1, 2};
  const GpadlRange list{.byte_count = 4096, .pfns = pages};
  EXPECT_EQ(GpadlMessages::Create(5, 1, {&list, 1}).status().message(),
            "GPADL 1: page list length is 2: needs 1");
}

TEST(RangePageCount, CountsThePagesARangeTouches) {
  EXPECT_EQ(RangePageCount(0, 0x2000), 2u);
  EXPECT_EQ(RangePageCount(0xE00, 0x200), 1u);
  EXPECT_EQ(RangePageCount(0xE00, 0x201), 2u);
  EXPECT_EQ(RangePageCount(0xFFF, 2), 2u);
  EXPECT_EQ(RangePageCount(0xFFF, 0xFFFFFFFF), 0x100000u + 1);
  EXPECT_EQ(RangePageCount(0, 0), 0u);
}

}  // namespace
}  // namespace vmbuskit
