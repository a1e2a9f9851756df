// Offers, open, close, retarget and reserved channels as stories (protocol 02 sections 4, 5.2 to 5.4).
#include <algorithm>
#include <set>

#include "framework/base/hex.h"
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

TEST(ServerOpen, GivesTheDeviceWhatTheGuestAskedFor) {
  World world;
  world.Offer(1, 0, /*monitored=*/true);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("create 1/10", "CREATED 1/10 0x0"));
  world.Open(1, 10, /*vp=*/2);
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=101 0x0"));
  const OpenRequest& open = world.actions.last_open;
  EXPECT_EQ(open.relid, 1u);
  EXPECT_EQ(open.ring_gpadl, 10u);
  EXPECT_EQ(open.ring->pfns.size(), 8u);
  EXPECT_EQ(open.ring->pfns[0], 0x100u);
  EXPECT_EQ(open.downstream_page, 4u);
  EXPECT_EQ(open.target_vp, 2u);
  EXPECT_EQ(open.event_flag, 1);
  EXPECT_EQ(open.connection_id, 0x2001u);
  EXPECT_EQ(open.monitor_id, 0);
  EXPECT_FALSE(open.redirect_interrupt);
  EXPECT_EQ(world.server.FindGpadl(ChannelId{1}, 10)->bytes(), 32768u);
  EXPECT_EQ(world.server.FindGpadl(ChannelId{1}, 11), nullptr);
}

TEST(ServerOpen, RefusedByTheDeviceMayBeTriedAgain) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Take();
  world.actions.accept = false;
  world.Open(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=101 0x8000ffff"));
  EXPECT_EQ(world.StateOf(id), ChannelState::kClosed);
  EXPECT_NE(world.server.FindGpadl(id, 10), nullptr) << "the guest tears it down";
  world.actions.accept = true;
  world.Open(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=101 0x0"));
}

TEST(ServerOpen, GuestChosenSignalParametersAreBinding) {
  World world;
  world.Offer(1);
  world.Offer(2);
  world.Connect(kVersion6_0, kFeatureGuestSignalParameters | kFeatureInterruptRedirection);
  world.Gpadl(1, 10);
  world.Gpadl(2, 20);
  OpenChannelMessage open{.relid = 1,
                          .ring_gpadl = 10,
                          .target_vp = 1,
                          .downstream_page = 4,
                          .connection_id = 0x3333,
                          .event_flag = 77,
                          .flags = 1};
  world.Post(open);
  EXPECT_EQ(world.actions.last_open.connection_id, 0x3333u);
  EXPECT_EQ(world.actions.last_open.event_flag, 77);
  EXPECT_TRUE(world.actions.last_open.redirect_interrupt);
  open.relid = 2;
  open.ring_gpadl = 20;
  for (uint32_t id : {0x3333u, 0u, 4u, 0x1000000u}) {
    world.Take();
    open.connection_id = id;
    world.Post(open);
    EXPECT_THAT(world.Take(), ElementsAre("OPEN_RESULT 2 open=0 0x8000ffff"));
  }
  open.connection_id = 0x3334;
  open.event_flag = 2048;
  world.Post(open);
  EXPECT_THAT(world.Take(), ElementsAre("OPEN_RESULT 2 open=0 0x8000ffff"));
  open.event_flag = 2047;
  world.Post(open);
  EXPECT_THAT(world.Take(), ElementsAre("open 2", "OPEN_RESULT 2 open=0 0x0"));
}

TEST(ServerOpen, ShortOpenIsDroppedOnceTheLongFormIsAgreed) {
  World world;
  world.Offer(1);
  world.Connect(kVersion6_0, kFeatureGuestSignalParameters);
  world.Gpadl(1, 10);
  world.Take();
  world.PostBytes(EmitSized(OpenChannelMessage{.relid = 1, .ring_gpadl = 10}, 148).bytes());
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.TakeError(), "OPEN_CHANNEL: size is 148: at least 156");
}

TEST(ServerOpen, BadRingsFailTheOpen) {
  World world;
  world.Offer(1);
  world.Offer(2);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Gpadl(2, 20);
  const GpadlRange odd{.byte_count = 0x7FFF, .byte_offset = 0, .first_pfn = 1};
  MessageBuffer message;
  GpadlMessages::Create(1, 11, {&odd, 1})->Next(message);
  world.PostBytes(message.bytes());
  world.Take();
  const struct {
    uint32_t ring, downstream, vp;
  } kBad[] = {{10, 0, 1}, {10, 1, 1}, {10, 7, 1}, {10, 8, 1}, {10, 0xFFFFFFFF, 1},
              {9, 4, 1},  {20, 4, 1}, {11, 4, 1}, {10, 4, 4}, {10, 4, 0x7FFFFFFF}};
  for (const auto& bad : kBad) {
    SCOPED_TRACE(absl::StrCat(bad.ring, " ", bad.downstream, " ", bad.vp));
    world.Post(OpenChannelMessage{.relid = 1,
                                  .ring_gpadl = bad.ring,
                                  .target_vp = bad.vp,
                                  .downstream_page = bad.downstream});
    EXPECT_THAT(world.Take(), ElementsAre("OPEN_RESULT 1 open=0 0x8000ffff"));
    EXPECT_NE(world.TakeError(), "");
  }
  world.Open(1, 10, kNoTargetVp);
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=101 0x0"));
}

TEST(ServerOpen, OpenAndCloseAreErrorsInTheWrongState) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Take();
  world.Close(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_CHANNEL: relid is 1: channel is Closed");
  world.actions.automatic = false;
  world.Open(1, 10);
  for (int i = 0; i < 2; ++i) {
    world.Open(1, 10);
    EXPECT_EQ(world.TakeError(),
              absl::StrCat("OPEN_CHANNEL: relid is 1: channel is ", i == 0 ? "Opening" : "Open"));
    world.Release(1);
    EXPECT_EQ(world.TakeError(),
              absl::StrCat("RELID_RELEASED: relid is 1: channel is ", i == 0 ? "Opening" : "Open"));
    if (i == 0) {
      world.Close(1);
      EXPECT_EQ(world.TakeError(), "CLOSE_CHANNEL: relid is 1: channel is Opening");
      world.server.OnOpenCompleted(id, true);
    }
  }
  world.Close(1);
  world.Close(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_CHANNEL: relid is 1: channel is Closing");
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=101 0x0", "close 1"));
}

TEST(ServerClose, HasNoAnswerTheTearDownIsTheSyncPoint) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Take();
  world.TearDown(1, 10);
  EXPECT_EQ(world.TakeError(), "GPADL_TEARDOWN: gpadl is 10: the ring of an open channel");
  world.actions.automatic = false;
  world.Close(1);
  world.TearDown(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("close 1")) << "the device still uses the ring";
  world.server.OnGpadlReleased(id, 10);
  EXPECT_EQ(world.server.counters().stale_events, 1u) << "nobody asked yet";
  world.server.OnCloseCompleted(id);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10"));
  world.server.OnGpadlReleased(id, 10);
  EXPECT_THAT(world.Take(), ElementsAre("TORNDOWN 10"));
  EXPECT_EQ(world.server.gpadls().count(), 0u);
}

TEST(ServerClose, ReopenWaitsForTheClose) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Gpadl(1, 11);
  world.Open(1, 10);
  world.actions.automatic = false;
  world.Close(1);
  world.TearDown(1, 10);
  world.Open(1, 11);
  world.Take();
  EXPECT_EQ(world.StateOf(id), ChannelState::kClosingReopen);
  world.Open(1, 11);
  EXPECT_EQ(world.TakeError(), "OPEN_CHANNEL: relid is 1: channel is ClosingReopen");
  world.Close(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_CHANNEL: relid is 1: channel is ClosingReopen");
  world.Release(1);
  EXPECT_EQ(world.TakeError(), "RELID_RELEASED: relid is 1: channel is ClosingReopen");
  world.TearDown(1, 11);
  EXPECT_EQ(world.TakeError(), "GPADL_TEARDOWN: gpadl is 11: the ring of an open channel");
  world.server.OnCloseCompleted(id);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10", "open 1"));
  world.server.OnOpenCompleted(id, true);
  EXPECT_THAT(world.Take(), ElementsAre("OPEN_RESULT 1 open=101 0x0"));
  EXPECT_EQ(world.actions.last_open.ring_gpadl, 11u);
}

TEST(ServerClose, ReopenWithATornDownRingFails) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.actions.automatic = false;
  world.Close(1);
  world.TearDown(1, 10);
  world.Open(1, 10);
  world.Take();
  world.server.OnCloseCompleted(id);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10", "OPEN_RESULT 1 open=101 0x8000ffff"));
  EXPECT_EQ(world.StateOf(id), ChannelState::kClosed);
}

TEST(ServerModify, NeverAnsweredBelow5_3TheNewestWins) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Take();
  world.actions.automatic = false;
  world.Modify(1, 2);
  world.Modify(1, 3);
  world.Modify(1, 0);
  EXPECT_THAT(world.Take(), ElementsAre("retarget 1 vp=2"));
  world.server.OnRetargeted(id, true);
  EXPECT_THAT(world.Take(), ElementsAre("retarget 1 vp=0"));
  world.server.OnRetargeted(id, true);
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.server.channels().all().at(id).open.target_vp, 0u);
}

TEST(ServerModify, AnsweredOnceFrom5_3On) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_3);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Take();
  world.Modify(1, 3);
  EXPECT_THAT(world.Take(), ElementsAre("retarget 1 vp=3", "MODIFIED 1 0x0"));
  world.actions.automatic = false;
  world.Modify(1, 2);
  world.Modify(1, 0);
  EXPECT_THAT(world.Take(), ElementsAre("retarget 1 vp=2")) << "one before the answer is dropped";
  EXPECT_NE(world.TakeError(), "");
  world.server.OnRetargeted(id, false);
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff"));
  EXPECT_EQ(world.server.channels().all().at(id).open.target_vp, 3u);
}

TEST(ServerModify, WhatCannotBeIsAnsweredWithFailure) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Offer(2);
  world.Connect(kVersion5_3);
  world.Gpadl(1, 10);
  world.Gpadl(2, 20);
  world.Open(2, 20, kNoTargetVp);
  world.Take();
  world.Modify(1, 1);  // closed
  world.Modify(2, 1);  // opened without interrupts
  world.Modify(9, 1);  // unknown
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff", "MODIFIED 2 0x8000ffff",
                                        "MODIFIED 9 0x8000ffff"));
  world.Open(1, 10);
  world.Take();
  world.Modify(1, kNoTargetVp);
  world.Modify(1, 4);
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff", "MODIFIED 1 0x8000ffff"));
  EXPECT_TRUE(world.server.Revoke(id).ok());
  world.Take();
  world.Modify(1, 1);
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff"));
}

TEST(ServerModify, AnOutstandingOneEndsWithTheClose) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_3);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.actions.automatic = false;
  world.Modify(1, 2);
  world.Close(1);
  world.Take();
  world.server.OnCloseCompleted(id);
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff"));
  world.server.OnRetargeted(id, true);
  EXPECT_EQ(world.server.counters().stale_events, 1u);
}

TEST(ServerModify, NeedsVersion4_1) {
  World world;
  world.Connect(kVersion4_0);
  world.Modify(1, 1);
  EXPECT_EQ(world.TakeError(), "MODIFY_CHANNEL: version is 262144: needs 4.1");
}

TEST(ServerReserved, IsAnsweredWhereItAskedAndHasNoInterrupts) {
  World world;
  world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Take();
  world.OpenReserved(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("open 1", "OPEN_RESULT 1 open=0 0x0 @3/7"));
  EXPECT_EQ(world.actions.last_open.target_vp, kNoTargetVp);
  EXPECT_TRUE(world.actions.last_open.reserved);
  world.Close(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_CHANNEL: relid is 1: channel is Open (reserved)");
  world.Gpadl(1, 11);
  EXPECT_THAT(world.Take(), ElementsAre("CREATED 1/11 0x8000ffff"));
  world.TakeError();
  world.TearDown(1, 10);
  EXPECT_EQ(world.TakeError(), "GPADL_TEARDOWN: relid is 1: channel is Open (reserved)");
  world.CloseReserved(1);
  EXPECT_THAT(world.Take(), ElementsAre("close 1", "RESERVED_CLOSED 1 @2/5"));
  world.TearDown(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10", "TORNDOWN 10"));
  world.CloseReserved(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_RESERVED_CHANNEL: relid is 1: channel is Closed");
}

TEST(ServerReserved, SurvivesADisconnectAndIsOfferedAgain) {
  World world;
  world.Offer(1);
  world.Offer(2);
  world.Connect(kVersion5_2);
  world.Gpadl(2, 20);
  world.OpenReserved(2, 20);
  world.Take();
  world.Post(UnloadMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
  EXPECT_EQ(world.server.gpadls().count(), 1u);
  world.PostContact({.version = kVersion5_2});
  world.Take();
  world.Open(2, 20);
  EXPECT_EQ(world.TakeError(), "OPEN_CHANNEL: relid is 2: offers were not requested");
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "OFFER relid=2 index=0",
                                        "ALL_OFFERS_DELIVERED"));
  world.CloseReserved(2);
  EXPECT_THAT(world.Take(), ElementsAre("close 2", "RESERVED_CLOSED 2 @2/5"));
  EXPECT_EQ(world.StateOf(ChannelId{2}), ChannelState::kClosed);
}

TEST(ServerReserved, MayBeClosedWithoutAConnection) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.OpenReserved(1, 10);
  world.Post(UnloadMessage{});
  world.Take();
  world.CloseReserved(1);
  EXPECT_THAT(world.Take(), ElementsAre("close 1", "RESERVED_CLOSED 1 @2/5", "drop 1/10"));
  EXPECT_EQ(world.StateOf(id), ChannelState::kClientReleased);
  EXPECT_EQ(world.server.gpadls().count(), 0u);
  world.Connect(kVersion5_2);
  EXPECT_EQ(world.StateOf(id), ChannelState::kClosed);
}

TEST(ServerReserved, WrongTargetsAndStatesAreErrors) {
  World world;
  world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Take();
  world.Post(OpenReservedChannelMessage{.relid = 1, .target_vp = 4, .ring_gpadl = 10});
  EXPECT_EQ(world.TakeError(), "OPEN_RESERVED_CHANNEL: target_vp is 4: no such processor");
  world.Post(OpenReservedChannelMessage{.relid = 1, .target_sint = 16, .ring_gpadl = 10});
  EXPECT_EQ(world.TakeError(), "OPEN_RESERVED_CHANNEL: target_sint is 16: 0 to 15");
  world.OpenReserved(1, 99);
  EXPECT_THAT(world.Take(), ElementsAre("OPEN_RESULT 1 open=0 0x8000ffff @3/7"));
  world.TakeError();
  world.Open(1, 10);
  world.OpenReserved(1, 10);
  EXPECT_EQ(world.TakeError(), "OPEN_RESERVED_CHANNEL: relid is 1: channel is Open");
  world.CloseReserved(1);
  EXPECT_EQ(world.TakeError(), "CLOSE_RESERVED_CHANNEL: relid is 1: channel is Open");
  world.CloseReserved(8);
  EXPECT_EQ(world.TakeError(), "CLOSE_RESERVED_CHANNEL: relid is 8: not offered");
}

}  // namespace
}  // namespace vmbuskit
