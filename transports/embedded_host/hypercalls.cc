#include "transports/embedded_host/hypercalls.h"

#include <array>
#include <cstring>

#include "absl/status/statusor.h"

namespace vmbuskit {

// What a call takes and gives, in bytes.
struct Hypercalls::Shape {
  uint16_t code;
  bool rep;
  uint16_t header;      // fixed input; of a rep call before its elements
  uint16_t rep_input;   // per element
  uint16_t output;      // of a simple call
  uint16_t rep_output;  // per element
};

struct Hypercalls::Buffers {
  alignas(8) std::array<std::byte, kPageSize> storage;
  std::span<const std::byte> input;  // in storage
  std::span<std::byte> output;       // guest memory
};

namespace {

constexpr size_t kFastInputMax = 16;

template <typename T>
T ReadStruct(std::span<const std::byte> bytes, size_t offset = 0) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

const Hypercalls::Shape* Hypercalls::FindShape(uint16_t code) {
  static constexpr Shape kShapes[] = {
      {kCallGetPartitionId, false, 0, 0, 8, 0},
      {kCallGetVpRegisters, true, sizeof(VpRegistersHeader), sizeof(uint32_t), 0,
       sizeof(VpRegisterValue)},
      {kCallSetVpRegisters, true, sizeof(VpRegistersHeader), sizeof(VpRegisterAssignment), 0, 0},
      {kCallPostMessage, false, sizeof(PostMessageInput), 0, 0, 0},
      {kCallSignalEvent, false, sizeof(SignalEventInput), 0, 0, 0},
      {kCallExtQueryCapabilities, false, 0, 0, 8, 0},
  };
  for (const Shape& shape : kShapes) {
    if (shape.code == code) return &shape;
  }
  return nullptr;
}

uint64_t Hypercalls::Call(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) {
  HypercallCounters& counters = parts_.vps[vp]->hypercalls();
  counters.calls.fetch_add(1, std::memory_order_relaxed);
  // The one that data paths use, without the detour over buffers.
  uint64_t result;
  if (control == kCallSignalEventFast) {
    result = HypercallResult(SignalEvent(vp, std::as_bytes(std::span(&input, 1))));
  } else {
    const Shape* shape = FindShape(ControlCode(control));
    HypercallStatus status = HypercallStatus::kInvalidHypercallCode;
    Buffers buffers;
    if (shape != nullptr) status = CheckControl(*shape, control);
    if (status == HypercallStatus::kSuccess) {
      status = FetchBuffers(*shape, control, input, output, buffers);
    }
    result = status == HypercallStatus::kSuccess ? Dispatch(vp, control, buffers)
                                                 : HypercallResult(status);
  }
  if (ResultStatus(result) != HypercallStatus::kSuccess) {
    counters.failed.fetch_add(1, std::memory_order_relaxed);
  }
  return result;
}

// Reserved bits are refused, which OpenVMM does not do: better that a guest finds out here.
HypercallStatus Hypercalls::CheckControl(const Shape& shape, uint64_t control) {
  const uint32_t count = ControlRepCount(control);
  const uint32_t start = ControlRepStart(control);
  const bool reps_fit = shape.rep ? count >= 1 && start < count : count == 0 && start == 0;
  if (!reps_fit || ControlVariableQwords(control) != 0 || (control & kControlReserved) != 0) {
    return HypercallStatus::kInvalidHypercallInput;
  }
  return HypercallStatus::kSuccess;
}

HypercallStatus Hypercalls::FetchBuffers(const Shape& shape, uint64_t control, uint64_t input,
                                         uint64_t output, Buffers& buffers) {
  const uint32_t count = ControlRepCount(control);
  const size_t input_size = shape.header + size_t{shape.rep_input} * count;
  const size_t output_size = shape.output + size_t{shape.rep_output} * count;
  if (ControlIsFast(control)) {
    if (input_size > kFastInputMax || output_size != 0) {
      return HypercallStatus::kInvalidHypercallInput;
    }
    std::memcpy(buffers.storage.data(), &input, sizeof input);
    std::memcpy(buffers.storage.data() + sizeof input, &output, sizeof output);
    buffers.input = std::span(buffers.storage).first(input_size);
    return HypercallStatus::kSuccess;
  }
  std::span<std::byte> source;
  HypercallStatus status = Buffer(input, input_size, source);
  if (status == HypercallStatus::kSuccess) status = Buffer(output, output_size, buffers.output);
  if (status != HypercallStatus::kSuccess) return status;
  if (input_size != 0) std::memcpy(buffers.storage.data(), source.data(), input_size);
  buffers.input = std::span(buffers.storage).first(input_size);
  return HypercallStatus::kSuccess;
}

HypercallStatus Hypercalls::Buffer(Gpa gpa, size_t size, std::span<std::byte>& bytes) {
  if (size == 0) return HypercallStatus::kSuccess;
  if (gpa % kPageSize + size > kPageSize) return HypercallStatus::kInvalidHypercallInput;
  if (gpa % 8 != 0) return HypercallStatus::kInvalidAlignment;
  absl::StatusOr<std::span<std::byte>> memory = parts_.memory.Translate(gpa, size);
  if (!memory.ok()) return HypercallStatus::kInvalidHypercallInput;
  bytes = *memory;
  return HypercallStatus::kSuccess;
}

uint64_t Hypercalls::Dispatch(uint32_t vp, uint64_t control, Buffers& buffers) {
  switch (ControlCode(control)) {
    case kCallPostMessage:
      return HypercallResult(PostMessage(vp, buffers.input));
    case kCallSignalEvent:
      return HypercallResult(SignalEvent(vp, buffers.input));
    case kCallGetVpRegisters:
      return GetRegisters(vp, control, buffers);
    case kCallSetVpRegisters:
      return SetRegisters(vp, control, buffers);
    case kCallGetPartitionId:
      std::memcpy(buffers.output.data(), &options_.partition_id, sizeof options_.partition_id);
      return HypercallResult(HypercallStatus::kSuccess);
    case kCallExtQueryCapabilities: {
      if (!options_.extended_hypercalls) return HypercallResult(HypercallStatus::kAccessDenied);
      const uint64_t capabilities = 0;  // none of the optional extended calls
      std::memcpy(buffers.output.data(), &capabilities, sizeof capabilities);
      return HypercallResult(HypercallStatus::kSuccess);
    }
    default:
      return HypercallResult(HypercallStatus::kInvalidHypercallCode);
  }
}

// Which status a bad type gets is not established (section 9); INVALID_PARAMETER is assumed.
HypercallStatus Hypercalls::PostMessage(uint32_t vp, std::span<const std::byte> input) {
  const auto post = ReadStruct<PostMessageInput>(input);
  if (post.payload_size > kMessagePayloadMax || post.message_type == kMessageTypeNone ||
      (post.message_type & kMessageTypeHypervisor) != 0) {
    return HypercallStatus::kInvalidParameter;
  }
  {
    AccessGate::Scope inside(parts_.gates.vp(vp));
    if (!parts_.ports.IsMessagePort(post.connection_id)) {
      return HypercallStatus::kInvalidConnectionId;
    }
  }
  if (!parts_.inbox.Push(post.connection_id, post.message_type,
                         std::span(post.payload).first(post.payload_size))) {
    return HypercallStatus::kInsufficientBuffers;
  }
  parts_.vps[vp]->hypercalls().messages.fetch_add(1, std::memory_order_relaxed);
  parts_.inbox_wake.Signal();
  return HypercallStatus::kSuccess;
}

HypercallStatus Hypercalls::SignalEvent(uint32_t vp, std::span<const std::byte> input) {
  const auto signal = ReadStruct<SignalEventInput>(input);
  if (signal.flag_number >= kEventFlagCount) return HypercallStatus::kInvalidParameter;
  AccessGate::Scope inside(parts_.gates.vp(vp));
  Event* const target = parts_.ports.FindEvent(signal.connection_id);
  if (target == nullptr) return HypercallStatus::kInvalidConnectionId;
  parts_.vps[vp]->hypercalls().signals.fetch_add(1, std::memory_order_relaxed);
  target->Signal();
  return HypercallStatus::kSuccess;
}

// A processor may reach its own registers of VTL 0 only.
HypercallStatus Hypercalls::CheckRegistersHeader(uint32_t vp,
                                                 std::span<const std::byte> input) const {
  const auto header = ReadStruct<VpRegistersHeader>(input);
  if (header.partition_id != kPartitionIdSelf && header.partition_id != options_.partition_id) {
    return HypercallStatus::kInvalidPartitionId;
  }
  constexpr uint8_t kVtlMask = 0xF;
  constexpr uint8_t kUseVtl = 0x10;
  if ((header.target_vtl & kUseVtl) != 0 && (header.target_vtl & kVtlMask) != 0) {
    return HypercallStatus::kAccessDenied;
  }
  if (header.vp_index == kVpIndexSelf || header.vp_index == vp) return HypercallStatus::kSuccess;
  return header.vp_index < parts_.vps.size() ? HypercallStatus::kAccessDenied
                                             : HypercallStatus::kInvalidVpIndex;
}

uint64_t Hypercalls::GetRegisters(uint32_t vp, uint64_t control, Buffers& buffers) {
  uint32_t done = ControlRepStart(control);
  HypercallStatus status = CheckRegistersHeader(vp, buffers.input);
  for (; status == HypercallStatus::kSuccess && done < ControlRepCount(control); ++done) {
    const auto name =
        ReadStruct<uint32_t>(buffers.input, sizeof(VpRegistersHeader) + done * sizeof(uint32_t));
    VpRegisterValue value;
    status = parts_.registers.GetByName(vp, name, value);
    if (status != HypercallStatus::kSuccess) break;
    std::memcpy(buffers.output.data() + done * sizeof value, &value, sizeof value);
  }
  return HypercallResult(status, done);
}

uint64_t Hypercalls::SetRegisters(uint32_t vp, uint64_t control, Buffers& buffers) {
  uint32_t done = ControlRepStart(control);
  HypercallStatus status = CheckRegistersHeader(vp, buffers.input);
  for (; status == HypercallStatus::kSuccess && done < ControlRepCount(control); ++done) {
    const auto assignment = ReadStruct<VpRegisterAssignment>(
        buffers.input, sizeof(VpRegistersHeader) + done * sizeof(VpRegisterAssignment));
    status = parts_.registers.SetByName(vp, assignment.name,
                                        {assignment.value_low, assignment.value_high});
    if (status != HypercallStatus::kSuccess) break;
  }
  return HypercallResult(status, done);
}

}  // namespace vmbuskit
