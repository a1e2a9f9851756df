// The model check of the ring's signalling on the real RingWriter and RingReader: no interleaving of a producer and a
// consumer that sleep, on a processor that reorders what C++ allows it to reorder, loses a wake-up or a packet. Then
// the same with one thing in the real source changed (mutants.bzl): each must be found.
#include <string>
#include <vector>

#include "tests/ring_signals/mutant_killer.h"

namespace ring_signals {
namespace {

// Bytes are bytes on the ring of 4096, of which 4088 can be used.
std::vector<Scenario> LargeScenarios() {
  return {
      {.name = "three fit",
       .packets = {{{1360, 1360, 1360, 1360, 1360}}},
       .longest_batch = 3,
       .longest_commit = 3},
      {.name = "one fits", .packets = {{{2048, 2048, 2048, 2048, 2048}}}, .start_index = 4088},
      {.name = "asks for more",
       .packets = {{{1360, 1360, 1360, 1360, 1360}}},
       .ask_bytes_min = 2720},
      {.name = "all sizes", .packets = {{{24, 2720, 1360, 4088, 24}}}, .longest_batch = 3},
  };
}

// Small ones, in which every mutant shows.
std::vector<Scenario> SmallScenarios() {
  return {
      {.name = "the whole ring", .packets = {{{4088, 4088, 24}}}},
      {.name = "half rings", .packets = {{{2048, 2048, 2048, 2048}}}},
      {.name = "up to the last byte", .packets = {{{1024, 1024, 1024, 3072}}}, .longest_batch = 3},
      {.name = "thirds", .packets = {{{1360, 1360, 1360, 1360}}}},
  };
}

TEST(RingSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnArm) {
  for (const Scenario& scenario : LargeScenarios()) {
    ExpectNothingFound(FindVariant("real"), scenario, MemoryModel::kArm);
  }
}

// All that x86 does arm64 may do; this shows that the model agrees.
TEST(RingSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnX86) {
  ExpectNothingFound(FindVariant("real"), LargeScenarios()[1], MemoryModel::kX86);
}

TEST(RingSignalMutants, EachIsKilled) {
  const std::string data = Name(Finding::kLostDataSignal), space = Name(Finding::kLostSpaceSignal);
  const std::string torn = Name(Finding::kTorn), more = kMoreSignals;
  constexpr auto any = MemoryModel::kSequential, x86 = MemoryModel::kX86, arm = MemoryModel::kArm;
  const Kills expected = {
      {"publish_release", {x86, data}},
      {"publish_relaxed", {x86, data}},
      {"request_release", {x86, space}},
      {"request_relaxed", {x86, space}},
      {"commit_release", {x86, space}},
      {"commit_relaxed", {x86, space}},
      {"unmask_release", {x86, data}},
      {"unmask_relaxed", {x86, data}},
      {"mask_load_acquire", {arm, data}},
      {"recheck_space_acquire", {arm, space}},
      {"pending_load_acquire", {arm, space}},
      {"recheck_data_acquire", {arm, data}},
      {"refresh_relaxed", {arm, data}},
      {"room_relaxed", {arm, torn}},
      {"unmask_without_recheck", {any, data}},
      {"request_without_recheck", {any, space}},
      {"crossing_without_refresh", {any, space}},
      {"recheck_before_unmask", {any, data}},
      {"pending_before_commit", {any, space}},
      {"decide_before_publish", {any, data}},
      {"decide_on_new_index", {any, data}},
      {"decide_on_cached_index", {any, data}},
      {"strict_crossing", {any, space}},
      {"crossing_needs_more", {any, space}},
      {"crossing_at_equal", {any, more}},
      {"any_free_space", {any, more}},
      {"crossing_forgets_consumed", {any, space}},
      {"room_to_the_last_byte", {any, torn}},
      {"pending_not_cleared", {any, more}},
      {"never_cancels", {any, space}},
      {"mask_ignored", {any, more}},
      {"never_masks", {any, more}},
      {"edge_ignored", {any, more}},
      {"commit_forgets_position", {any, torn}},
  };
  EXPECT_EQ(MutantKiller("real", SmallScenarios()).KillAll(), expected);
}

}  // namespace
}  // namespace ring_signals
