#include "transports/embedded_host/synthetic_timers.h"

#include "gtest/gtest.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kTimerVector = 0xED;
constexpr uint64_t kMillisecond = 10'000;  // in reference ticks

constexpr uint32_t Config(uint32_t timer) { return kRegStimer0Config + 2 * timer; }
constexpr uint32_t Count(uint32_t timer) { return kRegStimer0Count + 2 * timer; }

class SyntheticTimersTest : public PartitionTest {
 protected:
  SyntheticTimersTest() { Connect(); }
  ~SyntheticTimersTest() override { partition_->ConnectInterrupt(0, kTimerVector, nullptr); }

  void Connect() { partition_->ConnectInterrupt(0, kTimerVector, &fired_.event); }
  void Set(uint32_t timer, uint64_t config, uint64_t count) {
    ASSERT_TRUE(Write(0, Config(timer), config).ok());
    ASSERT_TRUE(Write(0, Count(timer), count).ok());
  }
  uint64_t Now() { return Read(0, kRegTimeRefCount); }
  TimerMessagePayload Payload(const FetchedMessage& message) {
    TimerMessagePayload payload{};
    EXPECT_EQ(message.type, kMessageTypeTimer);
    EXPECT_EQ(message.payload.size(), sizeof payload);
    std::memcpy(&payload, message.payload.data(), std::min(sizeof payload, message.payload.size()));
    return payload;
  }

  CountingEvent fired_{cpu0_};
};

constexpr uint64_t kDirect = StimerDirectVector(kTimerVector);

TEST_F(SyntheticTimersTest, OneShotDirectFiresOnceAtItsTimeAndClearsEnable) {
  const uint64_t config = 0x1ED9;  // section 8.1
  ASSERT_EQ(config, kStimerEnable | kStimerAutoEnable | kDirect);
  Set(0, config, Now() + 5 * kMillisecond);
  RunFor(std::chrono::microseconds(4990));
  EXPECT_EQ(fired_.count, 0);
  EXPECT_EQ(Read(0, Config(0)), config);
  RunFor(std::chrono::microseconds(20));
  EXPECT_EQ(fired_.count, 1);
  EXPECT_EQ(Read(0, Config(0)), config & ~kStimerEnable);
  RunFor(std::chrono::seconds(10));
  EXPECT_EQ(fired_.count, 1);
}

TEST_F(SyntheticTimersTest, ATimeInThePastFiresNow) {
  RunFor(std::chrono::seconds(1));
  Set(1, kStimerAutoEnable | kDirect, 1);
  Run();
  EXPECT_EQ(fired_.count, 1);
}

TEST_F(SyntheticTimersTest, AutoEnableStartsWithTheCount) {
  Set(0, kStimerAutoEnable | kDirect, 0);
  EXPECT_EQ(Read(0, Config(0)) & kStimerEnable, 0u);
  ASSERT_TRUE(Write(0, Count(0), Now() + kMillisecond).ok());
  EXPECT_EQ(Read(0, Config(0)) & kStimerEnable, kStimerEnable);
  RunFor(std::chrono::milliseconds(2));
  EXPECT_EQ(fired_.count, 1);
}

TEST_F(SyntheticTimersTest, WithoutAutoEnableTheEnableBitDecides) {
  Set(0, kDirect, Now() + kMillisecond);
  RunFor(std::chrono::milliseconds(2));
  EXPECT_EQ(fired_.count, 0);
  ASSERT_TRUE(Write(0, Config(0), kDirect | kStimerEnable).ok());
  Run();
  EXPECT_EQ(fired_.count, 1) << "its time has passed";
}

TEST_F(SyntheticTimersTest, CountZeroDisarms) {
  Set(0, kStimerAutoEnable | kDirect, Now() + kMillisecond);
  ASSERT_TRUE(Write(0, Count(0), 0).ok());
  EXPECT_EQ(Read(0, Config(0)) & kStimerEnable, kStimerEnable) << "OpenVMM leaves CONFIG";
  RunFor(std::chrono::seconds(1));
  EXPECT_EQ(fired_.count, 0);
}

TEST_F(SyntheticTimersTest, ClearingEnableDisarms) {
  Set(0, kStimerEnable | kDirect, Now() + kMillisecond);
  ASSERT_TRUE(Write(0, Config(0), kDirect).ok());
  RunFor(std::chrono::seconds(1));
  EXPECT_EQ(fired_.count, 0);
}

TEST_F(SyntheticTimersTest, PeriodicFiresEveryPeriod) {
  Set(2, kStimerEnable | kStimerPeriodic | kDirect, 10 * kMillisecond);
  RunFor(std::chrono::milliseconds(1001));
  EXPECT_NEAR(fired_.count, 100, 1);
  EXPECT_EQ(Read(0, Config(2)) & kStimerEnable, kStimerEnable);
  ASSERT_TRUE(Write(0, Config(2), 0).ok());
  const int count = fired_.count;
  RunFor(std::chrono::seconds(1));
  EXPECT_EQ(fired_.count, count);
}

TEST_F(SyntheticTimersTest, APeriodThatWentByUnservedIsSkipped) {
  Make({.periodic = PeriodicReading::kFromDue});
  Connect();
  // A period of one tick cannot be served in time; the count stays bounded by turns, not by ticks missed.
  Set(0, kStimerEnable | kStimerPeriodic | kDirect, 1);
  RunFor(std::chrono::microseconds(10));
  EXPECT_GT(fired_.count, 0);
  EXPECT_LE(fired_.count, 101);
}

TEST_F(SyntheticTimersTest, AFarAwayTimeNeverFires) {
  Set(0, kStimerEnable | kDirect, ~uint64_t{0});
  Set(1, kStimerEnable | kStimerPeriodic | kDirect, ~uint64_t{0});
  RunFor(std::chrono::hours(5));
  EXPECT_EQ(fired_.count, 0);
}

TEST_F(SyntheticTimersTest, TimersOfAProcessorAreIndependent) {
  for (uint32_t timer = 0; timer < 4; ++timer) {
    Set(timer, kStimerAutoEnable | kDirect, Now() + (timer + 1) * kMillisecond);
  }
  for (int expected = 1; expected <= 4; ++expected) {
    RunFor(std::chrono::milliseconds(1));
    RunFor(std::chrono::microseconds(1));
    EXPECT_EQ(fired_.count, expected);
  }
}

TEST_F(SyntheticTimersTest, MessageModePostsTheExpirationMessage) {
  BringUpSynic(0);
  ASSERT_EQ(kStimerEnable | kStimerAutoEnable | StimerSint(2), 0x20009u);
  const uint64_t due = Now() + kMillisecond;
  Set(3, 0x20009, due);
  RunFor(std::chrono::milliseconds(2));
  EXPECT_EQ(interrupt0_.count, 1);
  const std::optional<FetchedMessage> message = Fetch(0);
  ASSERT_TRUE(message.has_value());
  const TimerMessagePayload payload = Payload(*message);
  EXPECT_EQ(payload.timer_index, 3u);
  EXPECT_EQ(payload.reserved, 0u);
  EXPECT_EQ(payload.expiration_time, due);
  EXPECT_GE(payload.delivery_time, due);
}

TEST_F(SyntheticTimersTest, AMessageWaitsForItsSlotAndForItsSint) {
  BringUpSynic(0);
  const uint32_t word = 7;
  ASSERT_TRUE(partition_->PostMessage(0, kVmbusSint, std::as_bytes(std::span(&word, 1))));
  const uint64_t due = Now() + kMillisecond;
  Set(0, kStimerAutoEnable | StimerSint(kVmbusSint), due);
  RunFor(std::chrono::milliseconds(50));
  std::optional<FetchedMessage> message = Fetch(0);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->type, kMessageTypeVmbus);
  EXPECT_TRUE(message->pending) << "the timer asked for an EOM";
  message = Fetch(0);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(Payload(*message).expiration_time, due);
  EXPECT_GE(Payload(*message).delivery_time, due + 49 * kMillisecond) << "delivered late";

  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector | kSintMasked).ok());
  Set(0, kStimerAutoEnable | StimerSint(kVmbusSint), Now() + kMillisecond);
  RunFor(std::chrono::milliseconds(5));
  EXPECT_FALSE(Fetch(0).has_value());
  ASSERT_TRUE(Write(0, kRegSint0 + kVmbusSint, kVector).ok());
  Run();
  EXPECT_TRUE(Fetch(0).has_value());
}

TEST_F(SyntheticTimersTest, APeriodicTimerHasOneMessageUnderWay) {
  BringUpSynic(0);
  Set(0, kStimerEnable | kStimerPeriodic | StimerSint(kVmbusSint), kMillisecond);
  RunFor(std::chrono::milliseconds(20));
  EXPECT_TRUE(Fetch(0).has_value());
  EXPECT_TRUE(Fetch(0).has_value()) << "the one that waited for the slot";
  EXPECT_FALSE(Fetch(0).has_value()) << "and no third";
}

TEST_F(SyntheticTimersTest, WithoutTheFeatureDirectModeIsAMessage) {
  Make({.direct_timers = false});
  Connect();
  BringUpSynic(0);
  Set(0, kStimerAutoEnable | kDirect | StimerSint(kVmbusSint), Now() + kMillisecond);
  RunFor(std::chrono::milliseconds(2));
  EXPECT_EQ(fired_.count, 0);
  EXPECT_TRUE(Fetch(0).has_value());
}

TEST_F(SyntheticTimersTest, AResetStopsEverything) {
  Set(0, kStimerEnable | kStimerPeriodic | kDirect, kMillisecond);
  partition_->Reset();
  Connect();
  EXPECT_EQ(Read(0, Config(0)), 0u);
  EXPECT_EQ(Read(0, Count(0)), 0u);
  RunFor(std::chrono::seconds(1));
  EXPECT_EQ(fired_.count, 0);
}

}  // namespace
}  // namespace vmbuskit
