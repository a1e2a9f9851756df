#include "transports/protocol/message_layouts.h"

#include "gtest/gtest.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {
namespace {

// With every feature, so that every field is there.
constexpr Negotiated kEverything{.version = kVersion6_0, .features = 0xFF};

size_t BytesOf(const FuzzLayout& layout) {
  size_t bytes = sizeof(MessageHeader);
  for (FuzzField field : layout.fields) bytes += SizeOf(field);
  return bytes;
}

TEST(MessageLayouts, AddUpToTheSizesOfTheMessageTable) {
  for (const MessageRow& row : kMessageTable) {
    const FuzzLayout* layout = LayoutOf(static_cast<uint32_t>(row.type));
    ASSERT_NE(layout, nullptr) << row.name;
    EXPECT_EQ(layout->kind, static_cast<uint32_t>(row.type)) << row.name;
    // The silo of a connect request may be absent.
    const size_t optional = row.type == MessageType::kTlConnectRequest ? 16 : 0;
    EXPECT_EQ(BytesOf(*layout), RequiredBytes(row, kEverything) + optional) << row.name;
  }
}

TEST(MessageLayouts, NumbersOutsideTheTableHaveNone) {
  EXPECT_EQ(LayoutOf(0), nullptr);
  EXPECT_EQ(LayoutOf(kMessageTypeCount + 1), nullptr);
}

TEST(MessageLayouts, KnowWhereTheRelidStands) {
  size_t offset = sizeof(MessageHeader);
  for (FuzzField field : LayoutOf(1)->fields) {
    if (field == FuzzField::kRelid) break;
    offset += SizeOf(field);
  }
  EXPECT_EQ(offset, offsetof(OfferChannelMessage, relid));
}

}  // namespace
}  // namespace vmbuskit
