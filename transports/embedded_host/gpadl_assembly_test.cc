#include "transports/embedded_host/gpadl_assembly.h"

#include <vector>

#include "gtest/gtest.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kPages = 1 << 20;

uint64_t Word(uint32_t byte_offset, uint32_t byte_count) {
  return uint64_t{byte_offset} << 32 | byte_count;
}

absl::StatusOr<GpadlPages> Assemble(uint16_t range_count, std::vector<uint64_t> qwords,
                                    uint64_t page_limit = kPages) {
  auto assembly = GpadlAssembly::Begin(static_cast<uint16_t>(qwords.size() * 8), range_count);
  if (!assembly.ok()) return assembly.status();
  assembly->Append(std::as_bytes(std::span(qwords)));
  EXPECT_TRUE(assembly->complete());
  return std::move(*assembly).Finish(page_limit);
}

TEST(GpadlAssembly, OneRange) {
  const auto pages = Assemble(1, {Word(0, 0x2000), 0x12345, 0x12346});
  ASSERT_TRUE(pages.ok()) << pages.status();
  EXPECT_EQ(pages->pfns, (std::vector<Pfn>{0x12345, 0x12346}));
  EXPECT_EQ(pages->bytes(), 8192u);
  EXPECT_TRUE(pages->IsWholePages());
}

TEST(GpadlAssembly, SeveralRangesKeepTheirOrder) {
  const auto pages = Assemble(2, {Word(0xE00, 0x201), 7, 9, Word(0, 0x1000), 3});
  ASSERT_TRUE(pages.ok()) << pages.status();
  EXPECT_EQ(pages->pfns, (std::vector<Pfn>{7, 9, 3}));
  ASSERT_EQ(pages->ranges.size(), 2u);
  EXPECT_EQ(pages->ranges[0].byte_offset, 0xE00u);
  EXPECT_EQ(pages->ranges[0].byte_count, 0x201u);
  EXPECT_EQ(pages->ranges[0].page_count, 2u);
  EXPECT_EQ(pages->ranges[1].first_page, 2u);
  EXPECT_FALSE(pages->IsWholePages());
}

TEST(GpadlAssembly, AWholePageRingHasNeitherOffsetNorRest) {
  EXPECT_FALSE(Assemble(1, {Word(0, 0x1FFF), 1, 2})->IsWholePages());
  EXPECT_FALSE(Assemble(1, {Word(8, 0x1000), 1, 2})->IsWholePages());
}

TEST(GpadlAssembly, PutsTogetherWhatTheSplitterTookApart) {
  for (uint32_t count : {1u, 26u, 27u, 54u, 55u, 512u, 4096u, 8190u}) {
    SCOPED_TRACE(count);
    const GpadlRange range = GpadlRange::Pages(5, count);
    auto messages = GpadlMessages::Create(1, 1, {&range, 1});
    MessageBuffer message;
    ASSERT_TRUE(messages->Next(message));
    auto assembly = GpadlAssembly::Begin(static_cast<uint16_t>(messages->range_bytes()), 1);
    ASSERT_TRUE(assembly.ok());
    assembly->Append(message.bytes().subspan(20));
    while (messages->Next(message)) {
      EXPECT_FALSE(assembly->complete());
      assembly->Append(message.bytes().subspan(16));
    }
    ASSERT_TRUE(assembly->complete());
    const auto pages = std::move(*assembly).Finish(kPages);
    ASSERT_TRUE(pages.ok());
    EXPECT_EQ(pages->pfns.size(), count);
    EXPECT_EQ(pages->pfns.back(), 5u + count - 1);
  }
}

TEST(GpadlAssembly, PaddedMessagesAndBrokenQwordsAreIgnored) {
  auto assembly = GpadlAssembly::Begin(24, 1);
  ASSERT_TRUE(assembly.ok());
  const uint64_t header[] = {Word(0, 0x2000), 0x10};
  const auto bytes = std::as_bytes(std::span(header));
  assembly->Append(bytes);
  const std::byte rest[7] = {};
  assembly->Append(rest);
  EXPECT_FALSE(assembly->complete());
  const uint64_t padded[28] = {0x11};
  assembly->Append(std::as_bytes(std::span(padded)));
  ASSERT_TRUE(assembly->complete());
  const auto pages = std::move(*assembly).Finish(kPages);
  EXPECT_EQ(pages->pfns, (std::vector<Pfn>{0x10, 0x11}));
}

TEST(GpadlAssembly, BytesAfterTheLastRangeAreIgnored) {
  const auto pages = Assemble(1, {Word(0, 0x1000), 1, 0xFFFFFFFFFFFFFFFF, 3});
  ASSERT_TRUE(pages.ok()) << pages.status();
  EXPECT_EQ(pages->pfns, (std::vector<Pfn>{1}));
}

TEST(GpadlAssembly, TooFewPagesFail) {
  EXPECT_EQ(Assemble(1, {Word(0, 0x3000), 1, 2}).status().message(),
            "GPADL range: pages listed is 2: fewer than it needs");
  EXPECT_EQ(Assemble(2, {Word(0, 0x3000), 1, 2, 3}).status().message(),
            "GPADL: ranges listed is 1: fewer than announced");
  EXPECT_EQ(Assemble(1, {Word(0xFFF, 0xFFFFFFFF), 1, 2}).status().message(),
            "GPADL range: pages listed is 2: fewer than it needs");
}

TEST(GpadlAssembly, BadRangesFail) {
  EXPECT_EQ(Assemble(1, {Word(0, 0), 1}).status().message(),
            "GPADL range: byte_count is 0: at least 1");
  EXPECT_EQ(Assemble(1, {Word(4096, 1), 1}).status().message(),
            "GPADL range: byte_offset is 4096: below 4096");
  EXPECT_EQ(Assemble(1, {Word(0, 1), kPages}).status().message(),
            "GPADL range: page number is 1048576: beyond memory");
  EXPECT_TRUE(Assemble(1, {Word(0, 1), kPages - 1}).ok());
}

TEST(GpadlAssembly, BadHeadersFailAtOnce) {
  EXPECT_EQ(GpadlAssembly::Begin(16, 0).status().message(), "GPADL: range_count is 0: at least 1");
  EXPECT_EQ(GpadlAssembly::Begin(15, 1).status().message(),
            "GPADL: range_bytes is 15: at least 16 a range");
  EXPECT_EQ(GpadlAssembly::Begin(0xFFFF, 4096).status().message(),
            "GPADL: range_bytes is 65535: at least 16 a range");
  EXPECT_EQ(GpadlAssembly::Begin(0xFFFF, 4095)->qwords_needed(), 8191u);
}

}  // namespace
}  // namespace vmbuskit
