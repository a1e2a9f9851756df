#include "devices/storvsc/export/nbd_server.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

class NbdServer::Flush final : public BlockRequest {
 public:
  Flush(std::shared_ptr<BlockDevice> disk, Executor& executor)
      : disk_(std::move(disk)), ended_(executor, "the flush of a disk") {
    operation = BlockOperation::kFlush;
    queue_ = disk_->OpenQueue(executor);
  }
  void Submit() {
    if (queue_ == nullptr) return OnDone(BlockResult::kGone);
    queue_->Submit(*this);
  }
  void OnDone(BlockResult result) override { ended_.Set(result); }
  OneShot<BlockResult>& ended() { return ended_; }

 private:
  const std::shared_ptr<BlockDevice> disk_;
  OneShot<BlockResult> ended_;
  std::unique_ptr<BlockQueue> queue_;
};

NbdServer::NbdServer(const std::vector<Streams*>& streams, const Options& options)
    : options_(options),
      room_(streams.front()->executor(), Callback::To<&NbdServer::OnRoom>(this)),
      handovers_(streams.front()->executor(), "new NBD connections") {
  const NbdServerConnection::Options connection = {
      .limits = options_.limits,
      .guard = options_.guard,
      .handshake_deadline = options_.handshake_deadline};
  for (Streams* each : streams) {
    workers_.push_back(std::make_unique<NbdWorker>(
        *each, connection, Callback::To<&NbdServer::OnConnectionEnded>(this)));
  }
}

NbdServer::~NbdServer() { assert(connections() == 0 && listeners_.empty() && flushes_.empty()); }

absl::Status NbdServer::Listen(const StreamAddress& address) {
  auto listener = workers_.front()->streams().Listen(address);
  if (!listener.ok()) return listener.status();
  if (!(*listener)->is_local() && options_.guard == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "NBD at ", ToString(address),
        " can be reached from other machines: that needs TLS, a folder with certificates"));
  }
  listeners_.push_back(*std::move(listener));
  return listeners_.back()->Start(Callback::To<&NbdServer::OnConnection>(this));
}

Task<absl::Status> NbdServer::Start() {
  for (const StreamAddress& address : options_.addresses) {
    const absl::Status listening = Listen(address);
    if (listening.ok()) continue;
    listeners_.clear();
    co_return listening;
  }
  co_return absl::OkStatus();
}

NbdTls NbdServer::TlsFor(const StreamListener& listener) const {
  if (options_.guard == nullptr) return NbdTls::kNone;
  return options_.tls_required || !listener.is_local() ? NbdTls::kRequired : NbdTls::kOffered;
}

void NbdServer::OnConnection() {
  for (const std::unique_ptr<StreamListener>& listener : listeners_) {
    if (connections() >= options_.connections_max) break;
    NbdWorker& worker = *workers_[next_worker_];
    std::unique_ptr<Stream> stream = listener->Accept(worker.streams());
    if (stream == nullptr) continue;
    next_worker_ = (next_worker_ + 1) % workers_.size();
    connections_.fetch_add(1, std::memory_order_relaxed);
    ++accepted_;
    handovers_.Spawn(HandOver(worker, std::move(stream), TlsFor(*listener)));
  }
  if (connections() < options_.connections_max) return;
  full_ = true;
  for (const std::unique_ptr<StreamListener>& listener : listeners_) listener->Pause();
  // One may have ended before it was known that this matters.
  room_.Signal();
}

Task<void> NbdServer::HandOver(NbdWorker& worker, std::unique_ptr<Stream> stream, NbdTls tls) {
  co_await SwitchTo(worker.executor());
  worker.AddConnection(std::move(stream), tls);
}

void NbdServer::OnConnectionEnded() {
  connections_.fetch_sub(1, std::memory_order_seq_cst);
  room_.Signal();
}

void NbdServer::OnRoom() {
  if (!full_ || connections() >= options_.connections_max) return;
  full_ = false;
  for (const std::unique_ptr<StreamListener>& listener : listeners_) {
    (void)listener->Start(Callback::To<&NbdServer::OnConnection>(this));
  }
}

Task<absl::Status> NbdServer::AddExport(NbdExportOptions options,
                                        std::shared_ptr<BlockDevice> disk) {
  for (const Export& present : exports_) {
    if (present.name != options.name) continue;
    co_return absl::AlreadyExistsError(absl::StrCat("NBD export '", options.name, "'"));
  }
  if (options.name.size() > nbd::kStringBytesMax) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("the name of an NBD export has ", options.name.size(), " bytes"));
  }
  const uint64_t room = options_.limits.buffer_bytes_max;
  options.payload_bytes_max =
      static_cast<uint32_t>(std::min<uint64_t>(options.payload_bytes_max, room));
  exports_.push_back({options.name, disk});
  const std::string default_name = exports_.front().name;
  for (const std::unique_ptr<NbdWorker>& worker : workers_) {
    co_await SwitchTo(worker->executor());
    worker->AddExport(options, disk);
    worker->SetDefault(default_name);
  }
  co_await SwitchTo(executor());
  co_return absl::OkStatus();
}

Task<absl::Status> NbdServer::RemoveExport(std::string name, Duration patience,
                                           Duration disk_patience) {
  const auto found = std::find_if(exports_.begin(), exports_.end(),
                                  [&name](const Export& entry) { return entry.name == name; });
  if (found == exports_.end()) {
    co_return absl::NotFoundError(absl::StrCat("NBD export '", name, "'"));
  }
  absl::Status all = co_await handovers_.Join(DeadlineIn(executor(), patience));
  for (const std::unique_ptr<NbdWorker>& worker : workers_) {
    co_await SwitchTo(worker->executor());
    const absl::Status removed = co_await worker->RemoveExport(name, patience, disk_patience);
    all.Update(removed);
  }
  co_await SwitchTo(executor());
  if (!all.ok()) co_return all;
  std::erase_if(exports_, [&name](const Export& entry) { return entry.name == name; });
  const std::string default_name = exports_.empty() ? "" : exports_.front().name;
  for (const std::unique_ptr<NbdWorker>& worker : workers_) {
    co_await SwitchTo(worker->executor());
    worker->SetDefault(default_name);
  }
  co_await SwitchTo(executor());
  co_return absl::OkStatus();
}

Task<absl::Status> NbdServer::Stop(Duration patience, Duration disk_patience) {
  listeners_.clear();
  EraseEndedFlushes();  // those that an earlier Stop did not wait for any longer
  absl::Status all = co_await handovers_.Join(DeadlineIn(executor(), patience));
  for (const std::unique_ptr<NbdWorker>& worker : workers_) {
    co_await SwitchTo(worker->executor());
    const absl::Status stopped = co_await worker->Stop(patience, disk_patience);
    all.Update(stopped);
  }
  co_await SwitchTo(executor());
  if (!all.ok()) co_return all;
  for (const Export& entry : exports_) {
    const absl::Status flushed = co_await FlushDisk(entry.disk, disk_patience);
    all.Update(flushed);
  }
  // A flush that hangs is made again by the next Stop; one that failed would fail again.
  if (flushes_.empty()) exports_.clear();
  co_return all;
}

void NbdServer::EraseEndedFlushes() {
  std::erase_if(flushes_, [](const auto& each) { return each->ended().is_set(); });
}

Task<absl::Status> NbdServer::FlushDisk(std::shared_ptr<BlockDevice> disk, Duration patience) {
  flushes_.push_back(std::make_unique<Flush>(std::move(disk), executor()));
  Flush& flush = *flushes_.back();
  flush.Submit();
  const absl::StatusOr<BlockResult> result =
      co_await flush.ended().Wait(DeadlineIn(executor(), patience));
  if (!result.ok()) co_return result.status();
  EraseEndedFlushes();
  if (*result == BlockResult::kOk) co_return absl::OkStatus();
  co_return absl::DataLossError(
      absl::StrCat("the last flush of a disk failed: ", std::string(ToString(*result))));
}

std::vector<StreamAddress> NbdServer::addresses() const {
  std::vector<StreamAddress> all;
  for (const std::unique_ptr<StreamListener>& listener : listeners_) {
    all.push_back(listener->address());
  }
  return all;
}

std::vector<std::string> NbdServer::exports() const {
  std::vector<std::string> names;
  for (const Export& entry : exports_) names.push_back(entry.name);
  return names;
}

Task<void> NbdServer::Inspect(InspectNode& node) {
  NbdFigures figures;
  for (const std::unique_ptr<NbdWorker>& worker : workers_) {
    co_await SwitchTo(worker->executor());
    worker->AddTo(figures);
  }
  co_await SwitchTo(executor());
  node.Set("connections", connections());
  node.Set("connections_max", options_.connections_max);
  node.Set("connections_in_all", accepted_);
  node.Set("refused", figures.refused);
  node.Set("failed", figures.failed);
  if (!figures.last_error.ok()) {
    node.Set("last_error", std::string(figures.last_error.message()));
  }
  for (const auto& [name, entry] : figures.exports) {
    InspectNode& child = node.Child(absl::StrCat("export ", name));
    child.Set("connections", entry.connections);
    child.Set("requests", entry.counters.requests);
    child.Set("errors", entry.counters.errors);
  }
}

}  // namespace vmbuskit
