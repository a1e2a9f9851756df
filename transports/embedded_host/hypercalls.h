// Hypercalls: the checks of the control word and of the buffers, then the call. Source: protocol 01 section 3.
//
//   uint64_t result = hypercalls.Call(vp, kCallSignalEventFast, connection_id, 0);
//
// Input is copied once into private memory; output is written back at the end. This interface has the two fast
// argument words only, no XMM registers: a fast call with more input, or with output, is INVALID_HYPERCALL_INPUT.
// Thread safety: for `vp` on its executor.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HYPERCALLS_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HYPERCALLS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "platform/executor.h"
#include "platform/memory.h"
#include "transports/embedded_host/message_inbox.h"
#include "transports/embedded_host/partition_gates.h"
#include "transports/embedded_host/partition_options.h"
#include "transports/embedded_host/port_table.h"
#include "transports/embedded_host/register_file.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class Hypercalls {
 public:
  struct Parts {
    GuestMemory& memory;
    PartitionGates& gates;
    VirtualProcessors& vps;
    RegisterFile& registers;
    PortTable& ports;
    MessageInbox& inbox;
    Event& inbox_wake;  // signalled after a message went into the inbox
  };

  Hypercalls(const Parts& parts, const PartitionOptions& options)
      : parts_(parts), options_(options) {}

  // `vp` exists. The result word.
  uint64_t Call(uint32_t vp, uint64_t control, uint64_t input, uint64_t output);

 private:
  struct Shape;
  struct Buffers;

  static const Shape* FindShape(uint16_t code);
  static HypercallStatus CheckControl(const Shape& shape, uint64_t control);
  HypercallStatus FetchBuffers(const Shape& shape, uint64_t control, uint64_t input,
                               uint64_t output, Buffers& buffers);
  HypercallStatus Buffer(Gpa gpa, size_t size, std::span<std::byte>& bytes);
  uint64_t Dispatch(uint32_t vp, uint64_t control, Buffers& buffers);

  HypercallStatus PostMessage(uint32_t vp, std::span<const std::byte> input);
  HypercallStatus SignalEvent(uint32_t vp, std::span<const std::byte> input);
  HypercallStatus CheckRegistersHeader(uint32_t vp, std::span<const std::byte> input) const;
  uint64_t GetRegisters(uint32_t vp, uint64_t control, Buffers& buffers);
  uint64_t SetRegisters(uint32_t vp, uint64_t control, Buffers& buffers);

  const Parts parts_;
  const PartitionOptions& options_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_HYPERCALLS_H_
