// Offers in any order at any time, and the numbers lent with them (protocol 02 section 4).
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

OfferChannelMessage LastOffer(const World& world) {
  return CheckedMessage(RowOf(MessageType::kOfferChannel), world.actions.last_message)
      .As<OfferChannelMessage>();
}

TEST(ServerOffers, WaitForTheRequestWhichComesOnce) {
  World world;
  world.Offer(1);
  world.PostContact({.version = kVersion5_2});
  world.Offer(2);
  world.Take();
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "OFFER relid=2 index=0",
                                        "ALL_OFFERS_DELIVERED"));
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.TakeError(), "REQUEST_OFFERS: requests is 2: once a connection");
}

TEST(ServerOffers, KeepComingForEver) {
  World world;
  world.Connect(kVersion5_2);
  for (uint8_t i = 1; i <= 3; ++i) {
    world.Offer(i);
    EXPECT_THAT(world.Take(), ElementsAre(absl::StrCat("OFFER relid=", i, " index=0")));
  }
}

TEST(ServerOffers, CarryEverythingAGuestNeeds) {
  World world;
  world.Connect(kVersion5_2);
  OfferParameters parameters{.class_id = kTestClass,
                             .instance_id = TestInstance(9),
                             .flags = 0x001F,
                             .mmio_megabytes = 8,
                             .mmio_megabytes_optional = 4,
                             .monitored = true};
  parameters.user_defined[0] = std::byte{4};
  ASSERT_TRUE(world.server.Offer(parameters).ok());
  const OfferChannelMessage offer = LastOffer(world);
  EXPECT_EQ(world.actions.last_message.size(), 196u);
  EXPECT_EQ(offer.class_id, kTestClass);
  EXPECT_EQ(offer.instance_id, TestInstance(9));
  EXPECT_EQ(offer.flags, 0x0011) << "flags without their feature are masked";
  EXPECT_EQ(offer.mmio_megabytes, 8);
  EXPECT_EQ(offer.mmio_megabytes_optional, 4);
  EXPECT_EQ(offer.user_defined[0], std::byte{4});
  EXPECT_EQ(offer.relid, 1u);
  EXPECT_EQ(offer.monitor_id, 0);
  EXPECT_EQ(offer.monitor_allocated, 1);
  EXPECT_EQ(offer.dedicated_interrupt, 1);
  EXPECT_EQ(offer.connection_id, 0x2001u);
}

TEST(ServerOffers, MonitorIdsAre0To127ThenNone) {
  World world;
  world.Connect(kVersion5_2);
  for (int i = 0; i < 128; ++i) world.Offer(static_cast<uint8_t>(i), 0, /*monitored=*/true);
  EXPECT_EQ(LastOffer(world).monitor_id, 127);
  world.Offer(200, 0, /*monitored=*/true);
  EXPECT_EQ(LastOffer(world).monitor_id, 255);
  EXPECT_EQ(LastOffer(world).monitor_allocated, 0);
}

TEST(ServerOffers, ShuffledStillPrimariesBeforeTheirSubchannels) {
  std::set<std::vector<std::string>> orders;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    World world({.offer_shuffle_seed = seed});
    for (uint8_t i = 1; i <= 4; ++i) {
      world.Offer(i);
      world.Offer(i, 1);
    }
    world.PostContact({.version = kVersion5_2});
    world.Take();
    world.Post(RequestOffersMessage{});
    const auto lines = world.Take();
    ASSERT_EQ(lines.size(), 9u);
    EXPECT_EQ(lines.back(), "ALL_OFFERS_DELIVERED");
    std::vector<std::string> order;
    for (const auto& [id, channel] : world.server.channels().all()) {
      order.push_back(absl::StrCat(channel.relid));
      if (channel.offer.subchannel_index == 1) {
        const auto primary =
            world.server.channels().all().at(ChannelId{static_cast<uint32_t>(channel.id) - 1});
        EXPECT_LT(primary.relid, channel.relid);
      }
    }
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), 4u);
}

TEST(ServerOffers, ASubchannelNeedsItsPrimary) {
  World world;
  EXPECT_TRUE(absl::IsNotFound(world.TryOffer(1, 1).status()));
  world.Offer(1);
  EXPECT_TRUE(world.TryOffer(1, 1).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(world.TryOffer(1, 1).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(world.TryOffer(1, 0).status()));
  EXPECT_EQ(world.server.Subchannels(ChannelId{1}).size(), 1u);
  EXPECT_THAT(world.server.Subchannels(ChannelId{2}), IsEmpty());
}

TEST(ServerOffers, RelidsRunOutAt2047AndComeBack) {
  World world;
  world.Connect(kVersion5_2);
  ChannelId last{};
  for (uint32_t i = 0; i < kRelidMax; ++i) {
    Guid instance = TestInstance(static_cast<uint8_t>(i));
    instance.bytes[14] = static_cast<uint8_t>(i >> 8);
    const auto id = world.server.Offer({.class_id = kTestClass, .instance_id = instance});
    ASSERT_TRUE(id.ok());
    last = *id;
  }
  EXPECT_EQ(LastOffer(world).relid, 2047u);
  const auto over = world.server.Offer({.class_id = TestInstance(1)});
  EXPECT_TRUE(absl::IsResourceExhausted(over.status())) << over.status();
  EXPECT_TRUE(world.server.Revoke(last).ok());
  EXPECT_FALSE(world.server.Offer({.class_id = TestInstance(1)}).ok())
      << "the guest holds it still";
  world.Take();
  world.Release(2047);
  EXPECT_TRUE(world.server.Offer({.class_id = TestInstance(1)}).ok());
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=2047 index=0"));
}
}  // namespace
}  // namespace vmbuskit
