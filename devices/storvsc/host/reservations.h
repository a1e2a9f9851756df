// Persistent reservations of one disk: who is registered with which key, and who holds it. Source: protocol 10 section
// 7.3; SPC-3 section 5.6 for what the actions do.
//
//   if (reservations->Conflicts(initiator, task)) return task.End(outcome::Conflict());
//   return reservations->Out(initiator, task);
//
// An initiator is a controller: its number tells it from the others that show the same disk. Nothing survives the host
// itself but by Save (PTPL is not offered).
//
// PREEMPT AND ABORT does what PREEMPT does and, other than in SPC, aborts nothing: a command of the preempted that
// was begun before goes on at its back end, and may be carried out after the answer; what comes later conflicts. An
// initiator has to see its own commands end before it lets another one preempt it. All initiators are controllers of
// one guest here, which can do that: none is a machine that has lost its way and must be fenced off. A `vmbus run` has
// one initiator for each disk, which can preempt nobody.
//
// Thread safety: the executor of the controllers that share it. Lifetime: shared by them.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_RESERVATIONS_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_RESERVATIONS_H_

#include <cstdint>
#include <map>
#include <optional>

#include "devices/storvsc/host/scsi_target.h"

namespace vmbuskit {

class Reservations {
 public:
  static constexpr size_t kRegistrationsMax = 128;

  enum Type : uint8_t {
    kWriteExclusive = 1,
    kExclusiveAccess = 3,
    kWriteExclusiveRegistrantsOnly = 5,
    kExclusiveAccessRegistrantsOnly = 6,
    kWriteExclusiveAllRegistrants = 7,
    kExclusiveAccessAllRegistrants = 8,
  };

  // Whether somebody else's reservation forbids the command; any command may be asked about.
  bool Conflicts(uint32_t initiator, const ScsiTask& task) const {
    return held_ && ConflictsWithHolder(initiator, task);
  }
  // PERSISTENT RESERVE IN and OUT; the task ends.
  bool In(ScsiTask& task) const;
  bool Out(uint32_t initiator, ScsiTask& task);

  void Save(StateWriter& state) { Exchange(state); }
  void Restore(StateReader& state) { Exchange(state); }

 private:
  enum class Action : uint8_t {
    kRegister,
    kReserve,
    kRelease,
    kClear,
    kPreempt,
    kPreemptAndAbort,
    kRegisterAndIgnore,
  };
  struct Parameters {
    Action action{};
    uint8_t type = 0;
    uint64_t key = 0;
    uint64_t action_key = 0;
  };
  struct Holder {
    uint32_t initiator = 0;  // of no meaning when all registrants hold it
    uint8_t type = 0;
  };

  template <typename Archive>
  void Exchange(Archive& archive);

  bool ConflictsWithHolder(uint32_t initiator, const ScsiTask& task) const;
  bool IsHolder(uint32_t initiator) const;
  static bool IsAllRegistrants(uint8_t type) { return type >= kWriteExclusiveAllRegistrants; }

  ScsiOutcome Carry(uint32_t initiator, const Parameters& parameters);
  ScsiOutcome Register(uint32_t initiator, const Parameters& parameters);
  ScsiOutcome Reserve(uint32_t initiator, const Parameters& parameters);
  ScsiOutcome Release(uint32_t initiator, const Parameters& parameters);
  ScsiOutcome Preempt(uint32_t initiator, const Parameters& parameters);
  void Unregister(uint32_t initiator);

  bool EndReadKeys(ScsiTask& task, uint32_t allocation) const;
  bool EndReadReservation(ScsiTask& task, uint32_t allocation) const;
  bool EndReadFullStatus(ScsiTask& task, uint32_t allocation) const;

  uint32_t generation_ = 0;
  std::map<uint32_t, uint64_t> keys_;  // of the registered initiators
  std::optional<Holder> held_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_RESERVATIONS_H_
