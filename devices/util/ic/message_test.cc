// The framing rules of protocol 30 section 2 and its test vectors 11.1 and 11.2.
#include "devices/util/ic/message.h"

#include <cstring>
#include <vector>

#include "devices/util/ic/negotiation.h"
#include "framework/base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::ic {
namespace {

using ::testing::HasSubstr;

constexpr Version kFrameworks[] = {{3, 0}, {1, 0}};
constexpr Version kTimesync4[] = {{4, 0}};
constexpr VersionLists kPreferences = {kFrameworks, kTimesync4};

std::vector<std::byte> NegotiationRequest() {
  return FromHex(
      "01 00 00 00 28 00 00 00 00 00 00 00 00 00 00 00 00 00 14 00 00 00 00 00 00 03 00 00"
      " 02 00 01 00 00 00 00 00 01 00 00 00 03 00 00 00 04 00 00 00");
}

std::vector<std::byte> Heartbeat() {
  return FromHex(
      "01 00 00 00 24 00 00 00 03 00 00 00 01 00 03 00 00 00 10 00 00 00 00 00 00 03 00 00"
      " 07 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

void Put16(std::vector<std::byte>& bytes, size_t offset, uint16_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}
void Put32(std::vector<std::byte>& bytes, size_t offset, uint32_t value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

TEST(ParseMessage, ReadsTheHeartbeatVector) {
  std::vector<std::byte> bytes = Heartbeat();
  absl::StatusOr<Message> message = ParseMessage(bytes);
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->header.framework, (Version{3, 0}));
  EXPECT_EQ(message->header.message, (Version{3, 0}));
  EXPECT_EQ(message->header.message_type, MessageType::kHeartbeat);
  EXPECT_EQ(message->header.flags, kRequestFlags);
  EXPECT_EQ(message->body.size(), 16u);
  EXPECT_EQ(message->bytes, 44u);
  EXPECT_EQ(std::to_integer<int>(message->body[0]), 7);
}

TEST(ParseMessage, IgnoresThePaddingBehindThePipeLength) {
  std::vector<std::byte> bytes = Heartbeat();
  bytes.resize(48);
  absl::StatusOr<Message> message = ParseMessage(bytes);
  ASSERT_TRUE(message.ok());
  EXPECT_EQ(message->bytes, 44u);
}

TEST(ParseMessage, RefusesAPacketWithoutAWholeHeader) {
  std::vector<std::byte> bytes = Heartbeat();
  for (size_t size = 0; size < kBodyOffset; ++size) {
    EXPECT_THAT(ParseMessage(std::span(bytes).first(size)).status().message(),
                HasSubstr("packet bytes is " + std::to_string(size)));
  }
}

TEST(ParseMessage, RefusesAPipeTypeThatIsNotData) {
  std::vector<std::byte> bytes = Heartbeat();
  Put32(bytes, 0, 2);
  EXPECT_THAT(ParseMessage(bytes).status().message(), HasSubstr("pipe type is 2"));
}

TEST(ParseMessage, RefusesAPipeLengthBeyondThePacket) {
  std::vector<std::byte> bytes = Heartbeat();
  Put32(bytes, 4, 37);
  EXPECT_THAT(ParseMessage(bytes).status().message(), HasSubstr("pipe length is 37"));
  Put32(bytes, 4, 0xFFFFFFFF);
  EXPECT_THAT(ParseMessage(bytes).status().message(), HasSubstr("pipe length is 4294967295"));
}

TEST(ParseMessage, RefusesAPipeLengthWithoutAHeader) {
  std::vector<std::byte> bytes = Heartbeat();
  Put32(bytes, 4, 19);
  EXPECT_THAT(ParseMessage(bytes).status().message(), HasSubstr("pipe length is 19"));
}

TEST(ParseMessage, RefusesABodySizeBeyondThePipeLength) {
  std::vector<std::byte> bytes = Heartbeat();
  Put16(bytes, 18, 17);
  EXPECT_THAT(ParseMessage(bytes).status().message(), HasSubstr("body size is 17"));
}

TEST(FinishMessage, WritesTheHeartbeatVector) {
  const std::vector<std::byte> expected = Heartbeat();
  std::vector<std::byte> bytes(44);
  std::memcpy(bytes.data() + kBodyOffset, expected.data() + kBodyOffset, 16);
  Header header = {};
  header.framework = {3, 0};
  header.message = {3, 0};
  header.message_type = MessageType::kHeartbeat;
  header.body_bytes = 16;
  header.flags = kRequestFlags;
  EXPECT_EQ(FinishMessage(bytes, header), 44u);
  EXPECT_EQ(ToHex(bytes), ToHex(expected));
}

TEST(Negotiation, AnswersTheTimesyncVectorInPlace) {
  std::vector<std::byte> bytes = NegotiationRequest();
  absl::StatusOr<Message> message = ParseMessage(bytes);
  ASSERT_TRUE(message.ok());
  const std::optional<Agreed> agreed = AnswerNegotiation(*message, kPreferences);
  ASSERT_TRUE(agreed.has_value());
  EXPECT_EQ(agreed->ToString(), "framework 3.0, message 4.0");
  std::memcpy(bytes.data() + kHeaderOffset, &message->header, sizeof message->header);
  EXPECT_EQ(ToHex(bytes),
            ToHex(FromHex("01 00 00 00 28 00 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00"
                          " 00 05 00 00 01 00 01 00 00 00 00 00 03 00 00 00 04 00 00 00"
                          " 04 00 00 00")));
}

TEST(Negotiation, BuildsTheTimesyncVector) {
  constexpr Version kAscending[] = {{1, 0}, {3, 0}};
  std::vector<std::byte> bytes(64);
  const size_t size = BuildNegotiation({kAscending, kTimesync4}, bytes);
  EXPECT_EQ(ToHex(std::span(bytes).first(size)), ToHex(NegotiationRequest()));
}

TEST(Negotiation, PrefersTheGuestsOrderWhateverTheHosts) {
  std::vector<std::byte> bytes = NegotiationRequest();
  Put16(bytes, 36, 3);  // the host lists 3.0 first, then 1.0
  Put16(bytes, 40, 1);
  absl::StatusOr<Message> message = ParseMessage(bytes);
  constexpr Version kOldFirst[] = {{1, 0}, {3, 0}};
  const std::optional<Agreed> agreed = AnswerNegotiation(*message, {kOldFirst, kTimesync4});
  ASSERT_TRUE(agreed.has_value());
  EXPECT_EQ(agreed->framework, (Version{1, 0}));
}

TEST(Negotiation, SearchesTheMessageListBehindTheFrameworkList) {
  // Two frameworks, one message version: looking at index 1 instead of 2 would find 3.0.
  std::vector<std::byte> bytes = NegotiationRequest();
  absl::StatusOr<Message> message = ParseMessage(bytes);
  constexpr Version kThree[] = {{3, 0}};
  EXPECT_EQ(AnswerNegotiation(*message, {kFrameworks, kThree}), std::nullopt);
}

TEST(Negotiation, AnswersCountsZeroWithoutACommonVersion) {
  std::vector<std::byte> bytes = NegotiationRequest();
  absl::StatusOr<Message> message = ParseMessage(bytes);
  constexpr Version kNone[] = {{9, 9}};
  EXPECT_EQ(AnswerNegotiation(*message, {kFrameworks, kNone}), std::nullopt);
  EXPECT_EQ(message->header.flags, kResponseFlags);
  EXPECT_EQ(ToHex(message->body.first(4)), "00 00 00 00");
}

TEST(Negotiation, AnswersCountsZeroWhenTheHostsCountsLie) {
  const struct {
    uint16_t framework, message;
  } kLies[] = {{0, 1}, {1, 0}, {101, 1}, {1, 101}, {2, 2}, {0xFFFF, 0xFFFF}};
  for (const auto& lie : kLies) {
    std::vector<std::byte> bytes = NegotiationRequest();
    Put16(bytes, 28, lie.framework);
    Put16(bytes, 30, lie.message);
    absl::StatusOr<Message> message = ParseMessage(bytes);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(AnswerNegotiation(*message, kPreferences), std::nullopt)
        << lie.framework << " and " << lie.message;
  }
}

TEST(Negotiation, SurvivesABodyTooShortForCounts) {
  std::vector<std::byte> bytes = NegotiationRequest();
  for (uint16_t body_bytes = 0; body_bytes < 8; ++body_bytes) {
    Put16(bytes, 18, body_bytes);
    absl::StatusOr<Message> message = ParseMessage(bytes);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(AnswerNegotiation(*message, kPreferences), std::nullopt);
  }
}

TEST(NegotiationAnswer, MustNameOneOfferedVersionOfEach) {
  const VersionLists offered = {kFrameworks, kTimesync4};
  std::vector<std::byte> bytes = NegotiationRequest();
  absl::StatusOr<Message> message = ParseMessage(bytes);
  ASSERT_TRUE(AnswerNegotiation(*message, kPreferences).has_value());
  message->body = message->body.first(kNegotiateAnswerBodyBytes);
  EXPECT_EQ(ReadNegotiationAnswer(*message, offered)->ToString(), "framework 3.0, message 4.0");

  constexpr Version kOther[] = {{5, 0}};
  EXPECT_THAT(ReadNegotiationAnswer(*message, {kFrameworks, kOther}).status().message(),
              HasSubstr("was not offered"));
  message->body[0] = std::byte{0};
  EXPECT_THAT(ReadNegotiationAnswer(*message, offered).status().message(),
              HasSubstr("version counts"));
}

}  // namespace
}  // namespace vmbuskit::ic
