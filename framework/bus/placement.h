// Which CPU serves which channel. Pure policy: numbers in, a number out, no side effects.
//
//   Placement placement(transport.vp_count());
//   uint32_t cpu = placement.Place(DeviceSpeed::kFast, /*subchannel_index=*/0, {});
//   uint32_t next = placement.Place(DeviceSpeed::kFast, 1, {{cpu}});  // another one, if any
//
// Source: protocol 02 section 6, "CPU assignment", with all CPUs in one NUMA node: slow devices go
// to CPU 0 (the connect CPU); fast channels take the first online CPU that the map of allocated
// ones does not hold, the map starts anew when it is full, and a sub-channel passes over CPUs that
// its own device uses, unless its index is not below the number of online CPUs or each of them was
// looked at.
// Thread safety: the bus executor.
#ifndef VMBUSKIT_FRAMEWORK_BUS_PLACEMENT_H_
#define VMBUSKIT_FRAMEWORK_BUS_PLACEMENT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace vmbuskit {

enum class DeviceSpeed {
  kSlow,  // served by CPU 0
  kFast,  // channels spread over the CPUs
};

class Placement {
 public:
  // CPUs 0 .. cpu_count - 1, all online. At least one.
  explicit Placement(uint32_t cpu_count);

  // `used_by_device`: the CPUs of the device's other channels.
  uint32_t Place(DeviceSpeed speed, uint16_t subchannel_index,
                 std::span<const uint32_t> used_by_device);

  // CPU 0 stays online whatever is asked.
  void SetOnline(uint32_t cpu, bool online);
  bool online(uint32_t cpu) const { return cpu < online_.size() && online_[cpu]; }
  uint32_t online_count() const;
  uint32_t cpu_count() const { return static_cast<uint32_t>(online_.size()); }

 private:
  uint32_t TakeNext();

  std::vector<bool> online_;
  std::vector<bool> allocated_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_PLACEMENT_H_
