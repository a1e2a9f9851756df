// One request of the guest from its packet to its completion in the ring: everything that it needs on the way, made
// once with the channel.
//
//   StorvspSlot& slot = free.front();                        // of the channel: as many as Limits::requests_max
//   std::memcpy(&slot.packet, payload.data(), payload.size());
//   slot.state = StorvspSlot::State::kRunning;
//   if (target.Execute(slot)) OnTaskEnd(slot);               // else slot.OnEnd() follows
//
// Thread safety: the executor. Lifetime: part of a StorvspChannel.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SLOT_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SLOT_H_

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <cstring>
#include <span>

#include "devices/storvsc/host/scsi_target.h"
#include "devices/storvsc/host/storvsp_luns.h"
#include "devices/storvsc/protocol.h"
#include "platform/memory.h"

namespace vmbuskit {

class StorvspChannel;
struct StorvspSlotTag;

class StorvspSlot final
    : public ScsiTask,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<StorvspSlotTag>> {
 public:
  enum class State : uint8_t {
    kFree,
    kRunning,  // a target has it
    kWaiting,  // a reset that waits for requests before it
    kDone,     // `packet` is the answer and waits for room in the ring
  };

  using ScsiPacket = storvsc::PacketOf<storvsc::ScsiRequest>;

  void OnEnd() override;
  // The packet's body when it is not a command.
  template <typename T>
  T Body() const {
    T body;
    static_assert(sizeof body <= sizeof packet.body);
    std::memcpy(&body, &packet.body, sizeof body);
    return body;
  }

  StorvspChannel* channel = nullptr;
  StorvspLun* lun = nullptr;  // while running
  State state = State::kFree;
  uint8_t end_as = 0;  // an srb_status, when a reset ended it before its time
  uint32_t reply_bytes = 0;
  uint64_t transaction_id = 0;
  uint64_t sequence = 0;  // in the order of arrival on all channels of the controller
  ScsiPacket packet;      // as it came; then the answer
  // The guest's pages, as the packet named them, for a saved state.
  uint32_t page_offset = 0;
  uint32_t page_count = 0;
  std::span<Pfn> pages{};  // space
  std::span<BlockSegment> segment_space{};
};

using StorvspSlots =
    boost::intrusive::list<StorvspSlot,
                           boost::intrusive::base_hook<boost::intrusive::list_base_hook<
                               boost::intrusive::tag<StorvspSlotTag>>>,
                           boost::intrusive::constant_time_size<false>>;

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SLOT_H_
