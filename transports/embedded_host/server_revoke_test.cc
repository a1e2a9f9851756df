// Rescind, release and re-offer in every state (protocol 02 sections 4.4, 4.5 and 5.4).
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A connected world with one offered channel, relid 1, and an accepted ring GPADL 10.
struct Story : World {
  Story() {
    id = Offer(1);
    Connect(kVersion5_3);
    Gpadl(1, 10);
    Take();
    actions.automatic = false;
  }
  void Revoke() { ASSERT_TRUE(server.Revoke(id).ok()); }
  void OpenIt() {
    actions.automatic = true;
    Open(1, 10);
    actions.automatic = false;
    Take();
  }
  ChannelId id{};
};

TEST(ServerRevoke, BeforeAnybodyKnewIt) {
  World world;
  const ChannelId id = world.Offer(1);
  EXPECT_TRUE(world.server.Revoke(id).ok());
  EXPECT_EQ(world.server.channels().size(), 0u);
  EXPECT_TRUE(absl::IsNotFound(world.server.Revoke(id)));
  world.Connect(kVersion5_2);
  EXPECT_EQ(world.server.counters().offers, 0u);
}

TEST(ServerRevoke, WhileClosed) {
  Story story;
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1"));
  EXPECT_EQ(story.StateOf(story.id), ChannelState::kRevoked);
  EXPECT_TRUE(absl::IsNotFound(story.server.Revoke(story.id)));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 32768u) << "until the relid is released";
  story.Release(1);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.channels().size(), 0u);
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 0u);
}

TEST(ServerRevoke, WhileOpeningThereIsNoOpenResult) {
  Story story;
  story.Open(1, 10);
  story.Take();
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1"));
  story.server.OnOpenCompleted(story.id, true);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.counters().stale_events, 1u);
}

TEST(ServerRevoke, WhileOpen) {
  Story story;
  story.OpenIt();
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1"));
  story.Close(1);
  story.TearDown(1, 10);
  EXPECT_THAT(story.Take(), ElementsAre("TORNDOWN 10")) << "answered at once, the device is gone";
  story.Release(1);
  EXPECT_EQ(story.TakeError(), "");
  EXPECT_EQ(story.server.channels().size(), 0u);
}

TEST(ServerRevoke, WhileClosingAnswersTheTearDownFirst) {
  Story story;
  story.OpenIt();
  story.Close(1);
  story.TearDown(1, 10);
  story.Take();
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("TORNDOWN 10", "RESCIND 1"));
  EXPECT_EQ(story.server.gpadls().count(), 0u);
}

TEST(ServerRevoke, WhileClosingReopenTheOpenIsForgotten) {
  Story story;
  story.OpenIt();
  story.Close(1);
  story.Open(1, 10);
  story.Take();
  story.Revoke();
  story.server.OnCloseCompleted(story.id);
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1"));
}

TEST(ServerRevoke, WhileTheGuestIsGoneInMidFlight) {
  for (bool opening : {true, false}) {
    Story story;
    if (opening) {
      story.Open(1, 10);
    } else {
      story.OpenIt();
    }
    story.Post(UnloadMessage{});
    story.Take();
    EXPECT_EQ(story.StateOf(story.id),
              opening ? ChannelState::kOpeningClientRelease : ChannelState::kClosingClientRelease);
    story.Revoke();
    EXPECT_THAT(story.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
    EXPECT_EQ(story.server.channels().size(), 0u);
  }
}

TEST(ServerRevoke, BetweenGpadlHeaderAndBody) {
  Story story;
  story.GpadlHeader(1, 20);
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1"));
  story.GpadlBody(20);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/20 0x0")) << "success, for nobody";
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 32768u) << "only the ring's";
  story.TearDown(1, 20);
  EXPECT_THAT(story.Take(), ElementsAre("TORNDOWN 20"));
}

TEST(ServerRevoke, WhileTheDeviceDecidesOnAGpadl) {
  Story story;
  story.Gpadl(1, 20);
  EXPECT_THAT(story.Take(), ElementsAre("create 1/20"));
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/20 0x8000ffff", "RESCIND 1"));
  story.server.OnGpadlCreated(story.id, 20, true);
  EXPECT_THAT(story.Take(), IsEmpty());
}

TEST(ServerRevoke, GpadlOnARevokedChannelSucceedsUnusedAndUncharged) {
  Story story;
  story.Revoke();
  story.Take();
  const uint64_t before = story.server.gpadls().charged_bytes();
  story.Gpadl(1, 20);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/20 0x0"));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), before);
  story.Release(1);
  EXPECT_EQ(story.server.gpadls().count(), 0u);
}

TEST(ServerRevoke, WhileARetargetIsOut) {
  Story story;
  story.OpenIt();
  story.Modify(1, 2);
  story.Take();
  story.Revoke();
  EXPECT_THAT(story.Take(), ElementsAre("MODIFIED 1 0x8000ffff", "RESCIND 1"));
}

TEST(ServerRevoke, EveryMessageToARevokedChannel) {
  Story story;
  story.Revoke();
  story.Take();
  story.Open(1, 10);
  story.OpenReserved(1, 10);
  story.Close(1);
  story.CloseReserved(1);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.TakeError(), "") << "ignored, not an error: it may have crossed the RESCIND";
  story.Modify(1, 2);
  EXPECT_THAT(story.Take(), ElementsAre("MODIFIED 1 0x8000ffff"));
  story.TakeError();
  story.TearDown(1, 77);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 77: not a GPADL of this channel");
  story.TearDown(1, 10);
  EXPECT_THAT(story.Take(), ElementsAre("TORNDOWN 10"));
  story.Release(1);
  story.Release(1);
  EXPECT_EQ(story.TakeError(), "RELID_RELEASED: relid is 1: not offered");
}

TEST(ServerRevoke, TheRelidGoesToANewOfferOnlyAfterItsRelease) {
  Story story;
  story.Revoke();
  story.Offer(2);
  EXPECT_THAT(story.Take(), ElementsAre("RESCIND 1", "OFFER relid=2 index=0"));
  story.Release(1);
  story.Offer(3);
  EXPECT_THAT(story.Take(), ElementsAre("OFFER relid=1 index=0"));
}

TEST(ServerRevoke, AQueuedActionForAGoneDeviceIsNotRun) {
  // The device vanishes from inside an action that precedes its own in the queue.
  struct Vanishing : FakeActions {
    ChannelId victim{};
    void CloseChannel(ChannelId id) override {
      FakeActions::CloseChannel(id);
      if (id == victim) return;
      EXPECT_TRUE(server->Revoke(victim).ok());
    }
  } actions;
  VmbusServer server(ServerOptions{}, actions);
  actions.server = &server;
  std::vector<ChannelId> ids;
  for (uint8_t i = 1; i <= 2; ++i) {
    ids.push_back(*server.Offer({.class_id = kTestClass, .instance_id = TestInstance(i)}));
  }
  actions.victim = ids[1];
  server.HandleMessage(EmitContact({.version = kVersion5_2}).bytes(), 4);
  server.HandleMessage(Emit(RequestOffersMessage{}).bytes(), 1);
  for (uint32_t relid : {1u, 2u}) {
    const GpadlRange range = GpadlRange::Pages(0x100, 8);
    MessageBuffer message;
    GpadlMessages::Create(relid, relid, {&range, 1})->Next(message);
    server.HandleMessage(message.bytes(), 1);
    server.HandleMessage(
        Emit(OpenChannelMessage{.relid = relid, .ring_gpadl = relid, .downstream_page = 4}).bytes(),
        1);
  }
  actions.lines.clear();
  server.HandleMessage(Emit(UnloadMessage{}).bytes(), 1);
  EXPECT_THAT(actions.lines, ElementsAre("close 1", "drop 1/1", "tear down", "UNLOAD_RESPONSE"));
}

TEST(ServerReoffer, WaitsForTheReleaseAndKeepsItsNumbers) {
  World world;
  const ChannelId first = world.Offer(1, 0, /*monitored=*/true);
  world.Offer(2, 0, /*monitored=*/true);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  EXPECT_TRUE(world.server.Revoke(first).ok());
  world.Take();
  const ChannelId again = world.Offer(1, 0, /*monitored=*/true);
  EXPECT_NE(again, first);
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.StateOf(first), ChannelState::kReoffered);
  world.Open(1, 10);
  EXPECT_THAT(world.Take(), IsEmpty()) << "as on a revoked channel";
  EXPECT_TRUE(absl::IsAlreadyExists(world.TryOffer(1).status()));
  world.Release(1);
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0 monitor=0"));
  EXPECT_EQ(world.StateOf(again), ChannelState::kClosed);
  EXPECT_EQ(world.server.gpadls().count(), 0u) << "the old device's GPADLs are gone";
  world.Gpadl(1, 10);
  world.Open(1, 10);
  EXPECT_THAT(world.Take(), ElementsAre("create 3/10", "CREATED 1/10 0x0", "open 3",
                                        "OPEN_RESULT 1 open=101 0x0"));
}

TEST(ServerReoffer, KeepsItsNumbersThoughLowerOnesAreFree) {
  World world;
  const ChannelId first = world.Offer(1, 0, /*monitored=*/true);
  const ChannelId second = world.Offer(2, 0, /*monitored=*/true);
  world.Connect(kVersion5_2);
  EXPECT_TRUE(world.server.Revoke(first).ok());
  world.Release(1);
  EXPECT_TRUE(world.server.Revoke(second).ok());
  world.Offer(2, 0, /*monitored=*/true);
  world.Take();
  world.Release(2);
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=2 index=0 monitor=1"));
}

TEST(ServerReoffer, RevokedAgainSaysNothingTwice) {
  Story story;
  story.Revoke();
  const ChannelId again = story.Offer(1);
  story.Take();
  EXPECT_TRUE(story.server.Revoke(again).ok());
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.StateOf(story.id), ChannelState::kRevoked);
  story.Release(1);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.channels().size(), 0u);
}

TEST(ServerReoffer, IsAPlainOfferOnTheNextConnection) {
  Story story;
  story.Revoke();
  story.Offer(1);
  story.actions.automatic = true;
  story.Take();
  story.PostContact({.version = kVersion5_2});
  story.Post(RequestOffersMessage{});
  EXPECT_THAT(story.Take(),
              ElementsAre("tear down", "set up", "VERSION_RESPONSE 1 state=0 word=0x1 size=16",
                          "OFFER relid=1 index=0", "ALL_OFFERS_DELIVERED"));
  EXPECT_EQ(story.server.channels().size(), 1u);
}

TEST(ServerRelease, OfALiveOfferIsOneWay) {
  Story story;
  story.actions.automatic = true;
  story.Gpadl(1, 20);
  story.actions.automatic = false;
  story.Gpadl(1, 30);
  story.GpadlHeader(1, 40);
  story.Take();
  story.Release(1);
  EXPECT_THAT(story.Take(), ElementsAre("drop 1/10", "drop 1/20"));
  EXPECT_EQ(story.StateOf(story.id), ChannelState::kClientReleased);
  story.server.OnGpadlReleased(story.id, 10);
  story.server.OnGpadlReleased(story.id, 20);
  story.server.OnGpadlCreated(story.id, 30, false);
  EXPECT_THAT(story.Take(), IsEmpty()) << "not a word to the guest";
  EXPECT_EQ(story.server.gpadls().count(), 0u);
  story.Offer(2);
  EXPECT_THAT(story.Take(), ElementsAre("OFFER relid=1 index=0")) << "another device takes relid 1";
  story.actions.automatic = true;
  story.PostContact({.version = kVersion5_2});
  story.Take();
  story.Post(RequestOffersMessage{});
  EXPECT_THAT(story.Take(), ElementsAre("OFFER relid=1 index=0", "OFFER relid=2 index=0",
                                        "ALL_OFFERS_DELIVERED"));
}

TEST(ServerRelease, WhileClosing) {
  Story story;
  story.OpenIt();
  story.Close(1);
  story.Release(1);
  EXPECT_EQ(story.StateOf(story.id), ChannelState::kClosingClientRelease);
  story.Take();
  story.server.OnCloseCompleted(story.id);
  EXPECT_THAT(story.Take(), ElementsAre("drop 1/10"));
  story.server.OnGpadlReleased(story.id, 10);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.StateOf(story.id), ChannelState::kClientReleased);
}

TEST(ServerRelease, ReleasedAliveThenRevokedIsForgottenSilently) {
  Story story;
  story.Release(1);
  story.Take();
  story.Revoke();
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.gpadls().count(), 0u);
}

TEST(ServerSubchannels, GoBeforeTheirPrimary) {
  World world;
  const ChannelId primary = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Offer(1, 2);
  world.Offer(1, 1);
  world.Offer(2);
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=2 index=2", "OFFER relid=3 index=1",
                                        "OFFER relid=4 index=0"));
  EXPECT_THAT(world.server.Subchannels(primary), ElementsAre(ChannelId{3}, ChannelId{2}));
  EXPECT_TRUE(world.server.Revoke(primary).ok());
  EXPECT_THAT(world.Take(), ElementsAre("RESCIND 3", "RESCIND 2", "RESCIND 1"));
  EXPECT_TRUE(absl::IsNotFound(world.TryOffer(1, 1).status()));
}

TEST(ServerSubchannels, RevokedAloneLeaveTheRest) {
  World world;
  const ChannelId primary = world.Offer(1);
  world.Connect(kVersion5_2);
  const ChannelId one = world.Offer(1, 1);
  world.Offer(1, 2);
  world.Take();
  EXPECT_TRUE(world.server.Revoke(one).ok());
  EXPECT_THAT(world.Take(), ElementsAre("RESCIND 2"));
  EXPECT_TRUE(world.server.Revoke(primary).ok());
  EXPECT_THAT(world.Take(), ElementsAre("RESCIND 3", "RESCIND 1"));
}

TEST(ServerSubchannels, OfAReofferedPrimaryWaitForIt) {
  World world;
  const ChannelId primary = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Offer(1, 1);
  EXPECT_TRUE(world.server.Revoke(primary).ok());
  world.Offer(1);
  world.Offer(1, 1);
  world.Take();
  world.Release(2);  // the sub-channel's first
  EXPECT_THAT(world.Take(), IsEmpty()) << "an offer that would overtake its primary's";
  world.Release(1);
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "OFFER relid=2 index=1"));
}

TEST(ServerSubchannels, OfAPrimaryReleasedAliveWaitForTheNextConnection) {
  World world;
  world.Offer(1);
  world.Connect(kVersion5_2);
  world.Release(1);
  world.Offer(1, 1);
  EXPECT_THAT(world.Take(), IsEmpty());
  world.PostContact({.version = kVersion5_2});
  world.Take();
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "OFFER relid=2 index=1",
                                        "ALL_OFFERS_DELIVERED"));
}

}  // namespace
}  // namespace vmbuskit
