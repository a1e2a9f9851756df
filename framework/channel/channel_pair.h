// For tests: both ends of a channel in virtual time, with nothing of a host behind.
//
//   ChannelPair pair;                                  // own scheduler, two executors
//   pair.guest().Start(driver);
//   pair.host().Start(device);
//   pair.Run();                                        // until nothing happens any more
//   pair.to_guest().Drop(1);                           // faults: see signal_line.h
//   pair.down().words().write_index = 12345;           // a lying host
//
// Thread safety: one thread. Lifetime: handlers and requests must outlive the pair, which closes
// channels that are still open; so declare them before it.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_PAIR_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_PAIR_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "framework/channel/channel.h"
#include "framework/channel/ring.h"
#include "framework/channel/signal_line.h"
#include "platform/memory.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {

class ChannelPair {
 public:
  struct Options {
    uint64_t seed = 0;                // of the own scheduler
    uint32_t up_bytes = 16 * 1024;    // data bytes guest to host
    uint32_t down_bytes = 16 * 1024;  // data bytes host to guest
    // Limits of the two ends; name, rings and signal are filled in.
    Channel::Options guest = {};
    Channel::Options host = {};
    // False: no channel at the host's end, for a test that plays the host on the rings itself.
    bool with_host = true;
  };

  ChannelPair();
  explicit ChannelPair(Options options);
  // On executors of the caller's; sim() and Run() are not to be used then.
  ChannelPair(Executor& guest, Executor& host, Options options);
  ~ChannelPair();
  ChannelPair(const ChannelPair&) = delete;
  ChannelPair& operator=(const ChannelPair&) = delete;

  SimScheduler& sim() { return own_->sim; }
  Executor& guest_executor() { return guest_executor_; }
  Executor& host_executor() { return host_executor_; }
  // Runs what can happen without time passing, or what happens within `duration`. False when it
  // does not come to an end.
  bool Run() { return own_->sim.RunUntilIdle().ok(); }
  bool RunFor(Duration duration) { return own_->sim.RunFor(duration).ok(); }

  Channel& guest() { return *guest_; }
  Channel& host() { return *host_; }
  SignalLine& to_guest() { return to_guest_; }
  SignalLine& to_host() { return to_host_; }
  const RingMemory& up() const { return up_; }      // guest to host
  const RingMemory& down() const { return down_; }  // host to guest

  // Closes and destroys one end, as a transport does.
  void DestroyGuest();
  void DestroyHost();

 private:
  struct Own {
    explicit Own(uint64_t seed) : sim(seed), guest(sim.NewExecutor(0)), host(sim.NewExecutor(1)) {}
    SimScheduler sim;
    Executor& guest;
    Executor& host;
  };

  ChannelPair(std::unique_ptr<Own> own, Options options);
  RingMemory MapRing(Pfn control, uint32_t data_bytes, Mapping& mapping);

  std::unique_ptr<Own> own_;  // goes last
  Executor& guest_executor_;
  Executor& host_executor_;
  const std::unique_ptr<GuestMemory> memory_;
  Mapping up_mapping_;
  Mapping down_mapping_;
  const RingMemory up_;
  const RingMemory down_;
  SignalLine to_guest_;
  SignalLine to_host_;
  std::unique_ptr<Channel> guest_;
  std::unique_ptr<Channel> host_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_CHANNEL_PAIR_H_
