// Mutates a fuzzer's input (message_script.h) as what it is: messages and operations with typed fields. New ones of any
// kind, repeated, moved, dropped, cut short or lengthened; fields set to boundary values or to what a field of the
// same meaning holds elsewhere in the input (a relid offered before, the handle of a GPADL under way). Now and then
// raw bytes, by libFuzzer's own mutator.
//
//   constexpr FuzzField kModify[] = {FuzzField::kRelid, FuzzField::kVp};
//   constexpr FuzzLayout kOperations[] = {{32, kModify}};
//   VMBUSKIT_MESSAGE_MUTATOR(.direction = vmbuskit::Direction::kHostToGuest,      // defines what libFuzzer looks for,
//                            .operations = vmbuskit::kOperations)                 // outside of every namespace
//
// Thread safety: pure functions: the same input and seed give the same output (as far as libFuzzer's do).
// For fuzzers and their tests only.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_MUTATOR_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_MUTATOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/protocol/message_layouts.h"
#include "transports/protocol/message_table.h"

// libFuzzer's; absent where an input is only replayed.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size,
                                                         size_t size_max);

namespace vmbuskit {

// What new records are made of: messages of `direction` (half of them; none without `messages`) and operations.
struct FuzzGrammar {
  Direction direction = Direction::kHostToGuest;
  bool messages = true;
  std::span<const FuzzLayout> operations;
};

// Changes the first `size` bytes of `buffer`, whose whole size is the limit; the new size.
size_t MutateMessages(const FuzzGrammar& grammar, std::span<uint8_t> buffer, size_t size,
                      uint32_t seed);
// Splices records of both into `output`; its new size.
size_t CrossMessages(std::span<const uint8_t> first, std::span<const uint8_t> second,
                     std::span<uint8_t> output, uint32_t seed);

}  // namespace vmbuskit

#define VMBUSKIT_MESSAGE_MUTATOR(...)                                                            \
  extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,         \
                                            unsigned int seed) {                                 \
    return vmbuskit::MutateMessages(vmbuskit::FuzzGrammar{__VA_ARGS__}, {data, size_max}, size,  \
                                    seed);                                                       \
  }                                                                                              \
  extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1,                \
                                              const uint8_t* data2, size_t size2, uint8_t* data, \
                                              size_t size_max, unsigned int seed) {              \
    return vmbuskit::CrossMessages({data1, size1}, {data2, size2}, {data, size_max}, seed);      \
  }

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_MUTATOR_H_
