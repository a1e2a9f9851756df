// A disk whose contents are a file or a block device of the machine.
//
//   absl::StatusOr<std::unique_ptr<LinuxBlockFile>> image = LinuxBlockFile::Open("disk.img", {});
//   auto disk = std::make_shared<FileDisk>(*std::move(image), FileDisk::Options{});
//
// What the file's end leaves over of a block is not part of the disk. A flush reaches stable storage; without one a
// write is in the operating system's hands when it ends (info().volatile_cache).
// Thread safety, ownership, units: framework/interfaces/block_device.h; executors are of the file's kind.
// Errors: ENOSPC, EDQUOT and EFBIG are kNoSpace, all others kMediumError; the first of them stands in first_error().
// The operating system tells of a write that it could not make stable once, and forgets the bytes. So once the sync of
// a flush or of a stable write (force_unit_access) has failed, all that follow on any queue fail with kMediumError
// until the disk is made anew (file_syncs.h); reads and other writes go on. sync_error() tells why. A stable write that
// fails before its sync, on a full disk say, fails alone.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_H_

#include <atomic>
#include <memory>
#include <string>

#include "devices/storvsc/host/file_syncs.h"
#include "framework/interfaces/block_device.h"
#include "platform/block_file.h"

namespace vmbuskit {

class FileDisk final : public BlockDevice {
 public:
  struct Options {
    uint32_t block_bytes = 512;
    std::string id = {};
  };

  FileDisk(std::unique_ptr<BlockFile> file, const Options& options);

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_; }
  // Null when the file has no queue for `executor` (io_uring refuses): its requests could not end.
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override;
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

  // The errno of the first operation that failed; 0: none did. Any thread.
  int first_error() const { return first_error_.load(std::memory_order_relaxed); }
  // The errno of the first sync that failed; 0: none did. Any thread.
  int sync_error() const { return syncs_.error(); }

 private:
  friend class FileDiskQueue;
  void NoteError(int error);

  const std::unique_ptr<BlockFile> file_;
  BlockInfo info_;
  uint64_t bytes_ = 0;
  std::atomic<int> first_error_ = 0;
  FileSyncs syncs_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_FILE_DISK_H_
