// A partition that passes everything on to another one: for tests that look at some of it, or bend it, on its way.
//
//   class Watched final : public ForwardingPartition {
//     uint64_t Hypercall(...) override { ++calls; return ForwardingPartition::Hypercall(...); }
//   };
//
// Thread safety and lifetime: those of the real partition, which outlives it.
#ifndef VMBUSKIT_PLATFORM_FORWARDING_PARTITION_H_
#define VMBUSKIT_PLATFORM_FORWARDING_PARTITION_H_

#include <cstdint>

#include "platform/partition.h"

namespace vmbuskit {

class ForwardingPartition : public Partition {
 public:
  explicit ForwardingPartition(Partition& real) : real_(real) {}

  uint32_t vp_count() const override { return real_.vp_count(); }
  GuestMemory& memory() override { return real_.memory(); }
  CpuidResult Cpuid(uint32_t vp, uint32_t leaf) override { return real_.Cpuid(vp, leaf); }
  absl::StatusOr<uint64_t> ReadRegister(uint32_t vp, uint32_t reg) override {
    return real_.ReadRegister(vp, reg);
  }
  absl::Status WriteRegister(uint32_t vp, uint32_t reg, uint64_t value) override {
    return real_.WriteRegister(vp, reg, value);
  }
  uint64_t Hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) override {
    return real_.Hypercall(vp, control, input, output);
  }
  void ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) override {
    real_.ConnectInterrupt(vp, vector, handler);
  }
  uint64_t ReadTsc(uint32_t vp) override { return real_.ReadTsc(vp); }

 protected:
  Partition& real() { return real_; }

 private:
  Partition& real_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_FORWARDING_PARTITION_H_
