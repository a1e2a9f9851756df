// Negotiation as stories (protocol 02 sections 3.1 and 3.2).
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
}  // namespace
}  // namespace vmbuskit
