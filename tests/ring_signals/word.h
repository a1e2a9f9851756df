// The model check's stand-in for std::atomic_ref: every access of the ring's code to shared memory becomes a question
// to the checker, which decides what a load returns. Compiled in with `-include` in front of the real sources, see
// VMBUSKIT_RING_ATOMIC in framework/channel/ring_memory.h.
//
//   Word<uint32_t>(words.write_index).store(now, std::memory_order_seq_cst);
//
// The names are not in namespace vmbuskit, because that one is renamed for each mutant, and these serve them all.
// Thread safety: one thread; the two "threads" of a check are replayed in turns.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_WORD_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_WORD_H_

#include <atomic>
#include <cstdint>

namespace ring_signals {

// The words of ring 0 come first, then those of ring 1, each in the order of the control page.
enum WordName : uint8_t { kWriteIndex, kReadIndex, kInterruptMask, kPendingSendSz, kWordsPerRing };

uint32_t LoadWord(uint32_t& word, std::memory_order order);
void StoreWord(uint32_t& word, uint32_t value, std::memory_order order);
uint32_t FetchOrWord(uint32_t& word, uint32_t value);
// A descriptor in the data area: no question, but it must have been published to the reader.
uint64_t LoadDescriptor(uint64_t& word);

template <typename T>
class Word;

template <>
class Word<uint32_t> {
 public:
  explicit Word(uint32_t& word) : word_(word) {}
  uint32_t load(std::memory_order order) const { return LoadWord(word_, order); }
  void store(uint32_t value, std::memory_order order) const { StoreWord(word_, value, order); }
  uint32_t fetch_or(uint32_t value, std::memory_order) const { return FetchOrWord(word_, value); }

 private:
  uint32_t& word_;
};

template <>
class Word<uint64_t> {
 public:
  explicit Word(uint64_t& word) : word_(word) {}
  uint64_t load(std::memory_order) const { return LoadDescriptor(word_); }

 private:
  uint64_t& word_;
};

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_WORD_H_
