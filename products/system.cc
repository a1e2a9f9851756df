#include "products/system.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/task/switch_to.h"
#include "platform/linux/affinity.h"

namespace vmbuskit {
namespace {

// The first pages of a guest's memory are nobody's: address 0 means "none" in several messages.
constexpr Pfn kFirstPage = 16;
constexpr uint32_t kDefaultCpusMax = 2;

uint32_t CpuCount(const System::Options& options) {
  if (options.cpus != 0) return options.cpus;
  auto free = static_cast<uint32_t>(AllowedCpus().size());
  if (options.poll && free > 0) --free;  // the host's
  return std::clamp<uint32_t>(free, 1, kDefaultCpusMax);
}

void InspectExecutor(const LinuxExecutor& executor, InspectNode& node) {
  const LinuxExecutor::Counters counters = executor.counters();
  node.Set("turns", counters.turns);
  node.Set("sleeps", counters.sleeps);
  node.Set("wakeups_sent", counters.wakeups_sent);
  node.Set("events", counters.events);
  node.Set("posts", counters.posts);
  node.Set("timers", counters.timers);
  node.Set("fd_events", counters.fd_events);
}

}  // namespace

absl::StatusOr<std::unique_ptr<System>> System::Create(const Options& options) {
  const uint32_t cpus = CpuCount(options);
  if (cpus > kCpusMax) {
    return absl::InvalidArgumentError(absl::StrCat("cpus is ", cpus, ", at most ", kCpusMax));
  }
  std::unique_ptr<System> system(new System());
  VMBUSKIT_RETURN_IF_ERROR(system->StartThreads(cpus, options.poll));
  VMBUSKIT_RETURN_IF_ERROR(system->MakeHost(options));
  VMBUSKIT_RETURN_IF_ERROR(system->MakeGuest(options));
  return system;
}

absl::Status System::StartThreads(uint32_t cpus, bool poll) {
  const LinuxExecutor::Mode mode = poll ? LinuxExecutor::Mode::kPoll : LinuxExecutor::Mode::kSleep;
  absl::StatusOr<std::unique_ptr<LinuxExecutor>> vp0 =
      LinuxExecutor::Create({.cpu = 0, .mode = mode});
  if (!vp0.ok()) return vp0.status();
  vp0_ = *std::move(vp0);
  for (uint32_t cpu = 1; cpu <= cpus; ++cpu) {
    absl::StatusOr<std::unique_ptr<ExecutorThread>> thread =
        ExecutorThread::Start({.executor = {.cpu = cpu, .mode = mode}, .pin_to_cpu = {}});
    if (!thread.ok()) return thread.status();
    vp_threads_.push_back(*std::move(thread));
  }
  // The last one is nobody's virtual processor.
  host_thread_ = std::move(vp_threads_.back());
  vp_threads_.pop_back();
  return absl::OkStatus();
}

std::vector<LinuxExecutor*> System::vp_executors() {
  std::vector<LinuxExecutor*> executors = {vp0_.get()};
  for (const std::unique_ptr<ExecutorThread>& thread : vp_threads_) {
    executors.push_back(&thread->executor());
  }
  return executors;
}

std::vector<Executor*> System::VpExecutors() {
  const std::vector<LinuxExecutor*> executors = vp_executors();
  return {executors.begin(), executors.end()};
}

absl::Status System::MakeHost(const Options& options) {
  absl::StatusOr<std::unique_ptr<MemfdMemory>> memory =
      MemfdMemory::Create({.page_count = options.memory_pages});
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);

  EmbeddedHost::Options host_options;
  if (options.max_version != 0) host_options.server.max_version = options.max_version;
  absl::Status status;
  host_thread_->Invoke([&] {
    host_ = std::make_unique<EmbeddedHost>(*memory_, host_thread_->executor(), VpExecutors(),
                                           host_options);
    for (const VspClass* vsp_class : options.vsp_classes) {
      status.Update(host_->AddDevice(*vsp_class, vsp_class->default_instance_id).status());
    }
    for (const HostDevice& device : options.host_devices) {
      status.Update(
          host_->AddDevice(*device.vsp_class, device.instance_id, device.create).status());
    }
  });
  return status;
}

absl::Status System::MakeGuest(const Options& options) {
  pages_ = std::make_unique<FirstFitPageAllocator>(*memory_, kFirstPage,
                                                   options.memory_pages - kFirstPage);
  transport_ = std::make_unique<SynicTransport>(host_->partition(), VpExecutors(), *pages_,
                                                SynicTransport::Options{});
  Bus::Options bus_options;
  bus_options.observer = options.observer;
  bus_ = std::make_unique<Bus>(*transport_, bus_options);
  return bus_->RegisterClasses(options.classes);
}

System::~System() {
  // Nothing runs any more when the parts go, so that it does not matter whose they were.
  for (const std::unique_ptr<ExecutorThread>& thread : vp_threads_) thread->Stop();
  if (host_thread_ != nullptr) host_thread_->Stop();
  bus_.reset();
  transport_.reset();
  host_.reset();
}

Task<absl::Status> System::Start() { return bus_->Start(); }
Task<absl::Status> System::Stop() { return bus_->Stop(); }

Task<InspectNode> System::Inspect() {
  InspectNode root;
  co_await bus_->Inspect(root.Child("guest"));
  transport_->Inspect(root.Child("transport"));
  // Never two executors inside one tree at a time: the host fills a tree of its own.
  InspectNode host;
  co_await SwitchTo(host_thread_->executor());
  host_->Inspect(host);
  co_await SwitchTo(*vp0_);
  root.Child("host") = std::move(host);
  InspectNode& executors = root.Child("executors");
  InspectExecutor(*vp0_, executors.Child("vp0"));
  for (const std::unique_ptr<ExecutorThread>& thread : vp_threads_) {
    InspectExecutor(thread->executor(),
                    executors.Child("vp" + std::to_string(thread->executor().cpu())));
  }
  InspectExecutor(host_thread_->executor(), executors.Child("host"));
  co_return root;
}

Task<uint64_t> System::SharedPages() {
  const uint64_t guest =
      transport_->shared_pages() + transport_->withheld_pages() + transport_->lost_pages();
  co_await SwitchTo(host_thread_->executor());
  const uint64_t host = host_->shared_pages().total();
  co_await SwitchTo(*vp0_);
  co_return std::max(guest, host);
}

}  // namespace vmbuskit
