#include "transports/protocol/contact.h"

#include "framework/base/hex.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr Guid kClient = Guid::Parse("3b1a1c2e-0f5d-4e6b-9a7c-112233445566");

absl::StatusOr<Contact> ReadContact(std::span<const std::byte> bytes) {
  const auto checked = CheckMessage(Direction::kGuestToHost, {}, bytes);
  if (!checked.ok()) return checked.status();
  return ParseContact(*checked);
}

absl::StatusOr<VersionReply> ReadReply(std::span<const std::byte> bytes, uint32_t version) {
  const auto checked = CheckMessage(Direction::kHostToGuest, {}, bytes);
  if (!checked.ok()) return checked.status();
  return ParseVersionResponse(*checked, version);
}

TEST(Contact, Version5_2) {
  const MessageBuffer contact =
      EmitContact({.version = kVersion5_2, .parent_to_child = 0x11000, .child_to_parent = 0x12000});
  EXPECT_EQ(ToHex(contact.bytes()),
            "0e 00 00 00 00 00 00 00 02 00 05 00 00 00 00 00 "
            "02 00 00 00 00 00 00 00 00 10 01 00 00 00 00 00 00 20 01 00 00 00 00 00");
  const auto parsed = ReadContact(contact.bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->version, kVersion5_2);
  EXPECT_EQ(parsed->sint, 2);
  EXPECT_EQ(parsed->vtl, 0);
  EXPECT_EQ(parsed->interrupt_page, 0u);
  EXPECT_EQ(parsed->parent_to_child, 0x11000u);
  EXPECT_EQ(parsed->child_to_parent, 0x12000u);
}

TEST(Contact, Version6_0WithClientId) {
  const MessageBuffer contact = EmitContact({.version = kVersion6_0,
                                             .target_vp = 3,
                                             .features = 0x0F,
                                             .parent_to_child = 0x11000,
                                             .child_to_parent = 0x12000,
                                             .client_id = kClient});
  EXPECT_EQ(ToHex(contact.bytes()),
            "0e 00 00 00 00 00 00 00 00 00 06 00 03 00 00 00 "
            "02 00 00 00 0f 00 00 00 00 10 01 00 00 00 00 00 "
            "00 20 01 00 00 00 00 00 2e 1c 1a 3b 5d 0f 6b 4e 9a 7c 11 22 33 44 55 66");
  const auto parsed = ReadContact(contact.bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->target_vp, 3u);
  EXPECT_EQ(parsed->features, 0x0Fu);
  EXPECT_EQ(parsed->client_id, kClient);
}

TEST(Contact, Version4_0WithInterruptPage) {
  const MessageBuffer contact = EmitContact({.version = kVersion4_0,
                                             .interrupt_page = 0x10000,
                                             .parent_to_child = 0x11000,
                                             .child_to_parent = 0x12000});
  EXPECT_EQ(ToHex(contact.bytes()),
            "0e 00 00 00 00 00 00 00 00 00 04 00 00 00 00 00 "
            "00 00 01 00 00 00 00 00 00 10 01 00 00 00 00 00 00 20 01 00 00 00 00 00");
  const auto parsed = ReadContact(contact.bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->interrupt_page, 0x10000u);
  EXPECT_EQ(parsed->sint, 2) << "the page's bytes are no SINT before 5.0";
  EXPECT_EQ(parsed->features, 0u);
}

TEST(Contact, FieldsCountOnlyFromTheirVersionOn) {
  const Contact all{.version = 0, .sint = 7, .vtl = 2, .features = kFeatureClientId};
  for (uint32_t version : kVersionsNewestFirst) {
    SCOPED_TRACE(VersionText(version));
    Contact contact = all;
    contact.version = version;
    const auto parsed = ReadContact(EmitContact(contact).bytes());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->sint, version >= kVersion5_0 ? 7 : 2);
    EXPECT_EQ(parsed->vtl, version >= kVersion5_1 ? 2 : 0);
    EXPECT_EQ(parsed->features, version >= kVersion6_0 ? kFeatureClientId : 0);
    EXPECT_EQ(EmitContact(contact).size(), version >= kVersion6_0 ? 56u : 40u);
  }
}

TEST(Contact, PostedOnId4From5_0On) {
  EXPECT_EQ(ContactConnectionId(kVersion4_1), 1u);
  EXPECT_EQ(ContactConnectionId(kVersion5_0), 4u);
  EXPECT_EQ(ContactConnectionId(kVersion6_0), 4u);
}

TEST(Contact, ShortOfItsClientIdIsAnError) {
  const MessageBuffer contact =
      EmitContact({.version = kVersion6_0, .features = kFeatureClientId, .client_id = kClient});
  const auto parsed = ReadContact(contact.bytes().first(55));
  EXPECT_EQ(parsed.status().message(),
            "INITIATE_CONTACT: size is 55: 56 when a client id is announced");
}

TEST(Contact, FullSizePostsOfUefiAreFine) {
  std::vector<std::byte> bytes(240);
  const MessageBuffer contact = EmitContact({.version = kVersion6_0, .sint = 0});
  std::copy(contact.bytes().begin(), contact.bytes().end(), bytes.begin());
  const auto parsed = ReadContact(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->sint, 0);
}

TEST(VersionResponse, Accepted5_2) {
  const MessageBuffer reply =
      EmitVersionResponse({.supported = true, .message_connection_id = 1}, kVersion5_2);
  EXPECT_EQ(ToHex(reply.bytes()), "0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00");
  const auto parsed = ReadReply(reply.bytes(), kVersion5_2);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->supported);
  EXPECT_EQ(parsed->state, ConnectionState::kSuccessful);
  EXPECT_EQ(parsed->message_connection_id, 1u);
  EXPECT_EQ(parsed->selected_version, kVersion5_2);
}

TEST(VersionResponse, RefusalIsSixteenBytesOfNothing) {
  for (uint32_t version : kVersionsNewestFirst) {
    const MessageBuffer reply = EmitVersionResponse(
        {.supported = false, .selected_version = 1, .message_connection_id = 9, .features = 0x40},
        version);
    EXPECT_EQ(ToHex(reply.bytes()), "0f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    const auto parsed = ReadReply(reply.bytes(), version);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_FALSE(parsed->supported);
  }
}

TEST(VersionResponse, Accepted6_0) {
  const MessageBuffer reply = EmitVersionResponse(
      {.supported = true, .message_connection_id = 1, .features = 0x0F}, kVersion6_0);
  EXPECT_EQ(ToHex(reply.bytes()), "0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 0f 00 00 00");
  EXPECT_EQ(ReadReply(reply.bytes(), kVersion6_0)->features, 0x0Fu);
  EXPECT_EQ(ReadReply(reply.bytes().first(16), kVersion6_0).status().message(),
            "VERSION_RESPONSE: size is 16: 20 with version 6.0");
}

TEST(VersionResponse, ServerMonitorPages) {
  const MessageBuffer reply = EmitVersionResponse({.supported = true,
                                                   .message_connection_id = 1,
                                                   .features = kFeatureServerMonitorPages,
                                                   .parent_to_child = 0x5000,
                                                   .child_to_parent = 0x6000},
                                                  kVersion6_0);
  ASSERT_EQ(reply.size(), 40u);
  const auto parsed = ReadReply(reply.bytes(), kVersion6_0);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->parent_to_child, 0x5000u);
  EXPECT_EQ(parsed->child_to_parent, 0x6000u);
  EXPECT_EQ(ReadReply(reply.bytes().first(39), kVersion6_0).status().message(),
            "VERSION_RESPONSE: size is 39: 40 with server monitor pages");
}

TEST(VersionResponse, FailedStateAndSelectedVersionBelow5_0) {
  const MessageBuffer reply = EmitVersionResponse({.supported = true,
                                                   .state = ConnectionState::kFailedUnknown,
                                                   .selected_version = kVersion3_0},
                                                  kVersion3_0);
  EXPECT_EQ(ToHex(reply.bytes()), "0f 00 00 00 00 00 00 00 01 02 00 00 00 00 03 00");
  const auto parsed = ReadReply(reply.bytes(), kVersion3_0);
  EXPECT_EQ(parsed->state, ConnectionState::kFailedUnknown);
  EXPECT_EQ(parsed->selected_version, kVersion3_0);
  EXPECT_EQ(parsed->message_connection_id, 1u);
  EXPECT_EQ(ReadReply(reply.bytes(), kVersion1_1)->state, ConnectionState::kSuccessful)
      << "below 2.4 there is no state to read";
}

}  // namespace
}  // namespace vmbuskit
