// What all connections of a disk know of its writes, and how often they were made again. For nbd_connection.cc.
//
//   if (!writes->MayWrite()) Wait(operation);        // a server may still carry out older ones
//
// Thread safety: any thread. Lifetime: the disk, its connections and what is left of them share it.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_WRITES_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_WRITES_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace vmbuskit {

class NbdWrites {
 public:
  NbdWrites() = default;
  ~NbdWrites();
  NbdWrites(const NbdWrites&) = delete;
  NbdWrites& operator=(const NbdWrites&) = delete;

  std::atomic<uint64_t> ended = 0;    // without FUA
  std::atomic<uint64_t> flushed = 0;  // of these
  std::atomic<bool> lost = false;     // perhaps; for good
  std::atomic<uint32_t> ready = 0;    // connections that would notice a break
  std::atomic<uint64_t> reconnects = 0;

  void NoteFlushed(uint64_t count);

  // Sockets of broken connections over which writes went that were not answered (nbd_drain.h).
  bool MayWrite() const { return in_doubt_.load() == 0; }
  void BeginDoubt() { ++in_doubt_; }
  void EndDoubt() { --in_doubt_; }
  // One that is still in doubt when its connection goes, for the disk's next: -1: there is none.
  void LeaveSocket(int socket);
  int TakeSocket();

  // Last connections that are being left (nbd_leave.h), each for a limited time.
  void BeginLeave();
  void EndLeave(bool was_flushed, uint64_t covers);
  void WaitUntilLeft();

 private:
  std::atomic<uint32_t> in_doubt_ = 0;
  std::mutex mutex_;
  std::vector<int> left_;
  std::condition_variable changed_;
  uint32_t leaving_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_WRITES_H_
