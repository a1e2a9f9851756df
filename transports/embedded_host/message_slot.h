// One message slot of a guest's SynIC message page, as the host uses it: the posting side of the EOM protocol.
// Source: protocol 01 section 4.3 ("Host, posting").
//
//   MessageSlot slot(page->slot[sint]);
//   if (slot.IsFree() || !slot.MarkPending()) slot.Write(message, more_waiting);
//
// The steps stand apart so that a test can let the guest act between any two of them.
// Thread safety: one posting thread; the guest's processor frees the slot at any moment.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_SLOT_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_SLOT_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

// A message on its way to a slot.
struct OutgoingMessage {
  uint32_t type = kMessageTypeNone;
  uint8_t payload_size = 0;
  std::array<std::byte, kMessagePayloadMax> payload;

  OutgoingMessage(uint32_t message_type, std::span<const std::byte> bytes) : type(message_type) {
    payload_size = static_cast<uint8_t>(std::min(bytes.size(), payload.size()));
    if (payload_size != 0) std::memcpy(payload.data(), bytes.data(), payload_size);
  }
};

class MessageSlot {
 public:
  explicit MessageSlot(SynicMessage& slot) : slot_(slot) {}

  bool IsFree() const {
    return std::atomic_ref(slot_.type).load(std::memory_order_acquire) == kMessageTypeNone;
  }

  // Asks the guest for an EOM, then looks again: a guest that freed the slot before it could see the mark sends
  // none. True: the slot is still taken. Only the flags byte is written, for a wider store would resurrect a type
  // that the guest just cleared.
  bool MarkPending() {
    std::atomic_ref(slot_.flags).fetch_or(kMessageFlagPending);
    return std::atomic_ref(slot_.type).load() != kMessageTypeNone;
  }

  // The slot must be free. The sender field is 0, as OpenVMM's; guests ignore it.
  void Write(const OutgoingMessage& message, bool more_waiting) {
    slot_.payload_size = message.payload_size;
    slot_.reserved = 0;
    slot_.sender = 0;
    std::memcpy(slot_.payload.data(), message.payload.data(), message.payload_size);
    std::atomic_ref(slot_.flags)
        .store(more_waiting ? kMessageFlagPending : 0, std::memory_order_relaxed);
    std::atomic_ref(slot_.type).store(message.type, std::memory_order_release);
  }

 private:
  SynicMessage& slot_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_SLOT_H_
