// A disk that an NBD server holds: Ceph, qemu's formats, nbdkit's plugins, another machine.
//
//   absl::StatusOr<std::shared_ptr<NbdDisk>> disk = NbdDisk::Open("nbd+unix:///?socket=/run/disk.sock", {});
//
// Each executor that opens queues has one connection, which its queues share. A server that does not promise that its
// connections see each other's writes (multi-conn) gets one connection only: OpenQueue is null for a second executor.
// Thread safety, ownership, units: framework/interfaces/block_device.h; executors are LinuxExecutors.
// Who lets go of a disk last waits for the flush of what no flush covered (nbd_leave.h), for at most deadlines.leave.
// Errors: Open names the URI; it blocks for at most Options::connect_deadline. Later a broken connection is made anew
// (nbd_connection.h, with Options::deadlines): what waited too long for that ends with kTimedOut, or with kGone when
// the server has another disk now. After a break with unflushed writes, and after a flush that the server could not
// carry out, every flush fails with kMediumError until the disk is opened anew.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DISK_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/storvsc/host/nbd_connection.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

class NbdDisk final : public BlockDevice, public std::enable_shared_from_this<NbdDisk> {
 public:
  struct Options {
    uint32_t block_bytes = 512;
    bool read_only = false;
    std::string id = {};
    Duration connect_deadline = std::chrono::seconds(10);
    NbdDeadlines deadlines = {};
  };

  static absl::StatusOr<std::shared_ptr<NbdDisk>> Open(const std::string& uri,
                                                       const Options& options);

  ~NbdDisk() override { writes_->WaitUntilLeft(); }

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_; }
  // Of all its connections; any thread.
  uint64_t reconnects() const { return writes_->reconnects; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

 private:
  struct Connected {
    const Executor* executor;
    std::weak_ptr<NbdConnection> connection;
  };

  NbdDisk(std::string uri, const NbdFacts& facts, const Options& options);
  std::shared_ptr<NbdConnection> ConnectionOf(Executor& executor);

  const std::string uri_;
  const NbdFacts facts_;
  const NbdDeadlines deadlines_;
  const std::shared_ptr<NbdWrites> writes_ = std::make_shared<NbdWrites>();
  BlockInfo info_;
  uint64_t bytes_ = 0;
  std::mutex mutex_;
  std::vector<Connected> connected_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DISK_H_
