// Runs a subject through every interleaving of its two threads and everything that the memory model allows their loads
// to return, and looks for a state that must not be.
//
//   const Result result = Explore(variant, scenario, MemoryModel::kArm);
//   if (result.finding != Finding::kNone) puts(result.trace.c_str());
//
// Depth first; a state that was seen before is not entered again. States are told apart by a 128-bit hash of everything
// that decides what may follow. Exhaustive when it ends with kNone: no bound on preemptions or on depth.
// Thread safety: one thread, one exploration at a time.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_EXPLORER_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_EXPLORER_H_

#include <cstdint>
#include <string>

#include "tests/ring_signals/shared_memory.h"
#include "tests/ring_signals/subject.h"

namespace ring_signals {

enum class Finding {
  kNone,
  kLostDataSignal,   // both sleep, and there is something to read
  kLostSpaceSignal,  // both sleep, and the space that was asked for is free
  kStuck,            // both sleep, packets are left, and nobody asked for anything
  kTorn,             // data touched that the other side may be writing or reading still
  kBroken,           // a packet lost, doubled or changed, or a word of the peer's called corrupt
  kForeignWord,      // stored into the other side's word
  kEndless,          // the same state again without progress
  kTooLarge,         // a limit of the checker: nothing is proven
};
const char* Name(Finding finding);

struct Result {
  Finding finding = Finding::kNone;
  std::string trace;  // the steps to it, one a line
  uint64_t states = 0;
  uint64_t transitions = 0;
  uint64_t reactions = 0;     // different situations that the code was run in
  uint32_t signals_max = 0;   // in one run, over all runs
  uint32_t needless_max = 0;  // wake-ups that found nothing to do
};

Result Explore(const Variant& variant, const Scenario& scenario, MemoryModel model,
               uint64_t states_max = 20'000'000);

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_EXPLORER_H_
