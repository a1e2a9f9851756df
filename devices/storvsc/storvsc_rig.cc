#include "devices/storvsc/storvsc_rig.h"

#include <cstdlib>
#include <utility>

#include "devices/storvsc/handshake.h"
#include "devices/storvsc/host/null_disk.h"
#include "framework/task/spawn.h"
#include "platform/linux/affinity.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kDiskBytes = uint64_t{1} << 40;
constexpr uint32_t kDepthMax = 256;
constexpr uint32_t kMaxTransferBytes = 1 << 20;
constexpr uint64_t kPages = 16 * 1024;
constexpr uint32_t kRingBytes = 256 * 1024;

LinuxExecutor::Options Polling(uint32_t cpu) {
  return {.cpu = cpu, .mode = LinuxExecutor::Mode::kPoll, .idle_turns_before_yield = 0};
}

Task<void> Initialize(Channel& channel, bool& ready) {
  StorvscHandshake handshake(channel);
  const absl::Status begun = co_await handshake.Begin();
  if (!begun.ok()) co_return;
  const absl::StatusOr<uint16_t> version = co_await handshake.NegotiateVersion(storvsc::kVersions);
  if (!version.ok()) co_return;
  const absl::StatusOr<StorvscProperties> properties = co_await handshake.QueryProperties();
  if (!properties.ok()) co_return;
  const absl::Status ended = co_await handshake.End();
  ready = ended.ok();
}

}  // namespace

const std::vector<uint32_t>& StorvscRig::Cpus() {
  static const std::vector<uint32_t> cpus = AllowedCpus();
  return cpus;
}

StorvscRig::StorvscRig(Threads threads)
    : guest_(LinuxExecutor::Create(Polling(0)).value()),
      memory_(MemfdMemory::Create({.page_count = kPages}).value()),
      pages_(*memory_, 16, kPages - 16),
      requests_(kDepthMax) {
  const std::vector<uint32_t>& cpus = Cpus();
  if (threads == Threads::kTwo) {
    ExecutorThread::Options options = {.executor = Polling(1)};
    if (cpus.size() > 1) options.pin_to_cpu = cpus[1];
    host_thread_ = ExecutorThread::Start(options).value();
    // Only now: a thread inherits where its maker may run, and with a real-time priority would not get away from it.
    if (cpus.size() > 1) (void)PinCurrentThread(cpus[0]);
  } else {
    host_executor_ = LinuxExecutor::Create(Polling(1)).value();
  }
  ChannelPair::Options options;
  options.up_bytes = options.down_bytes = kRingBytes;
  options.guest.max_requests = options.host.max_requests = kDepthMax;
  options.guest.max_packet_bytes = options.host.max_packet_bytes = 16 * 1024;
  OnHost([&] {
    pair_ = std::make_unique<ChannelPair>(*guest_, host(), options);
    context_ = std::make_unique<FakeVspContext>(host(), memory_.get());
    vsp_ = std::make_unique<Storvsp>(*context_,
                                     StorvspOptions{.max_transfer_bytes = kMaxTransferBytes});
    (void)vsp_->Attach({}, std::make_shared<NullDisk>(NullDisk::Options{.bytes = kDiskBytes}));
    if (!vsp_->OnOpen(pair_->host(), context_->open_data()).ok()) std::abort();
    pair_->host().SetPolled(true);
  });
  Connect();
}

void StorvscRig::Connect() {
  lane_ = std::make_unique<ScsiLane>(pair_->guest(), *this);
  lane_->Start();
  pair_->guest().SetPolled(true);
  bool ready = false;
  TaskGroup tasks(*guest_, "handshake");
  tasks.Spawn(Initialize(pair_->guest(), ready));
  while (tasks.running() != 0) {
    GuestTurn();
    if (host_executor_) HostTurn();
  }
  if (!ready) std::abort();
  lanes_->Add(*lane_);
  ScsiDisk::Options options;
  options.info.max_transfer_bytes = kMaxTransferBytes;
  options.info.queue_depth = kDepthMax;
  options.bytes = kDiskBytes;
  options.lanes = lanes_;
  options.memory = memory_.get();
  options.pages = &pages_;
  disk_ = std::make_shared<ScsiDisk>(options);
  queue_ = disk_->OpenQueue(*guest_);
  buffer_ = disk_->AllocateBuffer(32 << 20).value();
  for (Request& request : requests_) request.rig = this;
}

StorvscRig::~StorvscRig() {
  queue_.reset();
  disk_->Retire();
  lanes_->Remove(*lane_);
  OnHost([&] {
    pair_->host().Close(absl::CancelledError("the measurement ends"));
    vsp_->OnClose(pair_->host());
    pair_->DestroyHost();
    vsp_.reset();
  });
  pair_->DestroyGuest();
  lane_->EndAll(ScsiEnd::kGone);
  OnHost([&] { pair_.reset(); });
  buffer_ = BlockBuffer();
}

template <typename Call>
void StorvscRig::OnHost(Call call) {
  if (host_thread_) {
    host_thread_->Invoke(call);
  } else {
    call();
  }
}

void StorvscRig::Start(const Load& load) {
  load_ = load;
  left_ = load.total;
  position_ = 0;
  const uint32_t slots = static_cast<uint32_t>(buffer_.bytes().size() / load.bytes);
  Channel::Batch batch(pair_->guest());
  for (uint32_t i = 0; i < load.depth && left_ != 0; ++i) {
    Request& request = requests_[i];
    const size_t at = size_t{i % slots} * load.bytes;
    request.segment = {buffer_.bytes().data() + at, load.bytes, buffer_.gpa(at)};
    request.segments = {&request.segment, 1};
    request.bytes = load.bytes;
    request.operation = load.write ? BlockOperation::kWrite : BlockOperation::kRead;
    SubmitNext(request);
  }
}

void StorvscRig::SubmitNext(Request& request) {
  --left_;
  ++under_way_;
  // A multiplication in place of a generator: cheap, and as far apart.
  position_ = load_.random ? position_ * 6364136223846793005u + 1442695040888963407u
                           : position_ + load_.bytes;
  request.offset = (load_.random ? position_ >> 28 << 12 : position_) % (kDiskBytes / 2);
  queue_->Submit(request);
}

void StorvscRig::OnEnd(Request& request, BlockResult result) {
  failed_ += result != BlockResult::kOk;
  --under_way_;
  if (left_ != 0) return SubmitNext(request);
  if (under_way_ == 0 && running_) guest_->Stop();
}

__attribute__((noinline)) void StorvscRig::GuestTurn() { guest_->RunOnce(); }
__attribute__((noinline)) void StorvscRig::HostTurn() { host_executor_->RunOnce(); }

void StorvscRig::Run() {
  if (host_thread_) {
    if (done()) return;
    running_ = true;
    guest_->Run();
    running_ = false;
    return;
  }
  while (!done()) {
    HostTurn();
    GuestTurn();
  }
}

}  // namespace vmbuskit
