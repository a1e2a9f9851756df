// Serves disks to ordinary programs: NBD over Unix sockets and TCP.
//
//   NbdServer server({&streams}, {.addresses = {{.unix_path = "/run/disk.sock"}}});
//   absl::Status status = co_await server.AddExport({.name = "disk0"}, disk);     // the first one is the default
//   status = co_await server.Start();
//   ...
//   status = co_await server.RemoveExport("disk0");      // the disk goes; its clients are disconnected
//   status = co_await server.Stop();                     // answers what is in flight, flushes, closes
//
// Clients have so much patience to take their answers before they are cut off; disks have their own, longer one to end
// what they have, and again for the last flush, because giving that up loses data.
//
// Each connection belongs to one of the executors, in turn; the server itself to the first. TCP beyond this machine
// needs a guard (TLS): without one Start fails, with one clients have to use it there. Elsewhere a guard is an offer,
// unless Options::tls_required. Above connections_max, clients wait in the kernel's queue.
//
// Thread safety: the first executor's. Lifetime: streams and guard outlive it; Stop must have succeeded before the
// destructor, when Start or AddExport were called. A disk is kept until it was removed or the server stopped.
// Errors: those of the sockets, naming the address; FailedPrecondition when TLS is missing; AlreadyExists and NotFound
// name the export; DeadlineExceeded: some requests did not end, and Stop or RemoveExport may be called again.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_worker.h"
#include "framework/observe/inspect.h"
#include "framework/task/deadline.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/stream.h"

namespace vmbuskit {

class NbdServer {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(10);  // with clients

  struct Options {
    std::vector<StreamAddress> addresses{};
    uint32_t connections_max = 64;
    NbdLimits limits{};  // of each connection
    StreamGuard* guard = nullptr;
    bool tls_required = false;
    Duration handshake_deadline = std::chrono::seconds(30);
  };

  // At least one of `streams`, each of another executor.
  NbdServer(const std::vector<Streams*>& streams, const Options& options);
  ~NbdServer();
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  Task<absl::Status> Start();
  // The name is at most nbd::kStringBytesMax bytes.
  Task<absl::Status> AddExport(NbdExportOptions options, std::shared_ptr<BlockDevice> disk);
  Task<absl::Status> RemoveExport(std::string name, Duration patience = kPatience,
                                  Duration disk_patience = kDefaultDeadline);
  Task<absl::Status> Stop(Duration patience = kPatience, Duration disk_patience = kDefaultDeadline);

  // Where it listens, with the ports that were chosen.
  std::vector<StreamAddress> addresses() const;
  uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }
  std::vector<std::string> exports() const;
  // Connections and requests, now and in all, and what went wrong last. Visits every executor; the server must not be
  // destroyed meanwhile.
  Task<void> Inspect(InspectNode& node);

 private:
  class Flush;
  struct Export {
    std::string name;
    std::shared_ptr<BlockDevice> disk;
  };

  Executor& executor() const { return workers_.front()->executor(); }
  absl::Status Listen(const StreamAddress& address);
  void OnConnection();
  void OnRoom();
  void OnConnectionEnded();
  NbdTls TlsFor(const StreamListener& listener) const;
  Task<void> HandOver(NbdWorker& worker, std::unique_ptr<Stream> stream, NbdTls tls);
  Task<absl::Status> FlushDisk(std::shared_ptr<BlockDevice> disk, Duration patience);

  void EraseEndedFlushes();

  const Options options_;
  std::vector<std::unique_ptr<NbdWorker>> workers_;
  std::vector<std::unique_ptr<StreamListener>> listeners_;
  std::vector<Export> exports_;  // in the order of their arrival
  std::atomic<uint32_t> connections_ = 0;
  uint64_t accepted_ = 0;
  size_t next_worker_ = 0;
  bool full_ = false;
  Event room_;
  TaskGroup handovers_;
  std::vector<std::unique_ptr<Flush>> flushes_;  // those that have not ended
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_H_
