// A disk that keeps nothing and answers at once: for measuring everything else. Reads leave the memory as it is.
//
//   NullDisk disk({.bytes = uint64_t{1} << 40});
//   std::unique_ptr<BlockQueue> queue = disk.OpenQueue(executor);
//
// Thread safety and lifetime: as block_device.h. Errors: those of a request that is wrong in itself.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NULL_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NULL_DISK_H_

#include <cstdint>
#include <memory>

#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class NullDisk final : public BlockDevice {
 public:
  struct Options {
    uint64_t bytes = uint64_t{1} << 30;
    uint32_t block_bytes = 512;
  };

  NullDisk() : NullDisk(Options{}) {}
  explicit NullDisk(const Options& options);

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override;

 private:
  const uint64_t bytes_;
  BlockInfo info_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NULL_DISK_H_
