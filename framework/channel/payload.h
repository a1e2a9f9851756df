// Wire structures in and out of payloads.
//
//   std::optional<Hello> hello = ReadAs<Hello>(packet.payload);     // nullopt: too short
//   channel.Send({.payload = BytesOf(answer)});
//
// Thread safety: pure functions. `T` is a trivially copyable wire structure without padding that matters.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_PAYLOAD_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_PAYLOAD_H_

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

namespace vmbuskit {

// A copy of the structure at the start of `payload`; nullopt when it does not fit in.
template <typename T>
std::optional<T> ReadAs(std::span<const std::byte> payload) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (payload.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data(), sizeof value);
  return value;
}

// The bytes of `value`, which must outlive them.
template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}
template <typename T>
std::span<std::byte> WritableBytesOf(T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_PAYLOAD_H_
