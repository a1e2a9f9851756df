// The input of a stateful fuzzer: a program of operations of one fixed size. Almost every byte
// string is one that means something, and a mutation changes what is done, not where the next
// operation begins.
//
//   for (const Operation& operation : DecodeProgram(data, size)) {
//     Do(operation);                               // operation.code % kDoingsCount, ...
//   }
//
// program_run.h runs a program, program_mutator.cc makes libFuzzer mutate programs. What the fields
// mean is the fuzzer's affair. Thread safety: none needed. Units: bytes.
#ifndef VMBUSKIT_TESTS_FUZZ_PROGRAM_H_
#define VMBUSKIT_TESTS_FUZZ_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmbuskit {

struct Operation {
  uint8_t code = 0;
  uint8_t who = 0;
  uint16_t a = 0;
  uint32_t b = 0;
  uint64_t c = 0;
};
static_assert(sizeof(Operation) == 16);

inline constexpr size_t kProgramOperationsMax = 64;

// What is missing of the last operation is zero; what follows operation kProgramOperationsMax is
// ignored.
std::vector<Operation> DecodeProgram(const uint8_t* data, size_t size);

// libFuzzer's own mutation of `size` bytes in place, of at most `max_size` afterwards.
using RawMutation = size_t (*)(uint8_t* data, size_t size, size_t max_size);

// One to four changes: insert, delete, duplicate, move an operation; change a field to a value that
// is likely to be a border of something, or by a little, or to anything; and now and then
// libFuzzer's own mutation of one operation's bytes. The new size, never above `max_size`.
size_t MutateProgram(uint8_t* data, size_t size, size_t max_size, unsigned seed, RawMutation raw);

// The beginning of one program, then the end of the other, cut between operations.
size_t SplicePrograms(const uint8_t* first, size_t first_size, const uint8_t* second,
                      size_t second_size, uint8_t* out, size_t max_size, unsigned seed);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_PROGRAM_H_
