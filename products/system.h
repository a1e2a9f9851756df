// A guest and its host in one process: memory, executors, the embedded host with its devices, the
// guest's bus with its drivers. What every product that runs on the embedded host is made of.
//
//   absl::StatusOr<std::unique_ptr<System>> system =
//       System::Create({.classes = {&EchoClass()}, .vsp_classes = {&EchoVspClass()}});
//   Spawn((*system)->executor(), Main(**system));     // co_await Start(), ..., co_await Stop(),
//   (*system)->executor().Run();                      // executor().Stop(); this thread is VP 0
//
// Threads: the caller's is virtual processor 0, which the bus belongs to; one more for each further
// virtual processor, one for the host. All sleep when there is nothing to do.
// Thread safety: made and destroyed on the thread that runs executor(); Tasks on executor().
// Lifetime: classes are constants that outlive it. Stop must have succeeded (or Start never been
// called) before it is destroyed. Units: pages of 4096 bytes.
#ifndef VMBUSKIT_PRODUCTS_SYSTEM_H_
#define VMBUSKIT_PRODUCTS_SYSTEM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/bus/bus.h"
#include "framework/bus/device.h"
#include "framework/bus/device_info.h"
#include "framework/bus/device_observer.h"
#include "framework/observe/inspect.h"
#include "framework/task/task.h"
#include "platform/linux/executor.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/embedded_host/vsp.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {

class System {
 public:
  // 256 MiB, of which only what is used takes memory.
  static constexpr uint64_t kMemoryPages = 64 * 1024;
  static constexpr uint32_t kCpusMax = 64;

  // A device with something of its own behind it. `create` is called once, on the host executor.
  struct HostDevice {
    const VspClass* vsp_class = nullptr;
    Guid instance_id;
    std::function<std::unique_ptr<Vsp>(VspContext& context)> create;
  };

  struct Options {
    // Virtual processors; 0: two where there are CPUs for them (and, if they poll, for the host), else one.
    uint32_t cpus = 0;
    std::vector<const DeviceClass*> classes;    // the guest's drivers
    std::vector<const VspClass*> vsp_classes;   // one device of each is offered
    std::vector<HostDevice> host_devices = {};  // and these
    uint64_t memory_pages = kMemoryPages;
    bool poll = false;         // executors never sleep: fastest, and each takes a CPU
    uint32_t max_version = 0;  // newest version that the host accepts; 0: the newest there is
    // Told when a device runs and before it stops; outlives the system.
    DeviceObserver* observer = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<System>> Create(const Options& options);
  ~System();
  System(const System&) = delete;
  System& operator=(const System&) = delete;

  LinuxExecutor& executor() { return *vp0_; }
  // Of all virtual processors, in order; the first is executor().
  std::vector<LinuxExecutor*> vp_executors();
  LinuxExecutor& host_executor() { return host_thread_->executor(); }
  // On the host executor only.
  EmbeddedHost& host() { return *host_; }
  Bus& bus() { return *bus_; }

  // Connects; from then on devices come up, each for itself.
  Task<absl::Status> Start();
  // Devices down, connection unloaded.
  Task<absl::Status> Stop();

  Task<std::vector<DeviceInfo>> Describe() { return bus_->Describe(); }
  // "guest", "transport", "host" and "executors".
  Task<InspectNode> Inspect();
  // Guest pages that the host may use, as either side counts them: the larger number.
  Task<uint64_t> SharedPages();

 private:
  System() = default;
  absl::Status StartThreads(uint32_t cpus, bool poll);
  absl::Status MakeHost(const Options& options);
  absl::Status MakeGuest(const Options& options);
  std::vector<Executor*> VpExecutors();

  std::unique_ptr<MemfdMemory> memory_;
  std::unique_ptr<LinuxExecutor> vp0_;
  std::vector<std::unique_ptr<ExecutorThread>> vp_threads_;  // 1 and up
  std::unique_ptr<ExecutorThread> host_thread_;
  std::unique_ptr<FirstFitPageAllocator> pages_;
  std::unique_ptr<EmbeddedHost> host_;
  std::unique_ptr<SynicTransport> transport_;
  std::unique_ptr<Bus> bus_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_SYSTEM_H_
