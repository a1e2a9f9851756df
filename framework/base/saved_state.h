// The bytes of a saved state: one function of an object names its fields and serves both ways, so that what is saved
// and what is restored cannot fall apart.
//
//   template <typename Archive>
//   void Counter::Exchange(Archive& archive) { archive(count_); archive.AtMost("vp", vp_, vp_max_); }
//
//   StateWriter writer;  counter.Exchange(writer);  std::vector<std::byte> bytes = std::move(writer).Take();
//   StateReader reader(bytes);  other.Exchange(reader);  return reader.Finish();
//
// A saved state is input like any other: the reader never reads past the end, allocates no more than the bytes can
// fill, and failure sticks: after it everything reads as zero, so one look at ok() or Finish at the end is enough,
// as long as what was read is checked with AtMost before it indexes anything.
//
// Thread safety: none; a value on one thread. Lifetime: a reader refers to the bytes that it was given.
// Errors: DataLoss, naming the field and its value. Units: bytes, little-endian.
#ifndef VMBUSKIT_FRAMEWORK_BASE_SAVED_STATE_H_
#define VMBUSKIT_FRAMEWORK_BASE_SAVED_STATE_H_

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "framework/base/bytes.h"
#include "framework/base/guid.h"

namespace vmbuskit {

// What any bit pattern is a value of: integers, and arrays of them. Not bool, not enums.
template <typename T>
struct IsPlainState : std::bool_constant<std::is_integral_v<T> && !std::is_same_v<T, bool>> {};
template <>
struct IsPlainState<std::byte> : std::true_type {};
template <>
struct IsPlainState<Guid> : std::true_type {};
template <typename T, size_t n>
struct IsPlainState<std::array<T, n>> : IsPlainState<T> {};
template <typename T>
concept PlainState = IsPlainState<T>::value;

class StateWriter {
 public:
  static constexpr bool kLoading = false;

  template <PlainState T>
  void operator()(const T& value) {
    Append(std::as_bytes(std::span(&value, 1)));
  }
  void operator()(bool value) { (*this)(uint8_t{value}); }
  template <typename T>
  void operator()(const std::atomic<T>& value) {
    (*this)(value.load(std::memory_order_relaxed));
  }
  void operator()(std::chrono::nanoseconds value) { (*this)(int64_t{value.count()}); }
  void operator()(const std::string& text) {
    (*this)(static_cast<uint32_t>(text.size()));
    Append(std::as_bytes(std::span(text)));
  }
  // Anything else says itself what is in it.
  template <typename T>
    requires requires(T& value, StateWriter& archive) { value.Exchange(archive); }
  void operator()(T& value) {
    value.Exchange(*this);
  }
  template <typename T>
  void operator()(std::optional<T>& value) {
    (*this)(value.has_value());
    if (value.has_value()) (*this)(*value);
  }

  template <typename T>
  void AtMost(std::string_view, const T& value, uint64_t) {
    if constexpr (std::is_enum_v<T>) {
      (*this)(static_cast<std::underlying_type_t<T>>(value));
    } else {
      (*this)(value);
    }
  }
  // How many elements follow.
  size_t Count(std::string_view, size_t count, uint64_t) {
    (*this)(static_cast<uint32_t>(count));
    return count;
  }
  void Bytes(std::span<const std::byte> bytes) {
    (*this)(static_cast<uint32_t>(bytes.size()));
    Append(bytes);
  }

  bool ok() const { return true; }
  size_t size() const { return bytes_.size(); }
  std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  void Append(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::byte> bytes_;
};

class StateReader {
 public:
  static constexpr bool kLoading = true;

  explicit StateReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <PlainState T>
  void operator()(T& value) {
    value = Plain<T>();
  }
  void operator()(bool& value) {
    uint8_t byte = 0;
    AtMost("bool", byte, 1);
    value = byte != 0;
  }
  template <typename T>
  void operator()(std::atomic<T>& value) {
    T plain{};
    (*this)(plain);
    value.store(plain, std::memory_order_relaxed);
  }
  void operator()(std::chrono::nanoseconds& value) {
    value = std::chrono::nanoseconds(Plain<int64_t>());
  }
  void operator()(std::string& text) {
    const std::span<const std::byte> bytes = Bytes();
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  template <typename T>
    requires requires(T& value, StateReader& archive) { value.Exchange(archive); }
  void operator()(T& value) {
    value.Exchange(*this);
  }
  template <typename T>
  void operator()(std::optional<T>& value) {
    bool has_value = false;
    (*this)(has_value);
    value.reset();
    if (has_value) (*this)(value.emplace());
  }

  // An enum or a number with a largest value; a larger one is a failure and reads as zero.
  template <typename T>
  void AtMost(std::string_view field, T& value, uint64_t max) {
    uint64_t number;
    if constexpr (std::is_enum_v<T>) {
      number = Plain<std::underlying_type_t<T>>();
    } else {
      number = Plain<T>();
    }
    if (number > max) {
      Fail(field, number, "too large");
      number = 0;
    }
    value = static_cast<T>(number);
  }
  // How many elements follow: at most `max`, and at most one for each byte that is left.
  size_t Count(std::string_view field, size_t, uint64_t max) {
    uint32_t count = 0;
    AtMost(field, count, max);
    if (count > rest().size()) {
      Fail(field, count, "more than there are bytes");
      return 0;
    }
    return count;
  }
  // A run of bytes, in place; empty after a failure.
  std::span<const std::byte> Bytes() {
    const size_t count = Count("bytes", 0, bytes_.size());
    const std::span<const std::byte> bytes = rest().first(ok_ ? count : 0);
    position_ += bytes.size();
    return bytes;
  }

  // For what only the object that is restored can know to be wrong. The first failure is kept.
  void Fail(std::string_view field, uint64_t value, std::string_view rule);
  bool ok() const { return ok_; }
  const absl::Status& status() const { return status_; }
  // The status, and DataLoss when bytes are left over.
  absl::Status Finish();

 private:
  template <typename T>
  T Plain() {
    T value{};
    if (sizeof(T) > rest().size()) Fail("bytes left", rest().size(), "truncated");
    if (!ok_) return value;
    std::memcpy(&value, rest().data(), sizeof value);
    position_ += sizeof value;
    return value;
  }
  std::span<const std::byte> rest() const { return bytes_.subspan(position_); }

  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  bool ok_ = true;
  absl::Status status_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_SAVED_STATE_H_
