// Serves a disk in memory, or an image file, until SIGTERM: what the tests of this folder connect to.
//
//   nbd_server_for_tests --unix=/tmp/x.sock --ram=1073741824 --block=4096 --executors=2
//   nbd_server_for_tests --tcp=0.0.0.0:0 --file=disk.img --read-only --tls=/etc/pki
//
// Prints "listening at ADDRESS" for each address, then "serving"; at the end "stopped".
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "devices/storvsc/export/nbd_server.h"
#include "devices/storvsc/host/file_disk.h"
#include "devices/storvsc/host/ram_disk.h"
#include "framework/base/status.h"
#include "framework/task/run_task.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/linux_block_file.h"
#include "platform/linux/linux_streams.h"
#include "platform/linux/tls_guard.h"
#include "products/interrupt.h"

namespace vmbuskit {
namespace {

struct Arguments {
  std::vector<StreamAddress> addresses;
  std::string file;
  std::string tls;
  uint64_t ram = 64 << 20;
  uint64_t block = 512;
  uint64_t executors = 1;
  bool read_only = false;
};

absl::Status Parse(std::string_view argument, Arguments& to) {
  const size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  const std::string value(equals == argument.npos ? "" : argument.substr(equals + 1));
  bool ok = true;
  if (name == "--unix") {
    to.addresses.push_back({.unix_path = value});
  } else if (name == "--tcp") {
    const size_t colon = value.rfind(':');
    int port = 0;
    ok = colon != value.npos && absl::SimpleAtoi(value.substr(colon + 1), &port);
    to.addresses.push_back({.host = value.substr(0, colon), .port = static_cast<uint16_t>(port)});
  } else if (name == "--file") {
    to.file = value;
  } else if (name == "--tls") {
    to.tls = value;
  } else if (name == "--ram") {
    ok = absl::SimpleAtoi(value, &to.ram);
  } else if (name == "--block") {
    ok = absl::SimpleAtoi(value, &to.block);
  } else if (name == "--executors") {
    ok = absl::SimpleAtoi(value, &to.executors);
  } else if (name == "--read-only") {
    to.read_only = true;
  } else {
    ok = false;
  }
  return ok ? absl::OkStatus() : absl::InvalidArgumentError(std::string(argument));
}

absl::StatusOr<std::shared_ptr<BlockDevice>> OpenDisk(const Arguments& arguments) {
  const auto block = static_cast<uint32_t>(arguments.block);
  if (arguments.file.empty()) {
    return std::make_shared<RamDisk>(
        RamDisk::Options{.bytes = arguments.ram, .block_bytes = block});
  }
  auto file = LinuxBlockFile::Open(arguments.file, {.read_only = arguments.read_only});
  if (!file.ok()) return file.status();
  return std::make_shared<FileDisk>(*std::move(file), FileDisk::Options{.block_bytes = block});
}

class Program {
 public:
  explicit Program(LinuxExecutor& executor)
      : executor_(executor), interrupt_(executor, Callback::To<&Program::OnInterrupt>(this)) {}

  absl::Status Run(const Arguments& arguments) {
    VMBUSKIT_RETURN_IF_ERROR(interrupt_.Start());
    absl::StatusOr<std::shared_ptr<BlockDevice>> disk = OpenDisk(arguments);
    if (!disk.ok()) return disk.status();
    VMBUSKIT_RETURN_IF_ERROR(MakeExecutors(arguments.executors));
    std::unique_ptr<StreamGuard> guard;
    if (!arguments.tls.empty()) {
      auto opened = OpenTlsGuard(arguments.tls);
      if (!opened.ok()) return opened.status();
      guard = *std::move(opened);
    }
    std::vector<Streams*> streams;
    for (const auto& each : streams_) streams.push_back(each.get());
    NbdServer server(streams, {.addresses = arguments.addresses, .guard = guard.get()});
    const NbdExportOptions options = {.name = "disk", .read_only = arguments.read_only};
    absl::Status status = Await(server.AddExport(options, *disk));
    if (status.ok()) status = Await(server.Start());
    if (status.ok()) Serve(server);
    const absl::Status stopped = Await(server.Stop());
    status.Update(stopped);
    return status;
  }

 private:
  absl::Status MakeExecutors(uint64_t count) {
    streams_.push_back(std::make_unique<LinuxStreams>(executor_));
    while (streams_.size() < count) {
      auto thread = ExecutorThread::Start({});
      if (!thread.ok()) return thread.status();
      streams_.push_back(std::make_unique<LinuxStreams>((*thread)->executor()));
      threads_.push_back(*std::move(thread));
    }
    return absl::OkStatus();
  }

  void Serve(NbdServer& server) {
    for (const StreamAddress& address : server.addresses()) {
      std::printf("listening at %s\n", ToString(address).c_str());
    }
    std::printf("serving\n");
    std::fflush(stdout);
    while (!interrupted_) executor_.RunOnce(/*may_sleep=*/true);
  }

  absl::Status Await(Task<absl::Status> task) {
    std::optional<absl::Status> result;
    TaskGroup group(executor_, "program");
    group.Spawn(KeepResult(std::move(task), &result));
    while (group.running() > 0) executor_.RunOnce(/*may_sleep=*/true);
    return *result;
  }

  void OnInterrupt() { interrupted_ = true; }

  LinuxExecutor& executor_;
  InterruptWatch interrupt_;
  std::vector<std::unique_ptr<ExecutorThread>> threads_;
  std::vector<std::unique_ptr<LinuxStreams>> streams_;
  bool interrupted_ = false;
};

int Main(int argc, char** argv) {
  InterruptWatch::Block();
  Arguments arguments;
  absl::Status status;
  for (int i = 1; i < argc; ++i) status.Update(Parse(argv[i], arguments));
  auto executor = LinuxExecutor::Create({});
  status.Update(executor.status());
  if (status.ok()) status = Program(**executor).Run(arguments);
  if (status.ok()) {
    std::printf("stopped\n");
    return EXIT_SUCCESS;
  }
  std::fprintf(stderr, "nbd_server_for_tests: %s\n", status.ToString().c_str());
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace vmbuskit

int main(int argc, char** argv) { return vmbuskit::Main(argc, argv); }
