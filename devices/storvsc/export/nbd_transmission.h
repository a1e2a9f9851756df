// The second half of an NBD connection, sans-IO: requests in, BlockRequests to a disk, replies out.
//
//   NbdTransmission transmission(disk, executor, agreement, {}, Callback::To<&Connection::OnProgress>(this));
//   size_t taken = transmission.Receive(bytes);             // less than all: a part of a header, or it is blocked
//   size_t count = transmission.Unsent(parts);              // write them to the client, then
//   transmission.Sent(bytes_written);
//
// Memory is bounded: so many requests from header to the last byte of the answer, so many bytes of buffers. When
// either is used up nothing is taken any more until a request is answered (blocked()): the client is held back by its
// own socket. The data of a write may go where it belongs without a copy (PayloadTargets), that of a read leaves from
// there.
//
// Requests that are not multiples of the disk's blocks are refused with EINVAL and not widened: that would need an
// order among the writes of all connections. The client was told of the block size, and NbdHandshake lets nobody in
// who did not ask for it where it is larger than the 512 bytes that everybody keeps to.
//
// Thread safety: the executor's. Lifetime: destroyed when in_flight() is 0. on_progress is called when output, room or
// an end appeared without a call from outside. Nothing is allocated per request once buffers are warm. Units: bytes.
// Errors: a request's own go to the client; error() is a client's that cannot be answered: close the connection at
// once.
// Source: "Transmission", "Request types".
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TRANSMISSION_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TRANSMISSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_buffers.h"
#include "devices/storvsc/export/nbd_export.h"
#include "devices/storvsc/export/nbd_slot.h"
#include "framework/interfaces/block_device.h"
#include "platform/callback.h"
#include "platform/executor.h"

namespace vmbuskit {

// Of one connection.
struct NbdLimits {
  uint32_t requests_max = 64;  // at least 1
  // At least an export's payload_bytes_max, or that is not to be had.
  size_t buffer_bytes_max = 32 << 20;
};

struct NbdCounters {
  uint64_t requests = 0;  // that were taken, without DISC
  uint64_t errors = 0;    // of these, answered with one

  NbdCounters& operator+=(const NbdCounters& more) {
    requests += more.requests;
    errors += more.errors;
    return *this;
  }
};

class NbdTransmission final : private NbdSlotOwner {
 public:
  NbdTransmission(std::shared_ptr<BlockDevice> disk, Executor& executor,
                  const NbdAgreement& agreement, const NbdLimits& limits, Callback on_progress);
  ~NbdTransmission();

  // False: the disk gives no queue for this executor; nothing can be done with it.
  bool usable() const { return queue_ != nullptr; }

  // How many of `bytes` it took.
  size_t Receive(std::span<const std::byte> bytes);
  // Where the next bytes of the client belong, when they are data: how many of `into` were filled in.
  size_t PayloadTargets(std::span<std::span<std::byte>> into);
  void PayloadReceived(size_t bytes);
  // Takes nothing before an answer was sent, or a request ended.
  bool blocked() const { return waiting_ != nullptr || (free_.empty() && payload_left_ == 0); }

  // What is to be sent next, in order: how many of `parts` were filled in.
  size_t Unsent(std::span<std::span<const std::byte>> parts) const;
  void Sent(size_t bytes);

  // Takes nothing more; what is in flight ends and is answered.
  void Stop() { stopping_ = true; }
  bool stopping() const { return stopping_; }
  // Stopped (by Stop, the client's DISC, or because the disk is gone), and everything ended and was sent.
  bool finished() const { return stopping_ && in_flight_ == 0 && unsent_.empty(); }
  uint32_t in_flight() const { return in_flight_; }
  const NbdCounters& counters() const { return counters_; }
  const absl::Status& error() const { return error_; }

 private:
  void OnSlotDone(NbdSlot& slot, BlockResult result) override;

  bool TakeRequest(std::span<const std::byte> header);
  void Begin(NbdSlot& slot);
  void BeginMove(NbdSlot& slot);
  void BeginOther(NbdSlot& slot);
  void Refuse(NbdSlot& slot, nbd::Error error, std::string_view message);
  void Submit(NbdSlot& slot);
  void SubmitBatch();
  void OnPayloadComplete();
  void Answer(NbdSlot& slot) { unsent_.Push(slot); }
  void Fail(absl::Status error);

  const std::shared_ptr<BlockDevice> disk_;
  const NbdAgreement agreement_;
  const bool structured_;
  const bool needs_flush_for_fua_;
  const Callback on_progress_;
  NbdBufferPool pool_;
  std::unique_ptr<BlockQueue> queue_;
  std::vector<std::unique_ptr<NbdSlot>> slots_;
  std::vector<BlockRequest*> batch_;  // of one Receive, submitted together

  NbdSlotList free_;
  NbdSlotList unsent_;
  size_t unsent_offset_ = 0;       // sent already of the first one
  NbdSlot* waiting_ = nullptr;     // for buffers
  NbdSlot* filling_ = nullptr;     // whose data arrive
  nbd::Error refusal_ = nbd::kOk;  // of filling_, whose data are dropped
  size_t payload_left_ = 0;
  uint32_t in_flight_ = 0;
  bool stopping_ = false;
  NbdCounters counters_;
  absl::Status error_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TRANSMISSION_H_
