// How a stateful fuzzer runs its program: the first operation says what world it is, each other one
// what happens next.
//
//   class Fuzz {
//     Fuzz(MemfdMemory& memory, const Operation& world);
//     void Do(const Operation& operation);
//     void Settle();                            // until nothing moves: after most operations, and at the end
//     void Finish();                            // what must hold then
//   };
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     return vmbuskit::RunProgram<vmbuskit::Fuzz>(data, size, kPages);
//   }
//
// Thread safety: one thread. Lifetime: the memory is one for all inputs, so a Fuzz must not take its
// contents for zeros. Errors: memory that stays mapped ends the program.
#ifndef VMBUSKIT_TESTS_FUZZ_PROGRAM_RUN_H_
#define VMBUSKIT_TESTS_FUZZ_PROGRAM_RUN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "framework/base/fuzzing.h"
#include "platform/linux/memfd_memory.h"
#include "tests/fuzz/program.h"

namespace vmbuskit {

inline constexpr uint8_t kNoSettle = 0x80;  // in `who`: the next operation follows at once

template <typename Fuzz>
int RunProgram(const uint8_t* data, size_t size, uint64_t page_count) {
  static const std::unique_ptr<MemfdMemory> memory =
      *MemfdMemory::Create({.page_count = page_count});
  const std::vector<Operation> program = DecodeProgram(data, size);
  {
    Fuzz fuzz(*memory, program.empty() ? Operation{} : program.front());
    for (size_t i = 1; i < program.size(); ++i) {
      fuzz.Do(program[i]);
      if ((program[i].who & kNoSettle) == 0) fuzz.Settle();
    }
    fuzz.Settle();
    fuzz.Finish();
  }
  Require(memory->mapped_pages() == 0);
  return 0;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_PROGRAM_RUN_H_
