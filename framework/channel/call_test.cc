#include "framework/channel/call.h"

#include <array>
#include <optional>
#include <string>

#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "framework/task/run_task.h"
#include "framework/task/spawn.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;

class CallTest : public testing::Test {
 protected:
  CallTest() {
    host.on_packet = [this](Channel& channel, const Packet& packet) {
      if (answering && packet.completion_requested) {
        EXPECT_EQ(channel.Complete(packet.transaction_id, packet.payload), SendResult::kOk);
      }
    };
    pair.guest().Start(guest);
    pair.host().Start(host);
    EXPECT_TRUE(pair.Run());
  }

  Task<absl::StatusOr<uint32_t>> Ask(Duration deadline = kDefaultDeadline) {
    return Call(pair.guest(), {.payload = TextBytes("question?")}, reply, deadline);
  }
  std::optional<absl::StatusOr<uint32_t>> Run(Task<absl::StatusOr<uint32_t>> task) {
    return RunTask(pair.sim(), pair.guest_executor(), std::move(task));
  }

  RecordingHandler guest;
  RecordingHandler host;
  bool answering = true;
  std::array<std::byte, 64> reply{};
  ChannelPair pair{{.up_bytes = 4096, .guest = {.max_requests = 2}}};
  TaskGroup group{pair.guest_executor(), "calls"};
  std::optional<absl::StatusOr<uint32_t>> result;
};

TEST_F(CallTest, ReturnsTheReplyAndItsLength) {
  EXPECT_EQ(Run(Ask()), absl::StatusOr<uint32_t>(16u));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(reply.data()), 16),
            std::string("question?\0\0\0\0\0\0\0", 16));
}

TEST_F(CallTest, AReplyLongerThanItsBufferIsCut) {
  std::array<std::byte, 3> small{};
  EXPECT_EQ(Run(Call(pair.guest(), {.payload = TextBytes("question?")}, small)),
            absl::StatusOr<uint32_t>(3u));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(small.data()), 3), "que");
  EXPECT_EQ(Run(Call(pair.guest(), {.payload = TextBytes("question?")}, {})),
            absl::StatusOr<uint32_t>(0u));
}

TEST_F(CallTest, DeadlineNamesTheChannelAndALateReplyGoesNowhere) {
  answering = false;
  EXPECT_EQ(Run(Ask(seconds(15))), absl::StatusOr<uint32_t>(absl::DeadlineExceededError(
                                       "guest end: no completion within 15 s")));
  ASSERT_EQ(pair.host().Complete(1, TextBytes("late")), SendResult::kOk);
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(reply[0], std::byte{0});
  EXPECT_EQ(pair.guest().requests().counters().late_answers, 1u);
  EXPECT_FALSE(pair.guest().closed());
}

TEST_F(CallTest, EndsWithTheChannelsReason) {
  answering = false;
  group.Spawn(KeepResult(Ask(), &result));
  ASSERT_TRUE(pair.Run());
  pair.guest().Close(absl::UnavailableError("rescinded"));
  EXPECT_FALSE(result.has_value());  // at the next turn, when the channel may be gone
  pair.DestroyGuest();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(result, absl::StatusOr<uint32_t>(absl::UnavailableError("rescinded")));
}

TEST_F(CallTest, OnAClosedChannelEndsAtOnce) {
  pair.guest().Close(absl::UnavailableError("rescinded"));
  EXPECT_EQ(Run(Ask()), absl::StatusOr<uint32_t>(absl::UnavailableError("rescinded")));
}

TEST_F(CallTest, APacketThatCanNeverFitIsAnInvalidArgument) {
  const std::string big(5000, 'b');
  EXPECT_EQ(Run(Call(pair.guest(), {.payload = TextBytes(big)}, reply)),
            absl::StatusOr<uint32_t>(absl::InvalidArgumentError(
                "guest end: a packet of 5024 bytes on the ring can never fit")));
}

TEST_F(CallTest, WaitsForRingSpaceThenForTheAnswer) {
  const std::string payload(3000, 'f');
  ASSERT_EQ(pair.guest().Send({.payload = TextBytes(payload)}), SendResult::kOk);
  const std::string question(2000, 'q');
  EXPECT_EQ(Run(Call(pair.guest(), {.payload = TextBytes(question)}, reply)),
            absl::StatusOr<uint32_t>(64u));
  EXPECT_EQ(pair.guest().counters().full, 1u);
}

TEST_F(CallTest, WaitsForASlotOfTheRequestTable) {
  std::optional<absl::StatusOr<uint32_t>> results[5];
  for (auto& each : results) group.Spawn(KeepResult(Ask(), &each));
  ASSERT_TRUE(pair.Run());
  for (auto& each : results) EXPECT_EQ(each, absl::StatusOr<uint32_t>(16u));
  EXPECT_EQ(group.running(), 0u);
}

TEST_F(CallTest, DeadlineCoversTheWaitForSpaceToo) {
  answering = false;
  RecordingRequest others[2];
  for (RecordingRequest& other : others) {
    ASSERT_EQ(pair.guest().SendRequest({}, other, kInfiniteFuture), SendResult::kOk);
  }
  const Instant start = pair.sim().Now();
  EXPECT_EQ(
      Run(Ask(seconds(3))),
      absl::StatusOr<uint32_t>(absl::DeadlineExceededError("waited 3 s for space on guest end")));
  EXPECT_EQ(pair.sim().Now(), start + seconds(3));
  pair.guest().Close(absl::CancelledError("end"));
}

TEST_F(CallTest, TheWaitForSpaceEndsWithTheChannelEvenWhenThatIsDestroyed) {
  answering = false;
  RecordingRequest others[2];
  for (RecordingRequest& other : others) {
    ASSERT_EQ(pair.guest().SendRequest({}, other, kInfiniteFuture), SendResult::kOk);
  }
  group.Spawn(KeepResult(Ask(), &result));
  ASSERT_TRUE(pair.Run());
  pair.guest().Close(absl::UnavailableError("rescinded"));
  pair.DestroyGuest();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(result, absl::StatusOr<uint32_t>(absl::UnavailableError("rescinded")));
}

TEST_F(CallTest, TheChannelIsDestroyedBetweenTheSpaceAndTheResumption) {
  answering = false;
  RecordingRequest others[2];
  for (RecordingRequest& other : others) {
    ASSERT_EQ(pair.guest().SendRequest({}, other, kInfiniteFuture), SendResult::kOk);
  }
  group.Spawn(KeepResult(Ask(), &result));
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(pair.host().Complete(1, {}), SendResult::kOk);
  pair.sim().RunUntil([&] { return guest.writable == 1; }, seconds(1));
  ASSERT_FALSE(result.has_value());
  pair.guest().Close(absl::UnavailableError("rescinded"));
  pair.DestroyGuest();
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(result, absl::StatusOr<uint32_t>(absl::UnavailableError("rescinded")));
}

Task<absl::Status> WaitForSpace(Channel& channel, Instant deadline) {
  absl::Status space = co_await channel.Writable(deadline);
  co_return space;
}

TEST_F(CallTest, SpaceIsNoNewsOnceTheChannelEndedBeforeTheResumption) {
  answering = false;
  RecordingRequest others[3];
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(pair.guest().SendRequest({}, others[i], kInfiniteFuture),
              i < 2 ? SendResult::kOk : SendResult::kFull);
  }
  std::optional<absl::Status> space;
  group.Spawn(KeepResult(WaitForSpace(pair.guest(), pair.sim().Now() + seconds(60)), &space));
  ASSERT_TRUE(pair.Run());
  ASSERT_EQ(pair.host().Complete(1, {}), SendResult::kOk);
  pair.sim().RunUntil([&] { return guest.writable == 1; }, seconds(1));
  ASSERT_FALSE(space.has_value());
  pair.guest().Close(absl::UnavailableError("rescinded"));
  ASSERT_TRUE(pair.Run());
  EXPECT_EQ(space, absl::UnavailableError("rescinded"));
}

TEST_F(CallTest, DestroyedWhileItWaitsItsAnswerIsDropped) {
  answering = false;
  group.Spawn(KeepResult(Ask(), &result));
  ASSERT_TRUE(pair.Run());
  group.DestroyAll();
  EXPECT_EQ(pair.guest().requests_outstanding(), 0u);
  ASSERT_EQ(pair.host().Complete(1, TextBytes("late")), SendResult::kOk);
  ASSERT_TRUE(pair.RunFor(seconds(61)));
  EXPECT_FALSE(result.has_value());
  EXPECT_EQ(reply[0], std::byte{0});
  EXPECT_EQ(pair.guest().requests().counters().late_answers, 1u);
  EXPECT_FALSE(pair.guest().closed());
}

TEST_F(CallTest, DestroyedBetweenTheAnswerAndItsResumption) {
  group.Spawn(KeepResult(Ask(), &result));
  pair.sim().RunUntil([&] { return pair.guest().requests().counters().completed == 1; },
                      seconds(1));
  group.DestroyAll();
  ASSERT_TRUE(pair.Run());
  EXPECT_FALSE(result.has_value());
}

}  // namespace
}  // namespace vmbuskit
