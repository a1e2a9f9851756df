// The part of an NBD server that lives on one executor: its connections, and its own list of the exports.
//
//   NbdWorker worker(streams, options, on_connection_ended);
//   worker.AddExport({.name = "disk0"}, disk);
//   worker.AddConnection(std::move(stream), NbdTls::kNone);
//   absl::Status gone = co_await worker.RemoveExport("disk0", std::chrono::seconds(10), kDefaultDeadline);
//
// Thread safety: its executor's; on_connection_ended is called there. Lifetime: destroyed without connections.
// Errors: DeadlineExceeded names how many connections still have requests at a disk that does not end them.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_WORKER_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_WORKER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_export.h"
#include "devices/storvsc/export/nbd_server_connection.h"
#include "framework/task/one_shot.h"
#include "framework/task/task.h"
#include "platform/stream.h"

namespace vmbuskit {

// What happened at a server.
struct NbdFigures {
  struct Export {
    uint32_t connections = 0;  // now
    NbdCounters counters{};    // of these and of those that have ended
  };
  std::map<std::string, Export, std::less<>> exports{};
  uint64_t refused = 0;  // connections that ended with an error before they had an export
  uint64_t failed = 0;   // and afterwards
  // Of the last connection that did not end in agreement, and when.
  absl::Status last_error{};
  Instant last_error_at{};
};

class NbdWorker final : private NbdServerConnectionOwner {
 public:
  // `on_connection_ended`: on this worker's executor.
  NbdWorker(Streams& streams, const NbdServerConnection::Options& options,
            Callback on_connection_ended);
  ~NbdWorker() override;

  Executor& executor() { return streams_.executor(); }
  Streams& streams() { return streams_; }

  void AddExport(const NbdExportOptions& options, std::shared_ptr<BlockDevice> disk);
  void SetDefault(std::string name) { default_name_ = std::move(name); }
  void AddConnection(std::unique_ptr<Stream> stream, NbdTls tls);

  // Its connections answer what is in flight and end. Those that have not after `patience` are cut off, and their
  // requests waited for, up to `disk_patience`.
  Task<absl::Status> RemoveExport(std::string name, Duration patience, Duration disk_patience);
  // The same for all, whatever they use.
  Task<absl::Status> Stop(Duration patience, Duration disk_patience);

  size_t connections() const { return connections_.size(); }
  // Adds what happened here.
  void AddTo(NbdFigures& figures) const;

 private:
  struct Export {
    NbdExportOptions options;
    std::shared_ptr<BlockDevice> disk;
    NbdCounters counters{};  // of connections that have ended
  };

  std::optional<NbdExportInfo> Find(std::string_view name) override;
  std::vector<NbdExportInfo> List() override;
  std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo& info) override;
  void OnConnectionEnded(NbdServerConnection& connection) override;

  // Of the export; of all without a name.
  size_t Count(const std::optional<std::string>& name) const;
  void ForEach(const std::optional<std::string>& name, void (*call)(NbdServerConnection&)) const;
  Task<absl::Status> EndConnections(std::optional<std::string> name, Duration patience,
                                    Duration disk_patience);
  Task<absl::Status> AwaitEnd(std::optional<std::string> name, Instant deadline);

  Streams& streams_;
  const NbdServerConnection::Options options_;
  const Callback on_connection_ended_;
  std::map<std::string, Export, std::less<>> exports_;
  std::string default_name_;
  std::map<NbdServerConnection*, std::unique_ptr<NbdServerConnection>> connections_;
  std::vector<OneShot<void>*> waiting_;  // for an end
  uint64_t refused_ = 0;
  uint64_t failed_ = 0;
  absl::Status last_error_;
  Instant last_error_at_{};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_WORKER_H_
