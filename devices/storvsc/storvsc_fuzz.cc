// The guest's controller with a host that lies, as a script: answers of any content at any step of the initialization
// and the scans, completions that are wrong, late, double or never come, storms of hints, LUNs that change, rescinds
// and new offers, while disks are used from two executors. Every request ends exactly once, not from inside Submit;
// what lies around its bytes stays as it is; whatever the host does, the bus stops within bounded time and no page
// stays behind.
#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "devices/storvsc/storvsc.h"
#include "devices/storvsc/storvsc_fuzz_testing.h"
#include "framework/base/fuzzing.h"
#include "framework/bus/bus.h"
#include "framework/bus/fake_transport.h"
#include "framework/task/run_task.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRelid = 5;
constexpr Guid kInstance = Guid::Parse("00000000-0000-0000-0000-0000000000d1");
constexpr int kStepsMax = 40;
constexpr size_t kAskedMax = 256;
constexpr std::byte kGuard{0x7E};

class Asked final : public BlockRequest {
 public:
  void OnDone(BlockResult how) override {
    Require(!submitting);
    Require(++ends == 1);
    result_ = how;
  }
  bool ended() const { return ends == 1; }
  BlockResult end() const { return result_; }

  static inline bool submitting = false;
  int ends = 0;
  std::vector<BlockExtent> extent_space;
  std::vector<BlockSegment> parts;
  std::vector<std::unique_ptr<BlockBuffer>> buffers;

 private:
  BlockResult result_ = BlockResult::kOk;
};

class Fuzz final : public BlockControllerListener {
 public:
  explicit Fuzz(FuzzInput& input) : input_(input), host_(input, transport_.memory()) {
    current_ = this;
    const uint32_t kind = Below(4);
    profile_.topology = {.targets = static_cast<uint8_t>(1 + Below(2)), .luns = 4};
    profile_.topology.report_luns = kind != 3;
    profile_.fibre_channel = kind == 2;
    profile_.subchannels = kind != 3;
    profile_.subchannels_before_end = Below(4) == 3;
    host_.storvsp().on_create_subchannels = [this](uint16_t count) { OfferSubchannels(count); };
    transport_.SetHost(kInstance, host_.storvsp());
    transport_.on_open = [this](const OpenParameters&, Channel& host) {
      // One at the same address that is gone is another one.
      host_.Forget([&](const Channel* channel) { return channel != &host; });
    };
    const DeviceClass* const classes[] = {&Class()};
    Require(bus_.RegisterClasses(classes).ok());
  }

  void Run() {
    Require(RunTask(sim_, transport_.executor(0), bus_.Start()).has_value());
    Offer();
    Pass(std::chrono::seconds(1));
    for (int step = 0; step < kStepsMax && input_.remaining_bytes() > 0; ++step) {
      Act();
      if (Below(4) != 0) Pass(std::chrono::milliseconds(10));
    }
    ComeToAnEnd();
  }

  // ---- BlockControllerListener.
  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override {
    const BlockInfo& info = disk->info();
    Require(std::has_single_bit(info.block_bytes) && info.max_transfer_bytes >= info.block_bytes);
    Require(disk->bytes() % info.block_bytes == 0 && disk->bytes() != 0);
    Require(!std::exchange(disks_[address], std::move(disk)));
  }
  void OnDiskRemoved(const BlockAddress& address) override { Require(disks_.erase(address) == 1); }
  void OnDiskResized(const BlockAddress& address) override { Require(disks_.contains(address)); }

 private:
  struct Opened {
    std::shared_ptr<BlockDevice> disk;
    uint32_t vp;
    std::unique_ptr<BlockQueue> queue;
    std::vector<std::unique_ptr<Asked>> asked;
  };

  static const DeviceClass& Class() {
    static constexpr Guid kIds[] = {storvsc::kScsiClassId};
    static const DeviceClass device_class = [] {
      DeviceClass value = StorvscClassTemplate();
      value.name = "storvsc";
      value.class_ids = kIds;
      value.send_ring_bytes = value.receive_ring_bytes = 2 * kPageSize;
      value.max_requests = 16;
      value.create = [](DeviceContext& context) -> std::unique_ptr<Device> {
        auto made = std::make_unique<StorvscController>(context, current_->profile_);
        made->SetListener(current_);
        current_->disks_.clear();
        return made;
      };
      return value;
    }();
    return device_class;
  }
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  [[nodiscard]] SimTurn Enter(uint32_t vp) {
    return sim_.Enter(static_cast<const SimExecutor&>(transport_.executor(vp)));
  }
  [[nodiscard]] SimTurn EnterHost() {
    return sim_.Enter(static_cast<const SimExecutor&>(transport_.host_executor()));
  }
  void Pass(Duration duration) { Require(sim_.RunFor(duration).ok()); }

  void Offer() {
    transport_.Offer(FakeTransport::MakeOffer(kRelid, storvsc::kScsiClassId, kInstance));
  }
  void OfferSubchannels(uint16_t count) {
    // Mostly those that were asked for.
    const uint32_t offered =
        host_.is_evil && Below(8) == 7 ? Below(4) : std::min<uint32_t>(count, 3);
    for (uint32_t index = 1; index <= offered; ++index) OfferSubchannel(index);
  }
  void OfferSubchannel(uint32_t index) {
    transport_.Offer(FakeTransport::MakeOffer(kRelid + index, storvsc::kScsiClassId, kInstance,
                                              static_cast<uint16_t>(index)));
  }
  bool IsOpen(const Channel* channel) {
    for (uint32_t relid = kRelid; relid < kRelid + 4; ++relid) {
      if (transport_.host(relid) == channel) return !channel->closed();
    }
    return false;
  }

  // ---- Steps.

  void Act() {
    switch (Below(16)) {
      case 0:
        return HostSays();
      case 1: {
        const SimTurn turn = EnterHost();
        return host_.ChangeLuns();
      }
      case 2:
        return OffersAndRescinds();
      case 3:
        return ScriptTransport();
      case 4: {
        static constexpr int kSeconds[] = {1, 3, 70, 200};
        return Pass(std::chrono::seconds(kSeconds[Below(4)]));
      }
      case 5:
        return Look();
      case 6:
      case 7:
      case 8: {
        const SimTurn turn = EnterHost();
        return host_.AnswerHeld([this](const Channel* channel) { return IsOpen(channel); });
      }
      default:
        return Submit();
    }
  }
  void HostSays() {
    const SimTurn turn = EnterHost();
    Channel* const channel = transport_.host(Below(8) == 7 ? kRelid + Below(4) : kRelid);
    if (channel != nullptr) host_.SayUnasked(*channel);
  }
  void OffersAndRescinds() {
    switch (Below(6)) {
      case 0:
        transport_.Rescind(kRelid);
        return Offer();
      case 1:
        return transport_.Rescind(kRelid);
      case 2:
        return Offer();
      case 3:
        return transport_.Rescind(kRelid + 1 + Below(3));
      case 4: {
        const SimTurn turn = Enter(0);
        return (void)bus_.RestartDevice(kInstance);
      }
      default:
        return OfferSubchannel(1 + Below(3));
    }
  }
  void ScriptTransport() {
    static constexpr FakeOperation kOperations[] = {FakeOperation::kOpen, FakeOperation::kClose};
    const FakeOperation operation = kOperations[Below(2)];
    const auto answer = static_cast<FakeAnswer>(1 + Below(5));
    const bool lets_go = operation == FakeOperation::kOpen || answer == FakeAnswer::kRescind ||
                         answer == FakeAnswer::kSucceedThenRescind ||
                         answer == FakeAnswer::kRescindThenSucceed;
    may_keep_pages_ |= !lets_go;
    transport_.Script(operation, answer);
  }
  void Look() {
    InspectNode node;
    Require(RunTask(sim_, transport_.executor(0), bus_.Inspect(node)));
    Require(!node.ToJson().empty());
    Require(RunTask(sim_, transport_.executor(0), bus_.Describe()).has_value());
  }

  Opened* Open() {
    if (disks_.empty() || Below(8) == 7) {
      if (opened_.empty()) return nullptr;
      return opened_[Below(static_cast<uint32_t>(opened_.size()))].get();  // gone disks too
    }
    auto chosen = disks_.begin();
    std::advance(chosen, Below(static_cast<uint32_t>(disks_.size())));
    const uint32_t vp = Below(2);
    for (auto& opened : opened_) {
      if (opened->disk == chosen->second && opened->vp == vp) return opened.get();
    }
    const SimTurn turn = Enter(vp);
    opened_.push_back(std::make_unique<Opened>(
        Opened{chosen->second, vp, chosen->second->OpenQueue(transport_.executor(vp)), {}}));
    return opened_.back().get();
  }
  void Submit() {
    Opened* const opened = Open();
    if (opened == nullptr) return;
    const SimTurn turn = Enter(opened->vp);
    std::vector<BlockRequest*> requests;
    for (uint32_t count = 1 + (Below(8) == 7 ? Below(24) : 0); count > 0; --count) {
      if (opened->asked.size() >= kAskedMax) break;
      opened->asked.push_back(std::make_unique<Asked>());
      Fill(*opened->asked.back(), *opened->disk);
      requests.push_back(opened->asked.back().get());
    }
    Asked::submitting = true;
    if (requests.size() == 1) {
      opened->queue->Submit(*requests[0]);
    } else {
      opened->queue->SubmitAll(requests);
    }
    Asked::submitting = false;
  }
  void Fill(Asked& request, BlockDevice& disk) {
    const BlockInfo& info = disk.info();
    static constexpr BlockOperation kOperations[] = {
        BlockOperation::kRead,        BlockOperation::kWrite,   BlockOperation::kRead,
        BlockOperation::kFlush,       BlockOperation::kDiscard, BlockOperation::kWriteZeroes,
        BlockOperation::kWriteZeroes, BlockOperation::kStatus};
    request.operation = kOperations[Below(8)];
    request.force_unit_access = Below(4) == 3;
    request.may_unmap = Below(2) == 1;
    if (request.operation == BlockOperation::kFlush) return;
    const bool moves =
        request.operation == BlockOperation::kRead || request.operation == BlockOperation::kWrite;
    const uint64_t blocks =
        !moves && Below(4) == 3 ? input_.ConsumeIntegral<uint32_t>() : 1 + Below(moves ? 24 : 64);
    request.bytes = blocks * info.block_bytes;
    if (moves)
      request.bytes = std::min<uint64_t>(request.bytes, std::max(info.block_bytes, 65536u));
    request.offset = uint64_t{Below(32)} * info.block_bytes;
    if (Below(16) == 15) request.offset = input_.ConsumeIntegral<uint64_t>();
    if (Below(32) == 31) request.bytes += 1;
    if (request.operation == BlockOperation::kStatus) {
      request.extent_space.resize(Below(4));
      request.extents = request.extent_space;
    }
    if (moves) FillSegments(request, disk);
  }
  // In one or more pieces, of the process or of the guest, aligned or not, each between guards.
  void FillSegments(Asked& request, BlockDevice& disk) {
    uint64_t left = request.bytes;
    for (uint32_t pieces = 1 + Below(4); pieces > 0 && left > 0; --pieces) {
      uint32_t bytes = static_cast<uint32_t>(left);
      if (pieces != 1)
        bytes =
            std::min(bytes, Below(2) == 1 ? uint32_t{kPageSize} * (1 + Below(4)) : 1 + Below(5000));
      const uint32_t at = Below(4) == 3 ? Below(kPageSize) : 0;
      const size_t room = at + size_t{bytes} + kPageSize;
      std::optional<BlockBuffer> buffer;
      if (Below(2) == 1) {
        absl::StatusOr<BlockBuffer> of_guest = disk.AllocateBuffer(room);
        if (of_guest.ok()) buffer = *std::move(of_guest);
      }
      if (!buffer) buffer = BlockBuffer::OfHeap(room);
      std::memset(buffer->bytes().data(), static_cast<int>(kGuard), buffer->bytes().size());
      const Gpa gpa =
          buffer->gpa() == BlockSegment::kNoGpa ? BlockSegment::kNoGpa : buffer->gpa(at);
      request.parts.push_back({buffer->bytes().data() + at, bytes, gpa});
      request.buffers.push_back(std::make_unique<BlockBuffer>(*std::move(buffer)));
      left -= bytes;
    }
    request.segments = request.parts;
  }
  // Nothing but the bytes that a read was to fill is another.
  static void CheckGuards(const Asked& request) {
    for (size_t i = 0; i < request.parts.size(); ++i) {
      const BlockSegment& part = request.parts[i];
      for (const std::byte& byte : request.buffers[i]->bytes()) {
        const bool filled = request.operation == BlockOperation::kRead && &byte >= part.data &&
                            &byte < part.data + part.bytes;
        Require(filled || byte == kGuard);
      }
    }
  }

  // ---- The end.

  void ComeToAnEnd() {
    host_.is_evil = Below(2) == 1;
    const Instant begin = sim_.Now();
    std::optional<absl::Status> stopped;
    for (int i = 0; i < 3 && !(stopped && stopped->ok()); ++i) {
      stopped = RunTask(sim_, transport_.executor(0), bus_.Stop());
    }
    Require(stopped.has_value() && stopped->ok());
    Require(sim_.Now() - begin <= std::chrono::minutes(15));
    Pass(std::chrono::seconds(1));
    Require(disks_.empty());
    for (auto& opened : opened_) {
      for (const auto& request : opened->asked) {
        Require(request->ended());
        Require(may_keep_pages_ || request->end() != BlockResult::kLost);
        CheckGuards(*request);
      }
      const SimTurn turn = Enter(opened->vp);
      opened->queue.reset();
      opened->asked.clear();
    }
    opened_.clear();
    Require(transport_.errors().empty());
    Require(transport_.open_channels() == 0);
    Require(may_keep_pages_ || transport_.pages().allocated() == 0);
  }

  static inline Fuzz* current_ = nullptr;

  FuzzInput& input_;
  SimScheduler sim_{0, {.steps_max = 400'000}};
  FakeTransport transport_{sim_, {.vp_count = 2, .page_count = 4096}};
  FuzzedHost host_;
  StorvscProfile profile_;
  std::map<BlockAddress, std::shared_ptr<BlockDevice>> disks_;
  std::vector<std::unique_ptr<Opened>> opened_;
  bool may_keep_pages_ = false;
  Bus bus_{transport_, {}};
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  FuzzInput input(data, size);
  Fuzz(input).Run();
  return 0;
}
