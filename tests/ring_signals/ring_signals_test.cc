// The model check of the ring's signalling on the real RingWriter and RingReader: no interleaving of a producer and a
// consumer that sleep, on a processor that reorders what C++ allows it to reorder, loses a wake-up or a packet. Then
// the same with one thing in the real source changed (mutants.bzl): each must be found.
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/ring_signals/explorer.h"

namespace ring_signals {
namespace {

constexpr MemoryModel kModels[] = {MemoryModel::kSequential, MemoryModel::kX86, MemoryModel::kArm};

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

const Variant& Find(const std::string& name) {
  for (const Variant& variant : Variants()) {
    if (variant.name == name) return variant;
  }
  ADD_FAILURE() << "no variant " << name;
  return Variants().front();
}

void Print(const Variant& variant, const Scenario& scenario, MemoryModel model,
           const Result& result) {
  std::printf(
      "%-26s %-20s %-11s %8llu states %8llu transitions %5llu situations, at most %u signals, %u "
      "needless: %s\n",
      variant.name, scenario.name.c_str(), Name(model),
      static_cast<unsigned long long>(result.states),
      static_cast<unsigned long long>(result.transitions),
      static_cast<unsigned long long>(result.reactions), result.signals_max, result.needless_max,
      Name(result.finding));
}

void ExpectNothingFound(const Scenario& scenario, MemoryModel model) {
  const Result result = Explore(Find("real"), scenario, model);
  Print(Find("real"), scenario, model, result);
  EXPECT_EQ(result.finding, Finding::kNone) << Name(result.finding) << "\n" << result.trace;
  EXPECT_GT(result.states, 10000u) << "the check must have gone somewhere";
}

TEST(RingSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnArm) {
  for (const Scenario& scenario : LargeScenarios()) ExpectNothingFound(scenario, MemoryModel::kArm);
}

// All that x86 does arm64 may do; this shows that the model agrees.
TEST(RingSignals, NoOrderOfStepsLosesAWakeUpOrAPacketOnX86) {
  ExpectNothingFound(LargeScenarios()[1], MemoryModel::kX86);
}

constexpr char kMoreSignals[] = "more signals than needed";

// The weakest order of memory accesses that shows the bug: what shows in interleavings shows on every processor, what
// shows on x86 on arm64 too.
struct Kill {
  MemoryModel model;
  std::string found;
  bool operator==(const Kill&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Kill& kill) {
  return out << Name(kill.model) << ": " << (kill.found.empty() ? "not found" : kill.found);
}

class RingSignalMutants : public ::testing::Test {
 protected:
  Kill KillOf(const Variant& variant) {
    for (const MemoryModel model : kModels) {
      if (std::string found = FoundBy(variant, model); !found.empty()) return {model, found};
    }
    return {MemoryModel::kArm, ""};
  }

 private:
  std::string FoundBy(const Variant& variant, MemoryModel model) {
    const char* found = "";
    for (const Scenario& scenario : SmallScenarios()) {
      const Result& real = Real(scenario, model);
      const Result result = Explore(variant, scenario, model);
      if (result.finding != Finding::kNone) return Name(result.finding);
      if (result.signals_max > real.signals_max || result.needless_max > real.needless_max) {
        found = kMoreSignals;
      }
    }
    return found;
  }

  const Result& Real(const Scenario& scenario, MemoryModel model) {
    const auto [entry, is_new] = real_.try_emplace({scenario.name, model});
    if (is_new) entry->second = Explore(Find("real"), scenario, model);
    EXPECT_EQ(entry->second.finding, Finding::kNone);
    return entry->second;
  }

  std::map<std::pair<std::string, MemoryModel>, Result> real_;
};

TEST_F(RingSignalMutants, EachIsKilled) {
  const std::string data = Name(Finding::kLostDataSignal), space = Name(Finding::kLostSpaceSignal);
  const std::string torn = Name(Finding::kTorn), more = kMoreSignals;
  constexpr auto any = MemoryModel::kSequential, x86 = MemoryModel::kX86, arm = MemoryModel::kArm;
  const std::map<std::string, Kill> expected = {
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
  size_t mutants = 0;
  for (const Variant& variant : Variants()) {
    if (variant.name == std::string("real")) continue;
    ++mutants;
    const Kill kill = KillOf(variant);
    std::cout << "killed " << variant.name << ", " << kill << "\n";
    const auto entry = expected.find(variant.name);
    ASSERT_NE(entry, expected.end()) << variant.name << " is new: " << kill;
    EXPECT_EQ(kill, entry->second) << variant.name;
  }
  EXPECT_EQ(mutants, expected.size());
}

}  // namespace
}  // namespace ring_signals
