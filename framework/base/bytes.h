// Bounds-checked little-endian reading and writing of byte spans.
//
//   ByteReader reader(packet.payload);
//   const auto type = reader.Read<uint32_t>();
//   const auto name = reader.Bytes(reader.Read<uint16_t>());
//   if (!reader.ok()) return Violation(subject, "payload bytes", packet.payload.size(), "too
//   short");
//
// Failure sticks: after the first access that does not fit every further one yields zeros (or an
// empty span) and ok() stays false, so a sequence of accesses needs one check at its end. A value
// that decides a loop's length must be checked where it is used.
//
// Thread safety: none; a value on one thread. The spans must be private memory: shared memory is
// copied first. Lifetime: spans returned refer to the span given at construction. Units: bytes.
#ifndef VMBUSKIT_FRAMEWORK_BASE_BYTES_H_
#define VMBUSKIT_FRAMEWORK_BASE_BYTES_H_

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace vmbuskit {

static_assert(std::endian::native == std::endian::little, "values are copied as they are");

// Integers, enums and wire structs.
template <typename T>
concept WireValue = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // The next sizeof(T) bytes; all zero when there are fewer.
  template <WireValue T>
  T Read() {
    T value{};
    if (const auto bytes = Bytes(sizeof(T)); ok_) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }

  // The next `count` bytes, in place; empty when there are fewer.
  std::span<const std::byte> Bytes(size_t count) {
    if (count > remaining()) ok_ = false;
    if (!ok_) return {};
    const auto bytes = bytes_.subspan(position_, count);
    position_ += count;
    return bytes;
  }

  void Skip(size_t count) { (void)Bytes(count); }

  // Goes on at `position`, counted from the start: for fields that are named by offset.
  void Seek(size_t position) {
    if (position > bytes_.size()) ok_ = false;
    if (ok_) position_ = position;
  }

  bool ok() const { return ok_; }
  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;  // at most bytes_.size()
  bool ok_ = true;
};

class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> bytes) : bytes_(bytes) {}

  // Appends sizeof(T) bytes, or nothing when they do not fit.
  template <WireValue T>
  void Write(const T& value) {
    if (std::byte* to = Take(sizeof(T))) std::memcpy(to, &value, sizeof(T));
  }

  void Bytes(std::span<const std::byte> source) {
    if (source.empty()) return;
    if (std::byte* to = Take(source.size())) std::memcpy(to, source.data(), source.size());
  }

  void Zeros(size_t count) {
    if (count == 0) return;
    if (std::byte* to = Take(count)) std::memset(to, 0, count);
  }

  // Zeros up to the next multiple of `alignment`, counted from the start.
  void AlignTo(size_t alignment) {
    if (const size_t over = position_ % alignment; over != 0) Zeros(alignment - over);
  }

  bool ok() const { return ok_; }
  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  // What was written so far.
  std::span<const std::byte> written() const { return bytes_.first(position_); }

 private:
  std::byte* Take(size_t count) {
    if (count > remaining()) ok_ = false;
    if (!ok_) return nullptr;
    std::byte* const at = bytes_.data() + position_;
    position_ += count;
    return at;
  }

  std::span<std::byte> bytes_;
  size_t position_ = 0;  // at most bytes_.size()
  bool ok_ = true;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BASE_BYTES_H_
