// Wire format of the heartbeat (protocol 30 section 3).
#ifndef VMBUSKIT_DEVICES_UTIL_HEARTBEAT_PROTOCOL_H_
#define VMBUSKIT_DEVICES_UTIL_HEARTBEAT_PROTOCOL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "devices/util/ic/protocol.h"
#include "framework/base/guid.h"

namespace vmbuskit::heartbeat {

inline constexpr Guid kClassId = Guid::Parse("57164f39-9115-4e78-ab55-382f3bd5422d");
inline constexpr Guid kInstanceId = Guid::Parse("fd149e91-82e0-4a7d-afa6-2a4166cbd7c0");

enum class ApplicationState : uint32_t { kUnknown = 0, kHealthy = 1, kCritical = 2, kStopped = 3 };

// Sources differ on the body: Linux declares 40 bytes and accepts 8, OpenVMM has these 16. A guest accepts any
// body from 8 bytes on; a host sends 16.
struct Body {
  uint64_t sequence;
  ApplicationState application_state;
  uint32_t reserved;
};
static_assert(sizeof(Body) == 16 && offsetof(Body, application_state) == 8);
inline constexpr uint16_t kBodyBytesMin = 8;

// Message 3.1 exists (Mile) but its difference is not established, so nobody offers it here.
inline constexpr ic::Version kMessage1 = {1, 0};
inline constexpr ic::Version kMessage3 = {3, 0};

inline constexpr std::chrono::seconds kInterval{2};

}  // namespace vmbuskit::heartbeat

#endif  // VMBUSKIT_DEVICES_UTIL_HEARTBEAT_PROTOCOL_H_
