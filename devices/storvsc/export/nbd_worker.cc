#include "devices/storvsc/export/nbd_worker.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/deadline.h"

namespace vmbuskit {

NbdWorker::NbdWorker(Streams& streams, const NbdServerConnection::Options& options,
                     Callback on_connection_ended)
    : streams_(streams), options_(options), on_connection_ended_(on_connection_ended) {}

NbdWorker::~NbdWorker() { assert(connections_.empty()); }

void NbdWorker::AddExport(const NbdExportOptions& options, std::shared_ptr<BlockDevice> disk) {
  exports_[options.name] = {.options = options, .disk = std::move(disk)};
}

void NbdWorker::AddConnection(std::unique_ptr<Stream> stream, NbdTls tls) {
  NbdServerConnection::Options options = options_;
  options.tls = tls;
  NbdServerConnectionOwner& owner = *this;
  auto connection =
      std::make_unique<NbdServerConnection>(owner, executor(), std::move(stream), options);
  NbdServerConnection& started = *connection;
  connections_.emplace(&started, std::move(connection));
  started.Start();
}

std::optional<NbdExportInfo> NbdWorker::Find(std::string_view name) {
  const auto found = exports_.find(name.empty() ? std::string_view(default_name_) : name);
  if (found == exports_.end()) return std::nullopt;
  return DescribeNbdExport(*found->second.disk, found->second.options);
}

std::vector<NbdExportInfo> NbdWorker::List() {
  std::vector<NbdExportInfo> list;
  for (const auto& [name, entry] : exports_) {
    list.push_back(DescribeNbdExport(*entry.disk, entry.options));
  }
  return list;
}

std::shared_ptr<BlockDevice> NbdWorker::OpenDisk(const NbdExportInfo& info) {
  const auto found = exports_.find(info.name);
  return found == exports_.end() ? nullptr : found->second.disk;
}

void NbdWorker::OnConnectionEnded(NbdServerConnection& connection) {
  if (!connection.error().ok()) {
    ++(connection.in_transmission() ? failed_ : refused_);
    last_error_ = connection.error();
    last_error_at_ = executor().Now();
  }
  const auto used = exports_.find(connection.export_name());
  if (used != exports_.end()) used->second.counters += connection.counters();
  connections_.erase(&connection);
  for (OneShot<void>* waiting : waiting_) waiting->Set();
  on_connection_ended_();
}

void NbdWorker::AddTo(NbdFigures& figures) const {
  figures.refused += refused_;
  figures.failed += failed_;
  if (!last_error_.ok() && last_error_at_ >= figures.last_error_at) {
    figures.last_error = last_error_;
    figures.last_error_at = last_error_at_;
  }
  for (const auto& [name, entry] : exports_) figures.exports[name].counters += entry.counters;
  for (const auto& [key, connection] : connections_) {
    const auto used = figures.exports.find(connection->export_name());
    if (used == figures.exports.end() || !connection->in_transmission()) continue;
    ++used->second.connections;
    used->second.counters += connection->counters();
  }
}

size_t NbdWorker::Count(const std::optional<std::string>& name) const {
  return static_cast<size_t>(
      std::count_if(connections_.begin(), connections_.end(), [&name](const auto& entry) {
        return !name.has_value() || entry.second->export_name() == *name;
      }));
}

void NbdWorker::ForEach(const std::optional<std::string>& name,
                        void (*call)(NbdServerConnection&)) const {
  for (const auto& [key, connection] : connections_) {
    if (!name.has_value() || connection->export_name() == *name) call(*connection);
  }
}

Task<absl::Status> NbdWorker::RemoveExport(std::string name, Duration patience,
                                           Duration disk_patience) {
  exports_.erase(name);
  co_return co_await EndConnections(std::move(name), patience, disk_patience);
}

Task<absl::Status> NbdWorker::Stop(Duration patience, Duration disk_patience) {
  exports_.clear();
  co_return co_await EndConnections(std::nullopt, patience, disk_patience);
}

Task<absl::Status> NbdWorker::EndConnections(std::optional<std::string> name, Duration patience,
                                             Duration disk_patience) {
  ForEach(name, [](NbdServerConnection& connection) { connection.Stop(); });
  absl::Status ended = co_await AwaitEnd(name, DeadlineIn(executor(), patience));
  if (ended.ok()) co_return ended;
  ForEach(name, [](NbdServerConnection& connection) {
    connection.Drop(absl::DeadlineExceededError("the client did not take its answers in time"));
  });
  co_return co_await AwaitEnd(name, DeadlineIn(executor(), disk_patience));
}

Task<absl::Status> NbdWorker::AwaitEnd(std::optional<std::string> name, Instant deadline) {
  while (Count(name) > 0) {
    OneShot<void> changed(executor(), "an NBD connection's end");
    waiting_.push_back(&changed);
    const absl::Status waited = co_await changed.Wait(deadline);
    std::erase(waiting_, &changed);
    if (waited.ok()) continue;
    co_return absl::DeadlineExceededError(
        absl::StrCat(Count(name), " NBD connections", name ? " of export '" : "", name.value_or(""),
                     name ? "'" : "", " have requests that do not end"));
  }
  co_return absl::OkStatus();
}

}  // namespace vmbuskit
