// A fuzzer's input as typed values, taken from the front; past its end every value is the smallest one.
//
//   extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
//     FuzzedDataProvider input(data, size);
//     const auto count = input.ConsumeIntegralInRange<uint32_t>(1, 8);
//     const bool last = input.ConsumeBool();
//     const std::span<const std::byte> rest = input.ConsumeSpan(input.remaining_bytes());
//
// The names are those of clang's own header, which g++ has not. Here a value is always taken from the front, so that an
// input is a script: steps that a mutation inserts or removes leave those behind them as they were.
//
// Thread safety: none; one owner. Lifetime: the bytes outlive it and the spans from it. Never allocates, but for the
// calls that return a vector.
#ifndef VMBUSKIT_FRAMEWORK_BASE_FUZZ_INPUT_H_
#define VMBUSKIT_FRAMEWORK_BASE_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace vmbuskit {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  size_t remaining_bytes() const { return rest_.size(); }

  template <typename T>
  T ConsumeIntegral() {
    return ConsumeIntegralInRange<T>(std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  }
  // In [least, most], from as few bytes as the range needs: none for a range of one value.
  template <typename T>
  T ConsumeIntegralInRange(T least, T most) {
    static_assert(std::is_integral_v<T> && sizeof(T) <= sizeof(uint64_t));
    const uint64_t range = static_cast<uint64_t>(most) - static_cast<uint64_t>(least);
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && range >> shift != 0; shift += 8) {
      value |= static_cast<uint64_t>(Byte()) << shift;
    }
    if (range != std::numeric_limits<uint64_t>::max()) value %= range + 1;
    return static_cast<T>(static_cast<uint64_t>(least) + value);
  }
  bool ConsumeBool() { return (Byte() & 1) != 0; }

  // At most `count` bytes, in place.
  std::span<const std::byte> ConsumeSpan(size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return std::as_bytes(taken);
  }
  // At most `count` values of one byte each.
  template <typename T>
  std::vector<T> ConsumeBytes(size_t count) {
    static_assert(sizeof(T) == 1);
    const std::span<const std::byte> taken = ConsumeSpan(count);
    std::vector<T> bytes(taken.size());
    if (!bytes.empty()) std::memcpy(bytes.data(), taken.data(), taken.size());
    return bytes;
  }
  template <typename T>
  std::vector<T> ConsumeRemainingBytes() {
    return ConsumeBytes<T>(rest_.size());
  }

 private:
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }

  std::span<const uint8_t> rest_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_FUZZ_INPUT_H_
