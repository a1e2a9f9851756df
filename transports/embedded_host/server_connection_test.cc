// Negotiation, disconnect and pause as stories (protocol 02 sections 3.1 to 3.4).
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

TEST(ServerContact, EveryVersionBelowTheCapIsServedAndNoneAbove) {
  for (uint32_t cap : kVersionsNewestFirst) {
    for (uint32_t version : kVersionsNewestFirst) {
      SCOPED_TRACE(VersionText(cap) + " asked for " + VersionText(version));
      World world({.max_version = cap});
      world.PostContact(WithPages(version));
      if (version > cap) {
        EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 0 state=0 word=0x0 size=16"));
        EXPECT_EQ(world.server.state(), State::kDisconnected);
        continue;
      }
      const std::string word = version < kVersion5_0 ? Hex(version) : "0x1";
      const std::string size = version >= kVersion6_0 ? "20" : "16";
      EXPECT_THAT(world.Take(), ElementsAre("set up", "VERSION_RESPONSE 1 state=0 word=" + word +
                                                          " size=" + size));
      EXPECT_EQ(world.server.state(), State::kConnected);
      EXPECT_EQ(world.server.negotiated().version, version);
    }
  }
}

TEST(ServerContact, AGuestGoingDownTheListMeetsTheCap) {
  World world({.max_version = kVersion4_1});
  size_t tries = 0;
  for (uint32_t version : kVersionsNewestFirst) {
    ++tries;
    world.PostContact(WithPages(version));
    if (world.server.state() == State::kConnected) break;
  }
  EXPECT_EQ(tries, 6u);
  EXPECT_EQ(world.server.negotiated().version, kVersion4_1);
}

TEST(ServerContact, VersionsNobodyKnowsAreRefused) {
  World world;
  for (uint32_t version : {0x00070000u, 0x00050004u, kVersion1_1, kVersion0_13, 0u}) {
    world.PostContact(WithPages(version));
    EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 0 state=0 word=0x0 size=16"));
  }
  World old({.max_version = kVersion6_0, .min_version = kVersion5_0});
  old.PostContact(WithPages(kVersion4_1));
  EXPECT_THAT(old.Take(), ElementsAre("VERSION_RESPONSE 0 state=0 word=0x0 size=16"));
}

TEST(ServerContact, TheAskedProcessorCountsFrom3_0On) {
  World world;
  Contact contact = WithPages(kVersion2_4);
  contact.target_vp = 3;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(),
              ElementsAre("set up", "VERSION_RESPONSE 1 state=0 word=0x20004 size=16"));
  contact.version = kVersion3_0;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "set up",
                                        "VERSION_RESPONSE 1 state=0 word=0x30000 size=16 @3/2"));
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("ALL_OFFERS_DELIVERED @3/2"));
}

TEST(ServerContact, AProcessorThatIsNotThereIsAnError) {
  World world;
  Contact contact = WithPages(kVersion5_2);
  contact.target_vp = 4;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.TakeError(), "INITIATE_CONTACT: target_vp is 4: no such processor");
}

TEST(ServerContact, FeaturesAreTheAndOfWantedAndKnown) {
  World world;
  world.PostContact(WithPages(kVersion6_0, 0xFF));
  EXPECT_EQ(world.server.negotiated().features, 0x2Fu)
      << "no paravisor, no server pages, no pinning";
  world.PostContact(WithPages(kVersion6_0, kFeaturePauseResume | 0x80000000));
  EXPECT_EQ(world.server.negotiated().features, kFeaturePauseResume);
  world.PostContact(WithPages(kVersion5_3, 0xFF));
  EXPECT_EQ(world.server.negotiated().features, 0u);
  World plain({.features = 0});
  plain.PostContact(WithPages(kVersion6_0, 0xFF));
  EXPECT_EQ(plain.server.negotiated().features, 0u);
}

TEST(ServerContact, ClientIdIsKept) {
  World world;
  Contact contact = WithPages(kVersion6_0, kFeatureClientId);
  contact.client_id = Guid::Parse("3b1a1c2e-0f5d-4e6b-9a7c-112233445566");
  world.PostContact(contact);
  EXPECT_EQ(world.server.client_id(), contact.client_id);
  EXPECT_EQ(world.actions.last_setup.client_id, contact.client_id);
}

TEST(ServerContact, ClientIdMissingDropsTheContact) {
  World world;
  const MessageBuffer contact = EmitContact(WithPages(kVersion6_0, kFeatureClientId));
  world.PostBytes(contact.bytes().first(40), kMessageConnection);
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.TakeError(), "INITIATE_CONTACT: size is 40: 56 when a client id is announced");
}

TEST(ServerContact, ServerMonitorPages) {
  World world({.server_parent_to_child = 0x5000, .server_child_to_parent = 0x6000});
  world.PostContact({.version = kVersion6_0, .features = kFeatureServerMonitorPages});
  EXPECT_THAT(world.Take(), ElementsAre("set up", "VERSION_RESPONSE 1 state=0 word=0x1 size=40"));
  EXPECT_TRUE(world.actions.last_setup.server_pages);
  EXPECT_EQ(world.actions.last_setup.child_to_parent, 0x6000u);
  EXPECT_EQ(ToHex(std::span(world.actions.last_message).subspan(16)),
            "40 00 00 00 00 00 00 00 00 50 00 00 00 00 00 00 00 60 00 00 00 00 00 00");
}

TEST(ServerContact, MonitorPagesComeInPairsAlignedAndInsideMemory) {
  for (const auto& [p2c, c2p] : {std::pair<Gpa, Gpa>{0x11000, 0},
                                 {0, 0x12000},
                                 {0x11001, 0x12000},
                                 {0x11000, Gpa{1} << 32}}) {
    World world;
    world.PostContact({.version = kVersion5_2, .parent_to_child = p2c, .child_to_parent = c2p});
    EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 1 state=2 word=0x1 size=16"));
    EXPECT_EQ(world.server.state(), State::kDisconnected);
  }
}

TEST(ServerContact, NoMonitorPagesAtAllIsFine) {
  World world;
  world.PostContact({.version = kVersion5_2});
  EXPECT_EQ(world.server.state(), State::kConnected);
  world.Offer(1, 0, /*monitored=*/true);
  world.Take();
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "ALL_OFFERS_DELIVERED"));
}

TEST(ServerContact, PagesThatCannotBeMappedAreState2) {
  World world;
  world.actions.accept = false;
  world.PostContact(WithPages(kVersion6_0, kFeaturePauseResume));
  EXPECT_THAT(world.Take(), ElementsAre("set up", "VERSION_RESPONSE 1 state=2 word=0x1 size=20"));
  EXPECT_EQ(world.server.state(), State::kDisconnected);
  EXPECT_EQ(world.server.negotiated().version, 0u);
  world.actions.accept = true;
  world.PostContact(WithPages(kVersion6_0));
  EXPECT_EQ(world.server.state(), State::kConnected);
}

TEST(ServerContact, UefiPostsVersion6OnConnection1WithZeroSint) {
  World world;
  std::vector<std::byte> bytes(240);
  const MessageBuffer contact = EmitContact({.version = kVersion6_0, .sint = 0, .vtl = 0});
  std::copy(contact.bytes().begin(), contact.bytes().end(), bytes.begin());
  world.PostBytes(bytes, kMessageConnectionLegacy);
  EXPECT_THAT(world.Take(), ElementsAre("set up", "VERSION_RESPONSE 1 state=0 word=0x1 size=20"));
}

TEST(ServerContact, AnotherSintIsRefusedThere) {
  World world;
  world.Connect(kVersion5_2);
  Contact contact = WithPages(kVersion5_2);
  contact.sint = 5;
  contact.target_vp = 1;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 0 state=0 word=0x0 size=16 @1/5"));
  EXPECT_EQ(world.TakeError(), "INITIATE_CONTACT: sint is 5: only SINT 2 is served");
  EXPECT_EQ(world.server.state(), State::kConnected) << "nobody disconnected";
  contact.sint = 16;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(), IsEmpty());
}

TEST(ServerContact, AnotherTrustLevelIsNotServed) {
  World world;
  Contact contact = WithPages(kVersion5_1);
  contact.vtl = 2;
  world.PostContact(contact);
  EXPECT_THAT(world.Take(), IsEmpty());
  EXPECT_EQ(world.TakeError(), "INITIATE_CONTACT: vtl is 2: only VTL 0 is served here");
}

TEST(ServerContact, WhileConnectedItDisconnectsFirst) {
  World world;
  const ChannelId id = world.Offer(1);
  world.Connect(kVersion5_3);
  world.Gpadl(1, 10);
  world.Open(1, 10);
  world.Take();
  world.actions.automatic = false;
  world.PostContact(WithPages(kVersion4_0));
  EXPECT_THAT(world.Take(), ElementsAre("close 1"));
  EXPECT_EQ(world.server.state(), State::kDisconnecting);
  world.server.OnCloseCompleted(id);
  EXPECT_THAT(world.Take(), ElementsAre("drop 1/10"));
  world.server.OnGpadlReleased(id, 10);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "set up")) << "no RESCIND, no TORNDOWN";
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 1 state=0 word=0x40000 size=16"));
  world.Post(RequestOffersMessage{});
  EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0", "ALL_OFFERS_DELIVERED"));
}

TEST(ServerContact, WhileConnectingTheLastOneWins) {
  World world;
  world.actions.automatic = false;
  world.PostContact(WithPages(kVersion5_3));
  world.PostContact(WithPages(kVersion5_2));
  world.PostContact(WithPages(kVersion3_0));
  EXPECT_THAT(world.Take(), ElementsAre("set up"));
  EXPECT_EQ(world.server.state(), State::kConnecting);
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("tear down", "set up"));
  world.server.OnConnectionSetUp(true);
  EXPECT_THAT(world.Take(), ElementsAre("VERSION_RESPONSE 1 state=0 word=0x30000 size=16"));
}

TEST(ServerContact, AFailedSetUpIsForgottenForTheNextContact) {
  World world;
  world.actions.automatic = false;
  world.PostContact(WithPages(kVersion5_3));
  world.PostContact(WithPages(kVersion5_2));
  world.server.OnConnectionSetUp(false);
  EXPECT_THAT(world.Take(), ElementsAre("set up", "set up"));
  world.server.OnConnectionSetUp(true);
  EXPECT_EQ(world.server.negotiated().version, kVersion5_2);
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
