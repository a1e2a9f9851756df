// A channel: two rings, the packets in them, the requests that wait for a completion, and the rules of when to
// signal. The same class serves the guest's end and the host's. Source: protocol 02 sections 7 to 9.
//
//   class Echo : public ChannelHandler {
//     void OnPacket(Channel& channel, const Packet& packet) override {
//       (void)channel.Send({.type = PacketType::kInBand, .payload = packet.payload});
//     }
//   };
//   channel.Start(handler);                     // from now on packets arrive
//   channel.Send({...});                        // kFull: OnWritable follows when it would fit
//
// Thread safety: everything on the channel's executor, except wake(), which may be signalled from anywhere.
// Ownership: made by a transport, over ring memory that the transport owns; destroyed before that memory goes.
// Errors: a peer that breaks a rule fails the channel: every request ends with the reason, then OnClosed.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "framework/channel/packet.h"
#include "framework/channel/request_table.h"
#include "framework/channel/ring.h"
#include "platform/executor.h"

namespace vmbuskit {

class Channel;

class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;

  // One packet that is not the completion of a Request. `packet` is a private copy, valid until return.
  virtual void OnPacket(Channel& channel, const Packet& packet) = 0;
  // All packets that were readable have been delivered (once per drain): the place to flush batches.
  virtual void OnDrained(Channel& channel) { (void)channel; }
  // A Send that was refused with kFull would fit now.
  virtual void OnWritable(Channel& channel) { (void)channel; }
  // The channel ended: violated, rescinded or closed. Called once, last; requests have ended before.
  virtual void OnClosed(Channel& channel, const absl::Status& reason) {
    (void)channel;
    (void)reason;
  }
};

enum class SendResult {
  kOk,
  kFull,    // back-pressure: OnWritable follows
  kClosed,  // the channel ended; reason()
  kTooBig,  // can never fit into this ring, or above max_packet_bytes
};

// Counters are plain integers of the owning executor.
struct ChannelCounters {
  uint64_t packets_in = 0;
  uint64_t packets_out = 0;
  uint64_t bytes_in = 0;   // payload
  uint64_t bytes_out = 0;
  uint64_t signals_sent = 0;
  uint64_t wakeups = 0;         // drains that the peer's signal started
  uint64_t empty_wakeups = 0;   // of these, with nothing to read and no writer waiting
  uint64_t full = 0;            // Sends refused
};

class Channel {
 public:
  struct Options {
    std::string name;               // for errors: "echo 1c5f0a4e-... channel 5"
    RingMemory incoming;
    RingMemory outgoing;
    Callback signal_peer;           // how to signal the other side; called on the executor, at most once per batch
    uint32_t max_packet_bytes = 4096 + 512;  // larger incoming packets are a violation
    uint32_t max_requests = 256;    // slots of the request table
    uint32_t drain_budget = 1024;   // packets per turn before other work of the executor runs
    bool guest_end = true;          // which end sets the feature bit (protocol 02 section 5.2)
  };

  Channel(Executor& executor, Options options);
  ~Channel();  // must be closed: no request outstanding
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Delivers packets to `handler` from now on (also those that lie in the ring already).
  void Start(ChannelHandler& handler);

  // Copies the packet into the ring and publishes it; inside a Batch publishing waits for the batch's end.
  [[nodiscard]] SendResult Send(const OutgoingPacket& packet);

  // Sends `packet` asking for a completion; `request` must stay alive until it ended, which it does exactly
  // once: completed, past its deadline, or failed with the channel. On any result but kOk it did not start.
  // Slots all taken counts as kFull. `packet.transaction_id` is ignored.
  [[nodiscard]] SendResult SendRequest(const OutgoingPacket& packet, Request& request, Instant deadline);

  // Answers a packet that asked for a completion.
  [[nodiscard]] SendResult Complete(uint64_t transaction_id, std::span<const std::byte> payload);

  // While one lives, Sends are copied but not published; its end publishes all with one index store, one fence
  // and one signal decision. Batches nest.
  class Batch {
   public:
    explicit Batch(Channel& channel);
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

   private:
    Channel& channel_;
  };

  // Ends the channel: nothing is sent or delivered any more, every outstanding request ends with `reason`, then
  // OnClosed. A second call does nothing.
  void Close(const absl::Status& reason);

  bool closed() const { return !reason_.ok(); }
  const absl::Status& reason() const { return reason_; }

  // The peer signalled. Any thread.
  Event& wake() { return wake_; }
  // The same when already on the executor (the interrupt path): drains without a detour.
  void OnSignal();

  Executor& executor() const { return executor_; }
  const std::string& name() const { return options_.name; }
  const ChannelCounters& counters() const { return counters_; }
  uint32_t requests_outstanding() const { return requests_.outstanding(); }

 private:
  void Drain();
  void PublishBatch();

  Executor& executor_;
  const Options options_;
  ChannelHandler* handler_ = nullptr;
  RingReader reader_;
  RingWriter writer_;
  RequestTable requests_;
  Event wake_;
  absl::Status reason_;
  ChannelCounters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_
