#include "platform/linux/event_stack.h"

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "platform/executor.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

class EventStackTest : public testing::Test {
 protected:
  Event& NewEvent() { return events_.emplace_back(*executor_, Callback()); }
  std::vector<Event*> TakeAll() {
    std::vector<Event*> taken;
    for (Event* event = stack_.TakeAll(); event != nullptr; event = event->next) {
      taken.push_back(event);
    }
    return taken;
  }

  std::unique_ptr<LinuxExecutor> executor_ = LinuxExecutor::Create({}).value();
  std::deque<Event> events_;
  EventStack stack_;
};

TEST_F(EventStackTest, FirstPushedFirstTaken) {
  EXPECT_TRUE(stack_.empty());
  EXPECT_EQ(TakeAll(), std::vector<Event*>{});
  Event& a = NewEvent();
  Event& b = NewEvent();
  Event& c = NewEvent();
  for (Event* event : {&b, &a, &c}) stack_.Push(*event);
  EXPECT_FALSE(stack_.empty());
  EXPECT_EQ(TakeAll(), (std::vector<Event*>{&b, &a, &c}));
  EXPECT_TRUE(stack_.empty());
  stack_.Push(b);
  EXPECT_EQ(TakeAll(), std::vector<Event*>{&b});
}

// Two threads push events in their own order while the owner takes; each event is taken once, in that order.
TEST_F(EventStackTest, NothingIsLostOrReorderedBetweenThreads) {
  constexpr int kEvents = 20'000;
  std::array<std::vector<Event*>, 2> pushed;
  for (int i = 0; i < 2 * kEvents; ++i) pushed[i % 2].push_back(&NewEvent());
  std::vector<std::thread> pushers;
  for (const std::vector<Event*>& events : pushed) {
    pushers.emplace_back([this, &events] {
      for (Event* event : events) stack_.Push(*event);
    });
  }
  std::vector<Event*> taken;
  while (taken.size() < 2 * kEvents) {
    for (Event* event : TakeAll()) taken.push_back(event);
  }
  for (std::thread& pusher : pushers) pusher.join();
  std::array<size_t, 2> next{};
  for (const Event* event : taken) {
    const size_t from = next[0] < kEvents && pushed[0][next[0]] == event ? 0 : 1;
    ASSERT_LT(next[from], pushed[from].size());
    ASSERT_EQ(pushed[from][next[from]], event);
    ++next[from];
  }
  EXPECT_EQ(taken.size(), 2u * kEvents);
  EXPECT_TRUE(stack_.empty());
}

}  // namespace
}  // namespace vmbuskit
