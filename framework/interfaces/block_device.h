// A disk as programs use it: what a driver of disks offers, what an export or a benchmark uses, and also what a disk
// of the embedded host stands on.
//
//   std::unique_ptr<BlockQueue> queue = disk.OpenQueue(executor);
//   request.operation = BlockOperation::kWrite;      // a class derived from BlockRequest
//   request.offset = 4096, request.bytes = 8192;
//   request.segments = segments;                     // where the bytes are, in order
//   queue->Submit(request);                          // request.OnDone(BlockResult), exactly once
//
// Every submitted request ends exactly once; none is refused for lack of room: what the device cannot take yet waits
// in a list of the queue, without allocation. Requests of one queue may be carried out and end in any order. A flush
// covers the writes that ended before it was submitted, on whatever queue.
//
// Thread safety: a device may be used from many executors, each through queues of its own; a queue, its requests and
// their OnDone belong to the executor it was opened for. info(), bytes() and AllocateBuffer: any thread.
// Ownership: a request, its segments and their bytes stay the caller's and must live until it ended. A queue is
// destroyed on its executor with nothing outstanding, not from inside OnDone; it keeps what it needs of its device
// alive.
// Units: bytes; offset and bytes are multiples of info().block_bytes, segments of any size and alignment.
// Errors: BlockResult. A device that is taken away ends its requests with kGone, also those submitted later.
#ifndef VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_DEVICE_H_
#define VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_DEVICE_H_

#include <boost/intrusive/list_hook.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "framework/interfaces/block_buffer.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

enum class BlockOperation : uint8_t {
  kRead,
  kWrite,
  kFlush,        // what was written before is on stable storage when it ends
  kDiscard,      // the contents are not needed any more; they may read as anything until written
  kWriteZeroes,  // reads as zeros afterwards
  kStatus,       // fills `extents`: which parts hold data
};

enum class BlockResult : uint8_t {
  kOk,
  kInvalid,     // the request breaks a rule of this header or a limit of the device
  kOutOfRange,  // reaches past the end
  kReadOnly,
  kNotSupported,
  kMediumError,  // the storage failed
  kNoSpace,      // the storage is full
  kConflict,     // somebody else holds a reservation
  kAborted,      // a reset or the like ended it; it may be submitted again
  kTimedOut,
  kGone,  // the device was taken away; whether a write happened is not known
  // As kGone, and the peer that may still use the bytes of `segments` did not say that it lets go of them: their
  // buffer must not be used for anything else. Destroying a BlockBuffer is right: its pages stay out of use.
  kLost,
};

std::string_view ToString(BlockOperation operation);
std::string_view ToString(BlockResult result);

// Bytes in memory. A `gpa` other than kNoGpa says that they lie at consecutive guest physical addresses, as those of a
// BlockBuffer do: only these are moved without a copy by a driver whose peer is a host.
struct BlockSegment {
  static constexpr Gpa kNoGpa = ~Gpa{0};

  std::byte* data = nullptr;
  uint32_t bytes = 0;
  Gpa gpa = kNoGpa;
};

// For kStatus: parts of the device in order, without gaps, from the request's offset on.
struct BlockExtent {
  uint64_t bytes = 0;
  bool allocated = true;  // false: a hole
  bool zero = false;      // known to read as zeros
  friend bool operator==(const BlockExtent&, const BlockExtent&) = default;
};

class BlockRequest : public boost::intrusive::list_base_hook<> {
 public:
  virtual ~BlockRequest() = default;  // the hook asserts that it is in nobody's list

  // Called exactly once for each Submit, on the queue's executor, never from inside Submit. It may be submitted again,
  // or destroyed, from here.
  virtual void OnDone(BlockResult result) = 0;

  BlockOperation operation = BlockOperation::kRead;
  bool force_unit_access = false;  // kWrite, kWriteZeroes: on stable storage when it ends
  bool may_unmap = true;           // kWriteZeroes: may leave a hole
  uint64_t offset = 0;
  uint64_t bytes = 0;                        // 0 for kFlush
  std::span<const BlockSegment> segments{};  // kRead, kWrite: `bytes` in all, at least one
  std::span<BlockExtent> extents{};          // kStatus: where they go; at least one
  uint32_t extent_count = 0;  // kStatus: how many were filled in; they may cover less than `bytes`

  // Between the end and OnDone, for whoever carries it out (block_completions.h).
  BlockResult result = BlockResult::kOk;
};

// Constant while the device lives.
struct BlockInfo {
  uint32_t block_bytes = 512;             // a power of two, 512 to 64 KiB
  uint32_t physical_block_bytes = 512;    // at least block_bytes
  uint32_t preferred_bytes = 4096;        // offsets and lengths of this multiple are fastest
  uint32_t max_transfer_bytes = 1 << 20;  // larger requests are split; not a limit for callers
  uint32_t queue_depth = 128;             // of one queue: more than this waits
  bool read_only = false;
  bool volatile_cache = false;  // an ended write may be lost at power failure until a flush
  bool force_unit_access = false;
  bool discard = false;
  bool write_zeroes = false;  // without moving zeros over the wire
  bool status = false;        // kStatus tells more than "everything is data"
  bool rotational = false;
  uint32_t discard_granularity = 0;
  uint64_t discard_bytes_max = 0;
  uint64_t write_zeroes_bytes_max = 0;
  std::string id;       // the same for the same disk, whoever asks; empty: not known
  std::string vendor;   // for people
  std::string product;  // for people
};

class BlockQueue {
 public:
  virtual ~BlockQueue() = default;

  virtual void Submit(BlockRequest& request) = 0;
  // The same for several, with one notification of the other side where that saves any.
  virtual void SubmitAll(std::span<BlockRequest* const> requests) {
    for (BlockRequest* request : requests) Submit(*request);
  }
};

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual const BlockInfo& info() const = 0;
  // May change while the device lives: disks are resized.
  virtual uint64_t bytes() const = 0;
  // On `executor`, which outlives the queue. Null: there is none to be had, such as when the system is out of what it
  // takes.
  virtual std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) = 0;
  // Memory that this device moves data to and from without a copy. ResourceExhausted.
  virtual absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) = 0;
};

// What an implementation checks first: kOk, or what is wrong with the request in itself or for this device.
BlockResult CheckBlockRequest(const BlockRequest& request, const BlockInfo& info,
                              uint64_t device_bytes);

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_INTERFACES_BLOCK_DEVICE_H_
