// For the tests of the model check: finds how each registered mutant differs from the real code.
//
//   MutantKiller killer("real", SmallScenarios());
//   EXPECT_EQ(killer.KillAll(), expected);       // every mutant, by name
//
// Thread safety: one thread.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_MUTANT_KILLER_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_MUTANT_KILLER_H_

#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/ring_signals/explorer.h"

namespace ring_signals {

inline constexpr char kMoreSignals[] = "more signals than needed";

// The weakest order of memory accesses that shows the bug: what shows in interleavings shows on every processor, what
// shows on x86 on arm64 too.
struct Kill {
  MemoryModel model = MemoryModel::kArm;
  std::string found;  // empty: survived
  bool operator==(const Kill&) const = default;
};
using Kills = std::map<std::string, Kill>;

inline std::ostream& operator<<(std::ostream& out, const Kill& kill) {
  return out << Name(kill.model) << ": " << (kill.found.empty() ? "not found" : kill.found);
}

inline const Variant& FindVariant(const std::string& name) {
  for (const Variant& variant : Variants()) {
    if (variant.name == name) return variant;
  }
  ADD_FAILURE() << "no variant " << name;
  return Variants().front();
}

inline void ExpectNothingFound(const Variant& variant, const Scenario& scenario,
                               MemoryModel model) {
  const Result result = Explore(variant, scenario, model);
  std::printf(
      "%-24s %-11s %8llu states %8llu transitions %5llu situations, at most %u signals, %u "
      "needless\n",
      scenario.name.c_str(), Name(model), static_cast<unsigned long long>(result.states),
      static_cast<unsigned long long>(result.transitions),
      static_cast<unsigned long long>(result.reactions), result.signals_max, result.needless_max);
  EXPECT_EQ(result.finding, Finding::kNone) << Name(result.finding) << "\n" << result.trace;
  EXPECT_GT(result.states, 1000u) << "the check must have gone somewhere";
}

class MutantKiller {
 public:
  // Every mutant must show in one of the scenarios.
  MutantKiller(const std::string& real, std::vector<Scenario> scenarios)
      : real_(FindVariant(real)), scenarios_(std::move(scenarios)) {}

  // By name, and printed.
  Kills KillAll() {
    Kills kills;
    for (const Variant& variant : Variants()) {
      if (variant.name == real_.name) continue;
      const Kill& kill = kills[variant.name] = KillOf(variant);
      std::cout << "mutant " << variant.name << ", " << kill << std::endl;
    }
    return kills;
  }

 private:
  Kill KillOf(const Variant& variant) {
    for (const MemoryModel model :
         {MemoryModel::kSequential, MemoryModel::kX86, MemoryModel::kArm}) {
      if (std::string found = FoundBy(variant, model); !found.empty()) return {model, found};
    }
    return {};
  }

  std::string FoundBy(const Variant& variant, MemoryModel model) {
    const char* found = "";
    for (const Scenario& scenario : scenarios_) {
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
    const auto [entry, is_new] = results_.try_emplace({scenario.name, model});
    if (is_new) entry->second = Explore(real_, scenario, model);
    EXPECT_EQ(entry->second.finding, Finding::kNone) << entry->second.trace;
    return entry->second;
  }

  const Variant& real_;
  const std::vector<Scenario> scenarios_;
  std::map<std::pair<std::string, MemoryModel>, Result> results_;
};

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_MUTANT_KILLER_H_
