// Open, close and reopen as stories (protocol 02 sections 5.2 and 5.4).
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
}  // namespace
}  // namespace vmbuskit
