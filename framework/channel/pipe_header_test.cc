#include "framework/channel/pipe_header.h"

#include <vector>

#include "framework/base/hex.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// Protocol 02, vector 13.9: payloads of the two packets.
constexpr char kData[] = "01 00 00 00 05 00 00 00 61 62 63 64 65 00 00 00";
constexpr char kFin[] = "01 00 00 00 00 00 00 00";

TEST(PipeHeader, BuildsTheVectors) {
  EXPECT_EQ(ToHex(AsBytes(PipeDataHeader(5))), "01 00 00 00 05 00 00 00");
  EXPECT_EQ(ToHex(AsBytes(PipeDataHeader(0))), kFin);
}

TEST(PipeHeader, DataIsExactWithoutPadding) {
  const auto payload = FromHex(kData);
  const auto message = ParsePipe(payload, PipeMode::kByte);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->type, PipeType::kData);
  EXPECT_EQ(ToHex(message->data), "61 62 63 64 65");
  EXPECT_FALSE(message->end_of_stream);
}

TEST(PipeHeader, EmptyDataEndsAStreamButNotMessages) {
  const auto payload = FromHex(kFin);
  EXPECT_TRUE(ParsePipe(payload, PipeMode::kByte)->end_of_stream);
  EXPECT_FALSE(ParsePipe(payload, PipeMode::kMessage)->end_of_stream);
  EXPECT_TRUE(ParsePipe(payload, PipeMode::kMessage)->data.empty());
}

TEST(PipeHeader, PartialHasSizeAndOffset) {
  const auto payload = FromHex("02 00 00 00 03 00 10 00 61 62 63 00 00 00 00 00");
  const auto message = ParsePipe(payload, PipeMode::kMessage);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->type, PipeType::kPartial);
  EXPECT_EQ(ToHex(message->data), "61 62 63");
  EXPECT_EQ(message->offset, 0x10u);
  EXPECT_FALSE(ParsePipe(FromHex("02 00 00 00 00 00 01 00"), PipeMode::kByte)->end_of_stream);
}

TEST(PipeHeader, TypesOneToFive) {
  for (int type = 0; type <= 6; ++type) {
    auto payload = FromHex(kFin);
    payload[0] = static_cast<std::byte>(type);
    EXPECT_EQ(ParsePipe(payload, PipeMode::kByte).has_value(), type >= 1 && type <= 5) << type;
  }
}

TEST(PipeHeader, ChunksAreAtMostTheLimit) {
  const std::vector<std::byte> stream(2 * kMaxPipeDataBytes + 1);
  std::span<const std::byte> rest = stream;
  EXPECT_EQ(TakePipeChunk(rest).size(), 16384u);
  EXPECT_EQ(TakePipeChunk(rest).data(), stream.data() + 16384);
  EXPECT_EQ(TakePipeChunk(rest).size(), 1u);
  EXPECT_TRUE(rest.empty());
  EXPECT_TRUE(TakePipeChunk(rest).empty());
}

TEST(PipeHeaderHostile, PayloadShorterThanTheHeader) {
  EXPECT_FALSE(ParsePipe({}, PipeMode::kByte).has_value());
  EXPECT_FALSE(ParsePipe(FromHex("01 00 00 00 00 00 00"), PipeMode::kByte).has_value());
}

TEST(PipeHeaderHostile, SizeAboveThePayload) {
  auto payload = FromHex(kData);
  payload[4] = std::byte{8};
  EXPECT_TRUE(ParsePipe(payload, PipeMode::kByte).has_value());
  payload[4] = std::byte{9};
  EXPECT_FALSE(ParsePipe(payload, PipeMode::kByte).has_value());
  payload[7] = std::byte{0xFF};
  EXPECT_FALSE(ParsePipe(payload, PipeMode::kByte).has_value());
}

TEST(PipeHeaderHostile, SizeAboveTheLimit) {
  std::vector<std::byte> payload(8 + kMaxPipeDataBytes + 8);
  PipeHeader header = PipeDataHeader(kMaxPipeDataBytes);
  std::copy_n(AsBytes(header).data(), 8, payload.data());
  EXPECT_TRUE(ParsePipe(payload, PipeMode::kMessage).has_value());
  header = PipeDataHeader(kMaxPipeDataBytes + 1);
  std::copy_n(AsBytes(header).data(), 8, payload.data());
  EXPECT_FALSE(ParsePipe(payload, PipeMode::kMessage).has_value());
}

}  // namespace
}  // namespace vmbuskit
