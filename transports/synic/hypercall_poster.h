// Posts VMBus messages by hypercall, in order, trying again for as long as a host with few buffers
// may need.
// Source: protocol 01 section 3.6, "Retry policy".
//
//   HypercallPoster poster(partition, vp, executor, {}, listener);
//   VMBUSKIT_RETURN_IF_ERROR(poster.Start(pages));
//   poster.Post(connection_id, Emit(UnloadMessage{}), /*contact=*/false);
//
// One message is tried at a time; those behind it wait. The wait between two tries starts at 1 us
// and doubles after each of the first 21, at most 100 tries, about 168 s in all. A contact stops at
// INVALID_CONNECTION_ID: the host knows no such id.
//
// Thread safety: the executor of `vp`. Ownership: owns its input page, which must go before the
// hypercall page does. Errors: a message that cannot be posted is told to the listener, once, and
// left out.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_HYPERCALL_POSTER_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_HYPERCALL_POSTER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

#include "absl/status/status.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

class HypercallPoster {
 public:
  struct Options {
    uint32_t queue_messages_max = 16 * 1024;
    uint32_t tries_max = 100;
    Duration first_delay = std::chrono::microseconds(1);
    uint32_t doublings_max = 21;
  };

  class Listener {
   public:
    virtual ~Listener() = default;
    // A message was given up with the status of its last try; it is out of the queue. May call Post
    // and Clear.
    virtual void OnPostFailed(bool contact, HypercallStatus status) = 0;
  };

  struct Counters {
    uint64_t posted = 0;
    uint64_t retries = 0;
    uint64_t failed = 0;
  };

  HypercallPoster(Partition& partition, uint32_t vp, Executor& executor, Options options,
                  Listener& listener);

  // Takes the input page.
  absl::Status Start(PageAllocator& pages);
  // Forgets what was not posted and gives the page back.
  void Stop();

  // Posts now, or after what is queued already. ResourceExhausted: the queue is full, nothing was
  // taken.
  absl::Status Post(uint32_t connection_id, const MessageBuffer& message, bool contact);
  // Forgets everything that waits.
  void Clear();

  // One try of one message, past the queue: the crash path.
  HypercallStatus PostAtOnce(uint32_t connection_id, const MessageBuffer& message);

  uint32_t queued() const { return static_cast<uint32_t>(queue_.size()); }
  uint32_t free_slots() const { return options_.queue_messages_max - queued(); }
  const Counters& counters() const { return counters_; }

 private:
  struct Waiting {
    uint32_t connection_id;
    bool contact;
    MessageBuffer message;
  };
  enum class Outcome { kPosted, kTryAgain, kFailed };

  void Pump();
  Outcome Try(const Waiting& waiting, HypercallStatus& status);

  Partition& partition_;
  const uint32_t vp_;
  Executor& executor_;
  const Options options_;
  Listener& listener_;
  PageRun page_;
  std::span<std::byte> input_;
  std::deque<Waiting> queue_;
  uint32_t tries_ = 0;  // of the message at the front
  bool pumping_ = false;
  Timer retry_;
  Counters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_HYPERCALL_POSTER_H_
