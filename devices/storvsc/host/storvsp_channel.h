// One channel of a storvsp: takes requests out of the ring, has targets carry them out, and puts each answer back into
// the ring of the same channel. Source: protocol 10 sections 5 and 8.
//
//   auto lane = std::make_unique<StorvspChannel>(channel, /*index=*/0, memory, controller, limits);
//   lane->Start();                                  // parked until Resume, when the controller is not ready
//
// A request keeps its slot until its answer is in the ring; when no slot is free the ring is not read further. Answers
// that end together are published together.
//
// Thread safety: the executor. Lifetime: outlives its requests: after the channel closed until `under_way` is 0,
// because the back ends use the guest's memory until then.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CHANNEL_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CHANNEL_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "devices/storvsc/host/storvsp_luns.h"
#include "devices/storvsc/host/storvsp_saved.h"
#include "devices/storvsc/host/storvsp_slot.h"
#include "framework/channel/channel.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

struct StorvspCounters {
  uint64_t requests = 0;  // EXECUTE_SRB
  uint64_t check_conditions = 0;
  uint64_t bad_ranges = 0;  // a range that is none, or that lies outside of memory
  uint64_t absent_lun = 0;
  uint64_t ring_full = 0;    // answers that had to wait
  uint64_t slots_empty = 0;  // times that the ring was left unread
};

class StorvspChannel final : public ChannelHandler {
 public:
  // The controller, to its channels.
  class Owner {
   public:
    virtual ~Owner() = default;
    // Any packet but a command. To be answered with Answer, at once or later.
    virtual void OnControl(StorvspChannel& channel, StorvspSlot& slot) = 0;
    virtual bool ready() const = 0;
    virtual StorvspLuns& luns() = 0;
    virtual uint64_t NextSequence() = 0;
    virtual uint8_t PathOf(const storvsc::ScsiRequest& request) const = 0;
    // A command of any channel ended, while a reset waits for such.
    virtual void OnCommandEnd() = 0;
    // A closed channel or a LUN that was taken away may have nothing under way any more.
    virtual void OnIdle() = 0;
    // The primary channel has room again.
    virtual void OnRoom() = 0;
    bool reset_waits = false;
  };
  struct Limits {
    uint32_t requests_max = 256;
    uint32_t transfer_bytes_max = 256 * 1024;
  };

  StorvspChannel(Channel& channel, uint16_t index, GuestMemory& memory, Owner& owner,
                 const Limits& limits);
  ~StorvspChannel() override;  // closed, nothing under way

  void Start() { channel_->Start(*this); }
  // Leaves the ring unread until Resume.
  void Park();
  void Resume();

  // Answers with a packet other than a command's completion: header and body as they are.
  template <typename Body>
  void Answer(StorvspSlot& slot, uint32_t status, const Body& body) {
    const storvsc::PacketOf<Body> packet = {
        .header = {.operation = storvsc::kCompleteIo, .flags = 0, .status = status},
        .body = body,
        .zeros = {}};
    static_assert(sizeof packet == sizeof slot.packet);
    std::memcpy(&slot.packet, &packet, sizeof packet);
    Send(slot);
  }
  void Answer(StorvspSlot& slot, uint32_t status) { Answer(slot, status, storvsc::NoBody{}); }

  uint16_t index() const { return index_; }
  // To be told from others only: it may be gone.
  const Channel& opened_channel() const { return opened_; }
  bool closed() const { return channel_ == nullptr; }
  uint32_t under_way() const { return under_way_; }  // requests that back ends have
  std::span<StorvspSlot> slots() { return slots_; }
  // Unsolicited.
  SendResult SendMessage(uint32_t operation, size_t bytes);
  // The channel goes now.
  void Close();
  void Inspect(InspectNode& node) const;

  // ---- For slots and the saved state.
  void OnTaskEnd(StorvspSlot& slot);
  // What the guest waits for, in the order of arrival.
  std::vector<StorvspSavedRequest> SaveRequests();
  void RestoreRequests(const std::vector<StorvspSavedRequest>& requests);

 private:
  void OnPacket(Channel& channel, const Packet& packet) override;
  void OnWritable(Channel& channel) override;
  void OnClosed(Channel& channel, const absl::Status& reason) override;

  // A packet of the ring, or one that was saved.
  void Accept(const Packet& packet);
  void Execute(StorvspSlot& slot, const Packet& packet);
  bool MapData(StorvspSlot& slot, const Packet& packet);
  void Complete(StorvspSlot& slot, uint32_t status, const ScsiOutcome& end);
  void Send(StorvspSlot& slot);
  void SendAll();
  void Free(StorvspSlot& slot);
  void UpdateReading();

  Channel* channel_;  // null: closed
  Channel& opened_;
  const uint16_t index_;
  GuestMemory& memory_;
  Owner& owner_;
  const Limits limits_;
  std::unique_ptr<Pfn[]> page_space_;
  std::unique_ptr<BlockSegment[]> segment_space_;
  std::vector<StorvspSlot> slots_;
  StorvspSlots free_;
  StorvspSlots done_;  // answers that are not in the ring yet
  uint32_t under_way_ = 0;
  bool parked_ = false;
  bool ring_full_ = false;
  Event answers_ready_;
  StorvspCounters counters_;
};

inline void StorvspSlot::OnEnd() { channel->OnTaskEnd(*this); }

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_CHANNEL_H_
