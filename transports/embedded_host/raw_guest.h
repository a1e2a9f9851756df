// For tests and fuzzers: the moves of a guest over any Partition, written out step by step. It brings up pages and
// SynICs at fixed places, posts bytes, takes its messages and event flags, and does nothing of its own accord.
//
//   class World : public RawGuest {
//     Partition& partition() override { return host_.partition(); }
//   };
//   world.ConnectInterrupts({&first, &second});
//   world.BringUp();
//   world.PostContact({.version = kVersion5_3});
//   std::optional<FetchedMessage> answer = world.Fetch(0);
//
// Thread safety: one thread, the partition's. Errors: the hypervisor's; a guest may go on after them.
// Source: protocol 01 sections 4.2, 4.3 and 7.1.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "platform/executor.h"
#include "platform/partition.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// An interrupt handler that counts.
struct CountingEvent {
  explicit CountingEvent(Executor& executor)
      : event(executor, Callback::To<&CountingEvent::OnSignal>(this)) {}
  void OnSignal() { ++count; }

  int count = 0;
  Event event;
};

struct FetchedMessage {
  uint32_t type = 0;
  bool pending = false;
  std::vector<std::byte> payload;
};
// Takes the message out of a slot as an interrupt handler does; whoever sees it pending writes EOM.
std::optional<FetchedMessage> FetchMessage(SynicMessage& slot);

class RawGuest {
 public:
  static constexpr uint32_t kVps = 2;
  static constexpr uint8_t kVector = 0xF3;
  static constexpr Gpa kHypercallGpa = 1 * kPageSize;
  static constexpr Gpa kInputGpa = 2 * kPageSize;
  static constexpr Gpa kOutputGpa = 3 * kPageSize;
  static constexpr Gpa kParentToChild = 4 * kPageSize;
  static constexpr Gpa kChildToParent = 5 * kPageSize;
  static constexpr Gpa SimpGpa(uint32_t vp) { return (8 + 2 * vp) * kPageSize; }
  static constexpr Gpa SiefpGpa(uint32_t vp) { return (9 + 2 * vp) * kPageSize; }

  virtual Partition& partition() = 0;
  std::byte* At(Gpa gpa) { return partition().memory().Translate(gpa, 1)->data(); }
  absl::Status Write(uint32_t vp, uint32_t reg, uint64_t value) {
    return partition().WriteRegister(vp, reg, value);
  }

  void ConnectInterrupts(const std::array<Event*, kVps>& handlers);
  void DisconnectInterrupts() { ConnectInterrupts({}); }
  // Each goes on to its end, and gives the first error.
  absl::Status EnableHypercalls();
  absl::Status BringUpSynic(uint32_t vp);  // empty pages, VMBus's SINT
  absl::Status BringUp();                  // hypercalls and every SynIC
  absl::Status SwitchOff();                // the other way round

  HypercallStatus PostBytes(std::span<const std::byte> message, uint32_t connection_id,
                            uint32_t type = kMessageTypeVmbus);
  HypercallStatus PostContact(const Contact& contact);
  // GPADL_HEADER and GPADL_BODYs, all of them; the first answer that is no success.
  HypercallStatus PostGpadl(uint32_t relid, uint32_t handle, std::span<const Pfn> pages);
  HypercallStatus Signal(uint32_t connection_id) {
    return ResultStatus(partition().Hypercall(0, kCallSignalEventFast, connection_id, 0));
  }

  // From where the message page lies now, with an EOM if the host asks for one.
  std::optional<FetchedMessage> FetchSlot(uint32_t vp, uint32_t sint = kVmbusSint);
  // Whether the flag was set, which it is no more.
  bool TakeFlag(uint32_t vp, uint32_t flag, uint32_t sint = kVmbusSint);

 protected:
  ~RawGuest() = default;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_RAW_GUEST_H_
