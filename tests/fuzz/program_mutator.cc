// What makes libFuzzer mutate programs; linked into the stateful fuzzers.
#include "tests/fuzz/program.h"

// libFuzzer's own; not there in the test that replays a corpus.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size)
    __attribute__((weak));

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  return vmbuskit::MutateProgram(data, size, max_size, seed, &LLVMFuzzerMutate);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t max_size, unsigned seed) {
  return vmbuskit::SplicePrograms(first, first_size, second, second_size, out, max_size, seed);
}

// Every execution makes and frees a whole system: a small quarantine keeps its memory in the
// caches, and short stacks keep what is written down about each allocation short.
extern "C" const char* __asan_default_options() {
  return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=2";
}
