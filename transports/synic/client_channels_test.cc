// Offers, opens, moves and rescinds, in every order that a host may think of.
#include "transports/synic/client_channels.h"

#include <gtest/gtest.h>

#include "transports/synic/client_testing.h"

namespace vmbuskit {
namespace {

constexpr char kRelease5[] = "0d 00 00 00 00 00 00 00 05 00 00 00";
constexpr char kClose5[] = "07 00 00 00 00 00 00 00 05 00 00 00";

class ClientChannelTest : public testing::Test {
 protected:
  explicit ClientChannelTest(const VmbusClient::Options& options = {.version_max = kVersion5_3})
      : host_(options) {
    host_.Connect();
  }
  // Opens 5, offered here, up to the question.
  uint32_t StartOpen(OperationId operation) {
    host_.Say(ScriptedHost::OfferOf(5));
    const uint32_t ring = host_.MakeGpadl(5);
    EXPECT_TRUE(
        host_.client.Open(operation, {.relid = 5, .ring_gpadl = ring, .downstream_page = 2}).ok());
    host_.Drain();
    return ring;
  }

  ScriptedHost host_;
};

TEST_F(ClientChannelTest, AnOfferIsPassedOnFieldByField) {
  std::vector<std::byte> offer = FromHex(
      "01 00 00 00 00 00 00 00 d9 63 61 ba a1 04 29 4d b6 05 72 e2 ff b1 dc 7f "
      "4e 0a 5f 1c 3b 2d 77 4c 8e 11 a0 b1 c2 d3 e4 f5");
  offer.resize(196);
  const std::vector<std::byte> tail = FromHex("05 00 00 00 03 01 01 00 05 20 00 00");
  offer[56] = std::byte{1};
  std::memcpy(offer.data() + 184, tail.data(), tail.size());
  host_.Say(offer);
  ASSERT_EQ(host_.offers.size(), 1u);
  const Offer& got = host_.offers[0];
  EXPECT_EQ(got.class_id, kTestClass);
  EXPECT_EQ(got.instance_id, kTestInstance);
  EXPECT_EQ(got.flags, 1u);
  EXPECT_EQ(got.relid, 5u);
  EXPECT_TRUE(got.monitor_allocated);
  EXPECT_EQ(got.monitor_id, 3u);
  EXPECT_EQ(got.connection_id, 0x2005u);
}

TEST_F(ClientChannelTest, FlagsWithoutTheirFeatureMeanNothing) {
  OfferChannelMessage offer = ScriptedHost::OfferOf(5);
  offer.flags = 0x000F | kOfferNamedPipe;
  host_.Say(offer);
  EXPECT_EQ(host_.offers.at(0).flags, 0x0011u);
}

TEST_F(ClientChannelTest, RejectsOffersThatCannotBe) {
  host_.Say(ScriptedHost::OfferOf(5));
  auto rejected = [&](const OfferChannelMessage& offer, std::string_view why) {
    const uint64_t before = host_.client.counters().rejected_offers;
    host_.Say(offer);
    EXPECT_EQ(host_.client.counters().rejected_offers, before + 1) << why;
    EXPECT_NE(host_.client.last_violation().message().find({why.data(), why.size()}),
              std::string::npos)
        << host_.client.last_violation();
  };
  rejected(ScriptedHost::OfferOf(0), "relid is 0");
  rejected(ScriptedHost::OfferOf(2048), "relid is 2048");
  rejected(ScriptedHost::OfferOf(5, 0, ScriptedHost::Instance(1)), "relid is 5: in use");
  rejected(ScriptedHost::OfferOf(6), "subchannel_index is 0");  // the same device twice
  rejected(ScriptedHost::OfferOf(6, 1, ScriptedHost::Instance(1)), "has no primary channel");
  OfferChannelMessage monitored = ScriptedHost::OfferOf(6, 1);
  monitored.monitor_allocated = 1;
  monitored.monitor_id = 128;
  rejected(monitored, "monitor_id is 128");
  host_.Say(ScriptedHost::OfferOf(6, 1));
  rejected(ScriptedHost::OfferOf(7, 1), "subchannel_index is 1");  // the same sub-channel twice
  EXPECT_EQ(host_.offers.size(), 2u);
  EXPECT_EQ(host_.client.channel_count(), 2u);
}

TEST_F(ClientChannelTest, AnIsolatedGuestTakesOnlyHardenedClasses) {
  ScriptedHost host({.isolated = true});
  host.Connect();
  OfferChannelMessage video = ScriptedHost::OfferOf(5);
  video.class_id = Guid::Parse("da0a7802-e377-4aac-8e77-0558eb1073f8");
  host.Say(video);
  EXPECT_EQ(host.client.counters().rejected_offers, 1u);
  video.flags = kOfferHvSocket;
  host.Say(video);
  host.Say(ScriptedHost::OfferOf(6, 0, ScriptedHost::Instance(1)));  // SCSI
  EXPECT_EQ(host.offers.size(), 2u);
}

TEST_F(ClientChannelTest, AFloodOfOffersIsBounded) {
  for (uint32_t i = 0; i < 3 * 2048; ++i) {
    host_.Say(ScriptedHost::OfferOf(i, 0, ScriptedHost::Instance(static_cast<uint16_t>(i))));
  }
  EXPECT_EQ(host_.client.channel_count(), 2047u);
  EXPECT_EQ(host_.offers.size(), 2047u);
  EXPECT_EQ(host_.client.counters().rejected_offers, 3 * 2048u - 2047u);
}

TEST_F(ClientChannelTest, OpensAndClosesByTheReferenceBytes) {
  host_.Say(ScriptedHost::OfferOf(5));
  const uint32_t ring = host_.MakeGpadl(5);
  ASSERT_EQ(ring, 0xE1E10u);
  ASSERT_TRUE(
      host_.client.Open(7, {.relid = 5, .ring_gpadl = ring, .target_vp = 2, .downstream_page = 2})
          .ok());
  host_.Drain();
  ASSERT_EQ(host_.posts.size(), 1u);
  EXPECT_EQ(host_.posts[0].message.size(), 148u);
  EXPECT_EQ(host_.TakePosts()[0].substr(0, 28 * 3 - 1),
            "05 00 00 00 00 00 00 00 05 00 00 00 05 00 00 00 10 1e 0e 00 02 00 00 00 02 00 00 00");
  host_.Say("06 00 00 00 00 00 00 00 05 00 00 00 05 00 00 00 00 00 00 00");
  EXPECT_TRUE(host_.Result(7).ok());
  EXPECT_EQ(host_.client.TearDownGpadl(8, ring).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(host_.client.Close(5).ok());
  EXPECT_TRUE(host_.client.TearDownGpadl(8, ring).ok());
  EXPECT_EQ(host_.TakePosts(),
            (std::vector<std::string>{kClose5, "0b 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00"}));
  EXPECT_EQ(host_.client.Close(5).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClientChannelTest, TheLongOpenCarriesTheOffersOwnIds) {
  ScriptedHost host({.features = kFeatureGuestSignalParameters});
  host.Connect({.features = kFeatureGuestSignalParameters});
  host.Say(ScriptedHost::OfferOf(5));
  const uint32_t ring = host.MakeGpadl(5);
  ASSERT_TRUE(host.client.Open(7, {.relid = 5, .ring_gpadl = ring, .downstream_page = 2}).ok());
  host.Drain();
  ASSERT_EQ(host.posts.at(0).message.size(), 156u);
  EXPECT_EQ(host.TakePosts()[0].substr(148 * 3), "05 20 00 00 05 00 00 00");
}

TEST_F(ClientChannelTest, OpenNeedsAnIdleChannelAndItsOwnRing) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say(ScriptedHost::OfferOf(6, 0, ScriptedHost::Instance(1)));
  const uint32_t foreign = host_.MakeGpadl(6);
  EXPECT_EQ(host_.client.Open(7, {.relid = 5, .ring_gpadl = foreign}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(host_.client.Open(7, {.relid = 9}).code(), absl::StatusCode::kNotFound);
  const uint32_t ring = host_.OpenChannel(5);
  EXPECT_EQ(host_.client.Open(7, {.relid = 5, .ring_gpadl = ring}).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClientChannelTest, ARefusedOpenLeavesTheRingToBeTornDown) {
  const uint32_t ring = StartOpen(7);
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5, .status = 0x8000FFFF});
  EXPECT_EQ(host_.Result(7).message(), "channel 5: the host refused to open it, status 0x8000ffff");
  host_.posts.clear();
  EXPECT_TRUE(host_.client.TearDownGpadl(8, ring).ok());
  EXPECT_EQ(host_.TakePosts().size(), 1u);  // no CLOSE
}

TEST_F(ClientChannelTest, AFailureThatSomeHostsTakeForOpenIsClosed) {
  StartOpen(7);
  host_.posts.clear();
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5, .status = 1});
  EXPECT_FALSE(host_.Result(7).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kClose5});
}

TEST_F(ClientChannelTest, AnswersOfOtherOpensAreNotOurs) {
  StartOpen(7);
  host_.Say(OpenChannelResultMessage{.relid = 6, .open_id = 5});
  EXPECT_EQ(host_.client.counters().unexpected_answers, 1u);
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 6});
  EXPECT_EQ(host_.client.last_violation().message(),
            "OPEN_CHANNEL_RESULT: open_id is 6: channel 5 asked with 5");
  EXPECT_FALSE(host_.Ended(7));
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5});
  EXPECT_TRUE(host_.Result(7).ok());
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5});  // again
  EXPECT_EQ(host_.client.counters().unexpected_answers, 2u);
}

TEST_F(ClientChannelTest, RescindBeforeOpen) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say("02 00 00 00 00 00 00 00 05 00 00 00");
  EXPECT_EQ(host_.TakeRescinds(), std::vector<uint32_t>{5});
  EXPECT_TRUE(host_.TakePosts().empty());  // the listener has the last word
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kRelease5});
  EXPECT_EQ(host_.client.channel_count(), 0u);
}

TEST_F(ClientChannelTest, RescindWhileOpening) {
  const uint32_t ring = StartOpen(7);
  host_.posts.clear();
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.Result(7).message(), "channel 5: rescinded while it was opened");
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5});  // after the rescind
  EXPECT_EQ(host_.client.counters().unexpected_answers, 1u);
  EXPECT_EQ(host_.client.Close(5).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(host_.client.TearDownGpadl(8, ring).ok());
  EXPECT_TRUE(host_.Result(8).ok());
  EXPECT_TRUE(host_.TakePosts().empty());
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kRelease5});
  EXPECT_FALSE(host_.twice_finished);
}

TEST_F(ClientChannelTest, RescindWhileOpenReleasesWhenAllIsGone) {
  host_.Say(ScriptedHost::OfferOf(5));
  const uint32_t ring = host_.OpenChannel(5);
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_TRUE(host_.client.IsRescinded(5));
  EXPECT_TRUE(host_.client.Release(5).ok());  // too early: kept until the rest is done
  EXPECT_EQ(host_.client.Open(9, {.relid = 5, .ring_gpadl = ring}).code(),
            absl::StatusCode::kCancelled);
  EXPECT_TRUE(host_.client.Close(5).ok());
  EXPECT_TRUE(host_.TakePosts().empty());
  EXPECT_TRUE(host_.client.TearDownGpadl(8, ring).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kRelease5});
  EXPECT_TRUE(host_.Result(8).ok());
}

TEST_F(ClientChannelTest, RescindWhileClosing) {
  host_.Say(ScriptedHost::OfferOf(5));
  const uint32_t ring = host_.OpenChannel(5);
  EXPECT_TRUE(host_.client.Close(5).ok());
  EXPECT_TRUE(host_.client.TearDownGpadl(8, ring).ok());
  EXPECT_EQ(host_.TakePosts().size(), 2u);
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(8).ok());
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kRelease5});
}

TEST_F(ClientChannelTest, UnknownAndSecondRescindsAreRaces) {
  host_.Say(RescindMessage{.relid = 5});
  host_.Say(RescindMessage{.relid = 0});
  host_.Say(RescindMessage{.relid = 0xFFFFFFFF});
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say(RescindMessage{.relid = 5});
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.client.counters().unknown_relids, 4u);
  EXPECT_EQ(host_.client.counters().violations, 0u);
  EXPECT_EQ(host_.TakeRescinds(), std::vector<uint32_t>{5});
}

TEST_F(ClientChannelTest, ALiveChannelIsNotReleased) {
  host_.Say(ScriptedHost::OfferOf(5));
  EXPECT_EQ(host_.client.Release(5).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(host_.client.Release(6).code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientChannelTest, ARelidIsReusedOnlyAfterItsRelease) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say(RescindMessage{.relid = 5});
  host_.Say(ScriptedHost::OfferOf(5));  // too early
  EXPECT_EQ(host_.client.counters().rejected_offers, 1u);
  EXPECT_TRUE(host_.client.Release(5).ok());
  host_.Say(ScriptedHost::OfferOf(5));
  EXPECT_EQ(host_.offers.size(), 2u);
  EXPECT_FALSE(host_.client.IsRescinded(5));
}

TEST_F(ClientChannelTest, TheSameDeviceMayComeBackUnderAnotherNumber) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say(RescindMessage{.relid = 5});
  host_.Say(ScriptedHost::OfferOf(9));
  ASSERT_EQ(host_.offers.size(), 2u);
  EXPECT_EQ(host_.offers[1].relid, 9u);
}

TEST_F(ClientChannelTest, SubchannelsAreRescindedOneByOne) {
  for (bool primary_first : {true, false}) {
    ScriptedHost host;
    host.Connect();
    host.Say(ScriptedHost::OfferOf(5));
    host.Say(ScriptedHost::OfferOf(6, 1));
    const uint32_t first = primary_first ? 5 : 6;
    host.Say(RescindMessage{.relid = first});
    EXPECT_FALSE(host.client.IsRescinded(11 - first));
    EXPECT_TRUE(host.client.Release(first).ok());
    host.Say(RescindMessage{.relid = 11 - first});
    EXPECT_EQ(host.TakeRescinds(), (std::vector<uint32_t>{first, 11 - first}));
    EXPECT_TRUE(host.client.Release(11 - first).ok());
    EXPECT_EQ(host.client.channel_count(), 0u);
  }
}

TEST_F(ClientChannelTest, ASubchannelOfARescindedPrimaryIsRejected) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.Say(RescindMessage{.relid = 5});
  host_.Say(ScriptedHost::OfferOf(6, 1));
  EXPECT_EQ(host_.client.counters().rejected_offers, 1u);
}

TEST_F(ClientChannelTest, AnOpenThatIsLateIsUndone) {
  const uint32_t ring = StartOpen(7);
  host_.client.GiveUp(7);
  host_.posts.clear();
  EXPECT_EQ(host_.client.Open(8, {.relid = 5, .ring_gpadl = ring}).message(),
            "channel 5: an earlier open is still unanswered");
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5});
  EXPECT_EQ(host_.TakePosts(),
            (std::vector<std::string>{kClose5, "0b 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00"}));
  host_.Say(GpadlTorndownMessage{.gpadl = ring});
  EXPECT_FALSE(host_.Ended(7));
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
  // The next open has an id of its own.
  const uint32_t again = host_.MakeGpadl(5);
  ASSERT_TRUE(host_.client.Open(8, {.relid = 5, .ring_gpadl = again}).ok());
  host_.Drain();
  EXPECT_EQ(host_.LastOpenId(), 0x10005u);
}

TEST_F(ClientChannelTest, ALateRefusalOnlyTearsDown) {
  StartOpen(7);
  host_.client.GiveUp(7);
  host_.posts.clear();
  host_.Say(OpenChannelResultMessage{.relid = 5, .open_id = 5, .status = 0x8000FFFF});
  EXPECT_EQ(host_.TakePosts().size(), 1u);
}

TEST_F(ClientChannelTest, RescindEndsAnOpenThatWasGivenUp) {
  StartOpen(7);
  host_.client.GiveUp(7);
  host_.posts.clear();
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kRelease5});
}

TEST_F(ClientChannelTest, MovesOneQuestionAtATime) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.OpenChannel(5);
  ASSERT_TRUE(host_.client.Modify(7, 5, 3).ok());
  EXPECT_EQ(host_.TakePosts(),
            std::vector<std::string>{"16 00 00 00 00 00 00 00 05 00 00 00 03 00 00 00"});
  EXPECT_EQ(host_.client.Modify(8, 5, 1).code(), absl::StatusCode::kFailedPrecondition);
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(7).ok());
  ASSERT_TRUE(host_.client.Modify(8, 5, 1).ok());
  host_.Say(ModifyChannelResponseMessage{.relid = 5, .status = 0x8000FFFF});
  EXPECT_FALSE(host_.Result(8).ok());
  host_.Say(ModifyChannelResponseMessage{.relid = 5});  // unasked
  EXPECT_EQ(host_.client.counters().unexpected_answers, 1u);
}

TEST_F(ClientChannelTest, RescindAndDeadlineEndAMove) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.OpenChannel(5);
  ASSERT_TRUE(host_.client.Modify(7, 5, 3).ok());
  host_.client.GiveUp(7);
  ASSERT_TRUE(host_.client.Modify(8, 5, 1).ok());
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.Result(8).code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(host_.Ended(7));
}

TEST_F(ClientChannelTest, ALateAnswerToAMoveIsNotTakenForTheNextOnes) {
  constexpr char kTo1[] = "16 00 00 00 00 00 00 00 05 00 00 00 01 00 00 00";
  host_.Say(ScriptedHost::OfferOf(5));
  host_.OpenChannel(5);
  ASSERT_TRUE(host_.client.Modify(7, 5, 3).ok());
  host_.client.GiveUp(7);
  (void)host_.TakePosts();
  // Asked at once: a host that never answers moves the channel all the same.
  ASSERT_TRUE(host_.client.Modify(8, 5, 1).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kTo1});
  // The first answer may be to either. A host that drops what comes before its answer needs to be
  // asked again, any other moves the channel to where it is.
  host_.Say(ModifyChannelResponseMessage{.relid = 5, .status = 0x8000FFFF});
  EXPECT_FALSE(host_.Ended(8));
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{kTo1});
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(8).ok());
  EXPECT_TRUE(host_.TakePosts().empty());
  // It answered all three: afterwards nothing is in doubt any more.
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  ASSERT_TRUE(host_.client.Modify(9, 5, 1).ok());
  host_.Say(ModifyChannelResponseMessage{.relid = 5, .status = 0x8000FFFF});
  EXPECT_EQ(host_.Result(9).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(host_.client.counters().unexpected_answers, 2u);
}

TEST_F(ClientChannelTest, AnAnswerThatNeverComesBlocksNoLaterMove) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.OpenChannel(5);
  for (OperationId operation : {7, 8, 9}) {
    ASSERT_TRUE(host_.client.Modify(operation, 5, 3).ok());
    host_.client.GiveUp(operation);
  }
  // The host has found its voice: it answers each message from now on, and never the earlier ones.
  ASSERT_TRUE(host_.client.Modify(10, 5, 1).ok());
  (void)host_.TakePosts();
  for (int answer = 0; answer < 3; ++answer) {
    host_.Say(ModifyChannelResponseMessage{.relid = 5});
    EXPECT_EQ(host_.TakePosts().size(), 1u) << answer;
    EXPECT_FALSE(host_.Ended(10)) << answer;
  }
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(10).ok());
}

TEST_F(ClientChannelTest, ALateAnswerAfterAReopenIsNotTakenForANewMoves) {
  host_.Say(ScriptedHost::OfferOf(5));
  host_.OpenChannel(5);
  ASSERT_TRUE(host_.client.Modify(7, 5, 3).ok());
  ASSERT_TRUE(host_.client.Close(5).ok());
  EXPECT_EQ(host_.Result(7).code(), absl::StatusCode::kCancelled);
  host_.OpenChannel(5);
  ASSERT_TRUE(host_.client.Modify(8, 5, 1).ok());
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  EXPECT_FALSE(host_.Ended(8));
  host_.Say(ModifyChannelResponseMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(8).ok());
}

TEST_F(ClientChannelTest, OlderHostsMoveWithoutAnAnswer) {
  ScriptedHost host({.version_max = kVersion4_1});
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  host.OpenChannel(5);
  ASSERT_TRUE(host.client.Modify(7, 5, 3).ok());
  EXPECT_TRUE(host.Result(7).ok());
  EXPECT_EQ(host.TakePosts().size(), 1u);

  ScriptedHost oldest({.version_max = kVersion4_0});
  oldest.Connect();
  oldest.Say(ScriptedHost::OfferOf(5));
  oldest.OpenChannel(5);
  EXPECT_EQ(oldest.client.Modify(7, 5, 3).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace vmbuskit
