// A partition without a hypervisor, for tests of the guest's side: registers that remember what was
// written, message slots and event flags that the test fills, hypercalls that the test answers.
//
//   FakePartition partition(memory, /*vp_count=*/2);
//   partition.on_post = [&](uint32_t connection, std::span<const std::byte> message) { ... };
//   partition.Queue(0, message);       // delivered as slots get free
//   partition.SetFlag(1, relid);       // and interrupts
//
// Everything is done at once and on the caller's turn; handlers run when their executor is given
// one.
// Thread safety: none. For tests only.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_FAKE_PARTITION_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_FAKE_PARTITION_H_

#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "platform/partition.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

class FakePartition final : public Partition {
 public:
  FakePartition(GuestMemory& memory, uint32_t vp_count) : memory_(memory), vps_(vp_count) {
    for (uint32_t i = 0; i < vp_count; ++i) {
      for (uint32_t sint = 0; sint < kSintCount; ++sint) {
        vps_[i].registers[kRegSint0 + sint] = kSintReset;
      }
      vps_[i].registers[kRegVpIndex] = first_vp_index + i;
    }
  }

  uint32_t vp_count() const override { return static_cast<uint32_t>(vps_.size()); }
  GuestMemory& memory() override { return memory_; }

  CpuidResult Cpuid(uint32_t, uint32_t leaf) override {
    auto found = cpuid.find(leaf);
    return found != cpuid.end() ? found->second : CpuidResult{};
  }

  absl::StatusOr<uint64_t> ReadRegister(uint32_t vp, uint32_t reg) override {
    if (reg == kRegTimeRefCount) return reference_time;
    return vps_[vp].registers[reg];
  }

  absl::Status WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) override {
    if (failing_registers.contains(reg)) {
      return absl::InvalidArgumentError(absl::StrFormat("register 0x%x: 0x%x", reg, value));
    }
    writes.push_back({vp, reg, value});
    if (reg == kRegEom) {
      ++end_of_messages;
      Pump(vp);
      return absl::OkStatus();
    }
    vps_[vp].registers[reg] = value;
    // An overlay brings back whatever an earlier owner left in it.
    if ((reg == kRegSimp || reg == kRegSiefp) && (value & kPageRegisterEnable) != 0) {
      std::memset(Page(vp, reg), 0xEE, kPageSize);
    }
    return absl::OkStatus();
  }

  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override {
    (void)vp;
    (void)output;
    ++hypercalls;
    if ((vps_[0].registers[kRegHypercall] & kPageRegisterEnable) == 0) return kHypercallUndefined;
    if (control == kCallSignalEventFast) {
      signals.push_back(static_cast<uint32_t>(input));
      if (on_signal != nullptr) on_signal(static_cast<uint32_t>(input));
      return HypercallResult(signal_status);
    }
    PostMessageInput post;
    std::memcpy(&post, memory_.Translate(input, sizeof post)->data(), sizeof post);
    if (!post_statuses.empty()) {
      const HypercallStatus status = post_statuses.front();
      post_statuses.pop_front();
      if (status != HypercallStatus::kSuccess) return HypercallResult(status);
    }
    if (on_post == nullptr) return HypercallResult(post_status);
    // Reserved bits of the result mean nothing: guests must not look at them.
    return HypercallResult(
               on_post(post.connection_id, std::span(post.payload).first(post.payload_size))) |
           0xABC0000;
  }

  void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) override {
    if (handler == nullptr) {
      vps_[vp].handlers.erase(vector);
    } else {
      vps_[vp].handlers[vector] = handler;
    }
  }
  uint64_t ReadTsc(uint32_t) override { return 0; }

  // ---- The host's hand ----

  SynicMessage& Slot(uint32_t vp, uint32_t sint = kVmbusSint) {
    return reinterpret_cast<SynicMessagePage*>(Page(vp, kRegSimp))->slot[sint];
  }
  // Puts a message there in its turn.
  void Queue(uint32_t vp, std::span<const std::byte> message, uint32_t type = kMessageTypeVmbus) {
    vps_[vp].queue.push_back({type, {message.begin(), message.end()}});
    Pump(vp);
  }
  size_t queued(uint32_t vp) const { return vps_[vp].queue.size(); }
  void SetFlag(uint32_t vp, uint32_t flag) {
    auto& flags = reinterpret_cast<SynicEventFlagsPage*>(Page(vp, kRegSiefp))->flags[kVmbusSint];
    const uint64_t bit = uint64_t{1} << flag % 64;
    if ((std::atomic_ref(flags[flag / 64]).fetch_or(bit) & bit) == 0) RaiseSint(vp);
  }
  void Raise(uint32_t vp, uint8_t vector) {
    auto found = vps_[vp].handlers.find(vector);
    if (found != vps_[vp].handlers.end()) found->second->Signal();
  }
  bool connected(uint32_t vp, uint8_t vector) const { return vps_[vp].handlers.contains(vector); }
  bool page_enabled(uint32_t vp, uint32_t reg) {
    return (vps_[vp].registers[reg] & kPageRegisterEnable) != 0;
  }
  uint64_t reg(uint32_t vp, uint32_t number) { return vps_[vp].registers[number]; }

  struct Write {
    uint32_t vp;
    uint32_t reg;
    uint64_t value;
    bool operator==(const Write&) const = default;
  };

  static constexpr uint32_t first_vp_index = 10;  // an index is no CPU number

  std::map<uint32_t, CpuidResult> cpuid = {
      {kCpuidLeafProcessor, {.ecx = kCpuidHypervisorPresent}},
      {kCpuidLeafVendor,
       {.eax = 0x40000005, .ebx = kCpuidVendorEbx, .ecx = kCpuidVendorEcx, .edx = kCpuidVendorEdx}},
      {kCpuidLeafFeatures,
       {.eax = kPrivilegeTimeRefCount | kPrivilegeSynic | kPrivilegeSyntheticTimers |
               kPrivilegeHypercall | kPrivilegeVpIndex,
        .edx = kFeatureDirectTimers}},
      {kCpuidLeafHints, {.eax = kHintAutoEoiDeprecated}}};
  std::vector<Write> writes;
  std::set<uint32_t> failing_registers;
  std::function<HypercallStatus(uint32_t connection, std::span<const std::byte> message)> on_post;
  std::function<void(uint32_t connection)> on_signal;
  std::deque<HypercallStatus> post_statuses;  // of the next posts; success is left to on_post
  HypercallStatus post_status = HypercallStatus::kSuccess;  // without on_post
  HypercallStatus signal_status = HypercallStatus::kSuccess;
  std::vector<uint32_t> signals;
  uint64_t hypercalls = 0;
  uint64_t end_of_messages = 0;
  uint64_t reference_time = 1000;

 private:
  struct Vp {
    std::map<uint32_t, uint64_t> registers;
    std::map<uint8_t, Event*> handlers;
    std::deque<std::pair<uint32_t, std::vector<std::byte>>> queue;
  };

  std::byte* Page(uint32_t vp, uint32_t reg) {
    return memory_.Translate(vps_[vp].registers[reg] & kPageRegisterPageMask, kPageSize)->data();
  }
  void RaiseSint(uint32_t vp) {
    const uint64_t sint = vps_[vp].registers[kRegSint0 + kVmbusSint];
    if ((sint & kSintMasked) == 0) Raise(vp, static_cast<uint8_t>(sint));
  }
  void Pump(uint32_t vp) {
    std::deque<std::pair<uint32_t, std::vector<std::byte>>>& queue = vps_[vp].queue;
    if (queue.empty() || !page_enabled(vp, kRegSimp)) return;
    SynicMessage& slot = Slot(vp);
    if (slot.type != kMessageTypeNone) {
      slot.flags |= kMessageFlagPending;
      return;
    }
    auto [type, bytes] = std::move(queue.front());
    queue.pop_front();
    slot.payload_size = static_cast<uint8_t>(bytes.size());
    slot.flags = queue.empty() ? 0 : kMessageFlagPending;
    std::memcpy(slot.payload.data(), bytes.data(), std::min(bytes.size(), slot.payload.size()));
    slot.type = type;
    RaiseSint(vp);
  }

  GuestMemory& memory_;
  std::vector<Vp> vps_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_FAKE_PARTITION_H_
