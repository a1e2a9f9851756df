// What every fuzzer needs: the input as typed values (clang's FuzzedDataProvider), and a check that ends the run.
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     FuzzedDataProvider input(data, size);
//     Require(Parse(input.ConsumeRemainingBytes<uint8_t>()) < kLimit);
//     return 0;
//   }
//
// Thread safety: none needed. For `cc_binary` targets tagged "fuzzer" only (`./dev fuzz`).
#ifndef VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_
#define VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_

#include <fuzzer/FuzzedDataProvider.h>

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace vmbuskit {

inline void Require(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: the requirement does not hold\n", where.file_name(), where.line());
  std::abort();
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_FUZZING_H_
