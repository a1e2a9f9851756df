// Which fields each control message consists of, by what they mean: so that a mutator can put the relid of one
// message where another wants a relid.
//
//   for (FuzzField field : LayoutOf(7)->fields) offset += SizeOf(field);   // CLOSE_CHANNEL: one relid
//
// Thread safety: constants. For fuzzers and their tests only. Source: protocol 02 sections 2 to 5.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_LAYOUTS_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_LAYOUTS_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmbuskit {

enum class FuzzField : uint8_t {
  kByte,
  kWord,
  kDword,
  kQword,
  kSmall,   // one byte: a choice among few
  kRelid,   // four bytes each from here on
  kHandle,  // of a GPADL
  kOpenId,  // of an OPEN_CHANNEL: relid and count
  kStatus,
  kVersion,
  kFeatures,
  kVp,
  kPage,      // a page number
  kGpa,       // eight bytes
  kGuid,      // 16
  kUserData,  // 120
  kTail,      // what is left, in qwords
};
inline constexpr size_t kFuzzFieldCount = 17;

// Bytes of `field`; kTail: 0.
size_t SizeOf(FuzzField field);

// A message, by its number and without its header, or an operation of a fuzzer.
struct FuzzLayout {
  uint8_t kind = 0;
  std::span<const FuzzField> fields;
};

// Null for a number outside the message table.
const FuzzLayout* LayoutOf(uint32_t message_type);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_MESSAGE_LAYOUTS_H_
