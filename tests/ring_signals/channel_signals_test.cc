// The model check of what Channel makes of the rings: sleeping executors at both ends, drains, back-pressure, answers
// that wait for room. Then with planted bugs (mutants.bzl), each of which must be found.
#include <string>
#include <vector>

#include "tests/ring_signals/mutant_killer.h"

namespace ring_signals {
namespace {

// Bytes on rings of 4096. Thread 1 answers each packet with one of its own, if its list has any.
std::vector<Scenario> Scenarios() {
  return {
      {.name = "half rings", .packets = {{{2048, 2048, 2048}, {}}}},
      {.name = "answers of half a ring", .packets = {{{2048, 2048}, {2048, 2048}}}},
      {.name = "large answers", .packets = {{{24, 24}, {2720, 2720}}}},
      {.name = "one packet a turn", .packets = {{{2048, 2048}, {}}}, .drain_budget = 1},
      {.name = "small after large", .packets = {{{1360, 4088, 24}, {}}}, .start_index = 4080},
  };
}

TEST(ChannelSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnArm) {
  for (const Scenario& scenario : Scenarios()) {
    ExpectNothingFound(FindVariant("real_channel"), scenario, MemoryModel::kArm);
  }
}

TEST(ChannelSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnX86) {
  ExpectNothingFound(FindVariant("real_channel"), Scenarios().front(), MemoryModel::kX86);
}

TEST(ChannelSignalMutants, EachIsKilled) {
  const std::string data = Name(Finding::kLostDataSignal), space = Name(Finding::kLostSpaceSignal);
  constexpr auto any = MemoryModel::kSequential;
  const Kills expected = {
      {"drain_once", {any, data}},
      {"drain_stays_masked", {any, data}},
      {"drain_offers_no_space", {any, space}},
      {"drain_keeps_freed_space_secret", {any, space}},
      {"drain_keeps_answers_secret", {any, data}},
      {"drain_without_commit", {any, data}},
      {"budget_forgets_the_rest", {any, data}},
      {"budget_stays_masked", {any, data}},
      {"budget_unmasks_only", {any, data}},
      {"own_wake_reads_nothing", {any, data}},
      {"stall_forgets_the_packet", {any, Name(Finding::kEndless)}},
      {"stall_asks_for_no_room", {any, data}},
      {"full_ring_not_asked_for", {any, space}},
  };
  EXPECT_EQ(MutantKiller("real_channel", Scenarios()).KillAll(), expected);
}

}  // namespace
}  // namespace ring_signals
