// For measuring: a guest's queue of a disk and the host's storvsp with a null back end, over real rings, each on an
// executor of its own that polls.
//
//   StorvscRig rig(StorvscRig::Threads::kTwo);          // kOne: the caller gives both their turns
//   rig.Start({.depth = 128, .bytes = 4096, .total = 1'000'000});
//   rig.Run();                                          // until all have ended
//
// Thread safety: the thread that made it. With kTwo the host has a thread of its own.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_RIG_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_RIG_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/scsi_disk.h"
#include "framework/channel/channel_pair.h"
#include "platform/linux/executor.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "platform/random.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit {

class StorvscRig final : public ScsiLaneListener {
 public:
  enum class Threads { kOne, kTwo };
  struct Load {
    uint32_t depth = 1;
    uint32_t bytes = 4096;
    uint64_t total = 0;
    bool random = true;  // else one after the other
    bool write = false;
  };

  // What the first caller may run on, before anybody pinned a thread. The guest polls on the first, the host on the
  // next.
  static const std::vector<uint32_t>& Cpus();

  explicit StorvscRig(Threads threads);
  ~StorvscRig() override;
  StorvscRig(const StorvscRig&) = delete;
  StorvscRig& operator=(const StorvscRig&) = delete;

  // Submits the first `depth` requests; from then on each that ends is submitted again, until `total` ended.
  void Start(const Load& load);
  bool done() const { return left_ == 0 && under_way_ == 0; }
  uint64_t failed() const { return failed_; }
  void Run();
  // One turn of each; apart, and not inlined, so that an instruction counter can tell them from each other.
  void GuestTurn();
  void HostTurn();  // kOne

  void OnUnsolicited(ScsiLane&, uint32_t, std::span<const std::byte>) override {}
  void OnOverdue(ScsiLane&, const ScsiCommand&) override {}
  void OnLaneClosed(ScsiLane&, const absl::Status&) override {}

 private:
  class Request final : public BlockRequest {
   public:
    void OnDone(BlockResult result) override { rig->OnEnd(*this, result); }
    StorvscRig* rig = nullptr;
    BlockSegment segment;
  };

  Executor& host() { return host_thread_ ? host_thread_->executor() : *host_executor_; }
  template <typename Call>
  void OnHost(Call call);
  void Connect();
  void SubmitNext(Request& request);
  void OnEnd(Request& request, BlockResult result);

  std::unique_ptr<LinuxExecutor> guest_;
  std::unique_ptr<LinuxExecutor> host_executor_;  // kOne
  std::unique_ptr<ExecutorThread> host_thread_;   // kTwo
  std::unique_ptr<MemfdMemory> memory_;
  FirstFitPageAllocator pages_;
  std::unique_ptr<ChannelPair> pair_;
  std::unique_ptr<FakeVspContext> context_;
  std::unique_ptr<Storvsp> vsp_;
  std::unique_ptr<ScsiLane> lane_;
  std::shared_ptr<ScsiLanes> lanes_ = std::make_shared<ScsiLanes>();
  std::shared_ptr<ScsiDisk> disk_;
  std::unique_ptr<BlockQueue> queue_;
  BlockBuffer buffer_;
  std::vector<Request> requests_;

  Load load_;
  uint64_t left_ = 0;  // to submit
  uint32_t under_way_ = 0;
  uint64_t failed_ = 0;
  uint64_t position_ = 0;
  Random random_{7};
  bool running_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_RIG_H_
