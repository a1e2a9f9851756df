// Wire format of the echo class, a class of our own: the guest negotiates a version, newest first; then the host
// sends echoes, which the guest completes with the same bytes.
#ifndef VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_
#define VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_

#include <cstdint>

#include "framework/base/guid.h"

namespace vmbuskit::echo {

inline constexpr Guid kClassId = Guid::Parse("6563686f-0001-4000-8000-766d6275736b");
inline constexpr Guid kInstanceId = Guid::Parse("6563686f-0002-4000-8000-766d6275736b");
inline constexpr uint32_t kVersions[] = {2, 1};

// Guest to host, completion wanted: 1 in the completion means "this version from now on".
struct Negotiate {
  uint32_t version;
  uint32_t accepted;
};
static_assert(sizeof(Negotiate) == 8);

// Host to guest, completion wanted; data follow, padded to 8 bytes.
struct Echo {
  uint32_t sequence;
  uint32_t data_bytes;
};
static_assert(sizeof(Echo) == 8);

}  // namespace vmbuskit::echo

#endif  // VMBUSKIT_DEVICES_ECHO_PROTOCOL_H_
