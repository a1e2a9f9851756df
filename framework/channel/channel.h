// A channel: two rings, the packets in them, the requests that wait for a completion, and the rules
// of when to signal. The same class serves the guest's end and the host's. Source: protocol 02
// sections 7 to 9.
//
//   channel.Start(handler);                     // from now on packets arrive
//   channel.Send({.payload = bytes});           // kFull: OnWritable follows when it would fit
//   channel.SendRequest(packet, request, DeadlineIn(executor));   // request.OnEnd, exactly once
//   co_await Call(channel, packet, reply);      // call.h, the same for control sequences
//
// A drain reads what is there, up to a budget, and lets other work of the executor run in between.
// What handlers send during a drain is published once, at its end, with at most one signal.
//
// Thread safety: everything on the channel's executor, except wake(), which may be signalled from
// anywhere.
// Ownership: made by a transport, over ring memory that the transport owns; destroyed before that
// memory goes, closed, and never from inside one of its own calls to handler or request.
// Errors: a peer that breaks a rule fails the channel: every request ends with the reason, then
// OnClosed. One that a Send finds ends it at the next turn, so that Send never calls back.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "framework/channel/channel_handler.h"  // IWYU pragma: export
#include "framework/channel/packet.h"           // IWYU pragma: export
#include "framework/channel/request_table.h"    // IWYU pragma: export
#include "framework/channel/ring.h"
#include "framework/channel/writable_wait.h"
#include "framework/observe/inspect.h"
#include "platform/executor.h"

namespace vmbuskit {

class Channel {
 public:
  struct Options {
    std::string name = {};  // for errors: "echo 1c5f0a4e-... channel 5"
    RingMemory incoming = {};
    RingMemory outgoing = {};
    Callback signal_peer = {};               // how to signal the other side; called on the executor
    uint32_t max_packet_bytes = 4096 + 512;  // larger packets: in, a violation; out, kTooBig
    uint32_t max_requests = 256;             // slots of the request table
    uint32_t drain_budget = 1024;  // packets per turn before other work of the executor runs
    // Payload bytes of an answer: no packet is delivered before an answer of that size surely fits into the
    // outgoing ring, so that whoever answers at once never sees kFull. For the end that answers only, whose peer
    // reads without such a condition: if both ends wait for room, neither makes any. 0: deliver always.
    uint32_t answer_bytes = 0;
    // A guest ignores packets of unknown type, a host fails the channel (protocol 02 section 8.3).
    bool guest_end = true;
  };

  Channel(Executor& executor, Options options);
  ~Channel();  // no request outstanding; closed, or never started
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Delivers packets to `handler` from the next turn on (also those that lie in the ring already). On an executor that
  // busy-polls the channel is polled from then on.
  void Start(ChannelHandler& handler);

  // Copies the packet into the ring and publishes it; inside a Batch or a drain publishing waits
  // for its end. A packet that asks for a completion goes through SendRequest instead.
  [[nodiscard]] SendResult Send(const OutgoingPacket& packet);

  // Sends `packet` asking for a completion; `request` must stay alive until it ended, which it does
  // exactly once: completed, past its deadline, or failed with the channel. On any result but kOk
  // it did not start. Slots all taken counts as kFull. `packet.transaction_id` is ignored.
  [[nodiscard]] SendResult SendRequest(const OutgoingPacket& packet, Request& request,
                                       Instant deadline) {
    return SendRequest(OutgoingPacket(packet), request, deadline);
  }
  [[nodiscard]] SendResult SendRequest(OutgoingPacket&& packet, Request& request, Instant deadline);
  // Gives up on an outstanding request: it does not end any more. Its slot waits for the answer.
  void AbandonRequest(Request& request) { requests_.Abandon(request); }

  // Answers a packet that asked for a completion.
  [[nodiscard]] SendResult Complete(uint64_t transaction_id, std::span<const std::byte> payload);

  // `co_await channel.Writable(deadline)`: until a Send that was refused with kFull would fit.
  WritableWait Writable(Instant deadline) { return WritableWait(*this, deadline); }

  // Back-pressure on the peer: from now on nothing is delivered, completions neither; what is in the ring stays there
  // and the peer finds it full in time. Sending goes on. Before Start too; allowed inside every call to a handler. Not
  // part of a saved state.
  void PauseReading() { paused_ = true; }
  void ResumeReading();
  bool reading_paused() const { return paused_; }

  // Polled, the channel asks the peer for no signals and looks at the ring at every turn of its executor instead, also
  // for room that a Send waits for: for executors that busy-poll, since it keeps a sleeping one awake. May be changed
  // at any time, inside every call to a handler too. Not part of a saved state.
  void SetPolled(bool polled);
  bool polled() const { return polled_; }

  // While one lives, Sends are copied but not published; its end publishes all with one index
  // store, one fence and one signal decision. Batches nest. A full ring publishes early, for the
  // peer to make room.
  class Batch {
   public:
    explicit Batch(Channel& channel) : channel_(channel) { ++channel_.batch_depth_; }
    ~Batch() {
      if (--channel_.batch_depth_ == 0) channel_.Publish();
    }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

   private:
    Channel& channel_;
  };

  // Ends the channel with an error status: what was sent is published, nothing is sent or delivered
  // any more, every outstanding request ends with kClosed, oldest first, then OnClosed; all before
  // it returns. A second call does nothing. Allowed inside every call to handler and request.
  void Close(const absl::Status& reason);

  bool closed() const { return !reason_.ok(); }
  const absl::Status& reason() const { return reason_; }

  // The peer signalled. Any thread.
  Event& wake() { return wake_; }
  // The same when already on the executor (the interrupt path): drains without a detour.
  void OnSignal();

  // ---- Save and restore of the host it belongs to: the rings stay where they are, with the indices in them.
  // Between turns, outside of every call of the channel: then all that was sent is published and all that was read is
  // committed.
  bool at_rest() const { return !draining_ && batch_depth_ == 0; }
  // Saves, or takes over what was saved into a new channel over the same rings, before Start; with StateWriter or
  // StateReader. A wait for space goes on; the requests under way wait to be resumed.
  template <typename Archive>
  void Exchange(Archive& archive);
  // The id of an outstanding request, for ResumeRequest after a restore; 0 when it is not outstanding.
  uint64_t RequestId(const Request& request) const { return requests_.IdOf(request); }
  // `request` goes on as the one that had `id`: completed, past what was left of its deadline, or failed with the
  // channel. False, and it does not end, when no such request was under way.
  [[nodiscard]] bool ResumeRequest(uint64_t id, Request& request) {
    return requests_.Resume(id, request);
  }
  // Ends the channel without a word to anybody: no request ends, no OnClosed, no signal. What the peer sees stays as
  // it is, for a channel that is restored over it.
  void Vanish();

  // Null takes it away. Costs one branch per packet when there is none.
  void SetTap(PacketTap* tap) { tap_ = tap; }

  Executor& executor() const { return executor_; }
  const std::string& name() const { return options_.name; }
  const ChannelCounters& counters() const { return counters_; }
  uint32_t requests_outstanding() const { return requests_.outstanding(); }
  const RequestTable& requests() const { return requests_; }
  // Packets of unknown type that a guest's end skipped.
  uint64_t packets_ignored() const { return reader_.ignored(); }
  // RingBytes of the largest packet that fits into the empty outgoing ring.
  uint32_t largest_packet_ring_bytes() const { return writer_.max_total(); }
  // Descriptor, extension and payload of the largest packet that may be sent, if the ring can hold it.
  uint32_t max_packet_bytes() const { return options_.max_packet_bytes; }
  void Inspect(InspectNode& node) const;

 private:
  friend class WritableWait;

  void AddWritableWait(WritableWait& wait) { writable_waits_.push_back(wait); }
  void EndWritableWaits();

  SendResult Retry(const OutgoingPacket& packet, size_t total, AppendResult refused);
  void Publish();
  void SignalPeer();

  void OnWake() { Service(); }
  void OnPoll();
  void OnSelfWake();
  void Service();
  bool Drain();
  uint32_t ReadPass(uint32_t budget);
  void Deliver(const Packet& packet);
  void OfferSpace();
  bool RefusedSend() const { return wanted_bytes_ != 0 || wants_slot_; }
  bool WantsSpace() const { return RefusedSend() || stalled_; }
  uint32_t LeastSpaceWanted() const;

  void WakeSelf();
  void Fail(const char* ring, const RingViolation& violation);
  void Finish();

  Executor& executor_;
  const Options options_;
  ChannelHandler* handler_ = nullptr;
  PacketTap* tap_ = nullptr;
  RingReader reader_;
  RingWriter writer_;
  RequestTable requests_;
  const uint32_t answer_ring_bytes_;  // RingBytes that must be free for a delivery; 0: none
  uint32_t batch_depth_ = 0;
  uint32_t wanted_bytes_ = 0;  // smallest packet refused for lack of ring space; 0: none waits
  bool wants_slot_ = false;    // a request was refused for lack of a slot
  bool stalled_ = false;       // a packet waits for room for its answer
  bool paused_ = false;        // by PauseReading
  bool polled_ = false;        // the poller runs; the peer is never asked for a signal
  bool draining_ = false;
  bool masked_ = true;     // between drains: no signal comes for what is readable
  bool finished_ = false;  // Finish ran
  WritableWaits writable_waits_;
  WritableWaits writable_ended_;  // told that there is space, not resumed yet
  absl::Status reason_;
  ChannelCounters counters_;
  Event wake_;
  Poller poller_;
  Event self_wake_;  // apart from the peer's, because it leaves the reading to the peer's signal
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_H_
