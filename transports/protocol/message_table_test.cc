#include "transports/protocol/message_table.h"

#include <array>
#include <cstring>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using Bytes = std::array<std::byte, kMessageBytesMax + 8>;

Bytes WithType(uint32_t type) {
  Bytes bytes{};
  std::memcpy(bytes.data(), &type, sizeof type);
  return bytes;
}

// Everything granted.
constexpr Negotiated kAll = {.version = kVersion6_0, .features = 0xFF};

std::string ErrorOf(Direction direction, Negotiated negotiated, std::span<const std::byte> bytes) {
  const absl::StatusOr<CheckedMessage> message = CheckMessage(direction, negotiated, bytes);
  return message.ok() ? "" : std::string(message.status().message());
}

Direction Other(Direction direction) {
  return direction == Direction::kGuestToHost ? Direction::kHostToGuest : Direction::kGuestToHost;
}

// The table of protocol 02 section 2 once more, as it is read there.
struct Expected {
  const char* name;
  char direction;
  uint32_t version;
  size_t bytes;      // at 2.4
  size_t bytes_all;  // at 6.0 with every feature
};
constexpr Expected kExpected[] = {
    {"OFFER_CHANNEL", 'H', 0, 196, 196},
    {"RESCIND_CHANNEL_OFFER", 'H', 0, 12, 12},
    {"REQUEST_OFFERS", 'G', 0, 8, 8},
    {"ALL_OFFERS_DELIVERED", 'H', 0, 8, 8},
    {"OPEN_CHANNEL", 'G', 0, 148, 156},
    {"OPEN_CHANNEL_RESULT", 'H', 0, 20, 20},
    {"CLOSE_CHANNEL", 'G', 0, 12, 12},
    {"GPADL_HEADER", 'G', 0, 20, 20},
    {"GPADL_BODY", 'G', 0, 16, 16},
    {"GPADL_CREATED", 'H', 0, 20, 20},
    {"GPADL_TEARDOWN", 'G', 0, 16, 16},
    {"GPADL_TORNDOWN", 'H', 0, 12, 12},
    {"RELID_RELEASED", 'G', 0, 12, 12},
    {"INITIATE_CONTACT", 'G', 0, 40, 56},
    {"VERSION_RESPONSE", 'H', 0, 16, 40},
    {"UNLOAD", 'G', 0, 8, 8},
    {"UNLOAD_RESPONSE", 'H', kVersion1_1, 8, 8},
    {"OPEN_RESERVED_CHANNEL", 'G', kVersion4_0, 28, 28},
    {"CLOSE_RESERVED_CHANNEL", 'G', 0, 20, 20},
    {"CLOSE_RESERVED_CHANNEL_RESPONSE", 'H', kVersion4_0, 12, 12},
    {"TL_CONNECT_REQUEST", 'G', kVersion4_0, 40, 40},
    {"MODIFY_CHANNEL", 'G', kVersion4_1, 16, 16},
    {"TL_CONNECT_RESULT", 'H', kVersion4_1, 44, 44},
    {"MODIFY_CHANNEL_RESPONSE", 'H', kVersion5_3, 16, 16},
    {"MODIFY_CONNECTION", 'G', kVersion6_0, 24, 24},
    {"MODIFY_CONNECTION_RESPONSE", 'H', kVersion6_0, 9, 9},
    {"PAUSE", 'G', kVersion6_0, 8, 8},
    {"PAUSE_RESPONSE", 'H', kVersion6_0, 8, 8},
    {"RESUME", 'G', kVersion6_0, 8, 8},
};

TEST(MessageTable, IsTheReferences) {
  ASSERT_EQ(std::size(kExpected), kMessageTable.size());
  for (size_t i = 0; i < kMessageTable.size(); ++i) {
    const MessageRow& row = kMessageTable[i];
    SCOPED_TRACE(row.name);
    EXPECT_EQ(static_cast<size_t>(row.type), i + 1);
    EXPECT_EQ(row.name, kExpected[i].name);
    EXPECT_EQ(row.direction == Direction::kGuestToHost ? 'G' : 'H', kExpected[i].direction);
    EXPECT_EQ(row.version, kExpected[i].version);
    EXPECT_EQ(RequiredBytes(row, {.version = kVersion2_4}), kExpected[i].bytes);
    EXPECT_EQ(RequiredBytes(row, kAll), kExpected[i].bytes_all);
  }
}

TEST(MessageTable, OfferEndsAt190BeforeWindows7) {
  EXPECT_EQ(RequiredBytes(RowOf(MessageType::kOfferChannel), {.version = kVersion0_13}), 190u);
  EXPECT_EQ(RequiredBytes(RowOf(MessageType::kOfferChannel), {.version = kVersion1_1}), 196u);
}

TEST(CheckMessage, AcceptsEveryMessageAtItsSizeAndLonger) {
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    for (size_t size : {RequiredBytes(row, kAll), kMessageBytesMax}) {
      const auto message = CheckMessage(row.direction, kAll, std::span(bytes).first(size));
      ASSERT_TRUE(message.ok()) << message.status();
      EXPECT_EQ(message->type(), row.type);
      EXPECT_EQ(message->bytes().size(), size);
    }
  }
}

TEST(CheckMessage, RefusesEveryMessageTooShortAndSaysSo) {
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    const bool negotiating =
        row.type == MessageType::kInitiateContact || row.type == MessageType::kVersionResponse;
    const size_t required = negotiating ? row.bytes : RequiredBytes(row, kAll);
    for (size_t size = 0; size < required; ++size) {
      const std::string error = ErrorOf(row.direction, kAll, std::span(bytes).first(size));
      EXPECT_NE(error.find("size is " + std::to_string(size)), std::string::npos) << error;
      if (size >= 8) {
        EXPECT_EQ(error.find(row.name), 0u) << error;
      }
    }
  }
}

TEST(CheckMessage, RefusesEveryMessageTooLong) {
  for (const MessageRow& row : kMessageTable) {
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    EXPECT_EQ(ErrorOf(row.direction, kAll, std::span(bytes).first(241)),
              "control message: size is 241: at most 240");
  }
}

TEST(CheckMessage, RefusesEveryMessageInTheWrongDirection) {
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    const std::string error =
        ErrorOf(Other(row.direction), kAll, std::span(bytes).first(kMessageBytesMax));
    EXPECT_EQ(error.find(row.name), 0u) << error;
    EXPECT_NE(error.find("only a"), std::string::npos) << error;
  }
}

TEST(CheckMessage, GatesEveryMessageByVersion) {
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    for (uint32_t version : kVersionsNewestFirst) {
      const std::string error = ErrorOf(row.direction, {.version = version, .features = 0xFF},
                                        std::span(bytes).first(240));
      EXPECT_EQ(error.empty(), version >= row.version) << VersionText(version) << ": " << error;
    }
  }
  const Bytes modify = WithType(22);
  EXPECT_EQ(ErrorOf(Direction::kGuestToHost, {.version = kVersion4_0}, std::span(modify).first(16)),
            "MODIFY_CHANNEL: version is 262144: needs 4.1");
}

TEST(CheckMessage, GatesByFeature) {
  const std::set<MessageType> gated = {MessageType::kModifyConnection,
                                       MessageType::kModifyConnectionResponse, MessageType::kPause,
                                       MessageType::kPauseResponse, MessageType::kResume};
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    const std::string error =
        ErrorOf(row.direction, {.version = kVersion6_0}, std::span(bytes).first(240));
    EXPECT_EQ(!error.empty(), gated.contains(row.type)) << error;
  }
}

TEST(CheckMessage, WithoutConnectionOnlyFourMessagesTravel) {
  const std::set<MessageType> free = {MessageType::kInitiateContact, MessageType::kVersionResponse,
                                      MessageType::kCloseReservedChannel,
                                      MessageType::kCloseReservedChannelResponse};
  for (const MessageRow& row : kMessageTable) {
    SCOPED_TRACE(row.name);
    const Bytes bytes = WithType(static_cast<uint32_t>(row.type));
    const std::string error = ErrorOf(row.direction, {}, std::span(bytes).first(240));
    EXPECT_EQ(error.empty(), free.contains(row.type)) << error;
  }
}

TEST(CheckMessage, RefusesUnknownTypes) {
  for (uint32_t type : {0u, 30u, 77u, 0x80000001u, 0xFFFFFFFFu}) {
    const Bytes bytes = WithType(type);
    for (Direction direction : {Direction::kGuestToHost, Direction::kHostToGuest}) {
      EXPECT_EQ(ErrorOf(direction, kAll, std::span(bytes).first(240)),
                "control message: type is " + std::to_string(type) + ": known are 1 to 29");
    }
  }
  EXPECT_EQ(MessageName(5), "OPEN_CHANNEL");
  EXPECT_EQ(MessageName(77), "message 77");
}

TEST(Versions, NewestFirst) {
  for (size_t i = 1; i < kVersionsNewestFirst.size(); ++i) {
    EXPECT_GT(kVersionsNewestFirst[i - 1], kVersionsNewestFirst[i]);
  }
  EXPECT_EQ(kVersionsNewestFirst.front(), 0x00060000u);
  EXPECT_EQ(kVersionsNewestFirst.back(), 0x00020004u);
  EXPECT_EQ(VersionText(kVersion5_2), "5.2");
  EXPECT_TRUE(IsKnownVersion(kVersion4_1));
  EXPECT_FALSE(IsKnownVersion(0x00050004));
  EXPECT_FALSE(IsKnownVersion(kVersion1_1));
}

TEST(Versions, EventConnectionIdsNameRelidAndSint) {
  EXPECT_EQ(EventConnectionId(5, 2), 0x2005u);
  EXPECT_EQ(EventConnectionId(2047, 2), 0x27FFu);
}

}  // namespace
}  // namespace vmbuskit
