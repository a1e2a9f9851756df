#include "transports/protocol/message_script.h"

#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(MessageScript, OptionsThenRecords) {
  const Bytes bytes = {1, 2, 3, 4, 5, 6, 7, 8, 40, 2, 0xAA, 0xBB, 41, 0};
  MessageScript script(bytes);
  EXPECT_EQ(script.Option(0), 1);
  EXPECT_EQ(script.Option(7), 8);
  EXPECT_TRUE(script.Flag(1, 1));
  EXPECT_FALSE(script.Flag(1, 0));
  const auto first = script.Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->kind, 40);
  EXPECT_FALSE(first->IsMessage());
  ScriptArguments arguments(first->bytes);
  EXPECT_EQ(arguments.Take<uint16_t>(), 0xBBAA);
  EXPECT_TRUE(arguments.empty());
  const auto second = script.Next();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->kind, 41);
  EXPECT_TRUE(second->bytes.empty());
  EXPECT_FALSE(script.Next().has_value());
}

TEST(MessageScript, WhatIsMissingIsZero) {
  MessageScript nothing({});
  EXPECT_EQ(nothing.Option(3), 0);
  EXPECT_FALSE(nothing.Next().has_value());
  // A record that says more bytes than are there has those that are.
  const Bytes bytes = {0, 0, 0, 0, 0, 0, 0, 0, 40, 9, 0x11};
  MessageScript script(bytes);
  const auto record = script.Next();
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->bytes.size(), 1u);
  ScriptArguments arguments(record->bytes);
  EXPECT_EQ(arguments.Take<uint64_t>(), 0x11u);
  EXPECT_EQ(arguments.Take<uint32_t>(), 0u);
}

TEST(MessageScript, MessagesHaveTheirHeader) {
  const Bytes relid = {5, 0, 0, 0};
  const ScriptRecord close{.kind = 7, .filled_up = false, .bytes = relid};
  ASSERT_TRUE(close.IsMessage());
  const ScriptMessage message = close.Message({.version = kVersion5_3});
  const auto checked =
      CheckMessage(Direction::kGuestToHost, {.version = kVersion5_3}, message.bytes());
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->As<CloseChannelMessage>().relid, 5u);
  EXPECT_EQ(message.bytes().size(), 12u);
}

TEST(MessageScript, FilledUpMessagesHaveTheSizeThatIsNegotiated) {
  const ScriptRecord open{.kind = 5, .filled_up = true, .bytes = {}};
  EXPECT_EQ(open.Message({.version = kVersion5_3}).bytes().size(), 148u);
  EXPECT_EQ(open.Message({.version = kVersion6_0, .features = 1}).bytes().size(), 156u);
  const Bytes much(255);
  const ScriptRecord longest{.kind = 5, .filled_up = true, .bytes = much};
  EXPECT_EQ(longest.Message({}).bytes().size(), 263u) << "more than any message may have";
}

TEST(MessageScript, RawMessagesAreWhatTheyAre) {
  const Bytes bytes = {0xEE};
  const ScriptRecord raw{.kind = kFuzzRawMessage, .filled_up = true, .bytes = bytes};
  const ScriptMessage message = raw.Message({.version = kVersion5_3});
  ASSERT_EQ(message.bytes().size(), 1u);
  EXPECT_EQ(message.bytes()[0], std::byte{0xEE});
}

}  // namespace
}  // namespace vmbuskit
