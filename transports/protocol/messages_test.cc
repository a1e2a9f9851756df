// The wire structures against the hex dumps of protocol 02 section 13.5.
#include "transports/protocol/messages.h"

#include <string>

#include "framework/base/hex.h"
#include "gtest/gtest.h"
#include "transports/protocol/gpadl_messages.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {
namespace {

template <typename T>
T Parse(std::string_view hex) {
  const std::vector<std::byte> bytes = FromHex(hex);
  return CheckedMessage(RowOf(T::kType), bytes).As<T>();
}

TEST(Messages, OpenOnVp2WithDownstreamPage2) {
  const std::string head =
      "05 00 00 00 00 00 00 00 05 00 00 00 05 00 00 00 13 1e 0e 00 02 00 00 00 02 00 00 00";
  const MessageBuffer open = Emit(OpenChannelMessage{
      .relid = 5, .open_id = 5, .ring_gpadl = 0xE1E13, .target_vp = 2, .downstream_page = 2});
  ASSERT_EQ(open.size(), 148u);
  EXPECT_EQ(ToHex(open.bytes().first(28)), head);
  for (std::byte b : open.bytes().subspan(28)) EXPECT_EQ(b, std::byte{0});

  const auto parsed =
      CheckedMessage(RowOf(MessageType::kOpenChannel), open.bytes()).As<OpenChannelMessage>();
  EXPECT_EQ(parsed.relid, 5u);
  EXPECT_EQ(parsed.ring_gpadl, 0xE1E13u);
  EXPECT_EQ(parsed.target_vp, 2u);
  EXPECT_EQ(parsed.downstream_page, 2u);
  EXPECT_EQ(parsed.connection_id, 0u) << "beyond the message's end nothing is read";
}

TEST(Messages, OpenGrowsItsTailWithTheFeaturesThatNeedIt) {
  const OpenChannelMessage message{
      .relid = 5, .connection_id = 0x3005, .event_flag = 7, .flags = 1};
  for (uint32_t feature : {kFeatureGuestSignalParameters, kFeatureInterruptRedirection}) {
    const MessageBuffer open = Emit(message, {.version = kVersion6_0, .features = feature});
    ASSERT_EQ(open.size(), 156u);
    EXPECT_EQ(ToHex(open.bytes().subspan(148)), "05 30 00 00 07 00 01 00");
  }
  EXPECT_EQ(Emit(message, {.version = kVersion6_0, .features = kFeatureClientId}).size(), 148u);
  EXPECT_EQ(Emit(message, {.version = kVersion5_3, .features = 3}).size(), 148u);
}

TEST(Messages, OpenResult) {
  const MessageBuffer result = Emit(OpenChannelResultMessage{.relid = 5, .open_id = 5});
  EXPECT_EQ(ToHex(result.bytes()), "06 00 00 00 00 00 00 00 05 00 00 00 05 00 00 00 00 00 00 00");
}

TEST(Messages, RelidMessages) {
  EXPECT_EQ(ToHex(Emit(CloseChannelMessage{.relid = 5}).bytes()),
            "07 00 00 00 00 00 00 00 05 00 00 00");
  EXPECT_EQ(ToHex(Emit(RelidReleasedMessage{.relid = 5}).bytes()),
            "0d 00 00 00 00 00 00 00 05 00 00 00");
  EXPECT_EQ(ToHex(Emit(RescindMessage{.relid = 5}).bytes()), "02 00 00 00 00 00 00 00 05 00 00 00");
  EXPECT_EQ(ToHex(Emit(CloseReservedResponseMessage{.relid = 5}).bytes()),
            "14 00 00 00 00 00 00 00 05 00 00 00");
  EXPECT_EQ(Parse<RescindMessage>("02 00 00 00 ff ff ff ff 05 00 00 00").relid, 5u)
      << "padding is ignored";
}

TEST(Messages, HeaderOnlyMessages) {
  EXPECT_EQ(ToHex(Emit(UnloadMessage{}).bytes()), "10 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(UnloadResponseMessage{}).bytes()), "11 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(RequestOffersMessage{}).bytes()), "03 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(AllOffersDeliveredMessage{}).bytes()), "04 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(PauseMessage{}).bytes()), "1b 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(PauseResponseMessage{}).bytes()), "1c 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(ResumeMessage{}).bytes()), "1d 00 00 00 00 00 00 00");
}

TEST(Messages, ModifyChannelAndItsAnswer) {
  EXPECT_EQ(ToHex(Emit(ModifyChannelMessage{.relid = 5, .target_vp = 3}).bytes()),
            "16 00 00 00 00 00 00 00 05 00 00 00 03 00 00 00");
  EXPECT_EQ(
      ToHex(Emit(ModifyChannelResponseMessage{.relid = 5, .status = kStatusUnsuccessful}).bytes()),
      "18 00 00 00 00 00 00 00 05 00 00 00 ff ff 00 80");
}

TEST(Messages, ModifyConnectionAnswerHasNineBytes) {
  const MessageBuffer response =
      Emit(ModifyConnectionResponseMessage{.connection_state = 2}, {.version = kVersion6_0});
  EXPECT_EQ(ToHex(response.bytes()), "1a 00 00 00 00 00 00 00 02");
  const auto parsed = Parse<ModifyConnectionResponseMessage>("1a 00 00 00 00 00 00 00 02");
  EXPECT_EQ(parsed.connection_state, 2);
}

TEST(Messages, GpadlAnswers) {
  EXPECT_EQ(ToHex(Emit(GpadlCreatedMessage{.relid = 5, .gpadl = 0xE1E10}).bytes()),
            "0a 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00 00 00 00 00");
  EXPECT_EQ(ToHex(Emit(GpadlTeardownMessage{.relid = 5, .gpadl = 0xE1E10}).bytes()),
            "0b 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00");
  EXPECT_EQ(ToHex(Emit(GpadlTorndownMessage{.gpadl = 0xE1E10}).bytes()),
            "0c 00 00 00 00 00 00 00 10 1e 0e 00");
}

TEST(Messages, TlConnectFromPort0x40000001ToPort5000) {
  // Protocol 02 section 13.10.
  const TlConnectRequestMessage request{
      .endpoint_id = Guid::Parse("40000001-facb-11e6-bd58-64006a7986d3"),
      .service_id = Guid::Parse("00001388-facb-11e6-bd58-64006a7986d3")};
  EXPECT_EQ(ToHex(Emit(request).bytes()),
            "15 00 00 00 00 00 00 00 01 00 00 40 cb fa e6 11 bd 58 64 00 6a 79 86 d3 "
            "88 13 00 00 cb fa e6 11 bd 58 64 00 6a 79 86 d3");
  EXPECT_EQ(EmitSized(request, sizeof request).size(), 56u) << "with a silo id";
  EXPECT_EQ(Emit(TlConnectResultMessage{.status = kStatusConnectionRefused}).size(), 44u);
}

TEST(Messages, ReservedChannelMessages) {
  const MessageBuffer open = Emit(OpenReservedChannelMessage{
      .relid = 5, .target_vp = 1, .target_sint = 7, .ring_gpadl = 9, .downstream_page = 2});
  EXPECT_EQ(ToHex(open.bytes()),
            "12 00 00 00 00 00 00 00 05 00 00 00 01 00 00 00 07 00 00 00 09 00 00 00 02 00 00 00");
  const MessageBuffer close =
      Emit(CloseReservedChannelMessage{.relid = 5, .target_vp = 1, .target_sint = 7});
  EXPECT_EQ(ToHex(close.bytes()), "13 00 00 00 00 00 00 00 05 00 00 00 01 00 00 00 07 00 00 00");
}

TEST(MessageBuffer, TakesNoMoreThan240Bytes) {
  MessageBuffer buffer;
  const std::array<std::byte, 200> block{};
  EXPECT_TRUE(buffer.Append(block));
  EXPECT_FALSE(buffer.Append(block));
  EXPECT_EQ(buffer.size(), 200u);
  EXPECT_TRUE(buffer.Append(std::span(block).first(40)));
  EXPECT_EQ(buffer.size(), 240u);
  EXPECT_FALSE(buffer.Append(std::span(block).first(1)));
}

}  // namespace
}  // namespace vmbuskit
