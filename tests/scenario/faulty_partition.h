// A partition whose interrupts and signals arrive as a fault plan says: late, twice, not at first, on the wrong CPU.
// Whatever is lost is repaired later, so that nothing but lateness follows from it.
//
//   FaultyPartition partition(host.partition(), executors, host_executor, faults);
//   SynicTransport transport(partition, executors, pages, {});
//   partition.Forget();     // the guest is gone, and so is what was under way to it
//
// Thread safety: the scheduler's thread; each method on the executor that the real partition asks for.
#ifndef VMBUSKIT_TESTS_SCENARIO_FAULTY_PARTITION_H_
#define VMBUSKIT_TESTS_SCENARIO_FAULTY_PARTITION_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "platform/executor.h"
#include "platform/forwarding_partition.h"
#include "platform/memory.h"
#include "platform/sim/executor.h"
#include "tests/scenario/fault_source.h"

namespace vmbuskit {

class FaultyPartition final : public ForwardingPartition {
 public:
  FaultyPartition(Partition& real, const std::vector<Executor*>& executors, SimExecutor& host,
                  FaultSource& faults);
  ~FaultyPartition() override;

  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override;
  void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) override;

  // Forgets what is under way: the guest that it was for is gone.
  void Forget();

 private:
  // One vector of one processor.
  class Line;
  // The signals of one processor that are late, oldest first.
  struct LateSignals;

  void NotePost(Gpa input, bool refused);
  uint64_t Signal(uint32_t vp, uint64_t control, uint64_t input, uint64_t output);
  // Some turns of the host, within that of the guest.
  void RunHost();
  // Raises the vector on another processor than `vp`, if one listens.
  void RaiseElsewhere(uint32_t vp, uint8_t vector);
  void RaiseEarly(uint32_t vp);

  const std::vector<Executor*> executors_;
  SimExecutor& host_;
  FaultSource& faults_;
  std::map<std::pair<uint32_t, uint8_t>, std::unique_ptr<Line>> lines_;
  std::vector<std::unique_ptr<LateSignals>> late_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_FAULTY_PARTITION_H_
