// Disconnect, reset and pause as stories (protocol 02 sections 3.3 and 3.4).
#include "framework/base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using State = VmbusServer::State;

Contact WithPages(uint32_t version, uint32_t features = 0) {
  return {.version = version,
          .features = features,
          .parent_to_child = 0x11000,
          .child_to_parent = 0x12000};
}

TEST(ServerUnload, NotConnectedIsAnErrorWithoutAnswer) {
  World world;
  world.Post(UnloadMessage{});
  EXPECT_EQ(world.TakeError(), "UNLOAD: version is 0: there is no connection");
  world.actions.automatic = false;
  world.PostContact(WithPages(kVersion5_2));
  world.Take();
  world.Post(UnloadMessage{});
  EXPECT_EQ(world.TakeError(), "UNLOAD: version is 0: there is no connection");
  EXPECT_THAT(world.Take(), IsEmpty());
}

TEST(ServerUnload, AnswersWhenEveryDeviceLetGo) {
  World world;
  const ChannelId open = world.Offer(1);
  const ChannelId opening = world.Offer(2);
  const ChannelId closing = world.Offer(3);
  world.Offer(4);
  world.Connect(kVersion5_2);
  for (uint32_t relid : {1u, 2u, 3u}) world.Gpadl(relid, 10 * relid);
  world.Open(1, 10);
  world.Open(3, 30);
  world.actions.automatic = false;
  world.Open(2, 20);
  world.Close(3);
  world.Gpadl(4, 40);        // Offered
  world.GpadlHeader(4, 50);  // InProgress
  world.Take();

  world.Post(UnloadMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("close 1"));
  world.server.OnCloseCompleted(open);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10"));
  world.server.OnOpenCompleted(opening, true);
  EXPECT_THAT(world.Take(), ElementsAre("close 2")) << "a finished open is closed at once";
  world.server.OnCloseCompleted(closing);
  world.server.OnCloseCompleted(opening);
  EXPECT_THAT(world.Take(), ElementsAre("drop 3/30", "drop 2/20"));
  world.server.OnGpadlReleased(open, 10);
  world.server.OnGpadlReleased(opening, 20);
  world.server.OnGpadlReleased(closing, 30);
  world.server.OnGpadlCreated(ChannelId{4}, 40, true);
  EXPECT_THAT(world.Take(), ElementsAre("drop 4/40"));
  EXPECT_EQ(world.server.state(), State::kDisconnecting);
  world.server.OnGpadlReleased(ChannelId{4}, 40);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
  EXPECT_EQ(world.server.state(), State::kDisconnected);
  EXPECT_EQ(world.server.gpadls().charged_bytes(), 0u);
  EXPECT_EQ(world.server.gpadls().count(), 0u);
  EXPECT_EQ(world.server.gpadls().in_progress_pages(), 0u);
}

TEST(ServerUnload, InEveryStateOfAChannelOneAnswerAndNotAWordMore) {
  for (int state = 0; state <= static_cast<int>(ChannelState::kReoffered); ++state) {
    SCOPED_TRACE(ChannelStateName(static_cast<ChannelState>(state)));
    World world;
    const ChannelId id = world.Offer(1);
    world.Connect(kVersion5_3);
    world.Gpadl(1, 10);
    const bool was_open = state >= static_cast<int>(ChannelState::kOpen);
    if (was_open) world.Open(1, 10);
    world.actions.automatic = false;
    switch (static_cast<ChannelState>(state)) {
      case ChannelState::kClientReleased:
        world.Release(1);
        break;
      case ChannelState::kOpening:
        world.Open(1, 10);
        break;
      case ChannelState::kClosing:
        world.Close(1);
        break;
      case ChannelState::kClosingReopen:
        world.Close(1);
        world.Open(1, 10);
        break;
      case ChannelState::kClosingClientRelease:
        world.Close(1);
        world.Release(1);
        break;
      case ChannelState::kRevoked:
        EXPECT_TRUE(world.server.Revoke(id).ok());
        break;
      case ChannelState::kReoffered:
        EXPECT_TRUE(world.server.Revoke(id).ok());
        world.Offer(1);
        break;
      case ChannelState::kClosed:
      case ChannelState::kOpen:
        break;
      case ChannelState::kOpeningClientRelease:
        continue;  // only a disconnect leads there
    }
    ASSERT_EQ(world.StateOf(id), static_cast<ChannelState>(state));
    world.Take();
    world.Post(UnloadMessage{});
    world.server.OnOpenCompleted(id, true);
    world.server.OnCloseCompleted(id);
    world.server.OnGpadlReleased(id, 10);
    std::vector<std::string> said;
    for (const std::string& line : world.Take()) {
      if (line != "close 1" && line != "drop 1/10") said.push_back(line);
    }
    EXPECT_THAT(said, ElementsAre("tear down", "UNLOAD_RESPONSE"));
    EXPECT_EQ(world.server.gpadls().count(), 0u);
  }
}

TEST(ServerUnload, AContactMeanwhileReplacesTheAnswer) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.actions.automatic = false;
  world.Post(UnloadMessage{});
  world.Post(UnloadMessage{});
  EXPECT_EQ(world.TakeError(), "UNLOAD: version is 0: there is no connection");
  world.PostContact(WithPages(kVersion5_0));
  world.Take();
  world.server.OnCloseCompleted(id);
  world.server.OnGpadlReleased(id, 10);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10", "tear down", "set up"));
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 1 state=0 word=0x1 size=16"));
  EXPECT_EQ(world.server.state(), State::kConnected);
}

TEST(ServerUnload, WhileOpeningTheFailedOpenEndsIt) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.actions.automatic = false;
  world.Open(1, 10);
  world.Take();
  world.Post(UnloadMessage{});
  EXPECT_THAT(world.Take(), IsEmpty());
  world.server.OnOpenCompleted(id, false);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10")) << "no OPEN_RESULT for a guest that left";
  world.server.OnGpadlReleased(id, 10);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
}

TEST(ServerUnload, ARevokedDeviceHoldsNothingUp) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.actions.automatic = false;
  world.Post(UnloadMessage{});
  world.Take();
  EXPECT_TRUE(world.server.Revoke(id).ok());
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
  EXPECT_EQ(world.server.channels().size(), 0u);
}

TEST(ServerReset, GoesBackToTheStartWithoutAWord) {
  World world;
  world.Offer(1);
  world.Offer(2);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Gpadl(2, 20);
  world.OpenReserved(2, 20);
  world.Take();
  world.server.Reset();
  EXPECT_THAT(world.Take(),
              ElementsAre("close 1", "close 2", "drop 1/10", "drop 2/20", "tear down"));
  EXPECT_EQ(world.server.state(), State::kDisconnected);
  EXPECT_EQ(world.server.gpadls().count(), 0u);
}

TEST(ServerReset, WhileConnectingAndDisconnecting) {
  World world;
  world.actions.automatic = false;
  world.PostContact(WithPages(kVersion5_2));
  world.server.Reset();
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("set up", "tear down"));
  EXPECT_EQ(world.server.state(), State::kDisconnected);

  const ChannelId id = world.Offer(1);
  world.actions.automatic = true;
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.actions.automatic = false;
  world.Post(UnloadMessage{});
  world.Take();
  world.server.Reset();
  world.server.OnGpadlReleased(id, 10);
  EXPECT_THAT(world.Take(), ElementsAre("tear down")) << "nobody waits for UNLOAD_RESPONSE";
}

TEST(ServerPause, HoldsMessagesUntilResume) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion6_0, kFeaturePauseResume);
  world.Post(PauseMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("PAUSE_RESPONSE"));
  EXPECT_TRUE(world.server.paused());
  world.Offer(2);
  EXPECT_TRUE(world.server.Revoke(id).ok());
  EXPECT_THAT(world.Take(), IsEmpty());
  world.Release(1);
  EXPECT_EQ(world.TakeError(), "RELID_RELEASED: paused is 1: the guest asked for a pause");
  world.Post(PauseMessage{});
  EXPECT_EQ(world.TakeError(), "PAUSE: paused is 1: the guest asked for a pause");
  world.Post(ResumeMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=2 index=0", "RESCIND 1"));
  world.Post(ResumeMessage{});
  EXPECT_EQ(world.TakeError(), "RESUME: paused is 0: there was no PAUSE");
}

TEST(ServerPause, IsLiftedByUnloadAndContact) {
  World world;
  world.Connect(kVersion6_0, kFeaturePauseResume);
  world.Post(PauseMessage{});
  world.Offer(1);
  world.Take();
  world.Post(UnloadMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "tear down", "UNLOAD_RESPONSE"));
  world.Connect(kVersion6_0, kFeaturePauseResume);
  world.Post(PauseMessage{});
  world.Take();
  world.PostContact(WithPages(kVersion6_0));
  EXPECT_THAT(world.Take(),
              ElementsAre("tear down", "set up", "VERSION_RESPONSE 1 state=0 word=0x1 size=20"));
  EXPECT_FALSE(world.server.paused());
}

TEST(ServerModifyConnection, MapsOtherMonitorPages) {
  World world;
  world.Connect(kVersion6_0, kFeatureModifyConnection);
  world.Post(ModifyConnectionMessage{.parent_to_child = 0x21000, .child_to_parent = 0x22000});
  EXPECT_THAT(world.Take(), ElementsAre("set up", "CONNECTION_MODIFIED state=0"));
  EXPECT_EQ(world.actions.last_setup.child_to_parent, 0x22000u);
  EXPECT_EQ(world.actions.last_message.size(), 9u);
}

TEST(ServerModifyConnection, WhatIsWrongIsAnsweredWithState2) {
  World world;
  world.Connect(kVersion6_0, kFeatureModifyConnection);
  world.Post(ModifyConnectionMessage{.parent_to_child = 0x21000});
  EXPECT_THAT(world.Take(), ElementsAre("CONNECTION_MODIFIED state=2"));
  world.actions.automatic = false;
  world.Post(ModifyConnectionMessage{.parent_to_child = 0x21000, .child_to_parent = 0x22000});
  world.Post(ModifyConnectionMessage{.parent_to_child = 0x31000, .child_to_parent = 0x32000});
  EXPECT_THAT(world.Take(), ElementsAre("set up", "CONNECTION_MODIFIED state=2"));
  world.server.OnConnectionSetUp(false);
  EXPECT_THAT(world.Take(), ElementsAre("CONNECTION_MODIFIED state=2"));
  world.server.OnConnectionSetUp(true);
  EXPECT_EQ(world.server.counters().stale_events, 1u);
}

TEST(ServerModifyConnection, UnloadWaitsForIt) {
  World world;
  world.Connect(kVersion6_0, kFeatureModifyConnection);
  world.actions.automatic = false;
  world.Post(ModifyConnectionMessage{.parent_to_child = 0x21000, .child_to_parent = 0x22000});
  world.Post(UnloadMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("set up"));
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
}

TEST(ServerModifyConnection, NeedsItsFeature) {
  World world;
  world.Connect(kVersion6_0);
  world.Post(ModifyConnectionMessage{});
  EXPECT_EQ(world.TakeError(), "MODIFY_CONNECTION: features is 0: needs flag 4");
  EXPECT_THAT(world.Take(), IsEmpty());
}

TEST(ServerTlConnect, IsRefusedFrom4_1OnAndSilentlyBefore) {
  World world;
  world.Connect(kVersion4_0);
  const TlConnectRequestMessage request{.endpoint_id = TestInstance(1),
                                        .service_id = TestInstance(2)};
  world.Post(request);
  EXPECT_THAT(world.Take(), IsEmpty());
  world.Connect(kVersion4_1);
  world.Post(request);
  EXPECT_THAT(world.Take(), ElementsAre("TL_CONNECT_RESULT"));
  EXPECT_EQ(ToHex(std::span(world.actions.last_message).subspan(40)), "36 02 00 c0");
}

TEST(ServerErrors, KeepsTheLastOnesAndCountsAll) {
  World world({.error_count_max = 2});
  for (uint32_t i = 0; i < 5; ++i) world.Post(UnloadMessage{});
  world.Post(PauseMessage{});
  EXPECT_EQ(world.server.errors().count(), 6u);
  EXPECT_THAT(world.server.errors().last(),
              ElementsAre("UNLOAD: version is 0: there is no connection",
                          "PAUSE: version is 0: there is no connection"));
}

TEST(ServerInspect, ShowsConnectionChannelsGpadlsAndErrors) {
  World world;
  world.Offer(1, 0, /*monitored=*/true);
  world.Connect(kVersion5_2);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Close(9);
  InspectNode node;
  world.server.Inspect(node);
  const std::string json = node.ToJson();
  for (const char* text :
       {"\"state\": \"Connected\"", "\"version\": \"5.2\"", "\"state\": \"Open\"",
        "\"monitor_id\": 0", "\"bytes\": 32768", "CLOSE_CHANNEL: relid is 9: not offered"}) {
    EXPECT_NE(json.find(text), std::string::npos) << text << " in " << json;
  }
}
}  // namespace
}  // namespace vmbuskit
