// The full control path of one VMBus connection over a Partition: hypervisor, SynIC, messages,
// rings, signals.
//
//   SynicTransport transport(partition, {&cpu0, &cpu1}, pages, {});
//   absl::Status connected = co_await transport.Connect(listener);     // offers come from now on
//   auto channel = co_await transport.Open({.relid = offer.relid, .target_vp = 1});
//   ...
//   absl::Status gone = co_await transport.Disconnect();               // every page is ours again
//
// Every wait for the host ends after Options::deadline. Pages that the host may still use then are
// withheld until the connection ends (and leaked when it ends without UNLOAD_RESPONSE), and the
// Status says so; an error of CreateGpadl with the code
// DeadlineExceeded means that for its caller's pages, any other error leaves them the guest's
// alone.
//
// Retarget moves a channel's interrupts. The channel itself, as every object, stays on the executor
// that it was opened on; the new processor wakes it across, and the old one goes on serving what a
// host still sends there.
//
// Thread safety: the bus executor (that of VP 0); Tasks hop to the others and back.
// CrashDisconnect: any one thread, when nothing else runs any more.
// Ownership: partition, executors and allocator outlive it. It must be disconnected, and every
// channel closed, before it is destroyed. Source: protocol 01 sections 4 and 7, 02 sections 3 to 5.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "framework/bus/transport.h"
#include "framework/observe/inspect.h"
#include "framework/task/deadline.h"
#include "framework/task/one_shot.h"
#include "framework/task/task.h"
#include "transports/synic/channel_port.h"
#include "transports/synic/client.h"
#include "transports/synic/hypercall_poster.h"
#include "transports/synic/hypervisor_guest.h"
#include "transports/synic/monitor_pages.h"
#include "transports/synic/shared_pages.h"
#include "transports/synic/synic_vp.h"
#include "transports/synic/synthetic_timer.h"

namespace vmbuskit {

class SynicTransport final : public BusTransport,
                             private SynicVp::MessageHandler,
                             private HypercallPoster::Listener {
 public:
  struct Options {
    VmbusClient::Options client = {};  // target VP and SINT are filled in
    HypercallPoster::Options poster = {};
    SynicVp::Options synic = {};
    uint64_t guest_os_id = OpenSourceGuestOsId(/*os_type=*/1, 0, 0x060100, 0);
    Duration deadline = kDefaultDeadline;  // of every answer
    bool monitor_pages = true;             // false: every signal is a hypercall
    // Crash path: how often the slots are looked at, and how to wait between two looks (10 ms by
    // rights; null: not).
    uint32_t crash_polls_max = 10'000;
    Callback crash_pause = {};
  };

  // One executor per virtual processor, in order.
  SynicTransport(Partition& partition, std::vector<Executor*> executors, PageAllocator& pages,
                 const Options& options);
  ~SynicTransport() override;

  Task<absl::Status> Connect(BusListener& listener) override;
  uint32_t version() const override { return client_.version(); }
  uint32_t vp_count() const override { return static_cast<uint32_t>(executors_.size()); }
  Executor& executor(uint32_t vp) override { return *executors_[vp]; }
  PageAllocator& pages() override { return pages_; }
  GuestMemory& memory() override { return partition_.memory(); }

  Task<absl::StatusOr<std::unique_ptr<Channel>>> Open(OpenParameters parameters) override;
  Task<absl::Status> Close(std::unique_ptr<Channel> channel) override;
  Task<absl::StatusOr<Gpadl>> CreateGpadl(uint32_t relid, const PageRun& pages) override;
  Task<absl::Status> TearDownGpadl(Gpadl gpadl) override;
  void Quarantine(PageRun pages) override;
  Task<absl::Status> Retarget(uint32_t relid, uint32_t vp) override;
  void Release(uint32_t relid) override;
  Task<absl::Status> Disconnect() override;
  absl::Status CrashDisconnect() override;

  // A timer on `vp` that the hypervisor runs; made and used on that processor's executor, between
  // Connect and Disconnect. Null when the hypervisor has none.
  std::unique_ptr<SyntheticTimer> NewTimer(uint32_t vp, uint32_t index, Callback handler);

  // Accounting, for tests and the inspect tree: pages that the host may use now, pages lost to it,
  // open channels.
  uint64_t shared_pages() const { return shared_.now(); }
  uint64_t withheld_pages() const { return shared_.withheld(); }  // until the connection ends
  uint64_t lost_pages() const { return shared_.lost(); }
  size_t open_channels() const { return ports_.size(); }
  const VmbusClient& client() const { return client_; }
  const HypercallPoster& poster() const { return poster_; }
  const SynicVp& synic(uint32_t vp) const { return *synics_[vp]; }
  uint64_t stray_messages() const { return stray_messages_.load(std::memory_order_relaxed); }
  void Inspect(InspectNode& node) const;

 private:
  // The wait for the end of one client operation.
  class Operation {
   public:
    Operation(SynicTransport& transport, std::string what);
    ~Operation();
    OperationId id() const { return id_; }
    // Carries out what the command asked for, then waits. After the deadline the client forgets the
    // operation.
    Task<absl::Status> End() { return End(transport_.options_.deadline); }
    Task<absl::Status> End(Duration deadline);
    void Finish(const absl::Status& status);
    // The end came from the deadline: whatever was asked may yet happen.
    bool timed_out() const { return timed_out_; }

   private:
    SynicTransport& transport_;
    const OperationId id_;
    OneShot<void> ended_;
    absl::Status result_;
    bool timed_out_ = false;
  };
  using PortPointer =
      std::shared_ptr<ChannelPort>;  // coroutines hold on to what others may take off the list

  Executor& bus() { return *executors_[0]; }
  void RunActions();
  void Perform(ClientAction& action);
  void Perform(const PostAction& post);
  void OnVmbusMessage(uint32_t vp, std::span<const std::byte> message) override;
  void OnPostFailed(bool contact, HypercallStatus status) override;

  Task<absl::Status> SetUp();
  Task<void> TearDown();
  absl::Status AllocatePages();
  void ReleasePages();
  Task<void> DetachPorts();

  Task<absl::StatusOr<uint32_t>> ShareRange(uint32_t relid, GpadlRange range);
  Task<absl::Status> TakeBack(uint32_t relid, uint32_t handle);
  Task<absl::Status> OpenPort(PortPointer port, ClientOpen request);
  Task<void> AddTarget(PortPointer port, uint32_t vp);
  Task<void> DestroyChannel(PortPointer port, std::unique_ptr<Channel> channel);
  Task<absl::Status> FreeRings(PortPointer port);
  PortPointer FindPort(uint32_t relid) const;
  absl::Status CrashUnload();
  void WithholdShared(uint32_t key);

  Partition& partition_;
  const std::vector<Executor*> executors_;
  PageAllocator& pages_;
  const Options options_;
  BusListener* listener_ = nullptr;
  HypervisorInfo hypervisor_;
  HypercallPage hypercall_page_;
  std::vector<std::unique_ptr<SynicVp>> synics_;
  HypercallPoster poster_;
  VmbusClient client_;
  GuestMonitorPages monitors_;
  PageRun interrupt_page_;
  SharedPages shared_;
  absl::flat_hash_map<uint32_t, Offer> offers_;  // by relid
  absl::flat_hash_map<OperationId, Operation*> operations_;
  std::vector<PortPointer> ports_;
  OperationId next_operation_ = 1;
  bool set_up_ = false;
  bool changing_ = false;  // Connect or Disconnect is under way
  bool running_actions_ = false;
  // The last tear-down was not answered.
  bool host_silent_ = false;
  std::atomic<uint64_t> stray_messages_ = 0;  // on another processor than the one asked for
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_SYNIC_TRANSPORT_H_
