// The connection: negotiation, features, monitor pages, unloading, and what a host may not say
// when.
#include "transports/synic/client.h"

#include <gtest/gtest.h>

#include "transports/synic/client_testing.h"

namespace vmbuskit {
namespace {

constexpr char kRefusal[] = "0f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

void StartConnect(ScriptedHost& host) {
  ASSERT_TRUE(
      host.client.Connect(1, {.parent_to_child = 0x11000, .child_to_parent = 0x12000}).ok());
  host.Drain();
}

TEST(ClientConnect, ContactAndAnswerAreTheReferenceBytes) {
  ScriptedHost host({.version_max = kVersion5_2});
  StartConnect(host);
  ASSERT_EQ(host.posts.size(), 1u);
  EXPECT_EQ(host.posts[0].connection_id, 4u);
  EXPECT_TRUE(host.posts[0].contact);
  EXPECT_EQ(host.TakePosts()[0],
            "0e 00 00 00 00 00 00 00 02 00 05 00 00 00 00 00 "
            "02 00 00 00 00 00 00 00 00 10 01 00 00 00 00 00 "
            "00 20 01 00 00 00 00 00");
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00");
  EXPECT_TRUE(host.Result(1).ok());
  EXPECT_EQ(host.client.version(), kVersion5_2);
  ASSERT_EQ(host.posts.size(), 1u);
  EXPECT_EQ(host.posts[0].connection_id, 1u);  // as VERSION_RESPONSE said
  EXPECT_EQ(host.TakePosts()[0], "03 00 00 00 00 00 00 00");
}

TEST(ClientConnect, ClientIdMakesTheLongContact) {
  ScriptedHost host(
      {.features = 0x0F, .client_id = Guid::Parse("3b1a1c2e-0f5d-4e6b-9a7c-112233445566")});
  ASSERT_TRUE(
      host.client.Connect(1, {.parent_to_child = 0x11000, .child_to_parent = 0x12000}, 3).ok());
  EXPECT_EQ(host.TakePosts()[0],
            "0e 00 00 00 00 00 00 00 00 00 06 00 03 00 00 00 "
            "02 00 00 00 0f 00 00 00 00 10 01 00 00 00 00 00 "
            "00 20 01 00 00 00 00 00 2e 1c 1a 3b 5d 0f 6b 4e "
            "9a 7c 11 22 33 44 55 66");
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 0f 00 00 00");
  EXPECT_TRUE(host.Result(1).ok());
  EXPECT_EQ(host.client.features(), 0x0Fu);
}

// What the host supports at most, and what the client proposes until it gets there.
class ClientNegotiation : public testing::TestWithParam<size_t> {};

TEST_P(ClientNegotiation, GoesDownToTheHostsVersion) {
  const uint32_t cap = kVersionsNewestFirst[GetParam()];
  ScriptedHost host;
  StartConnect(host);
  for (size_t i = 0; i < GetParam(); ++i) {
    EXPECT_EQ(host.ProposedVersion(), kVersionsNewestFirst[i]);
    EXPECT_EQ(host.posts.back().connection_id, kVersionsNewestFirst[i] >= kVersion5_0 ? 4u : 1u);
    host.Say(kRefusal);
  }
  EXPECT_EQ(host.ProposedVersion(), cap);
  const VersionReply reply{.supported = true, .selected_version = cap, .message_connection_id = 9};
  host.Say(EmitVersionResponse(reply, cap).bytes());
  EXPECT_TRUE(host.Result(1).ok());
  EXPECT_EQ(host.client.version(), cap);
  EXPECT_EQ(host.posts.back().connection_id, cap >= kVersion5_0 ? 9u : 1u);
  EXPECT_EQ(host.client.counters().violations, 0u);
}

TEST_P(ClientNegotiation, SkipsWhatTheHypervisorHasNoConnectionFor) {
  // An old host has no connection id 4: the hypercall itself says so, for each version from 5.0 on.
  const uint32_t cap = kVersionsNewestFirst[GetParam()];
  if (cap >= kVersion5_0) return;
  ScriptedHost host;
  StartConnect(host);
  while (host.posts.back().connection_id == 4) {
    host.client.OnContactRefused();
    host.Drain();
  }
  EXPECT_EQ(host.ProposedVersion(), kVersion4_1);
  while (host.ProposedVersion() != cap) host.Say(kRefusal);
  const VersionReply reply{.supported = true, .selected_version = cap};
  host.Say(EmitVersionResponse(reply, cap).bytes());
  EXPECT_TRUE(host.Result(1).ok());
  EXPECT_EQ(host.client.version(), cap);
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, ClientNegotiation,
                         testing::Range<size_t>(0, kVersionsNewestFirst.size()));

TEST(ClientConnect, FailsWhenEveryVersionIsRefused) {
  ScriptedHost host;
  StartConnect(host);
  for (size_t i = 0; i < kVersionsNewestFirst.size(); ++i) host.Say(kRefusal);
  EXPECT_EQ(host.posts.size(), kVersionsNewestFirst.size());
  EXPECT_EQ(host.Result(1).message(), "the host refused every version from 6.0 to 2.4");
  EXPECT_FALSE(host.client.host_holds_pages());
  EXPECT_EQ(host.client.state(), VmbusClient::State::kDisconnected);
}

TEST(ClientConnect, AnIsolatedGuestStopsBelow5_2) {
  ScriptedHost host({.isolated = true});
  StartConnect(host);
  for (int i = 0; i < 3; ++i) host.Say(kRefusal);  // 6.0, 5.3, 5.2
  EXPECT_EQ(host.posts.size(), 3u);
  EXPECT_EQ(host.Result(1).message(), "the host refused every version from 6.0 to 5.2");
}

TEST(ClientConnect, TellsTheInterruptPageBelow5_0) {
  ScriptedHost host({.version_max = kVersion4_0});
  ASSERT_TRUE(host.client
                  .Connect(1, {.parent_to_child = 0x11000,
                               .child_to_parent = 0x12000,
                               .interrupt_page = 0x10000})
                  .ok());
  EXPECT_EQ(host.TakePosts()[0],
            "0e 00 00 00 00 00 00 00 00 00 04 00 00 00 00 00 "
            "00 00 01 00 00 00 00 00 00 10 01 00 00 00 00 00 "
            "00 20 01 00 00 00 00 00");
}

TEST(ClientConnect, AFailedStateIsAFailure) {
  for (const char* state : {"01", "02", "77"}) {
    ScriptedHost host({.version_max = kVersion5_2});
    StartConnect(host);
    host.Say(std::string("0f 00 00 00 00 00 00 00 01 ") + state + " 00 00 01 00 00 00");
    EXPECT_EQ(host.Result(1).code(), absl::StatusCode::kUnavailable);
    EXPECT_NE(host.Result(1).message().find("connection_state is"), std::string::npos);
    EXPECT_EQ(host.client.state(), VmbusClient::State::kDisconnected);
    EXPECT_FALSE(host.client.host_holds_pages());
  }
}

TEST(ClientConnect, DiscardsWhatWasLeftInTheSlot) {
  ScriptedHost host({.version_max = kVersion5_2});
  host.Say(ScriptedHost::OfferOf(3));  // before anything
  StartConnect(host);
  host.Say(ScriptedHost::OfferOf(5));
  host.Say(RescindMessage{.relid = 5});
  host.Say(UnloadResponseMessage{});
  host.Say(AllOffersDeliveredMessage{});
  EXPECT_EQ(host.client.counters().discarded, 5u);
  EXPECT_TRUE(host.offers.empty());
  EXPECT_EQ(host.all_offers, 0);
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00");
  EXPECT_TRUE(host.Result(1).ok());
  EXPECT_EQ(host.client.counters().violations, 0u);
}

TEST(ClientConnect, AnAnswerToAnotherVersionIsNotOurs) {
  ScriptedHost host({.version_max = kVersion4_1});
  StartConnect(host);
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 00 00 03 00");  // 3.0, of an earlier kernel
  EXPECT_FALSE(host.Ended(1));
  EXPECT_EQ(host.client.last_violation().message(),
            "VERSION_RESPONSE: selected_version is 196608: proposed was 4.1");
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 04 00");
  EXPECT_TRUE(host.Result(1).ok());
}

TEST(ClientConnect, MalformedAnswersAreCountedAndWaitedOut) {
  ScriptedHost host({.features = kFeatureServerMonitorPages});
  StartConnect(host);
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00");                          // short
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00");              // 6.0 without flags
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 40 00 00 00");  // without its pages
  EXPECT_EQ(host.client.counters().malformed, 3u);
  EXPECT_EQ(host.client.counters().violations, 3u);
  EXPECT_FALSE(host.Ended(1));
}

TEST(ClientConnect, UsesTheHostsMonitorPages) {
  ScriptedHost host({.features = kFeatureServerMonitorPages});
  host.Connect({.features = kFeatureServerMonitorPages, .child_to_parent = 0x77000});
  EXPECT_EQ(host.client.pages().child_to_parent, 0x77000u);
  EXPECT_EQ(host.client.pages().parent_to_child, 0u);
}

TEST(ClientConnect, RefusesLiesAboutTheConnection) {
  struct Lie {
    VersionReply reply;
    const char* field;
  };
  const Lie lies[] = {
      {{.message_connection_id = 0}, "message_connection_id is 0"},
      {{.message_connection_id = 0x1000000}, "message_connection_id is 16777216"},
      {{.message_connection_id = 1, .features = 0x01}, "features is 1: asked for were 64"},
      {{.message_connection_id = 1, .features = 0x40, .child_to_parent = 0},
       "child_to_parent is 0"},
      {{.message_connection_id = 1, .features = 0x40, .child_to_parent = 0x1001},
       "child_to_parent"},
      {{.message_connection_id = 1,
        .features = 0x40,
        .parent_to_child = 8,
        .child_to_parent = 4096},
       "parent_to_child is 8"},
  };
  for (Lie lie : lies) {
    ScriptedHost host({.features = kFeatureServerMonitorPages});
    StartConnect(host);
    lie.reply.supported = true;
    host.Say(EmitVersionResponse(lie.reply, kVersion6_0).bytes());
    EXPECT_EQ(host.Result(1).code(), absl::StatusCode::kDataLoss) << lie.field;
    EXPECT_NE(host.Result(1).message().find(lie.field), std::string::npos) << host.Result(1);
    EXPECT_TRUE(host.client.host_holds_pages());  // it connected, after all
    EXPECT_EQ(host.client.counters().violations, 1u);
  }
}

TEST(ClientConnect, GivenUpItLeavesThePagesWithTheHost) {
  ScriptedHost host;
  StartConnect(host);
  host.client.GiveUp(1);
  EXPECT_FALSE(host.Ended(1));
  EXPECT_TRUE(host.client.host_holds_pages());
  EXPECT_EQ(host.client.state(), VmbusClient::State::kDisconnected);
  host.Say("0f 00 00 00 00 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00");  // too late
  EXPECT_EQ(host.client.version(), 0u);
  EXPECT_EQ(host.client.counters().discarded, 1u);
}

TEST(ClientConnect, CommandsNeedAConnection) {
  VmbusClient client({});
  EXPECT_EQ(client.Open(1, {.relid = 5}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client.CreateGpadl(1, 5, {}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client.Modify(1, 5, 0).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(client.Unload(1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(client.TakeAction().has_value());
  EXPECT_EQ(client.Connect(1, {.parent_to_child = 0x1000}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ClientReceive, TheTableDecidesWhatCounts) {
  ScriptedHost host({.version_max = kVersion5_2});
  host.Connect();
  host.Say("01 00 00");                                         // no header
  host.Say("00 00 00 00 00 00 00 00");                          // type 0
  host.Say("1e 00 00 00 00 00 00 00");                          // type 30
  host.Say("07 00 00 00 00 00 00 00 05 00 00 00");              // CLOSE: guest to host
  host.Say("02 00 00 00 00 00 00 00 05 00 00");                 // RESCIND of 11 bytes
  host.Say("18 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00");  // MODIFY_RESPONSE below 5.3
  host.Say(std::vector<std::byte>(241));                        // over 240
  EXPECT_EQ(host.client.counters().malformed, 7u);
  EXPECT_EQ(host.client.counters().violations, 7u);
  EXPECT_TRUE(host.posts.empty() && host.results.empty() && host.losses.empty());
}

TEST(ClientReceive, ValidMessagesOfNoUseChangeNothing) {
  ScriptedHost host;
  host.Connect({.features = 0});
  host.Say(TlConnectResultMessage{});
  EXPECT_EQ(host.client.counters().unhandled, 1u);
  host.Say(VersionResponseMessage{.supported = 1});
  host.Say(UnloadResponseMessage{});
  EXPECT_EQ(host.client.counters().unexpected_answers, 2u);
  host.Say(AllOffersDeliveredMessage{});
  host.Say(AllOffersDeliveredMessage{});
  EXPECT_EQ(host.all_offers, 1);
  EXPECT_EQ(host.client.counters().unexpected_answers, 3u);
  EXPECT_EQ(host.client.state(), VmbusClient::State::kConnected);
}

TEST(ClientUnload, TakesEverythingBackAndSwallowsTheRest) {
  ScriptedHost host;
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t ring = host.OpenChannel(5);
  const GpadlRange range = GpadlRange::Pages(0x400, 1);
  ASSERT_TRUE(host.client.CreateGpadl(7, 5, {&range, 1}).ok());  // a probe still runs
  host.Drain();
  host.posts.clear();

  ASSERT_TRUE(host.client.Unload(2).ok());
  EXPECT_EQ(host.TakePosts(), std::vector<std::string>{"10 00 00 00 00 00 00 00"});
  host.Say(ScriptedHost::OfferOf(6));
  host.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host.client.counters().discarded, 2u);
  EXPECT_EQ(host.client.CreateGpadl(8, 5, {&range, 1}).status().code(),
            absl::StatusCode::kCancelled);
  // What the devices still let go of is not told any more.
  EXPECT_TRUE(host.client.Close(5).ok());
  EXPECT_TRUE(host.client.TearDownGpadl(9, ring).ok());
  EXPECT_FALSE(host.Ended(9));
  host.Say("11 00 00 00 00 00 00 00");
  EXPECT_TRUE(host.Result(2).ok());
  EXPECT_TRUE(host.Result(9).ok());
  EXPECT_EQ(host.Result(7).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(host.TakePosts().empty());
  EXPECT_FALSE(host.client.host_holds_pages());
  EXPECT_EQ(host.client.channel_count(), 0u);
  EXPECT_EQ(host.client.gpadl_count(), 0u);
  EXPECT_FALSE(host.twice_finished);
}

TEST(ClientUnload, LateTearDownsSucceedAfterwards) {
  ScriptedHost host;
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t buffer = host.MakeGpadl(5);
  ASSERT_TRUE(host.client.Unload(2).ok());
  host.Say(UnloadResponseMessage{});
  EXPECT_EQ(host.client.gpadl_count(), 1u);
  EXPECT_TRUE(host.client.TearDownGpadl(3, buffer).ok());
  EXPECT_TRUE(host.Result(3).ok());
  EXPECT_EQ(host.client.gpadl_count(), 0u);
}

TEST(ClientUnload, GivenUpItKeepsThePagesLost) {
  ScriptedHost host;
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t buffer = host.MakeGpadl(5);
  ASSERT_TRUE(host.client.Unload(2).ok());
  host.client.GiveUp(2);
  EXPECT_TRUE(host.client.host_holds_pages());
  EXPECT_EQ(host.client.TearDownGpadl(3, buffer).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(host.client.gpadl_count(), 0u);
}

TEST(ClientUnload, TheNextConnectionStartsAfresh) {
  ScriptedHost host;
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t old_buffer = host.MakeGpadl(5);
  ASSERT_TRUE(host.client.Unload(2).ok());
  host.Say(UnloadResponseMessage{});
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));  // the same number, another channel
  ASSERT_EQ(host.offers.size(), 2u);
  const uint32_t new_buffer = host.MakeGpadl(5);
  EXPECT_NE(new_buffer, old_buffer);
  // The old GPADL does not keep the new channel from being released.
  host.Say(RescindMessage{.relid = 5});
  EXPECT_TRUE(host.client.TearDownGpadl(3, new_buffer).ok());
  EXPECT_TRUE(host.client.Release(5).ok());
  EXPECT_EQ(host.TakePosts(), std::vector<std::string>{"0d 00 00 00 00 00 00 00 05 00 00 00"});
}

TEST(ClientLost, AnUnpostableMessageEndsEverythingOnce) {
  ScriptedHost host;
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t buffer = host.MakeGpadl(5);
  const GpadlRange range = GpadlRange::Pages(0x400, 1);
  ASSERT_TRUE(host.client.CreateGpadl(7, 5, {&range, 1}).ok());
  host.client.OnPostFailed(absl::UnavailableError("PostMessage: status 6"));
  // DeadlineExceeded: for its caller this means that the pages may be the host's.
  EXPECT_EQ(host.Result(7),
            absl::DeadlineExceededError(
                "PostMessage: status 6: the host may use the pages of GPADL 0xe1e11"));
  ASSERT_EQ(host.losses.size(), 1u);
  EXPECT_EQ(host.client.TearDownGpadl(8, buffer).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(host.client.channel_count(), 0u);
  EXPECT_TRUE(host.client.host_holds_pages());
  host.client.OnPostFailed(absl::UnavailableError("again"));
  host.Drain();
  EXPECT_EQ(host.losses.size(), 1u);
}

}  // namespace
}  // namespace vmbuskit
