// Where one open channel meets the processors: its rings, how it signals the host, and who is told
// when the host signals it. Source: protocol 02 sections 5.2, 9.1 and 9.4.
//
//   ChannelPort port(partition, vp, offer, std::move(rings), monitor_page);
//   port.MakeChannel(executor, options);
//   synic.SetTarget(relid, port.TargetOn(executor));                    // there, before OPEN
//   port.Deliver();                                                     // after OPEN_RESULT
//
// Signals that come before Deliver are remembered. The channel stays on its executor for life: when
// another processor gets its interrupts (a retarget), that one wakes it across.
//
// Thread safety: made and destroyed on the bus executor; Deliver, Detach and the signals on the
// channel's.
// Ownership: owns the rings, not the channel; the channel must go first.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CHANNEL_PORT_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CHANNEL_PORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>

#include "framework/bus/offer.h"
#include "framework/channel/channel.h"
#include "platform/partition.h"
#include "transports/synic/monitor_pages.h"
#include "transports/synic/ring_setup.h"

namespace vmbuskit {

class ChannelPort {
 public:
  struct Counters {
    uint64_t hypercalls = 0;       // signals that cost one
    uint64_t monitor_bits = 0;     // signals that did not
    uint64_t refused_signals = 0;  // the host has no such port (any more)
    uint64_t early_interrupts = 0;
  };

  ChannelPort(Partition& partition, uint32_t vp, const Offer& offer, GuestRings rings,
              MonitorPage* monitor_page);

  // `options` with rings and signalling filled in.
  std::unique_ptr<Channel> MakeChannel(Executor& executor, Channel::Options options);

  // What an interrupt on `executor` calls.
  Callback TargetOn(Executor& executor);

  // The channel is open: what came early is delivered now, the rest as it comes.
  void Deliver();
  // The connection is gone: signals go nowhere.
  void Detach();

  uint32_t relid() const { return relid_; }
  uint32_t vp() const { return vp_; }
  const GuestRings& rings() const { return rings_; }
  GuestRings& rings() { return rings_; }
  const Counters& counters() const { return counters_; }

  // For the transport, on the bus executor.
  Channel* channel = nullptr;
  uint32_t gpadl = 0;
  bool gone = false;              // of a connection that ended
  bool abandoned = false;         // its open was given up: the host may still use the rings
  std::set<uint32_t> target_vps;  // whose dispatch tables name it
  // Set on the bus executor before the tables are cleared on the processors' own: whoever gets to
  // one of those later sees it, and adds nothing.
  std::atomic<bool> closing = false;

 private:
  void OnInterrupt();
  void SignalHost();

  Partition& partition_;
  const uint32_t vp_;
  const uint32_t relid_;
  const uint32_t connection_id_;
  const uint8_t monitor_id_;
  MonitorPage* const monitor_page_;  // null: by hypercall
  GuestRings rings_;
  Channel* channel_ = nullptr;
  bool delivering_ = false;
  bool detached_ = false;
  Counters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CHANNEL_PORT_H_
