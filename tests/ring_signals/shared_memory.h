// The shared words of the rings as a processor shows them to two threads: what a load may return.
//
//   SharedMemory memory(MemoryModel::kX86, start_values);
//   memory.Store(thread, word, value, order);
//   for (int i = memory.FirstVisible(word, order); i < memory.stores(word); ++i) ...   // each is a possible result
//   uint32_t value = memory.Load(thread, word, i, order);
//
// Every word has one writer and one other reader. The stores that the reader may still see are kept, in order; the
// first is the oldest that it may see. The models:
//   kSequential  a load sees the latest store.
//   kX86         total store order: each processor's stores reach the other one in program order, late; a sequentially
//                consistent store (xchg) waits until they have. Loads are in order. That the other order of "when a
//                buffered store drains" is chosen when it is seen makes no difference with two threads.
//   kArm         stores reach the other one late and in any order, and loads are done early, unless release and acquire
//                forbid it; a sequentially consistent load sees the latest sequentially consistent store at least
//                (stlr, ldar), but one that is only acquire may not (ldapr). No load is done later than a store behind
//                it: relaxed loads with that freedom are not modelled.
// Data in the ring is not modelled by value: a thread may touch only what the words that it read have handed over
// (happens-before), which `handed_over` tells.
// Thread safety: a plain value.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_SHARED_MEMORY_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_SHARED_MEMORY_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "tests/ring_signals/subject.h"
#include "tests/ring_signals/word.h"

namespace ring_signals {

enum class MemoryModel { kSequential, kX86, kArm };
const char* Name(MemoryModel model);

inline constexpr int kWords = kThreads * kWordsPerRing;

// The producer writes write_index and pending_send_sz, the consumer the other two.
constexpr int WriterOf(int word) {
  const int ring = word / kWordsPerRing, name = word % kWordsPerRing;
  return name == kWriteIndex || name == kPendingSendSz ? ring : 1 - ring;
}

class SharedMemory {
 public:
  SharedMemory(MemoryModel model, const std::array<uint32_t, kWords>& start);

  int stores(int word) const { return words_[word].count; }
  uint32_t Latest(int word) const { return words_[word].stores[words_[word].count - 1].value; }
  int FirstVisible(int word, std::memory_order order) const;
  // The reader takes store `index`.
  uint32_t Load(int thread, int word, int index, std::memory_order order);
  // False: more stores are in flight than can be kept.
  [[nodiscard]] bool Store(int thread, int word, uint32_t value, std::memory_order order);

  // A signal makes everything before it visible to who wakes up from it; it is kept until then.
  void Signal(int from);
  bool Signalled(int thread) const { return signals_[thread].raised; }
  void WakeUp(int thread);

  // What a thread did to the data of a ring: packets that it appended (its own ring) or read (the other's).
  int done(int thread, int ring) const { return done_[thread][ring]; }
  void Do(int thread, int ring) { ++done_[thread][ring]; }
  // How much of what the other thread did is known to `thread` to have happened before.
  int handed_over(int thread, int ring) const { return handed_over_[thread][ring]; }

  // Equal for equal contents.
  void AppendTo(std::string& key) const;

 private:
  static constexpr int kStoresMax = 28;
  using Progress = std::array<uint8_t, kThreads>;  // per ring

  struct OneStore {
    uint32_t value;
    uint8_t order;    // among all stores of its thread that are kept
    uint8_t release;  // 0 or 1
    Progress done;
  };
  struct Word {
    uint8_t count = 1;
    uint8_t ordered = 0;    // the latest sequentially consistent store
    uint8_t signalled = 0;  // the latest store before the signal that is kept
    std::array<OneStore, kStoresMax> stores;
  };
  struct PendingSignal {
    bool raised = false;
    Progress done{};
  };

  void Forget(int word, int below);  // stores that cannot be seen any more
  void Acquire(int thread, const Progress& done);
  void Renumber(int thread);

  MemoryModel model_;
  std::array<Word, kWords> words_;
  std::array<PendingSignal, kThreads> signals_{};  // to each thread
  std::array<Progress, kThreads> done_{};
  std::array<Progress, kThreads> handed_over_{};
};

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_SHARED_MEMORY_H_
