#include "transports/protocol/offer.h"

#include "framework/base/hex.h"
#include "gtest/gtest.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {
namespace {

// Protocol 02 section 13.3.
OfferChannelMessage ScsiOffer() {
  return {.class_id = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"),
          .instance_id = Guid::Parse("1c5f0a4e-2d3b-4c77-8e11-a0b1c2d3e4f5"),
          .flags = 1,
          .relid = 5,
          .monitor_id = 3,
          .monitor_allocated = 1,
          .dedicated_interrupt = 1,
          .connection_id = 0x2005};
}

absl::StatusOr<OfferChannelMessage> Read(const OfferChannelMessage& offer, Negotiated negotiated) {
  const MessageBuffer bytes = Emit(offer, negotiated);
  const auto checked = CheckMessage(Direction::kHostToGuest, negotiated, bytes.bytes());
  if (!checked.ok()) return checked.status();
  return ParseOffer(*checked, negotiated);
}

TEST(Offer, Scsi) {
  const MessageBuffer bytes = Emit(ScsiOffer());
  ASSERT_EQ(bytes.size(), 196u);
  EXPECT_EQ(ToHex(bytes.bytes().first(64)),
            "01 00 00 00 00 00 00 00 d9 63 61 ba a1 04 29 4d "
            "b6 05 72 e2 ff b1 dc 7f 4e 0a 5f 1c 3b 2d 77 4c "
            "8e 11 a0 b1 c2 d3 e4 f5 00 00 00 00 00 00 00 00 "
            "00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00");
  EXPECT_EQ(ToHex(bytes.bytes().subspan(176)),
            "00 00 00 00 00 00 00 00 05 00 00 00 03 01 01 00 05 20 00 00");
  for (std::byte b : bytes.bytes().subspan(64, 112)) EXPECT_EQ(b, std::byte{0});

  const auto offer = Read(ScsiOffer(), {.version = kVersion5_2});
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->instance_id.ToString(), "1c5f0a4e-2d3b-4c77-8e11-a0b1c2d3e4f5");
  EXPECT_EQ(offer->relid, 5u);
  EXPECT_EQ(offer->monitor_id, 3);
  EXPECT_EQ(offer->connection_id, 0x2005u);
}

TEST(Offer, FlagsCountOnlyWithTheirFeature) {
  constexpr uint16_t kFlags = 0x240F;
  EXPECT_EQ(MaskOfferFlags(kFlags, {.version = kVersion5_3, .features = 0xFF}), 0x2401);
  EXPECT_EQ(MaskOfferFlags(kFlags, {.version = kVersion6_0}), 0x2401);
  EXPECT_EQ(MaskOfferFlags(kFlags, {kVersion6_0, kFeatureConfidentialChannels}), 0x2407);
  EXPECT_EQ(MaskOfferFlags(kFlags, {kVersion6_0, kFeatureGpaPinning}), 0x2409);
  OfferChannelMessage offer = ScsiOffer();
  offer.flags = kFlags;
  EXPECT_EQ(Read(offer, {.version = kVersion3_0})->flags, 0x2401);
}

TEST(Offer, RelidOutOfRangeIsRefused) {
  for (uint32_t relid : {0u, 2048u, 0xFFFFFFFFu}) {
    OfferChannelMessage offer = ScsiOffer();
    offer.relid = relid;
    EXPECT_EQ(Read(offer, {.version = kVersion5_2}).status().message(),
              "OFFER_CHANNEL: relid is " + std::to_string(relid) + ": 1 to 2047");
  }
  OfferChannelMessage offer = ScsiOffer();
  offer.relid = 2047;
  EXPECT_TRUE(Read(offer, {.version = kVersion5_2}).ok());
}

TEST(Offer, MonitorIdCountsOnlyWhenAllocated) {
  OfferChannelMessage offer = ScsiOffer();
  offer.monitor_id = 128;
  EXPECT_EQ(Read(offer, {.version = kVersion5_2}).status().message(),
            "OFFER_CHANNEL: monitor_id is 128: below 128");
  offer.monitor_allocated = 0xFE;  // reserved bits
  const auto unmonitored = Read(offer, {.version = kVersion5_2});
  ASSERT_TRUE(unmonitored.ok());
  EXPECT_EQ(unmonitored->monitor_allocated, 0);
  EXPECT_EQ(unmonitored->monitor_id, kNoMonitor);
}

TEST(Offer, BeforeWindows7SignalsGoToTheSharedConnection) {
  const auto offer = Read(ScsiOffer(), {.version = kVersion0_13});
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->connection_id, 2u);
  EXPECT_EQ(offer->dedicated_interrupt, 0);
}

}  // namespace
}  // namespace vmbuskit
