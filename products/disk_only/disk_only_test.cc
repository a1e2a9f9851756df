// The product from start to end, on disks in memory.
#include "products/disk_only/disk_only.h"

#include <array>
#include <string>

#include "devices/storvsc/host/ram_disk.h"
#include "framework/interfaces/block_completions.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

struct Ended {
  int exit_code = 0;
  std::string out;
  std::string err;
};

Ended RunOnce(std::shared_ptr<BlockDevice> disk) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ended ended;
  ended.exit_code = RunDiskOnly(std::move(disk), /*once=*/true);
  ended.out = testing::internal::GetCapturedStdout();
  ended.err = testing::internal::GetCapturedStderr();
  return ended;
}

TEST(DiskOnly, ReadsTheFirstBlockThroughTheDriver) {
  auto disk = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1 << 20});
  std::array<std::byte, 16> begin;
  for (size_t i = 0; i < begin.size(); ++i) begin[i] = static_cast<std::byte>(0xA0 + i);
  ASSERT_TRUE(disk->Poke(0, begin));
  const Ended ended = RunOnce(disk);
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_EQ(ended.err, "");
  EXPECT_NE(ended.out.find("\nstorvsc "), std::string::npos) << ended.out;
  const std::string last =
      "disk_only: the guest's disk has 1048576 bytes; its first 16 are "
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\n"
      "disk_only: stopped; 0 pages are still shared with the host\n";
  EXPECT_TRUE(ended.out.ends_with(last)) << ended.out;
}

// A disk whose medium is broken: every request fails.
class BrokenDisk final : public BlockDevice {
 public:
  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return 1 << 20; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override {
    return std::make_unique<Queue>(executor);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

 private:
  struct Queue final : BlockQueue {
    explicit Queue(Executor& executor) : completions(executor) {}
    void Submit(BlockRequest& request) override {
      completions.End(request, BlockResult::kMediumError);
    }
    BlockCompletions completions;
  };
  const BlockInfo info_;
};

TEST(DiskOnly, EndsWithAnErrorWhenTheDiskCannotBeRead) {
  const Ended ended = RunOnce(std::make_shared<BrokenDisk>());
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_EQ(ended.err, "disk_only: a read of the first block ended with medium error\n");
  EXPECT_TRUE(ended.out.ends_with("disk_only: stopped; 0 pages are still shared with the host\n"))
      << ended.out;
}

}  // namespace
}  // namespace vmbuskit
