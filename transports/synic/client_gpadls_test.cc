// GPADLs: handles, answers that fit and that do not, rescinds and deadlines at every step.
#include "transports/synic/client_gpadls.h"

#include <gtest/gtest.h>

#include "transports/synic/client_testing.h"

namespace vmbuskit {
namespace {

class ClientGpadlTest : public testing::Test {
 protected:
  ClientGpadlTest() {
    host_.Connect();
    host_.Say(ScriptedHost::OfferOf(5));
  }
  uint32_t Create(OperationId operation, uint32_t pages) {
    const GpadlRange range = GpadlRange::Pages(0x12345, pages);
    absl::StatusOr<uint32_t> handle = host_.client.CreateGpadl(operation, 5, {&range, 1});
    EXPECT_TRUE(handle.ok()) << handle.status();
    host_.Drain();
    return handle.value_or(0);
  }

  ScriptedHost host_;
};

TEST_F(ClientGpadlTest, LivesAndDiesByTheReferenceBytes) {
  EXPECT_EQ(Create(7, 2), 0xE1E10u);
  EXPECT_EQ(host_.TakePosts(),
            std::vector<std::string>{"08 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00 "
                                     "18 00 01 00 00 20 00 00 00 00 00 00 45 23 01 00 "
                                     "00 00 00 00 46 23 01 00 00 00 00 00"});
  host_.Say("0a 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00 00 00 00 00");
  EXPECT_TRUE(host_.Result(7).ok());
  ASSERT_TRUE(host_.client.TearDownGpadl(8, 0xE1E10).ok());
  EXPECT_EQ(host_.TakePosts(),
            std::vector<std::string>{"0b 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00"});
  EXPECT_FALSE(host_.Ended(8));
  host_.Say("0c 00 00 00 00 00 00 00 10 1e 0e 00");
  EXPECT_TRUE(host_.Result(8).ok());
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
}

TEST_F(ClientGpadlTest, HeaderAndBodiesGoBackToBack) {
  Create(7, 55);  // 26 in the header, 28 in the first body, one in the second
  ASSERT_EQ(host_.posts.size(), 3u);
  EXPECT_EQ(host_.posts[0].message.size(), 236u);
  EXPECT_EQ(host_.posts[1].message.size(), 240u);
  EXPECT_EQ(host_.posts[2].message.size(), 24u);
}

TEST_F(ClientGpadlTest, HandlesWrapWithoutZeroAndWithoutReuse) {
  ScriptedHost host({.first_gpadl = 0xFFFFFFFF});
  host.Connect();
  host.Say(ScriptedHost::OfferOf(5));
  EXPECT_EQ(host.MakeGpadl(5), 0xFFFFFFFFu);
  EXPECT_EQ(host.MakeGpadl(5), 1u);

  ScriptedHost full({.gpadls_max = 2});
  full.Connect();
  full.Say(ScriptedHost::OfferOf(5));
  full.MakeGpadl(5);
  full.MakeGpadl(5);
  const GpadlRange range = GpadlRange::Pages(1, 1);
  EXPECT_EQ(full.client.CreateGpadl(7, 5, {&range, 1}).status().message(),
            "channel 5: the limit of 2 GPADLs is reached");
}

TEST_F(ClientGpadlTest, NeedsAnOfferedChannelAndPages) {
  const GpadlRange range = GpadlRange::Pages(1, 1);
  EXPECT_EQ(host_.client.CreateGpadl(7, 6, {&range, 1}).status().code(),
            absl::StatusCode::kNotFound);
  const GpadlRange big = GpadlRange::Pages(1, 8191);
  EXPECT_EQ(host_.client.CreateGpadl(7, 5, {&big, 1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.client.CreateGpadl(7, 5, {&range, 1}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_TRUE(host_.TakePosts().empty());
}

TEST_F(ClientGpadlTest, ARefusalNamesTheStatus) {
  const uint32_t handle = Create(7, 1);
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle, .status = 0x8000FFFF});
  EXPECT_EQ(host_.Result(7).message(),
            "channel 5 GPADL 0xe1e10: the host refused it, status 0x8000ffff");
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
}

TEST_F(ClientGpadlTest, AnotherChannelsAnswerIsAViolation) {
  const uint32_t handle = Create(7, 1);
  host_.Say(GpadlCreatedMessage{.relid = 6, .gpadl = handle});
  EXPECT_FALSE(host_.Ended(7));
  EXPECT_EQ(host_.client.last_violation().message(),
            "GPADL_CREATED: relid is 6: channel 5 GPADL 0xe1e10 was asked for");
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle});
  EXPECT_TRUE(host_.Result(7).ok());
}

TEST_F(ClientGpadlTest, UnaskedAnswersGiveNothingBack) {
  const uint32_t handle = host_.MakeGpadl(5);
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle});               // duplicate
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle, .status = 1});  // and a lie
  host_.Say(GpadlTorndownMessage{.gpadl = handle});                          // nobody asked
  host_.Say(GpadlTorndownMessage{.gpadl = handle + 1});                      // unknown
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle + 1});
  EXPECT_EQ(host_.client.counters().unexpected_answers, 5u);
  EXPECT_EQ(host_.client.gpadl_count(), 1u);
  EXPECT_TRUE(host_.results.empty());
}

TEST_F(ClientGpadlTest, IsNeverTornDownBeforeItIsMade) {
  const uint32_t handle = Create(7, 1);
  EXPECT_EQ(host_.client.TearDownGpadl(8, handle).code(), absl::StatusCode::kFailedPrecondition);
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle});
  EXPECT_TRUE(host_.client.TearDownGpadl(8, handle).ok());
  EXPECT_EQ(host_.client.TearDownGpadl(9, handle).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(host_.client.TearDownGpadl(9, 0).code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientGpadlTest, RescindBetweenHeaderAndBodyWakesTheWaiter) {
  const uint32_t handle = Create(7, 55);
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_EQ(host_.Result(7).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(host_.TakeRescinds(), std::vector<uint32_t>{5});
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle});  // the answer comes all the same
  EXPECT_EQ(host_.client.counters().unexpected_answers, 1u);
  host_.posts.clear();
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{"0d 00 00 00 00 00 00 00 05 00 00 00"});
  EXPECT_FALSE(host_.twice_finished);
}

// The same run each time: seed 35 of the campaign ended its operations in another order in every process.
TEST_F(ClientGpadlTest, ARescindEndsWaitersInTheOrderOfTheirHandles) {
  std::vector<OperationId> expected;
  for (OperationId operation = 100; operation < 120; ++operation) {
    Create(operation, 1);
    expected.push_back(operation);
  }
  const RescindMessage rescind = {.relid = 5};
  host_.client.OnMessage(std::as_bytes(std::span(&rescind, 1)));
  std::vector<OperationId> ended;
  while (const std::optional<ClientAction> action = host_.client.TakeAction()) {
    if (const auto* finished = std::get_if<FinishedAction>(&*action)) {
      ended.push_back(finished->operation);
    }
  }
  EXPECT_EQ(ended, expected);
}

TEST_F(ClientGpadlTest, RescindEndsATearDown) {
  const uint32_t handle = host_.MakeGpadl(5);
  ASSERT_TRUE(host_.client.TearDownGpadl(8, handle).ok());
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_TRUE(host_.Result(8).ok());  // the host may stay silent from now on
  host_.Say(GpadlTorndownMessage{.gpadl = handle});
  EXPECT_EQ(host_.client.counters().unexpected_answers, 1u);
  EXPECT_FALSE(host_.twice_finished);
}

TEST_F(ClientGpadlTest, AfterARescindTearDownAsksNothing) {
  const uint32_t handle = host_.MakeGpadl(5);
  host_.Say(RescindMessage{.relid = 5});
  EXPECT_TRUE(host_.client.Release(5).ok());
  EXPECT_TRUE(host_.TakePosts().empty());  // the pages are still in use here
  EXPECT_TRUE(host_.client.TearDownGpadl(8, handle).ok());
  EXPECT_TRUE(host_.Result(8).ok());
  EXPECT_EQ(host_.TakePosts(), std::vector<std::string>{"0d 00 00 00 00 00 00 00 05 00 00 00"});
}

TEST_F(ClientGpadlTest, ALateCreationIsUndone) {
  const uint32_t handle = Create(7, 1);
  host_.client.GiveUp(7);
  host_.posts.clear();
  host_.Say(GpadlCreatedMessage{.relid = 5, .gpadl = handle});
  EXPECT_EQ(host_.TakePosts(),
            std::vector<std::string>{"0b 00 00 00 00 00 00 00 05 00 00 00 10 1e 0e 00"});
  EXPECT_FALSE(host_.Ended(7));
  host_.Say(GpadlTorndownMessage{.gpadl = handle});
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
}

TEST_F(ClientGpadlTest, AGivenUpTearDownStillCountsUntilItsAnswer) {
  const uint32_t handle = host_.MakeGpadl(5);
  ASSERT_TRUE(host_.client.TearDownGpadl(8, handle).ok());
  host_.client.GiveUp(8);
  EXPECT_EQ(host_.client.gpadl_count(), 1u);
  EXPECT_EQ(host_.client.TearDownGpadl(9, handle).code(), absl::StatusCode::kFailedPrecondition);
  host_.Say(GpadlTorndownMessage{.gpadl = handle});
  EXPECT_EQ(host_.client.gpadl_count(), 0u);
  EXPECT_FALSE(host_.Ended(8));
}

}  // namespace
}  // namespace vmbuskit
