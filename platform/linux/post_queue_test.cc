#include "platform/linux/post_queue.h"

#include <array>
#include <cstddef>
#include <deque>

#include "gtest/gtest.h"
#include "platform/callback.h"

namespace vmbuskit {
namespace {

// Calls that tell which one they are when they run.
struct Numbered {
  void Run() { last = number; }
  int number = 0;
  static int last;
};
int Numbered::last = -1;

class PostQueueTest : public testing::TestWithParam<size_t> {
 protected:
  bool Push(int number) {
    calls_.push_back({.number = number});
    return queue_.Push(Callback::To<&Numbered::Run>(&calls_.back()));
  }
  // The number of the call that came out; -1 when the queue was empty.
  int Pop() {
    Callback call;
    if (!queue_.Pop(call)) return -1;
    call();
    return Numbered::last;
  }

  PostQueue queue_{GetParam()};
  std::deque<Numbered> calls_;
};

TEST_P(PostQueueTest, HoldsExactlyItsCapacityRoundAfterRound) {
  const int capacity = static_cast<int>(GetParam());
  for (int round = 0; round < 5; ++round) {
    EXPECT_TRUE(queue_.empty());
    for (int i = 0; i < capacity; ++i) EXPECT_TRUE(Push(i));
    EXPECT_FALSE(Push(99));
    EXPECT_FALSE(queue_.empty());
    EXPECT_EQ(queue_.size(), GetParam());
    for (int i = 0; i < capacity; ++i) EXPECT_EQ(Pop(), i);
    EXPECT_EQ(Pop(), -1);
    EXPECT_EQ(queue_.size(), 0u);
  }
}

TEST_P(PostQueueTest, OnePoppedMakesRoomForOne) {
  const int capacity = static_cast<int>(GetParam());
  for (int i = 0; i < capacity; ++i) ASSERT_TRUE(Push(i));
  for (int i = 0; i < 3 * capacity; ++i) {
    EXPECT_EQ(Pop(), i);
    EXPECT_TRUE(Push(capacity + i));
    EXPECT_FALSE(Push(99));
  }
}

INSTANTIATE_TEST_SUITE_P(Capacities, PostQueueTest, testing::Values(1, 2, 3, 64));

}  // namespace
}  // namespace vmbuskit
