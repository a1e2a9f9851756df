// One request of an NBD client from its header to the last byte of its answer, and the places that keep its bytes.
//
//   slot.request = header;                       // by NbdTransmission, which owns all slots
//   queue.Submit(slot);                          // ends in NbdSlotOwner::OnSlotDone
//   slot.AnswerError(nbd::kEIo, "medium error", structured);
//   for (std::span<const std::byte> part = slot.Unsent(); ...)  Send(part);
//
// Thread safety: the executor's of its session. Lifetime: its owner's, with nothing submitted at the end.
// Units: bytes. Source: "Simple reply message", "Structured reply chunk message", "Structured reply types".
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SLOT_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SLOT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "devices/storvsc/export/nbd_buffers.h"
#include "devices/storvsc/export/nbd_protocol.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class NbdSlot;

class NbdSlotOwner {
 public:
  virtual void OnSlotDone(NbdSlot& slot, BlockResult result) = 0;

 protected:
  ~NbdSlotOwner() = default;
};

class NbdSlot final : public BlockRequest {
 public:
  static constexpr uint32_t kExtentsMax = 256;  // of one answer; a client asks on behind them

  explicit NbdSlot(NbdSlotOwner& owner) : owner_(owner) {}
  void OnDone(BlockResult result) override { owner_.OnSlotDone(*this, result); }

  // Sets the fields of BlockRequest by `request`; the segments are those of `buffer`.
  void FillBlockRequest();

  // One of these makes the answer. `structured`: the client agreed to structured replies.
  void AnswerDone(bool structured);
  void AnswerError(nbd::Error error, std::string_view message, bool structured);
  void AnswerData(bool structured);
  // By `extents`, cut to what was asked for; without any all of it is data.
  void AnswerStatus(uint32_t context);

  // How much of the answer there is.
  size_t answer_bytes() const { return head_bytes_ + body_bytes_; }
  // The part at `offset` that lies together; empty at the end.
  std::span<const std::byte> AnswerFrom(size_t offset) const;

  nbd::Request request;
  NbdBuffer buffer;
  bool flush_after = false;  // FUA of a disk that has none
  NbdSlot* next = nullptr;   // in the owner's lists

 private:
  template <typename T>
  void PutHead(const T& part);
  void StartHead() { head_bytes_ = body_bytes_ = 0; }
  void AddStatus(uint64_t bytes, uint32_t flags);

  static constexpr size_t kMessageBytesMax = 64;

  NbdSlotOwner& owner_;
  std::array<std::byte, sizeof(nbd::StructuredReply) + sizeof(nbd::ErrorPayload) + kMessageBytesMax>
      head_;
  size_t head_bytes_ = 0;
  size_t body_bytes_ = 0;
  bool body_is_status_ = false;
  // Made when a client first asks for block status.
  std::vector<BlockExtent> extent_storage_;
  std::vector<nbd::StatusDescriptor> status_;
};

// First in, first out.
class NbdSlotList {
 public:
  bool empty() const { return first_ == nullptr; }
  NbdSlot* front() const { return first_; }
  void Push(NbdSlot& slot) {
    slot.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &slot;
    last_ = &slot;
  }
  NbdSlot& Pop() {
    NbdSlot& slot = *first_;
    first_ = slot.next;
    return slot;
  }

 private:
  NbdSlot* first_ = nullptr;
  NbdSlot* last_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SLOT_H_
