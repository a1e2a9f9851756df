#include "tests/ring_signals/shared_memory.h"

#include <algorithm>
#include <bit>
#include <type_traits>

namespace ring_signals {
namespace {

bool Acquires(std::memory_order order) {
  return order != std::memory_order_relaxed && order != std::memory_order_release;
}
bool Releases(std::memory_order order) {
  return order != std::memory_order_relaxed && order != std::memory_order_acquire;
}

}  // namespace

const char* Name(MemoryModel model) {
  switch (model) {
    case MemoryModel::kSequential:
      return "sequential";
    case MemoryModel::kX86:
      return "x86";
    case MemoryModel::kArm:
      return "arm";
  }
  return "?";
}

SharedMemory::SharedMemory(MemoryModel model, const std::array<uint32_t, kWords>& start)
    : model_(model) {
  for (int word = 0; word < kWords; ++word) {
    words_[word].stores[0] = {.value = start[word], .order = 0, .release = true, .done = {}};
  }
}

int SharedMemory::FirstVisible(int word, std::memory_order order) const {
  const Word& w = words_[word];
  if (model_ == MemoryModel::kArm && order == std::memory_order_seq_cst) return w.ordered;
  return 0;
}

uint32_t SharedMemory::Load(int thread, int word, int index, std::memory_order order) {
  const int writer = WriterOf(word);
  if (writer == thread) return Latest(word);
  const OneStore store = words_[word].stores[index];
  Forget(word, index);
  if (store.release && (model_ != MemoryModel::kArm || Acquires(order))) {
    for (int other = 0; other < kWords; ++other) {
      if (WriterOf(other) != writer || other == word) continue;
      int seen = words_[other].count - 1;
      while (seen > 0 && words_[other].stores[seen].order > store.order) --seen;
      Forget(other, seen);
    }
    Acquire(thread, store.done);
  }
  Renumber(writer);
  return store.value;
}

bool SharedMemory::Store(int thread, int word, uint32_t value, std::memory_order order) {
  Word& w = words_[word];
  if (w.count == kStoresMax) return false;
  uint8_t latest = 0;
  for (int other = 0; other < kWords; ++other) {
    if (WriterOf(other) == thread) {
      latest = std::max(latest, words_[other].stores[words_[other].count - 1].order);
    }
  }
  w.stores[w.count++] = {.value = value,
                         .order = static_cast<uint8_t>(latest + 1),
                         .release = model_ != MemoryModel::kArm || Releases(order),
                         .done = done_[thread]};
  if (order == std::memory_order_seq_cst) w.ordered = w.count - 1;
  if (model_ == MemoryModel::kSequential ||
      (model_ == MemoryModel::kX86 && order == std::memory_order_seq_cst)) {
    for (int other = 0; other < kWords; ++other) {
      if (WriterOf(other) == thread) Forget(other, words_[other].count - 1);
    }
  }
  Renumber(thread);
  return true;
}

void SharedMemory::Signal(int from) {
  signals_[1 - from] = {.raised = true, .done = done_[from]};
  for (int word = 0; word < kWords; ++word) {
    if (WriterOf(word) == from) words_[word].signalled = words_[word].count - 1;
  }
}

void SharedMemory::WakeUp(int thread) {
  for (int word = 0; word < kWords; ++word) {
    if (WriterOf(word) == 1 - thread) {
      Forget(word, words_[word].signalled);
      words_[word].signalled = 0;
    }
  }
  Acquire(thread, signals_[thread].done);
  signals_[thread] = {};
  Renumber(1 - thread);
}

void SharedMemory::Forget(int word, int below) {
  Word& w = words_[word];
  if (below == 0) return;
  std::copy(w.stores.begin() + below, w.stores.begin() + w.count, w.stores.begin());
  w.count -= below;
  w.ordered = w.ordered > below ? w.ordered - below : 0;
  w.signalled = w.signalled > below ? w.signalled - below : 0;
}

void SharedMemory::Acquire(int thread, const Progress& done) {
  for (int ring = 0; ring < kThreads; ++ring) {
    handed_over_[thread][ring] = std::max(handed_over_[thread][ring], done[ring]);
  }
}

// Only the order of the stores matters, not how many went before: 0, 1, 2... makes more states equal.
void SharedMemory::Renumber(int thread) {
  uint64_t present[2] = {};  // a bit for each number in use; they stay below 4 * kStoresMax + 1
  for (int word = 0; word < kWords; ++word) {
    if (WriterOf(word) != thread) continue;
    for (int i = 0; i < words_[word].count; ++i) {
      const uint8_t order = words_[word].stores[i].order;
      present[order / 64] |= uint64_t{1} << order % 64;
    }
  }
  for (int word = 0; word < kWords; ++word) {
    if (WriterOf(word) != thread) continue;
    for (int i = 0; i < words_[word].count; ++i) {
      uint8_t& order = words_[word].stores[i].order;
      const uint64_t below = present[order / 64] & ((uint64_t{1} << order % 64) - 1);
      order = std::popcount(below) + (order < 64 ? 0 : std::popcount(present[0]));
    }
  }
}

void SharedMemory::AppendTo(std::string& key) const {
  const auto add = [&key](const auto& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (const Word& w : words_) {
    add(w.count);
    add(w.ordered);
    add(w.signalled);
    static_assert(std::has_unique_object_representations_v<OneStore>);
    key.append(reinterpret_cast<const char*>(w.stores.data()), w.count * sizeof(OneStore));
  }
  for (const PendingSignal& signal : signals_) {
    add(signal.raised);
    add(signal.done);
  }
  add(done_);
  add(handed_over_);
}

}  // namespace ring_signals
