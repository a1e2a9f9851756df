// Connection ids that the guest can post to or signal (24 bits), and what stands behind them. The guest looks up
// without a lock; the host adds and removes.
//
//   ports.AddEventPort(relid | sint << 12, &signal);                 // host
//   { AccessGate::Scope inside(gates.vp(n));                           // guest, in a hypercall
//     if (Event* event = ports.FindEvent(id)) event->Signal(); }
//   ports.Remove(relid | sint << 12);                                // afterwards `signal` may go
//
// Source: protocol 01 sections 3.6 and 4.5.
// Thread safety: Add and Remove on the host executor; Find inside the calling processor's gate.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PORT_TABLE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PORT_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "platform/executor.h"
#include "transports/embedded_host/partition_gates.h"

namespace vmbuskit {

class PortTable {
 public:
  explicit PortTable(const PartitionGates& gates) : gates_(gates) {}
  PortTable(const PortTable&) = delete;
  PortTable& operator=(const PortTable&) = delete;

  // AlreadyExists when the id is taken, InvalidArgument when it has more than 24 bits.
  absl::Status AddEventPort(uint32_t connection_id, Event* target);
  absl::Status AddMessagePort(uint32_t connection_id);
  // Waits until no processor is using the port any more. An unknown id is ignored.
  void Remove(uint32_t connection_id);

  // Null when there is no port of that id, or one of the other kind.
  Event* FindEvent(uint32_t connection_id) const;
  bool IsMessagePort(uint32_t connection_id) const;

  uint32_t size() const { return size_; }
  uint32_t nodes() const { return nodes_; }

 private:
  // A radix tree of three levels with 256 entries each. Nodes go with their last port, for the ids are the guest's
  // choice (protocol 02 section 5.2): at most two small ones for each port that exists.
  struct Leaf {
    std::array<std::atomic<uintptr_t>, 256> ports{};  // 0: free, 1: message port, else Event*
    uint32_t used = 0;                                // the host's
  };
  struct Middle {
    std::array<std::atomic<Leaf*>, 256> leaves{};
    std::array<std::unique_ptr<Leaf>, 256> owned;
    uint32_t used = 0;
  };
  static constexpr uintptr_t kMessagePort = 1;

  absl::Status Add(uint32_t connection_id, uintptr_t value);
  const std::atomic<uintptr_t>* Find(uint32_t connection_id) const;

  const PartitionGates& gates_;
  std::array<std::atomic<Middle*>, 256> middles_{};
  std::array<std::unique_ptr<Middle>, 256> owned_;
  uint32_t size_ = 0;
  uint32_t nodes_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PORT_TABLE_H_
