#include "transports/synic/reference_time.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"
#include "platform/page_allocator.h"
#include "transports/embedded_host/partition_testing.h"

namespace vmbuskit {
namespace {

// ---- The page alone (vectors of section 8.6).

constexpr uint64_t kScale = 0x010624DD2F1A9FBE;  // 2.5 GHz

void Fill(ReferenceTscPage& page, uint32_t sequence, uint64_t scale, int64_t offset) {
  page.sequence = sequence;
  page.scale = scale;
  page.offset = offset;
}

TEST(ReferenceTscPageReading, MatchesSection8_6) {
  ReferenceTscPage page{};
  Fill(page, 7, kScale, -123456789);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return 0x123456789ABCull; }), 79940536586u);
  Fill(page, 7, kScale, 0);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return 0x123456789ABCull; }), 80063993375u);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return uint64_t{1} << 63; }), 36893488147419103u)
      << "a 64-bit multiply yields 0";
}

TEST(ReferenceTscPageReading, SequenceZeroIsInvalidAndAllOnesIsNot) {
  ReferenceTscPage page{};
  Fill(page, 0, kScale, 0);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return uint64_t{1} << 63; }), std::nullopt);
  Fill(page, 0xFFFFFFFF, kScale, 0);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return uint64_t{1} << 63; }), 36893488147419103u);
}

TEST(ReferenceTscPageReading, AnUpdateInBetweenIsReadAgain) {
  ReferenceTscPage page{};
  Fill(page, 7, kScale, 0);
  int reads = 0;
  const std::optional<uint64_t> time = ReadReferenceTscPage(page, [&]() -> uint64_t {
    if (++reads == 1) Fill(page, 8, kScale / 2, 1000);  // the host writes while the TSC is read
    return uint64_t{1} << 63;
  });
  EXPECT_EQ(reads, 2);
  EXPECT_EQ(time, ReferenceTimeFromTsc(uint64_t{1} << 63, kScale / 2, 1000));
}

TEST(ReferenceTscPageReading, InvalidatedInBetweenMeansInvalid) {
  ReferenceTscPage page{};
  Fill(page, 7, kScale, 0);
  EXPECT_EQ(ReadReferenceTscPage(page,
                                 [&]() -> uint64_t {
                                   page.sequence = 0;
                                   return 1;
                                 }),
            std::nullopt);
}

TEST(ReferenceTscPageReading, AHostThatNeverStopsWritingIsGivenUpOn) {
  ReferenceTscPage page{};
  Fill(page, 7, kScale, 0);
  int reads = 0;
  EXPECT_EQ(ReadReferenceTscPage(page,
                                 [&]() -> uint64_t {
                                   ++page.sequence;
                                   return ++reads;
                                 }),
            std::nullopt);
  EXPECT_EQ(reads, 16);
}

// A host thread flips between two settings as the host protocol says; the reader only ever computes one time or
// the other, never a mixture.
TEST(ReferenceTscPageReading, NeverMixesTwoSettings) {
  constexpr uint64_t kTsc = uint64_t{1} << 40;
  constexpr uint64_t kScales[2] = {kScale, kScale * 2};
  constexpr int64_t kOffsets[2] = {0, 1'000'000};
  const uint64_t expected[2] = {ReferenceTimeFromTsc(kTsc, kScales[0], kOffsets[0]),
                                ReferenceTimeFromTsc(kTsc, kScales[1], kOffsets[1])};
  ReferenceTscPage page{};
  Fill(page, 1, kScales[0], kOffsets[0]);
  std::atomic<bool> stop = false;
  std::thread host([&] {
    for (uint32_t i = 1; !stop.load(std::memory_order_relaxed); ++i) {
      std::atomic_ref(page.sequence).store(0);
      std::atomic_ref(page.scale).store(kScales[i % 2]);
      std::atomic_ref(page.offset).store(kOffsets[i % 2]);
      std::atomic_ref(page.sequence).store(i + 1 == 0 ? 1 : i + 1);
    }
  });
  int good = 0;
  int bad = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::optional<uint64_t> time = ReadReferenceTscPage(page, [] { return kTsc; });
    if (!time) continue;
    ++(*time == expected[0] || *time == expected[1] ? good : bad);
  }
  stop.store(true);
  host.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(ReadReferenceTscPage(page, [] { return kTsc; }).has_value(), true);
}

// ---- Against the embedded partition.

class ReferenceTimeTest : public PartitionTest {
 protected:
  FirstFitPageAllocator pages_{*memory_, /*first=*/32, /*count=*/8};
};

TEST_F(ReferenceTimeTest, ReadsThePageAndAgreesWithTheRegister) {
  ReferenceTime time(*partition_);
  ASSERT_TRUE(time.Enable(pages_).ok());
  RunFor(std::chrono::milliseconds(5));
  EXPECT_EQ(*time.Now(0), Read(0, kRegTimeRefCount));
  EXPECT_NEAR(static_cast<double>(*time.Now(1)), 50'000, 1);
  EXPECT_EQ(time.register_reads(), 0u);
}

TEST_F(ReferenceTimeTest, GoesOnWithoutAStepAfterMigration) {
  ReferenceTime time(*partition_);
  ASSERT_TRUE(time.Enable(pages_).ok());
  RunFor(std::chrono::milliseconds(5));
  const uint64_t before = *time.Now(0);
  partition_->Migrate(1'700'000'000);
  EXPECT_EQ(*time.Now(0), before);
  RunFor(std::chrono::milliseconds(5));
  EXPECT_NEAR(static_cast<double>(*time.Now(0)), 100'000, 2);
  EXPECT_EQ(time.register_reads(), 0u);
}

TEST_F(ReferenceTimeTest, FallsBackToTheRegister) {
  Make({.invariant_tsc = false});
  ReferenceTime time(*partition_);
  ASSERT_TRUE(time.Enable(pages_).ok());
  RunFor(std::chrono::milliseconds(5));
  EXPECT_NEAR(static_cast<double>(*time.Now(0)), 50'000, 1);
  EXPECT_EQ(time.register_reads(), 1u);
}

TEST_F(ReferenceTimeTest, WithoutAPageTheRegisterServes) {
  ReferenceTime time(*partition_);
  RunFor(std::chrono::milliseconds(1));
  EXPECT_NEAR(static_cast<double>(*time.Now(0)), 10'000, 1);
  EXPECT_EQ(time.register_reads(), 1u);
  EXPECT_FALSE(time.Now(7).ok()) << "no such processor";
}

TEST_F(ReferenceTimeTest, DisablingGivesThePageBack) {
  {
    ReferenceTime time(*partition_);
    ASSERT_TRUE(time.Enable(pages_).ok());
    EXPECT_EQ(pages_.allocated(), 1u);
    EXPECT_EQ(partition_->shared_pages(), 1u);
    time.Disable();
    EXPECT_EQ(pages_.allocated(), 0u);
    EXPECT_EQ(partition_->shared_pages(), 0u);
    EXPECT_TRUE(time.Now(0).ok());
    ASSERT_TRUE(time.Enable(pages_).ok());
  }
  EXPECT_EQ(pages_.allocated(), 0u);
  EXPECT_EQ(partition_->shared_pages(), 0u);
}

}  // namespace
}  // namespace vmbuskit
