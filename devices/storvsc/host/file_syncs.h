// The syncs of one file, from queues on several executors: one in the kernel at a time.
//
//   FileSyncs syncs;                                  // of the file
//   FileSyncs::Port port(syncs, *queue, executor);    // of each of its queues
//   port.Submit(operation);      // operation.OnDone(0 or an errno), exactly once, never from inside Submit
//
// Why: the operating system tells of a write that it could not make stable to the first sync only that asks after it.
// Of two at once, the one that is told of nothing may end before the other, so that nobody knows yet what it lost.
// Syncs that arrive while one is under way share the next one. Once one has failed all that end later fail, too: the
// first with its errno, others with EIO.
// Thread safety: a port and its operations belong to its executor; error() from any thread.
// Lifetime: ports end, with nothing outstanding, before `syncs` and before their queue. Nothing is allocated by Submit.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_FILE_SYNCS_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_FILE_SYNCS_H_

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <mutex>
#include <vector>

#include "platform/block_file.h"
#include "platform/executor.h"

namespace vmbuskit {

class FileSyncs {
 public:
  class Port;

  // The errno of the first that failed; 0: none did.
  int error() const { return error_.load(std::memory_order_acquire); }

 private:
  using Operations = boost::intrusive::list<FileOperation>;

  // With mutex_ held.
  void EndBatch(int error);
  Port* BeginBatch(Port& preferred);

  std::mutex mutex_;  // held for a moment of what takes the time of a disk
  std::vector<Port*> ports_;
  bool under_way_ = false;
  std::atomic<int> error_ = 0;
};

class FileSyncs::Port {
 public:
  Port(FileSyncs& syncs, FileQueue& queue, Executor& executor);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  void Submit(FileOperation& operation);

 private:
  friend class FileSyncs;
  // What the kernel gets, for the operations of all ports.
  struct Sync final : FileOperation {
    explicit Sync(Port& owner) : port(owner) { kind = Kind::kSync; }
    void OnDone(int error) override { port.OnSynced(error); }
    Port& port;
  };
  void OnSynced(int error);
  void OnTurn();

  FileSyncs& syncs_;
  FileQueue& queue_;
  Sync sync_;
  // With the mutex held:
  Operations next_;       // of the next sync
  Operations under_way_;  // of the one in the kernel
  Operations ended_;      // OnDone follows
  int ended_error_ = 0;
  bool leads_ = false;  // has to begin the sync
  // Signalled with the mutex held, so that whoever is told of an end finds nobody in Signal any more.
  Event turn_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_FILE_SYNCS_H_
