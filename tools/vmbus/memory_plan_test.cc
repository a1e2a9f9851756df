#include "tools/vmbus/memory_plan.h"

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

MemoryPlan Plan(uint64_t memory_bytes, uint32_t connections_max = 64) {
  Machine machine;
  machine.memory_bytes = memory_bytes;
  machine.nbd.connections_max = connections_max;
  return PlanMemory(machine);
}

TEST(MemoryPlanTest, WithoutASizeEveryConnectionHasAllThatItMayAskFor) {
  EXPECT_EQ(Plan(0).memory_bytes, 2 * 64 * ((uint64_t{32} << 20) + (516 << 10)));
  EXPECT_EQ(Plan(0).connections_max, 64u);
  EXPECT_EQ(Plan(0).buffer_bytes_max, 32u << 20);
  EXPECT_EQ(Plan(0, 1).memory_bytes, 1u << 30);
  EXPECT_EQ(Plan(0, 1).buffer_bytes_max, 32u << 20);
}

TEST(MemoryPlanTest, LessMemoryMakesThePartsSmallerThenFewer) {
  EXPECT_EQ(Plan(uint64_t{1} << 30).connections_max, 64u);
  EXPECT_EQ(Plan(uint64_t{1} << 30).buffer_bytes_max, 7616u << 10) << "8M less 516K, in chunks";
  EXPECT_EQ(Plan(64 << 20).connections_max, 21u);
  EXPECT_EQ(Plan(64 << 20).buffer_bytes_max, 1u << 20);
  EXPECT_EQ(Plan(64 << 20, 4).connections_max, 4u);
  EXPECT_EQ(Plan(64 << 20, 4).buffer_bytes_max, 7616u << 10);
  EXPECT_EQ(Plan(16 << 20).connections_max, 8u);
  EXPECT_EQ(Plan(16 << 20).buffer_bytes_max, 1u << 20);
}

TEST(MemoryPlanTest, HalfOfTheMemoryIsNobodys) {
  constexpr uint64_t kQueueBytes = MemoryPlan::kQueueBytes;
  for (uint64_t memory = 16 << 20; memory <= uint64_t{1} << 40; memory += memory / 3) {
    for (const uint32_t connections : {1u, 2u, 7u, 64u, 4096u}) {
      const MemoryPlan plan = Plan(memory, connections);
      EXPECT_EQ(plan.memory_bytes, memory);
      EXPECT_GE(plan.connections_max, 1u);
      EXPECT_LE(plan.connections_max, connections);
      EXPECT_GE(plan.buffer_bytes_max, MemoryPlan::kLeastBuffers);
      EXPECT_LE(plan.buffer_bytes_max, MemoryPlan::kLargestBuffers);
      const uint64_t kept = memory - plan.connections_max * (plan.buffer_bytes_max + kQueueBytes);
      EXPECT_GE(kept, memory < 25 << 20 ? 3u << 20 : memory / 2) << memory;
    }
  }
}

}  // namespace
}  // namespace vmbuskit
