#include "framework/base/saved_state.h"

#include "framework/base/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

enum class Colour : uint8_t { kRed, kGreen, kBlue };

struct Inner {
  uint16_t number = 0;
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(number);
  }
};

struct Sample {
  uint64_t number = 0;
  bool flag = false;
  Colour colour = Colour::kRed;
  std::atomic<uint32_t> shared = 0;
  std::chrono::nanoseconds left{};
  std::string text;
  std::array<uint16_t, 2> pair{};
  std::optional<Inner> inner;
  std::vector<Inner> list;

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(number);
    archive(flag);
    archive.AtMost("colour", colour, 2);
    archive(shared);
    archive(left);
    archive(text);
    archive(pair);
    archive(inner);
    const size_t count = archive.Count("list", list.size(), 3);
    if (Archive::kLoading) list.resize(count);
    for (Inner& one : list) archive(one);
  }
};

std::vector<std::byte> Saved() {
  Sample sample;
  sample.number = 0x0123456789ABCDEF;
  sample.flag = true;
  sample.colour = Colour::kBlue;
  sample.shared = 77;
  sample.left = std::chrono::nanoseconds(-5);
  sample.text = "abc";
  sample.pair = {1, 2};
  sample.inner = Inner{9};
  sample.list = {{4}, {5}};
  StateWriter writer;
  sample.Exchange(writer);
  return std::move(writer).Take();
}

TEST(SavedState, WhatWasWrittenIsRead) {
  const std::vector<std::byte> bytes = Saved();
  EXPECT_EQ(bytes.size(), 8u + 1 + 1 + 4 + 8 + (4 + 3) + 4 + (1 + 2) + (4 + 2 * 2));
  Sample sample;
  StateReader reader(bytes);
  sample.Exchange(reader);
  EXPECT_EQ(reader.Finish(), absl::OkStatus());
  EXPECT_EQ(sample.number, 0x0123456789ABCDEFu);
  EXPECT_TRUE(sample.flag);
  EXPECT_EQ(sample.colour, Colour::kBlue);
  EXPECT_EQ(sample.shared, 77u);
  EXPECT_EQ(sample.left.count(), -5);
  EXPECT_EQ(sample.text, "abc");
  EXPECT_EQ(sample.pair[1], 2);
  ASSERT_TRUE(sample.inner.has_value());
  EXPECT_EQ(sample.inner->number, 9);
  ASSERT_EQ(sample.list.size(), 2u);
  EXPECT_EQ(sample.list[1].number, 5);
}

TEST(SavedState, EveryTruncationIsAnErrorAndReadsNothingBeyond) {
  const std::vector<std::byte> bytes = Saved();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> part(bytes.begin(), bytes.begin() + size);  // for the sanitizer
    Sample sample;
    StateReader reader(part);
    sample.Exchange(reader);
    EXPECT_EQ(reader.Finish().code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(SavedState, BytesLeftOverAreAnErrorThatSaysHowMany) {
  std::vector<std::byte> bytes = Saved();
  bytes.resize(bytes.size() + 3);
  Sample sample;
  StateReader reader(bytes);
  sample.Exchange(reader);
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(ToStd(reader.Finish().message()),
            "saved state: bytes left is 3: nothing else is expected");
}

TEST(SavedState, NoBoolOrEnumGetsAValueItDoesNotHave) {
  for (const size_t at : {size_t{8}, size_t{9}}) {
    std::vector<std::byte> bytes = Saved();
    bytes[at] = std::byte{3};
    Sample sample;
    StateReader reader(bytes);
    sample.Exchange(reader);
    EXPECT_FALSE(reader.ok());
    EXPECT_FALSE(at == 8 && sample.flag);
    EXPECT_EQ(sample.colour, Colour::kRed) << "after a failure all is zero";
    EXPECT_TRUE(sample.list.empty());
  }
}

TEST(SavedState, ACountIsBoundedByItsLimitAndByTheBytesThatAreLeft) {
  const std::array<uint32_t, 2> words{4, 0};
  StateReader reader(std::as_bytes(std::span(words)));
  EXPECT_EQ(reader.Count("list", 0, 3), 0u);
  EXPECT_EQ(ToStd(reader.status().message()), "saved state: list is 4: too large");
  const std::array<uint32_t, 2> many{0x40000000, 0};
  StateReader greedy(std::as_bytes(std::span(many)));
  EXPECT_EQ(greedy.Count("list", 0, ~uint32_t{0}), 0u);
  EXPECT_FALSE(greedy.ok());
  StateReader bytes(std::as_bytes(std::span(many)));
  EXPECT_TRUE(bytes.Bytes().empty());
  EXPECT_FALSE(bytes.ok());
}

TEST(SavedState, TheFirstFailureIsKept) {
  StateReader reader({});
  reader.Fail("a", 1, "first");
  reader.Fail("b", 2, "second");
  EXPECT_EQ(ToStd(reader.Finish().message()), "saved state: a is 1: first");
}

}  // namespace
}  // namespace vmbuskit
