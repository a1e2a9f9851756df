// Wire format of the echo class: a class of our own, made to show how a class is written.
// The guest negotiates a version, newest first; then either side may send an echo, and the other one answers it
// with a completion that carries the same bytes.
#ifndef VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_
#define VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_

#include <cstddef>
#include <cstdint>

#include "framework/base/guid.h"

namespace vmbuskit::echo {

inline constexpr Guid kClassId = Guid::Parse("6563686f-0001-4000-8000-766d6275736b");
inline constexpr Guid kInstanceId = Guid::Parse("6563686f-0002-4000-8000-766d6275736b");

enum class MessageType : uint32_t { kNegotiate = 1, kEcho = 2 };

// Version words are major << 16 | minor.
inline constexpr uint32_t kVersions[] = {0x00020000, 0x00010000};

// Guest to host, completion wanted.
struct Negotiate {
  MessageType type = MessageType::kNegotiate;
  uint32_t version = 0;
};
static_assert(sizeof(Negotiate) == 8);

// The completion of a negotiation.
struct NegotiateAnswer {
  uint32_t accepted = 0;  // 1: this version from now on
  uint32_t reserved = 0;
};
static_assert(sizeof(NegotiateAnswer) == 8);

// Either direction, completion wanted; data follow.
struct Echo {
  MessageType type = MessageType::kEcho;
  uint32_t data_bytes = 0;
};
static_assert(sizeof(Echo) == 8);

}  // namespace vmbuskit::echo

#endif  // VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_
