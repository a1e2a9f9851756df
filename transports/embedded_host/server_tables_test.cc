// The tables under the VMBus server: numbers lent to the guest, GPADL accounting, the action queue.
#include <algorithm>
#include <vector>

#include "framework/base/saved_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/gpadl_table.h"
#include "transports/embedded_host/offer_table.h"
#include "transports/embedded_host/server_action_queue.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(OfferTable, LendsTheLowestFreeNumbers) {
  OfferTable table;
  ServerChannel& a = table.Add({.class_id = kTestClass, .instance_id = TestInstance(1)});
  ServerChannel& b = table.Add({.class_id = kTestClass, .instance_id = TestInstance(2)});
  ServerChannel& c = table.Add({.class_id = kTestClass, .instance_id = TestInstance(3)});
  EXPECT_TRUE(table.AssignNumbers(a, true));
  EXPECT_TRUE(table.AssignNumbers(b, false));
  EXPECT_TRUE(table.AssignNumbers(c, true));
  EXPECT_EQ(a.relid, 1u);
  EXPECT_EQ(b.relid, 2u);
  EXPECT_EQ(b.monitor_id, kNoMonitor);
  EXPECT_EQ(c.monitor_id, 1);
  table.Remove(a);
  EXPECT_EQ(table.FindRelid(1), nullptr);
  ServerChannel& d = table.Add({});
  EXPECT_TRUE(table.AssignNumbers(d, true));
  EXPECT_EQ(d.relid, 1u);
  EXPECT_EQ(d.monitor_id, 0);
  EXPECT_EQ(d.id, ChannelId{4}) << "ids are never used twice";
  EXPECT_EQ(table.FindRelid(1), &d);
  for (uint32_t relid : {0u, 4u, 2047u, 2048u, 0xFFFFFFFFu}) {
    EXPECT_EQ(table.FindRelid(relid), nullptr);
  }
}

// A guest makes channels come and go with its sub-channels, and a saved state has any number here.
TEST(OfferTable, NoIdIsUsedWhileAChannelHasItNorIsZero) {
  OfferTable table;
  table.Add({.class_id = kTestClass, .instance_id = TestInstance(1)});
  StateWriter writer;
  table.Exchange(writer);
  std::vector<std::byte> state = std::move(writer).Take();
  std::fill_n(state.begin(), 4, std::byte{0xFF});  // the next id
  StateReader reader(state);
  table.Exchange(reader);
  ASSERT_EQ(reader.Finish(), absl::OkStatus());
  EXPECT_EQ(table.Add({.instance_id = TestInstance(2)}).id, ChannelId{0xFFFFFFFF});
  EXPECT_EQ(table.Add({.instance_id = TestInstance(3)}).id, ChannelId{2});
  EXPECT_EQ(table.size(), 3u);
  EXPECT_EQ(table.FindLive(ChannelId{1})->offer.instance_id, TestInstance(1));
  StateWriter again;
  table.Exchange(again);
  const std::vector<std::byte> bytes = std::move(again).Take();
  StateReader taken(bytes);
  table.Exchange(taken);
  EXPECT_EQ(taken.Finish(), absl::OkStatus()) << "also with ids from both sides of the end";
}

TEST(OfferTable, FindsTheLivingAndTheRevokedApart) {
  OfferTable table;
  ServerChannel& old = table.Add({.class_id = kTestClass, .instance_id = TestInstance(1)});
  table.AssignNumbers(old, true);
  old.state = ChannelState::kRevoked;
  EXPECT_EQ(table.FindLive(old.id), nullptr);
  EXPECT_EQ(table.FindLive(kTestClass, TestInstance(1), 0), nullptr);
  EXPECT_EQ(table.FindRevoked(kTestClass, TestInstance(1), 0), &old);
  EXPECT_EQ(table.FindRevoked(kTestClass, TestInstance(1), 1), nullptr);

  ServerChannel& next = table.Add(old.offer);
  table.Link(old, next);
  EXPECT_EQ(old.state, ChannelState::kReoffered);
  EXPECT_EQ(table.FindLive(kTestClass, TestInstance(1), 0), &next);
  EXPECT_TRUE(table.AssignNumbers(next, false));
  EXPECT_EQ(next.relid, 1u);
  EXPECT_EQ(next.monitor_id, 0);
  EXPECT_EQ(old.relid, 0u);
  table.Remove(old);
  EXPECT_EQ(next.predecessor, nullptr);
  EXPECT_EQ(table.FindRelid(1), &next);
}

TEST(OfferTable, NamesEveryState) {
  for (int i = 0; i <= static_cast<int>(ChannelState::kReoffered); ++i) {
    EXPECT_NE(ChannelStateName(static_cast<ChannelState>(i)), "?");
  }
  EXPECT_EQ(ChannelStateName(static_cast<ChannelState>(99)), "?");
}

GpadlAssembly Announce(uint32_t pages) {
  return *GpadlAssembly::Begin(static_cast<uint16_t>(8 + 8 * pages), 1);
}
GpadlPages Pages(uint32_t count) { return {.pfns = std::vector<Pfn>(count), .ranges = {}}; }

TEST(GpadlTable, ChargesWhatIsCompleteAndGivesItBack) {
  GpadlTable table({.bytes_max = 10 * 4096, .count_max = 4, .in_progress_pages_max = 100});
  const ChannelId a{1};
  ASSERT_TRUE(table.Begin(a, 7, Announce(6)).ok());
  EXPECT_EQ(table.in_progress_pages(), 7u);
  EXPECT_EQ(table.FindInProgress(7), a);
  EXPECT_TRUE(table.Complete(a, 7, Pages(6), true).ok());
  EXPECT_EQ(table.in_progress_pages(), 0u);
  EXPECT_EQ(table.FindInProgress(7), std::nullopt);
  EXPECT_EQ(table.charged_bytes(), 6u * 4096);
  ASSERT_TRUE(table.Begin(a, 8, Announce(5)).ok());
  EXPECT_EQ(table.Complete(a, 8, Pages(5), true).message(),
            "GPADL 8: 20480 bytes with 24576 of 40960 in use");
  table.Remove(a, 8);
  ASSERT_TRUE(table.Begin(a, 9, Announce(4)).ok());
  EXPECT_TRUE(table.Complete(a, 9, Pages(4), true).ok());
  EXPECT_THAT(table.HandlesOf(a), ElementsAre(7, 9));
  EXPECT_THAT(table.HandlesOf(ChannelId{2}), IsEmpty());
  table.Remove(a, 7);
  table.Remove(a, 7);
  EXPECT_EQ(table.charged_bytes(), 4u * 4096);
  EXPECT_EQ(table.charged_bytes_peak(), 10u * 4096);
}

TEST(GpadlTable, HandlesAreUniquePerChannelAndWhileInProgressPerConnection) {
  GpadlTable table({.bytes_max = 1 << 20, .count_max = 9, .in_progress_pages_max = 100});
  ASSERT_TRUE(table.Begin(ChannelId{1}, 7, Announce(1)).ok());
  EXPECT_EQ(table.Begin(ChannelId{2}, 7, Announce(1)).status().message(),
            "GPADL_HEADER: gpadl is 7: in use");
  ASSERT_TRUE(table.Complete(ChannelId{1}, 7, Pages(1), true).ok());
  EXPECT_FALSE(table.Begin(ChannelId{1}, 7, Announce(1)).ok());
  EXPECT_TRUE(table.Begin(ChannelId{2}, 7, Announce(1)).ok());
}

TEST(GpadlTable, BoundsCountAndPagesInProgress) {
  GpadlTable table({.bytes_max = 1 << 20, .count_max = 2, .in_progress_pages_max = 10});
  ASSERT_TRUE(table.Begin(ChannelId{1}, 1, Announce(8)).ok());
  EXPECT_EQ(table.Begin(ChannelId{1}, 2, Announce(1)).status().message(),
            "GPADL 2: 2 pages announced with 9 of 10 still missing");
  table.Remove(ChannelId{1}, 1);
  EXPECT_EQ(table.in_progress_pages(), 0u);
  ASSERT_TRUE(table.Begin(ChannelId{1}, 1, Announce(1)).ok());
  ASSERT_TRUE(table.Begin(ChannelId{1}, 2, Announce(1)).ok());
  EXPECT_EQ(table.Begin(ChannelId{1}, 3, Announce(1)).status().message(),
            "GPADL 3: limit of 2 GPADLs reached");
  for (int i = 0; i <= static_cast<int>(GpadlState::kTearingDown); ++i) {
    EXPECT_NE(GpadlStateName(static_cast<GpadlState>(i)), "?");
  }
}

// Adds an action from inside one.
struct Nesting : FakeActions {
  ServerActionQueue* queue = nullptr;
  void CloseChannel(ChannelId id) override {
    lines.push_back(absl::StrCat("close ", Number(id)));
    if (id != ChannelId{1}) return;
    queue->Add(server_action::CloseChannel{ChannelId{3}});
    queue->Run(*this);
    lines.push_back("close 1 ends");
  }
};

TEST(ServerActionQueue, RunsOneAfterTheOtherNeverOneInsideAnother) {
  ServerActionQueue queue;
  Nesting actions;
  actions.queue = &queue;
  queue.Add(server_action::CloseChannel{ChannelId{1}});
  queue.Add(server_action::CloseChannel{ChannelId{2}});
  queue.Run(actions);
  EXPECT_THAT(actions.lines, ElementsAre("close 1", "close 1 ends", "close 2", "close 3"));
  EXPECT_EQ(queue.size(), 0u);
}

TEST(ServerActionQueue, DropsWhatIsMeantForAGoneDeviceOnly) {
  ServerActionQueue queue;
  FakeActions actions;
  actions.automatic = false;
  queue.Add(server_action::CloseChannel{ChannelId{1}});
  queue.Add(server_action::TearDownGpadl{ChannelId{2}, 5});
  queue.Add(server_action::TearDownConnection{});
  queue.Add(server_action::Retarget{ChannelId{1}, 5});
  queue.Drop(ChannelId{1});
  queue.Run(actions);
  EXPECT_THAT(actions.lines, ElementsAre("drop 2/5", "tear down"));
}

}  // namespace
}  // namespace vmbuskit
