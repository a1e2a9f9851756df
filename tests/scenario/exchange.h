// The exchange class: a device class made for simulation, whose two ends check each other. A guest device says hello,
// shares a buffer that the host reads, opens as many sub-channels as the host offers, and then both ends of every
// channel exchange questions and notes (exchange_lane.h).
//
//   ExchangeBoard board(faults, plans);
//   host.AddDevice(ExchangeVspClass(monitored), plan.instance, [&](VspContext& c) { return board.MakeVsp(c, 0); });
//   bus.RegisterClasses({&ExchangeClass()});       // its devices find the board by themselves
//   board.StartRound(); ...; board.CheckPair(0);
//
// Thread safety: the scheduler's thread. One board at a time; it outlives guest and host.
#ifndef VMBUSKIT_TESTS_SCENARIO_EXCHANGE_H_
#define VMBUSKIT_TESTS_SCENARIO_EXCHANGE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/base/guid.h"
#include "framework/bus/device.h"
#include "platform/sim/scheduler.h"
#include "tests/scenario/exchange_lane.h"
#include "tests/scenario/fault_source.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

inline constexpr Guid kExchangeClassId = Guid::Parse("65786368-616e-4000-8000-766d6275736b");

struct ExchangePlan {
  Guid instance = {};
  uint32_t send_ring_bytes = 4096;
  uint32_t receive_ring_bytes = 4096;
  uint32_t subchannels = 0;   // that the host offers
  uint32_t shared_bytes = 0;  // that the guest shares
  bool monitored = false;
};

class ExchangeBoard {
 public:
  ExchangeBoard(FaultSource& faults, std::vector<ExchangePlan> plans);
  ~ExchangeBoard();

  // Those of the guest devices that the bus makes from now on.
  static ExchangeBoard& current();

  std::unique_ptr<Vsp> MakeVsp(VspContext& context, uint32_t device);
  // Which one has this instance.
  uint32_t Find(const Guid& instance) const;
  const ExchangePlan& plan(uint32_t device) const { return plans_[device]; }
  uint32_t size() const { return static_cast<uint32_t>(plans_.size()); }

  // Somebody writes into this device's memory: nothing that its ends find there is to be believed, until it is offered
  // again (Renew).
  void Harm(uint32_t device) { *harmed_[device] = true; }
  void Renew(uint32_t device) { *harmed_[device] = false; }
  bool harmed(uint32_t device) const { return *harmed_[device]; }
  const bool& harm_flag(uint32_t device) const { return *harmed_[device]; }

  std::shared_ptr<Lane> NewLane(bool guest, uint32_t device, uint16_t index, Executor& executor);
  void StartRound(SimScheduler& sim);
  bool idle() const;
  // Both ends of every channel of the device are idle and agree. To be called when nothing is under way.
  void CheckPair(uint32_t device);

  ExchangeShared& shared() { return shared_; }
  FaultSource& faults() { return shared_.faults; }

 private:
  struct Entry {
    bool guest = false;
    uint32_t device = 0;
    uint16_t index = 0;
    std::weak_ptr<Lane> lane;
  };
  std::shared_ptr<Lane> FindLane(bool guest, uint32_t device, uint16_t index) const;

  ExchangeShared shared_;
  const std::vector<ExchangePlan> plans_;
  std::vector<std::unique_ptr<bool>> harmed_;  // lanes keep references
  std::vector<Entry> lanes_;
};

const DeviceClass& ExchangeClass();
const VspClass& ExchangeVspClass(bool monitored);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_EXCHANGE_H_
