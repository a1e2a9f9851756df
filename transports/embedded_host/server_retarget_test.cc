// Retargeted and reserved channels as stories (protocol 02 section 5.3).
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
  world.Offer(1);
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
}

// Found by the campaign, seed 1354: a move that crosses the RESCIND was counted as the guest's mistake.
TEST(ServerModify, WhatCrossesTheRevokeIsNoMistake) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_3);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  EXPECT_TRUE(world.server.Revoke(id).ok());
  world.Take();
  world.Modify(1, 1);
  EXPECT_THAT(world.Take(), ElementsAre("MODIFIED 1 0x8000ffff"));
  EXPECT_EQ(world.server.errors().count(), 0u);
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
