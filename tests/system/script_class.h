// A device class whose both sides do what a test's plan says: the stories about the whole system are told with it.
//
// Thread safety: the simulation's thread (plans are shared by guest and host). Lifetime: a plan outlives its world.
#ifndef VMBUSKIT_TESTS_SYSTEM_SCRIPT_CLASS_H_
#define VMBUSKIT_TESTS_SYSTEM_SCRIPT_CLASS_H_

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "framework/bus/device.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

inline constexpr Guid kScriptClassId = Guid::Parse("73637269-7074-4000-8000-766d6275736b");

struct ScriptPlan {
  // Guest.
  bool call_in_start =
      false;  // Start waits for the host's answer to a request, for `call_deadline`
  Duration call_deadline = std::chrono::seconds(60);
  uint32_t wants_subchannels = 0;
  uint32_t guest_sends = 0;   // numbered packets, as fast as the ring takes them
  uint32_t shares_bytes = 0;  // a buffer by GPADL
  // Host.
  bool host_answers = true;         // completes requests
  bool host_sends_in_open = false;  // one packet before the result of the open
  bool host_refuses_open = false;
  uint32_t host_sends = 0;

  // What happened.
  uint32_t guest_received = 0;
  uint32_t host_received = 0;
  bool in_order = true;
  absl::Status call_result = absl::UnknownError("not made");
  std::vector<std::string> journal{};
};

// The plan that devices made from now on follow.
void UseScriptPlan(ScriptPlan* plan);

const DeviceClass& ScriptClass();
const VspClass& ScriptVspClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SYSTEM_SCRIPT_CLASS_H_
