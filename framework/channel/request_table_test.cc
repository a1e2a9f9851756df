#include "framework/channel/request_table.h"

#include <array>
#include <vector>

#include "framework/channel/recording.h"
#include "gtest/gtest.h"
#include "platform/random.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;

class RequestTableTest : public testing::Test {
 protected:
  uint64_t Add(Request& request, Duration duration = seconds(60)) {
    return table.Add(request, cpu.Now() + duration);
  }

  SimScheduler sim{0};
  SimExecutor& cpu = sim.NewExecutor(0);
  std::array<RecordingRequest, 5> requests;
  RequestTable table{cpu, 4};
};

TEST_F(RequestTableTest, IdsAreSlotPlusOneAndBounded) {
  for (uint64_t i = 0; i < 4; ++i) EXPECT_EQ(Add(requests[i]), i + 1);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(Add(requests[4]), 0u);
  EXPECT_FALSE(requests[4].outstanding());
  EXPECT_EQ(table.outstanding(), 4u);
  table.CloseAll();
}

TEST_F(RequestTableTest, TakeHandsOutTheRequestOnce) {
  EXPECT_EQ(Add(requests[0]), 1u);
  EXPECT_EQ(Add(requests[1]), 2u);
  const TakeResult second = table.Take(2);
  EXPECT_EQ(second.error, TakeError::kNone);
  EXPECT_EQ(second.request, &requests[1]);
  EXPECT_FALSE(requests[1].outstanding());
  EXPECT_TRUE(requests[1].ends.empty());  // ending it is the caller's
  EXPECT_EQ(table.Take(2).error, TakeError::kNotOutstanding);
  EXPECT_EQ(table.Take(1).request, &requests[0]);
  EXPECT_EQ(table.counters().completed, 2u);
}

TEST_F(RequestTableTest, EveryWrongIdIsToldApart) {
  EXPECT_EQ(Add(requests[0]), 1u);
  EXPECT_EQ(table.Take(0).error, TakeError::kZeroId);
  EXPECT_EQ(table.Take(2).error, TakeError::kUnknownId);  // free, never used
  EXPECT_EQ(table.Take(5).error, TakeError::kUnknownId);
  EXPECT_EQ(table.Take(uint64_t{1} << 32 | 1).error, TakeError::kUnknownId);
  EXPECT_EQ(table.Take(1).error, TakeError::kNone);
  EXPECT_EQ(table.Take(1).error, TakeError::kNotOutstanding);
  EXPECT_STREQ(Describe(TakeError::kZeroId), "id 0 never waits for a completion");
  EXPECT_STREQ(Describe(TakeError::kUnknownId), "was never issued");
  EXPECT_STREQ(Describe(TakeError::kNotOutstanding), "was completed already");
  EXPECT_STREQ(Describe(TakeError::kNone), "");
}

TEST_F(RequestTableTest, FreedIdsRestAsLongAsPossible) {
  std::vector<uint64_t> ids;
  for (int i = 0; i < 9; ++i) {
    ids.push_back(Add(requests[0]));
    EXPECT_EQ(table.Take(ids.back()).request, &requests[0]);
  }
  EXPECT_EQ(ids, (std::vector<uint64_t>{1, 2, 3, 4, 1, 2, 3, 4, 1}));
}

TEST_F(RequestTableTest, DeadlineEndsTheRequestAndKeepsTheSlot) {
  EXPECT_EQ(Add(requests[0], seconds(5)), 1u);
  EXPECT_EQ(Add(requests[1], seconds(9)), 2u);
  ASSERT_TRUE(sim.RunFor(seconds(5)).ok());
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kDeadline});
  EXPECT_TRUE(requests[1].ends.empty());
  EXPECT_EQ(table.outstanding(), 1u);
  EXPECT_EQ(table.abandoned(), 1u);
  EXPECT_EQ(table.counters().deadlines, 1u);

  EXPECT_EQ(Add(requests[2]), 3u);
  EXPECT_EQ(Add(requests[3]), 4u);
  EXPECT_EQ(Add(requests[4]), 0u);  // slot 1 still belongs to the peer

  const TakeResult late = table.Take(1);
  EXPECT_EQ(late.error, TakeError::kNone);
  EXPECT_EQ(late.request, nullptr);
  EXPECT_EQ(table.counters().late_answers, 1u);
  EXPECT_EQ(table.abandoned(), 0u);
  EXPECT_EQ(table.Take(1).error, TakeError::kNotOutstanding);
  EXPECT_EQ(Add(requests[4]), 1u);
  table.CloseAll();
  EXPECT_EQ(requests[0].ends.size(), 1u);
}

TEST_F(RequestTableTest, AnAnswerInTimeDisarmsTheDeadline) {
  EXPECT_EQ(Add(requests[0], seconds(5)), 1u);
  EXPECT_EQ(table.Take(1).request, &requests[0]);
  EXPECT_EQ(Add(requests[0], seconds(50)), 2u);
  ASSERT_TRUE(sim.RunFor(seconds(49)).ok());
  EXPECT_TRUE(requests[0].ends.empty());
  ASSERT_TRUE(sim.RunFor(seconds(1)).ok());
  EXPECT_EQ(requests[0].ends, std::vector{RequestEnd::kDeadline});
}

TEST_F(RequestTableTest, ARequestMayBeStartedAgainWhereItEnds) {
  uint64_t again = 0;
  requests[0].on_end = [&](RequestEnd end) {
    if (end == RequestEnd::kDeadline) again = Add(requests[0]);
  };
  EXPECT_EQ(Add(requests[0], seconds(1)), 1u);
  ASSERT_TRUE(sim.RunFor(seconds(1)).ok());
  EXPECT_EQ(again, 2u);
  EXPECT_EQ(table.Take(2).request, &requests[0]);
}

TEST_F(RequestTableTest, CancelLeavesNoTrace) {
  EXPECT_EQ(Add(requests[0]), 1u);
  table.Cancel(1);
  EXPECT_FALSE(requests[0].outstanding());
  EXPECT_TRUE(requests[0].ends.empty());
  EXPECT_EQ(table.counters().added, 0u);
  EXPECT_EQ(table.Take(1).error, TakeError::kUnknownId);
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  EXPECT_TRUE(requests[0].ends.empty());
}

TEST_F(RequestTableTest, AbandonFreesTheRequestNotTheSlot) {
  {
    RecordingRequest gone;
    EXPECT_EQ(Add(gone), 1u);
    table.Abandon(gone);
    table.Abandon(gone);  // not outstanding any more: nothing
    EXPECT_TRUE(gone.ends.empty());
  }
  EXPECT_EQ(table.abandoned(), 1u);
  ASSERT_TRUE(sim.RunFor(seconds(61)).ok());
  EXPECT_EQ(table.counters().deadlines, 0u);
  EXPECT_EQ(table.Take(1).request, nullptr);
  EXPECT_EQ(table.abandoned(), 0u);
}

TEST_F(RequestTableTest, CloseAllEndsEachOnceOldestFirst) {
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) {
    requests[i].on_end = [&order, i](RequestEnd) { order.push_back(i); };
  }
  EXPECT_EQ(Add(requests[3]), 1u);
  EXPECT_EQ(Add(requests[0]), 2u);
  EXPECT_EQ(table.Take(1).request, &requests[3]);
  EXPECT_EQ(Add(requests[1]), 3u);
  EXPECT_EQ(Add(requests[3]), 4u);
  EXPECT_EQ(Add(requests[2]), 1u);  // a low slot, but the youngest
  requests[1].on_end = [&](RequestEnd) {
    order.push_back(1);
    EXPECT_EQ(Add(requests[4]), 0u);  // closed
    table.Abandon(requests[2]);       // one that waits its turn drops out
  };
  table.CloseAll();
  EXPECT_EQ(order, (std::vector{0, 1, 3}));
  for (int i : {0, 1, 3}) EXPECT_EQ(requests[i].ends, std::vector{RequestEnd::kClosed});
  EXPECT_TRUE(requests[2].ends.empty());
  EXPECT_EQ(table.counters().closed, 3u);
  table.CloseAll();
  EXPECT_EQ(table.counters().closed, 3u);
  EXPECT_EQ(Add(requests[0]), 0u);
}

TEST_F(RequestTableTest, ATableWithoutSlotsIsAlwaysFull) {
  RequestTable none(cpu, 0);
  EXPECT_TRUE(none.full());
  EXPECT_EQ(none.Add(requests[0], cpu.Now() + seconds(1)), 0u);
  EXPECT_EQ(none.Take(1).error, TakeError::kUnknownId);
}

// Random life against a plain model: each start ends exactly once, ids in use are never handed out.
TEST_F(RequestTableTest, RandomLifeKeepsItsAccounts) {
  enum class Slot { kFree, kBusy, kLate };
  class Counted : public Request {
   public:
    void OnEnd(RequestEnd end, const Packet*) override {
      ++ended;
      *slot = end == RequestEnd::kDeadline ? Slot::kLate : Slot::kFree;
    }
    uint64_t started = 0;
    uint64_t ended = 0;
    Slot* slot = nullptr;
  };
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    std::array<Counted, 12> pool;
    RequestTable busy(cpu, 8);
    std::array<Slot, 9> model{};
    for (int step = 0; step < 3000; ++step) {
      Counted& request = pool[random.Below(pool.size())];
      if (!request.outstanding()) {
        const uint64_t id = busy.Add(request, cpu.Now() + Duration(1 + random.Below(100)));
        if (id == 0) {
          for (size_t i = 1; i < model.size(); ++i) ASSERT_NE(model[i], Slot::kFree);
        } else {
          ASSERT_EQ(model[id], Slot::kFree);
          model[id] = Slot::kBusy;
          ++request.started;
          request.slot = &model[id];
        }
      }
      const uint64_t answer = random.Below(model.size() + 1);
      const TakeResult taken = busy.Take(answer);
      const Slot expected = answer < model.size() ? model[answer] : Slot::kFree;
      ASSERT_EQ(taken.request != nullptr, expected == Slot::kBusy);
      ASSERT_EQ(taken.error == TakeError::kNone, expected != Slot::kFree);
      if (taken.request != nullptr) taken.request->OnEnd(RequestEnd::kCompleted, nullptr);
      if (answer < model.size()) model[answer] = Slot::kFree;
      ASSERT_TRUE(sim.RunFor(Duration(random.OneIn(8) ? random.Below(60) : 0)).ok());
    }
    busy.CloseAll();
    for (const Counted& request : pool) EXPECT_EQ(request.started, request.ended);
    EXPECT_GT(busy.counters().late_answers, 10u);
  }
}

}  // namespace
}  // namespace vmbuskit
