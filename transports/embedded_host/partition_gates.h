// The gates of everybody who uses a partition's shared pointers (ports, interrupt handlers, overlay pages): the host
// executor and each virtual processor.
//
//   PartitionGates gates(vp_count);
//   AccessGate::Scope inside(gates.vp(0));
//   gates.Synchronize();                     // nobody uses what was unpublished before
//
// Thread safety: see platform/access_gate.h.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_GATES_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_GATES_H_

#include <cstdint>
#include <deque>

#include "platform/access_gate.h"

namespace vmbuskit {

class PartitionGates {
 public:
  explicit PartitionGates(uint32_t vp_count) : vps_(vp_count) {}

  AccessGate& host() { return host_; }
  AccessGate& vp(uint32_t index) { return vps_[index]; }

  void SynchronizeVps() const {
    for (const AccessGate& gate : vps_) gate.Synchronize();
  }
  void Synchronize() const {
    host_.Synchronize();
    SynchronizeVps();
  }

 private:
  AccessGate host_;
  std::deque<AccessGate> vps_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_GATES_H_
