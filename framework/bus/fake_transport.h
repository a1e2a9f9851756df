// For tests: a scriptable BusTransport in virtual time, with the host's end of every channel at
// hand.
//
//   SimScheduler sim(/*seed=*/7);
//   FakeTransport transport(sim, {.vp_count = 4});
//   transport.SetHost(instance, host_handler);     // plays the device, on host_executor()
//   transport.Script(FakeOperation::kOpen, FakeAnswer::kFail);  // what the next open gets
//   transport.Offer(FakeTransport::MakeOffer(5, class_id, instance));
//   transport.Rescind(5);                                       // in order with the offers
//   ...
//   EXPECT_THAT(transport.errors(), IsEmpty());                    // the bus broke no rule
//   EXPECT_EQ(transport.pages().allocated(), 0u);
//
// Every operation takes `answer_delay`, ends early when its channel is rescinded, and at
// `reply_deadline` when it is never answered. What the bus does is written down in log(), what it
// does wrong in errors().
//
// Thread safety: the simulation's thread; the BusTransport part on executor(0) as always. What the
// host is told to do (Offer, Rescind, ...) happens at later turns. Lifetime: the scheduler and the
// host handlers outlive it; no operation may be in progress when it goes.
#ifndef VMBUSKIT_FRAMEWORK_BUS_FAKE_TRANSPORT_H_
#define VMBUSKIT_FRAMEWORK_BUS_FAKE_TRANSPORT_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "framework/bus/transport.h"
#include "framework/channel/channel.h"
#include "framework/channel/signal_line.h"
#include "framework/task/cancel.h"
#include "framework/task/spawn.h"
#include "framework/task/task.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {

enum class FakeOperation {
  kConnect,
  kOpen,
  kClose,
  kCreateGpadl,
  kTearDownGpadl,
  kRetarget,
  kDisconnect,
};

enum class FakeAnswer {
  kSucceed,
  kFail,                // Internal
  kNever,               // DeadlineExceeded
  kRescind,             // the channel is rescinded while the operation waits
  kSucceedThenRescind,  // the answer, and right behind it the rescind
  kRescindThenSucceed,  // the rescind, with the answer under way already: it succeeds all the same
};

class FakeTransport final : public BusTransport {
 public:
  struct Options {
    uint32_t vp_count = 4;
    uint32_t version = 0x00050003;
    uint64_t page_count = 1 << 16;
    Duration answer_delay = std::chrono::milliseconds(1);
    Duration reply_deadline = std::chrono::seconds(60);
  };

  FakeTransport(SimScheduler& sim, const Options& options);
  ~FakeTransport() override;

  // The next operation of that kind (on `relid`, when one is given) gets `answer`; later calls line
  // up behind.
  void Script(FakeOperation operation, FakeAnswer answer, uint32_t relid = 0);

  // What the host does, one after the other.
  static vmbuskit::Offer MakeOffer(uint32_t relid, const Guid& class_id, const Guid& instance_id,
                                   uint16_t subchannel_index = 0);
  void Offer(const vmbuskit::Offer& offer);
  void AllOffersDelivered();
  void Rescind(uint32_t relid);
  void LoseConnection(const absl::Status& reason);

  // Who plays the host's end of the channels of `instance_id`, opened from now on.
  void SetHost(const Guid& instance_id, ChannelHandler& handler) { hosts_[instance_id] = &handler; }
  // Called when a channel was opened, before the guest knows.
  std::function<void(const OpenParameters& parameters, Channel& host)> on_open;

  Executor& host_executor() { return host_executor_; }
  // The host's end; null while the channel is not open.
  Channel* host(uint32_t relid);
  SignalLine* to_guest(uint32_t relid);
  // Where the channel's interrupts go; of an open channel.
  uint32_t vp(uint32_t relid) { return channels_.at(relid)->vp; }

  uint32_t open_channels() const;
  uint32_t gpadls() const { return static_cast<uint32_t>(gpadls_.size()); }  // without rings
  // Offered and not given back.
  uint32_t relids_held() const { return static_cast<uint32_t>(channels_.size()); }
  // "open 5", "close 5", "release 5", "disconnect", ...: as they began.
  const std::vector<std::string>& log() const { return log_; }
  const std::vector<std::string>& errors() const { return errors_; }

  Task<absl::Status> Connect(BusListener& listener) override;
  uint32_t version() const override { return connected_ ? options_.version : 0; }
  uint32_t vp_count() const override { return options_.vp_count; }
  Executor& executor(uint32_t vp) override { return *executors_.at(vp); }
  PageAllocator& pages() override { return pages_; }
  GuestMemory& memory() override { return *memory_; }
  Task<absl::StatusOr<std::unique_ptr<Channel>>> Open(OpenParameters parameters) override;
  Task<absl::Status> Close(std::unique_ptr<Channel> channel) override;
  Task<absl::StatusOr<Gpadl>> CreateGpadl(uint32_t relid, const PageRun& pages) override;
  Task<absl::Status> TearDownGpadl(Gpadl gpadl) override;
  void Quarantine(PageRun pages) override { pages.Leak(); }
  Task<absl::Status> Retarget(uint32_t relid, uint32_t vp) override;
  void Release(uint32_t relid) override;
  Task<absl::Status> Disconnect() override;
  absl::Status CrashDisconnect() override;

 private:
  struct Link;      // the rings and the host's end of an open channel
  struct Offered {  // a channel that the guest knows of
    vmbuskit::Offer offer;
    bool rescinded = false;
    uint32_t vp = 0;
    uint32_t operations = 0;  // in progress
    CancelScope waits;        // of operations on it
    std::unique_ptr<Link> link;
  };
  using OfferedPtr = std::shared_ptr<Offered>;
  struct Action {
    enum class Kind { kOffer, kAllDelivered, kRescind, kLost } kind;
    vmbuskit::Offer offer;
    uint32_t relid = 0;
    absl::Status reason;
  };
  struct Scripted {
    FakeOperation operation;
    FakeAnswer answer;
    uint32_t relid;
  };

  void Enqueue(Action action);
  Task<void> Pump();
  Task<void> DoRescind(uint32_t relid);
  Task<absl::Status> Answer(FakeOperation operation, std::string name, OfferedPtr channel);
  Task<absl::Status> GiveAnswer(FakeOperation operation, std::string name, OfferedPtr channel);
  FakeAnswer TakeAnswer(FakeOperation operation, uint32_t relid);
  OfferedPtr Find(const std::string& name, uint32_t relid);
  std::unique_ptr<Channel> Connect(Offered& channel, OpenParameters parameters);
  RingMemory MapRing(Pfn control, uint32_t data_bytes, Mapping& mapping);
  void Error(std::string text) { errors_.push_back(std::move(text)); }

  const Options options_;
  std::vector<Executor*> executors_;
  Executor& host_executor_;
  const std::unique_ptr<MemfdMemory> memory_;
  FirstFitPageAllocator pages_;
  BusListener* listener_ = nullptr;
  bool connected_ = false;
  std::deque<Scripted> script_;
  std::map<Guid, ChannelHandler*> hosts_;
  std::map<uint32_t, OfferedPtr> channels_;
  std::map<uint32_t, uint32_t> gpadls_;  // relid by handle
  uint32_t next_gpadl_ = 1;
  std::deque<Action> actions_;
  bool pumping_ = false;
  std::vector<std::string> log_;
  std::vector<std::string> errors_;
  TaskGroup tasks_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_FAKE_TRANSPORT_H_
