// What a channel tells its user, and the results and figures that both share.
//
//   class Echo : public ChannelHandler {
//     void OnPacket(Channel& channel, const Packet& packet) override {
//       (void)channel.Send({.payload = packet.payload});
//     }
//   };
//
// Thread safety: called on the channel's executor.
// Lifetime: a handler must live until OnClosed returned. From inside every call one may send and
// close; the channel must not be destroyed.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_HANDLER_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_HANDLER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "framework/channel/packet.h"

namespace vmbuskit {

class Channel;

class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;

  // One packet that is not a completion. `packet` is a private copy, valid until return.
  virtual void OnPacket(Channel& channel, const Packet& packet) = 0;
  // Everything that was readable, or the budget of one turn, has been delivered: the place to flush
  // batches. What is sent in OnPacket and here is published together afterwards.
  virtual void OnDrained(Channel& channel) { (void)channel; }
  // A packet of the size of the smallest that was refused with kFull would fit now, or a request
  // would find a slot.
  virtual void OnWritable(Channel& channel) { (void)channel; }
  // The channel ended: violated, rescinded or closed. Called once, last; requests have ended
  // before.
  virtual void OnClosed(Channel& channel, const absl::Status& reason) {
    (void)channel;
    (void)reason;
  }
};

// Sees every packet of a channel, for captures. Must not call into the channel.
class PacketTap {
 public:
  virtual ~PacketTap() = default;
  virtual void OnIncoming(const Channel& channel, const Packet& packet) = 0;
  virtual void OnOutgoing(const Channel& channel, const OutgoingPacket& packet) = 0;
};

enum class SendResult {
  kOk,
  kFull,    // back-pressure: OnWritable follows
  kClosed,  // the channel ended; reason()
  kTooBig,  // can never fit into this ring, or above max_packet_bytes
};

// Counters are plain integers of the owning executor.
struct ChannelCounters {
  uint64_t packets_in = 0;  // completions included
  uint64_t packets_out = 0;
  uint64_t bytes_in = 0;  // payload
  uint64_t bytes_out = 0;
  uint64_t signals_sent = 0;
  uint64_t wakeups = 0;        // drains that the peer's signal started
  uint64_t empty_wakeups = 0;  // of these, with nothing to read and no writer waiting
  uint64_t full = 0;           // Sends refused
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_HANDLER_H_
