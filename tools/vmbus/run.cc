#include "tools/vmbus/run.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/export/nbd_server.h"
#include "framework/task/deadline.h"
#include "framework/task/gate.h"
#include "platform/linux/linux_streams.h"
#include "platform/linux/tls_guard.h"
#include "tools/vmbus/chaos.h"
#include "tools/vmbus/disk_session.h"
#include "tools/vmbus/machine_arguments.h"
#include "tools/vmbus/memory_plan.h"
#include "tools/vmbus/serving.h"

namespace vmbuskit {
namespace {

constexpr char kName[] = "vmbus run";

struct Serving {
  std::vector<StreamAddress> addresses{};
  std::unique_ptr<StreamGuard> guard{};
  ChaosPlan chaos{};
};

class RunSession final : public DiskSession {
 public:
  RunSession(OpenedMachine& opened, Serving serving, bool json)
      : DiskSession(kName, opened, json), serving_(std::move(serving)) {}

 private:
  absl::Status OnStarted() override {
    ServeControlSocket();
    return DiskSession::OnStarted();
  }

  Task<absl::Status> UseDisks() override {
    MakeServer();
    absl::Status status = co_await AddExports();
    if (status.ok()) status = co_await server_->Start();
    if (!status.ok()) co_return status;
    Announce();
    if (serving_.chaos.any()) {
      chaos_.emplace(system().executor(), system().host_executor(), devices(), opened().machine,
                     serving_.chaos);
      chaos_->Start();
    }
    co_return absl::OkStatus();
  }

  Task<absl::Status> LetGoOfDisks() override {
    if (chaos_.has_value()) {
      const absl::Status calm = co_await chaos_->Stop();
      Say(absl::StrCat("chaos: ", chaos_->rescinds(), " rescinds, ", chaos_->hotplugs(),
                       " hot plugs"));
      if (!calm.ok()) End(calm);
    }
    if (!server_.has_value()) co_return absl::OkStatus();
    const absl::Status stopped = co_await server_->Stop();
    // Requests that did not end still use the disks; a flush that failed does not, but must be heard of.
    if (!stopped.ok() && !server_->exports().empty()) co_return stopped;
    if (!stopped.ok()) End(stopped);
    const absl::Status alone = co_await inspections_->Close(DeadlineIn(system().executor()));
    if (!alone.ok()) co_return alone;
    server_.reset();
    streams_.clear();
    co_return absl::OkStatus();
  }

  Task<void> InspectMore(InspectNode& tree) override {
    co_await DiskSession::InspectMore(tree);
    if (!inspections_.has_value()) co_return;
    const Gate::Holder holder = inspections_->Enter();
    if (holder) co_await server_->Inspect(tree.Child("nbd"));
  }

  void MakeServer() {
    std::vector<Streams*> streams;
    for (LinuxExecutor* executor : system().vp_executors()) {
      streams_.push_back(std::make_unique<LinuxStreams>(*executor));
      streams.push_back(streams_.back().get());
    }
    const MemoryPlan plan = PlanMemory(opened().machine);
    server_.emplace(streams,
                    NbdServer::Options{.addresses = serving_.addresses,
                                       .connections_max = plan.connections_max,
                                       .limits = {.buffer_bytes_max = plan.buffer_bytes_max},
                                       .guard = serving_.guard.get()});
    inspections_.emplace(system().executor(), "looks at the NBD server");
    if (plan.connections_max == opened().machine.nbd.connections_max) return;
    Say(absl::StrCat("the guest's memory is enough for ", plan.connections_max,
                     " NBD connections at a time"));
  }

  Task<absl::Status> AddExports() {
    const Machine& machine = opened().machine;
    for (size_t c = 0; c < machine.controllers.size(); ++c) {
      for (size_t d = 0; d < machine.controllers[c].disks.size(); ++d) {
        const DiskSpec& spec = machine.controllers[c].disks[d];
        NbdExportOptions options{
            .name = *spec.export_name, .description = spec.Text(), .read_only = spec.read_only};
        std::shared_ptr<BlockDevice> disk = opened().disks.Find(c, d);
        served_.push_back(Describe(spec, *disk));
        const absl::Status added = co_await server_->AddExport(std::move(options), std::move(disk));
        if (!added.ok()) co_return added;
      }
    }
    co_return absl::OkStatus();
  }

  static ServedDisk Describe(const DiskSpec& spec, const BlockDevice& disk) {
    return {.name = *spec.export_name,
            .bytes = disk.bytes(),
            .block_bytes = disk.info().block_bytes,
            .read_only = disk.info().read_only || spec.read_only,
            .source = spec.Text(),
            .uris = {}};
  }

  void Announce() {
    for (ServedDisk& disk : served_) {
      for (const StreamAddress& address : server_->addresses()) {
        const bool tls = serving_.guard != nullptr && address.unix_path.empty();
        disk.uris.push_back(NbdUri(address, tls, disk.name));
      }
    }
    if (!json()) return PrintText(ServingTable(served_));
    for (const ServedDisk& disk : served_) PrintText(ServingJson(disk));
  }

  const Serving serving_;
  std::vector<ServedDisk> served_;
  std::vector<std::unique_ptr<LinuxStreams>> streams_;
  std::optional<NbdServer> server_;
  std::optional<Gate> inspections_;  // of it
  std::optional<Chaos> chaos_;
};

int Fail(const absl::Status& error, int exit_code) {
  PrintError(absl::StrCat(kName, ": ", error.message(), "\n"));
  return exit_code;
}

absl::StatusOr<Serving> PlanServing(const RunCommand& command, const Machine& machine) {
  Serving serving;
  for (const std::string& place : machine.nbd.listen) {
    const absl::StatusOr<StreamAddress> address = ParseListen(place);
    if (!address.ok()) return address.status();
    serving.addresses.push_back(*address);
  }
  if (serving.addresses.empty()) {
    return absl::InvalidArgumentError("nobody could reach the disks; say where with --nbd");
  }
  if (command.chaos.empty()) return serving;
  const absl::StatusOr<ChaosPlan> chaos = ParseChaos(command.chaos);
  if (!chaos.ok()) return chaos.status();
  serving.chaos = *chaos;
  return serving;
}

}  // namespace

int RunMachine(const RunCommand& command) {
  const absl::StatusOr<Machine> machine = MachineFromArguments(command.machine);
  if (!machine.ok()) return Fail(machine.status(), kExitUsage);
  absl::StatusOr<Serving> serving = PlanServing(command, *machine);
  if (!serving.ok()) return Fail(serving.status(), kExitUsage);
  if (!machine->nbd.tls_directory.empty()) {
    absl::StatusOr<std::unique_ptr<StreamGuard>> guard = OpenTlsGuard(machine->nbd.tls_directory);
    if (!guard.ok()) return Fail(guard.status(), EXIT_FAILURE);
    serving->guard = *std::move(guard);
  }
  const absl::StatusOr<std::unique_ptr<OpenedMachine>> opened = OpenedMachine::Open(*machine);
  if (!opened.ok()) return Fail(opened.status(), EXIT_FAILURE);
  RunSession session(**opened, *std::move(serving), command.json);
  return session.Run();
}

}  // namespace vmbuskit
