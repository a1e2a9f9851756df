#include "framework/base/bytes.h"

#include <array>
#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

template <typename... Values>
std::array<std::byte, sizeof...(Values)> Bytes(Values... values) {
  return {static_cast<std::byte>(values)...};
}

struct Header {
  uint16_t kind;
  uint16_t size;
  uint32_t id;
};

TEST(ByteReader, ReadsLittleEndianInOrder) {
  const auto bytes = Bytes(0x12, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0xFF);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Read<uint8_t>(), 0x12);
  EXPECT_EQ(reader.Read<uint16_t>(), 0x1234);
  EXPECT_EQ(reader.Read<uint32_t>(), 0x12345678u);
  EXPECT_EQ(reader.position(), 7u);
  EXPECT_EQ(reader.remaining(), 1u);
  EXPECT_EQ(reader.Read<int8_t>(), -1);
  EXPECT_TRUE(reader.ok());
}

TEST(ByteReader, ReadsAWireStruct) {
  const auto bytes = Bytes(1, 0, 2, 0, 3, 0, 0, 0);
  ByteReader reader(bytes);
  const Header header = reader.Read<Header>();
  EXPECT_EQ(header.kind, 1);
  EXPECT_EQ(header.size, 2);
  EXPECT_EQ(header.id, 3u);
}

TEST(ByteReader, FailureSticksAndYieldsZeros) {
  const auto bytes = Bytes(1, 2, 3);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Read<uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.position(), 0u);
  EXPECT_EQ(reader.Read<uint8_t>(), 0) << "would have fitted, but the reader failed before";
  EXPECT_TRUE(reader.Bytes(1).empty());
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, ReadsUpToTheLastByte) {
  const auto bytes = Bytes(1, 2, 3, 4);
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Bytes(4).size(), 4u);
  EXPECT_EQ(reader.Bytes(0).size(), 0u);
  EXPECT_TRUE(reader.ok());
  reader.Skip(1);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, HugeCountDoesNotOverflow) {
  const auto bytes = Bytes(1, 2, 3, 4);
  ByteReader reader(bytes);
  reader.Skip(2);
  EXPECT_TRUE(reader.Bytes(SIZE_MAX - 1).empty());
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.position(), 2u);
}

TEST(ByteReader, BytesAreThoseOfTheSpanItself) {
  const auto bytes = Bytes(1, 2, 3, 4);
  ByteReader reader(bytes);
  reader.Skip(1);
  EXPECT_EQ(reader.Bytes(2).data(), bytes.data() + 1);
}

TEST(ByteReader, SeekGoesAnywhereInside) {
  const auto bytes = Bytes(1, 2, 3, 4);
  ByteReader reader(bytes);
  reader.Seek(3);
  EXPECT_EQ(reader.Read<uint8_t>(), 4);
  reader.Seek(0);
  EXPECT_EQ(reader.Read<uint8_t>(), 1);
  reader.Seek(4);
  EXPECT_TRUE(reader.ok()) << "the end is a place";
  reader.Seek(5);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteReader, NothingInNothing) {
  ByteReader reader({});
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Read<uint8_t>(), 0);
  EXPECT_FALSE(reader.ok());
}

TEST(ByteWriter, WritesLittleEndianInOrder) {
  std::array<std::byte, 8> space{};
  ByteWriter writer(space);
  writer.Write<uint8_t>(0x12);
  writer.Write<uint16_t>(0x1234);
  writer.Write<uint32_t>(0x12345678);
  EXPECT_TRUE(writer.ok());
  EXPECT_EQ(writer.remaining(), 1u);
  const auto expected = Bytes(0x12, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12);
  EXPECT_THAT(writer.written(), ::testing::ElementsAreArray(expected));
}

TEST(ByteWriter, WritesNothingThatDoesNotFit) {
  std::array<std::byte, 3> space{};
  ByteWriter writer(space);
  writer.Write<uint16_t>(0xFFFF);
  writer.Write<uint16_t>(0xFFFF);
  EXPECT_FALSE(writer.ok());
  EXPECT_EQ(space[2], std::byte{0});
  writer.Write<uint8_t>(0xFF);
  EXPECT_EQ(space[2], std::byte{0}) << "failure sticks";
  EXPECT_EQ(writer.position(), 2u);
}

TEST(ByteWriter, PadsWithZerosToAnAlignment) {
  std::array<std::byte, 16> space;
  space.fill(std::byte{0xAA});
  ByteWriter writer(space);
  writer.Bytes(Bytes(1, 2, 3));
  writer.AlignTo(8);
  EXPECT_EQ(writer.position(), 8u);
  writer.AlignTo(8);
  EXPECT_EQ(writer.position(), 8u) << "aligned already";
  EXPECT_THAT(std::span(space).subspan(3, 5), Each(std::byte{0}));
  EXPECT_THAT(std::span(space).subspan(8), Each(std::byte{0xAA}));
}

TEST(ByteWriter, PaddingPastTheEndFails) {
  std::array<std::byte, 5> space{};
  ByteWriter writer(space);
  writer.Write<uint8_t>(1);
  writer.AlignTo(8);
  EXPECT_FALSE(writer.ok());
}

TEST(ByteWriter, WhatWasWrittenIsReadBack) {
  std::array<std::byte, 8> space{};
  ByteWriter writer(space);
  writer.Write(Header{.kind = 7, .size = 8, .id = 9});
  ByteReader reader(writer.written());
  const Header header = reader.Read<Header>();
  EXPECT_THAT((std::array{uint32_t{header.kind}, uint32_t{header.size}, header.id}),
              ElementsAre(7, 8, 9));
  EXPECT_EQ(reader.remaining(), 0u);
}

}  // namespace
}  // namespace vmbuskit
