// A file, or a block device of the machine, as the storage of a disk: asynchronous reads and writes on an executor.
//
//   absl::StatusOr<std::unique_ptr<FileQueue>> queue = file.OpenQueue(executor);
//   operation.kind = FileOperation::Kind::kRead;          // a class derived from FileOperation
//   operation.offset = 4096, operation.vectors = vectors;
//   (*queue)->Submit(operation);                          // operation.OnDone(0 or an errno), exactly once
//
// Implementation: platform/linux/linux_block_file.h. Thread safety: a file from any thread; a queue, its operations and
// their OnDone belong to its executor. Ownership: operations and their bytes stay the caller's until they ended; a
// queue is destroyed on its executor with nothing outstanding, before its file.
// Units: bytes. Errors: errno values; a read past the end of the file (it has shrunk) is ENODATA, never a short
// success.
#ifndef VMBUSKIT_PLATFORM_BLOCK_FILE_H_
#define VMBUSKIT_PLATFORM_BLOCK_FILE_H_

#include <sys/uio.h>

#include <boost/intrusive/list_hook.hpp>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "platform/executor.h"

namespace vmbuskit {

class FileOperation : public boost::intrusive::list_base_hook<> {
 public:
  enum class Kind : uint8_t {
    kRead,
    kWrite,
    kSync,       // data, and what is needed to find it again, on stable storage
    kPunchHole,  // deallocates; the range reads as zeros
    kZeroRange,  // reads as zeros, stays allocated
  };

  virtual ~FileOperation() = default;

  // 0 or an errno. Never from inside Submit. The operation may be submitted again, or destroyed, from here.
  virtual void OnDone(int error) = 0;

  Kind kind = Kind::kRead;
  uint64_t offset = 0;
  uint64_t bytes = 0;  // kPunchHole, kZeroRange
  // kRead, kWrite: at most kVectorsMax; used up: changed where parts were moved.
  std::span<iovec> vectors{};
};

class FileQueue {
 public:
  static constexpr size_t kVectorsMax = 1024;

  virtual ~FileQueue() = default;
  virtual void Submit(FileOperation& operation) = 0;
};

class BlockFile {
 public:
  struct Extent {
    uint64_t bytes = 0;
    bool data = true;
  };

  virtual ~BlockFile() = default;

  virtual uint64_t bytes() const = 0;  // as it was when it was opened
  virtual bool read_only() const = 0;
  // Offsets, lengths and addresses of reads and writes must be multiples of this; 1: no condition.
  virtual uint32_t alignment() const = 0;
  virtual bool rotational() const = 0;
  // On `executor`, of the implementation's kind.
  virtual absl::StatusOr<std::unique_ptr<FileQueue>> OpenQueue(Executor& executor) = 0;
  // What is at `offset`, as far as one kind reaches. Takes the time of a system call.
  virtual absl::StatusOr<Extent> FindExtent(uint64_t offset) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_BLOCK_FILE_H_
