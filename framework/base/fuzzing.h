// What every fuzzer needs: the input as typed values (fuzz_input.h), and a check that ends the run.
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     FuzzedDataProvider input(data, size);
//     Require(Parse(input.ConsumeRemainingBytes<uint8_t>()) < kLimit);
//     return 0;
//   }
//
// Thread safety: none needed. For targets of fuzzer.bzl's vmbuskit_fuzzer only (`./dev fuzz`, and the test that replays
// its corpus). An input must always do the same: no state is kept from one to the next.
#ifndef VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_
#define VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_

#include <cstdio>
#include <cstdlib>
#include <source_location>

#include "framework/base/fuzz_input.h"

namespace vmbuskit {

inline void Require(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) [[likely]]
    return;
  std::fprintf(stderr, "%s:%u: the requirement does not hold\n", where.file_name(), where.line());
  std::abort();
}

}  // namespace vmbuskit

// Known by this name to everybody who has written a fuzzer.
using FuzzedDataProvider = vmbuskit::FuzzInput;

#endif  // VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_
