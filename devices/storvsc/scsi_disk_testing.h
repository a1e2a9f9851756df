// For tests: a ScsiDisk over one lane and a scripted host, on simulated executors.
//
//   class Story : public ScsiDiskTest {};
//   TEST_F(Story, Reads) { Open(); TestBlock read = Read(0, segments); queue->Submit(read); Run(); ... }
//
// Thread safety: one thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_TESTING_H_

#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "devices/storvsc/scripted_host.h"
#include "devices/storvsc/scsi_disk.h"
#include "framework/channel/channel_pair.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"

namespace vmbuskit {

class TestBlock final : public BlockRequest {
 public:
  TestBlock(BlockOperation what, uint64_t at, uint64_t length) {
    operation = what;
    offset = at;
    bytes = length;
  }
  TestBlock(BlockOperation what, uint64_t at, std::vector<BlockSegment> where)
      : TestBlock(what, at, 0) {
    parts = std::move(where);
    segments = parts;
    for (const BlockSegment& part : parts) bytes += part.bytes;
  }
  TestBlock(const TestBlock&) = delete;

  void OnDone(BlockResult with) override {
    ends.push_back(with);
    if (on_done) on_done();
  }

  std::vector<BlockSegment> parts;
  std::vector<BlockResult> ends;
  std::function<void()> on_done;
};

// One channel of a controller with the lane over it.
class TestLane final : public ScsiLaneListener {
 public:
  TestLane(Executor& guest, Executor& host_executor, ScriptedHost& host, ScsiLanes& lanes,
           PageAllocator& pages)
      : lanes_(lanes), pages_(pages), pair(guest, host_executor, {}), lane(pair.guest(), *this) {
    lane.Start();
    pair.host().Start(host);
    lanes_.Add(lane);
  }
  ~TestLane() override {
    if (!ended) End(ScsiEnd::kGone);
  }
  // As a controller takes a channel out of use.
  void End(ScsiEnd end) {
    ended = true;
    lanes_.Remove(lane);
    pair.guest().Close(absl::CancelledError("the channel ends"));
    if (end == ScsiEnd::kLost) lane.WithholdMemory(pages_);
    lane.EndAll(end);
  }
  void OnUnsolicited(ScsiLane&, uint32_t, std::span<const std::byte>) override {}
  void OnOverdue(ScsiLane&, const ScsiCommand&) override {}
  void OnLaneClosed(ScsiLane&, const absl::Status&) override {}

 private:
  ScsiLanes& lanes_;
  PageAllocator& pages_;

 public:
  ChannelPair pair;
  ScsiLane lane;
  bool ended = false;
};

class ScsiDiskTest : public testing::Test {
 protected:
  static constexpr uint64_t kDiskBytes = 4 << 20;

  ScsiDiskTest() {
    options.info.max_transfer_bytes = 256 * 1024;
    options.info.queue_depth = 8;
  }
  ~ScsiDiskTest() override {
    queue.reset();
    if (attention != nullptr) attention->Close();
  }

  // Options other than these are the test's, before Open.
  void Open(Executor* user = nullptr) {
    lanes = options.lanes = std::make_shared<ScsiLanes>();
    options.address = {.path = 0, .target = 0, .lun = 5};
    options.bytes = kDiskBytes;
    options.memory = memory.get();
    options.pages = &pages;
    attention = options.attention =
        std::make_shared<SharedEvent>(guest, Callback::To<&ScsiDiskTest::OnAttention>(this));
    lanes_open.emplace_back(std::make_unique<TestLane>(guest, host_cpu, host, *lanes, pages));
    disk = std::make_shared<ScsiDisk>(options);
    queue = disk->OpenQueue(user == nullptr ? guest : *user);
    Run();
  }
  void OnAttention() { ++attentions; }
  void Run() { EXPECT_TRUE(sim.RunUntilIdle().ok()); }
  void RunFor(Duration duration) { EXPECT_TRUE(sim.RunFor(duration).ok()); }
  TestLane& lane(size_t index = 0) { return *lanes_open.at(index); }

  BlockBuffer Guest(size_t bytes) { return disk->AllocateBuffer(bytes).value(); }
  static BlockSegment Part(const BlockBuffer& buffer, size_t offset, uint32_t bytes) {
    return {buffer.bytes().data() + offset, bytes,
            buffer.gpa() == BlockSegment::kNoGpa ? BlockSegment::kNoGpa : buffer.gpa(offset)};
  }
  static void Fill(std::span<std::byte> bytes, uint32_t seed) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((i * 2654435761u + seed * 40503u) >> 7);
    }
  }
  BlockResult Do(TestBlock& request) {
    queue->Submit(request);
    EXPECT_TRUE(request.ends.empty());
    Run();
    EXPECT_EQ(request.ends.size(), 1u);
    return request.ends.empty() ? BlockResult::kLost : request.ends[0];
  }
  std::vector<uint8_t> Opcodes() const {
    std::vector<uint8_t> opcodes;
    for (const HostCommand& command : host.commands) opcodes.push_back(command.opcode());
    return opcodes;
  }

  SimScheduler sim{0};
  SimExecutor& guest = sim.NewExecutor(0);
  SimExecutor& host_cpu = sim.NewExecutor(1);
  SimExecutor& other = sim.NewExecutor(2);
  std::unique_ptr<MemfdMemory> memory = MemfdMemory::Create({.page_count = 4096}).value();
  FirstFitPageAllocator pages{*memory, 16, 4000};
  ScriptedHost host{*memory, kDiskBytes};
  ScsiDisk::Options options;
  std::shared_ptr<ScsiLanes> lanes;
  std::shared_ptr<SharedEvent> attention;
  std::shared_ptr<ScsiDisk> disk;
  std::vector<std::unique_ptr<TestLane>> lanes_open;
  std::unique_ptr<BlockQueue> queue;
  int attentions = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_DISK_TESTING_H_
