// Against nbdkit, a server that others wrote.
#include "devices/storvsc/host/nbd_disk.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/allocation_counter.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

using testing::Each;
using testing::HasSubstr;

struct TestRequest final : BlockRequest {
  void OnDone(BlockResult with) override {
    EXPECT_FALSE(submitting) << "OnDone from inside Submit";
    last = with;
    ++ended;
  }
  bool submitting = false;
  int ended = 0;
  BlockResult last = BlockResult::kInvalid;
};

class NbdDiskTest : public testing::Test {
 protected:
  NbdDiskTest() : executor_(*LinuxExecutor::Create({})) {
    std::string folder = "/tmp/nbd_disk_testXXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  void SetUp() override {
    if (std::system("command -v nbdkit >/dev/null") != 0) GTEST_SKIP() << "nbdkit is not installed";
  }
  ~NbdDiskTest() override {
    queue_.reset();
    StopServer();
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }

  // Returns when it listens: nbdkit goes into the background then.
  void StartServer(const std::string& arguments) {
    const std::string command = "nbdkit -U " + folder_ + "/s -P " + folder_ + "/pid " + arguments;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  void StopServer() {
    std::ifstream file(folder_ + "/pid");
    pid_t pid = 0;
    if (!(file >> pid)) return;
    kill(pid, SIGKILL);
    while (kill(pid, 0) == 0) executor_->RunOnce();  // until it is reaped by its new parent
    unlink((folder_ + "/pid").c_str());
    unlink((folder_ + "/s").c_str());
  }
  std::string Uri() const { return "nbd+unix:///?socket=" + folder_ + "/s"; }
  void Open(NbdDisk::Options options = {}) {
    absl::StatusOr<std::shared_ptr<NbdDisk>> disk = NbdDisk::Open(Uri(), options);
    ASSERT_TRUE(disk.ok()) << disk.status();
    disk_ = *disk;
    queue_ = disk_->OpenQueue(*executor_);
    ASSERT_NE(queue_, nullptr);
  }
  void Submit(TestRequest& request) {
    request.submitting = true;
    queue_->Submit(request);
    request.submitting = false;
  }
  BlockResult Wait(TestRequest& request) {
    while (request.ended == 0) executor_->RunOnce(/*may_sleep=*/true);
    return request.last;
  }
  BlockResult Do(BlockOperation operation, uint64_t offset, uint64_t bytes) {
    TestRequest request;
    request.operation = operation;
    request.offset = offset;
    request.bytes = bytes;
    Submit(request);
    return Wait(request);
  }
  BlockResult Move(BlockOperation operation, uint64_t offset,
                   std::span<const BlockSegment> segments) {
    TestRequest request;
    request.operation = operation;
    request.offset = offset;
    request.segments = segments;
    request.force_unit_access = operation == BlockOperation::kWrite;
    for (const BlockSegment& segment : segments) request.bytes += segment.bytes;
    Submit(request);
    return Wait(request);
  }

  std::unique_ptr<LinuxExecutor> executor_;
  std::string folder_;
  std::shared_ptr<NbdDisk> disk_;
  std::unique_ptr<BlockQueue> queue_;
};

TEST_F(NbdDiskTest, ReadsWhatWasWrittenInPieces) {
  StartServer("memory 1M");
  Open();
  EXPECT_EQ(disk_->bytes(), 1u << 20);
  EXPECT_TRUE(disk_->info().discard && disk_->info().write_zeroes && disk_->info().status);
  std::vector<std::byte> memory(8192, std::byte{1});
  const BlockSegment segments[] = {
      {memory.data(), 100}, {memory.data() + 100, 412}, {memory.data() + 4096, 1024}};
  EXPECT_EQ(Move(BlockOperation::kWrite, 512, segments), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kOk);
  std::vector<std::byte> back(2560, std::byte{9});
  const BlockSegment all = {back.data(), 2560};
  EXPECT_EQ(Move(BlockOperation::kRead, 0, std::span(&all, 1)), BlockResult::kOk);
  EXPECT_THAT(std::span(back).first(512), Each(std::byte{0}));
  EXPECT_THAT(std::span(back).subspan(512, 1536), Each(std::byte{1}));
  EXPECT_THAT(std::span(back).last(512), Each(std::byte{0}));
}

TEST_F(NbdDiskTest, HolesAreMadeAndTold) {
  StartServer("memory 1M");
  Open();
  std::vector<std::byte> memory(1 << 20, std::byte{1});
  const BlockSegment all = {memory.data(), 1 << 20};
  EXPECT_EQ(Move(BlockOperation::kWrite, 0, std::span(&all, 1)), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kWriteZeroes, 256 * 1024, 512 * 1024), BlockResult::kOk);
  TestRequest status;
  std::vector<BlockExtent> extents(8);
  status.operation = BlockOperation::kStatus;
  status.bytes = 1 << 20;
  status.extents = extents;
  Submit(status);
  EXPECT_EQ(Wait(status), BlockResult::kOk);
  ASSERT_EQ(status.extent_count, 3u);
  EXPECT_EQ(extents[0], (BlockExtent{256 * 1024, true, false}));
  EXPECT_EQ(extents[1], (BlockExtent{512 * 1024, false, true}));
  EXPECT_EQ(extents[2], (BlockExtent{256 * 1024, true, false}));
  EXPECT_EQ(Do(BlockOperation::kDiscard, 0, 4096), BlockResult::kOk);
}

TEST_F(NbdDiskTest, ServersWithAnErrorAreHeard) {
  StartServer(
      "--filter=error memory 1M error-pwrite=ENOSPC error-pwrite-rate=100% error-pread=EIO "
      "error-pread-rate=100%");
  Open();
  std::vector<std::byte> memory(512);
  const BlockSegment all = {memory.data(), 512};
  EXPECT_EQ(Move(BlockOperation::kWrite, 0, std::span(&all, 1)), BlockResult::kNoSpace);
  EXPECT_EQ(Move(BlockOperation::kRead, 0, std::span(&all, 1)), BlockResult::kMediumError);
  EXPECT_EQ(Move(BlockOperation::kRead, 1 << 20, std::span(&all, 1)), BlockResult::kOutOfRange);
}

TEST_F(NbdDiskTest, AReadOnlyServerIsAReadOnlyDisk) {
  StartServer("-r memory 1M");
  Open();
  EXPECT_TRUE(disk_->info().read_only);
  EXPECT_EQ(Do(BlockOperation::kDiscard, 0, 512), BlockResult::kReadOnly);
}

TEST_F(NbdDiskTest, MemoryInSmallerPiecesThanTheServerTakesIsGathered) {
  StartServer(
      "--filter=blocksize-policy memory 1M blocksize-minimum=4096 blocksize-error-policy=error");
  EXPECT_THAT(std::string(NbdDisk::Open(Uri(), {}).status().message()),
              HasSubstr("smallest block is 4096"));
  Open({.block_bytes = 4096});
  std::vector<std::byte> memory(8192, std::byte{5});
  const BlockSegment segments[] = {{memory.data() + 1, 1000}, {memory.data() + 2000, 3096}};
  EXPECT_EQ(Move(BlockOperation::kWrite, 4096, segments), BlockResult::kOk);
  std::vector<std::byte> back(4096);
  const BlockSegment halves[] = {{back.data() + 2048, 2048}, {back.data(), 2048}};
  EXPECT_EQ(Move(BlockOperation::kRead, 4096, halves), BlockResult::kOk);
  EXPECT_THAT(back, Each(std::byte{5}));
}

TEST_F(NbdDiskTest, GatheringAllocatesNothingAndManyWaitForTheirTurn) {
  StartServer(
      "--filter=blocksize-policy memory 8M blocksize-minimum=4096 blocksize-error-policy=error");
  Open({.block_bytes = 4096});
  EXPECT_EQ(Do(BlockOperation::kFlush, 0, 0), BlockResult::kOk) << "connected";
  constexpr uint32_t kBytes = 640 * 1024;  // more than is gathered at a time
  constexpr size_t kRequests = 10;
  std::vector<std::byte> memory(kRequests * kBytes), back(kRequests * kBytes);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i % 251);
  for (const BlockOperation operation : {BlockOperation::kWrite, BlockOperation::kRead}) {
    std::vector<TestRequest> requests(kRequests);
    std::vector<BlockSegment> segments;
    segments.reserve(2 * kRequests);
    for (size_t i = 0; i < kRequests; ++i) {
      std::byte* const at =
          (operation == BlockOperation::kWrite ? memory : back).data() + i * kBytes;
      segments.push_back({at, 1000});
      segments.push_back({at + 1000, kBytes - 1000});
      requests[i].operation = operation;
      requests[i].offset = i * kBytes;
      requests[i].bytes = kBytes;
      requests[i].segments = std::span(segments).last(2);
    }
    const uint64_t before = ThreadAllocations();
    for (TestRequest& request : requests) Submit(request);
    for (TestRequest& request : requests) EXPECT_EQ(Wait(request), BlockResult::kOk);
    EXPECT_EQ(ThreadAllocations(), before);
  }
  EXPECT_EQ(back, memory);
}

TEST_F(NbdDiskTest, ABrokenConnectionIsMadeAnewAndWhatWasUnderWayIsSentAgain) {
  ASSERT_EQ(std::system(("truncate -s 1M " + folder_ + "/image").c_str()), 0);
  StartServer("file " + folder_ + "/image");
  Open();
  std::vector<std::byte> memory(4096, std::byte{3}), back(4096);
  const BlockSegment out = {memory.data(), 4096}, in = {back.data(), 4096};
  EXPECT_EQ(Move(BlockOperation::kWrite, 0, std::span(&out, 1)), BlockResult::kOk);
  StopServer();
  TestRequest read;
  read.bytes = 4096;
  read.segments = std::span(&in, 1);
  Submit(read);
  for (int turn = 0; turn < 100; ++turn) executor_->RunOnce();
  EXPECT_EQ(read.ended, 0);
  StartServer("file " + folder_ + "/image");
  EXPECT_EQ(Wait(read), BlockResult::kOk);
  EXPECT_THAT(back, Each(std::byte{3}));
}

TEST_F(NbdDiskTest, AServerWithoutMultiConnHasOneConnection) {
  StartServer("--filter=multi-conn memory 1M multi-conn-mode=disable");
  Open();
  const std::unique_ptr<BlockQueue> same = disk_->OpenQueue(*executor_);
  EXPECT_NE(same, nullptr);
  const std::unique_ptr<LinuxExecutor> other = *LinuxExecutor::Create({});
  EXPECT_EQ(disk_->OpenQueue(*other), nullptr);
}

TEST_F(NbdDiskTest, AFlushOfOneConnectionAnswersForTheWritesOfAnother) {
  ASSERT_EQ(std::system(("truncate -s 1M " + folder_ + "/image").c_str()), 0);
  StartServer("file " + folder_ + "/image");
  Open();
  const std::unique_ptr<LinuxExecutor> other = *LinuxExecutor::Create({});
  std::unique_ptr<BlockQueue> second = disk_->OpenQueue(*other);
  ASSERT_NE(second, nullptr);
  std::vector<std::byte> memory(4096, std::byte{4});
  const BlockSegment out = {memory.data(), 4096};
  const auto write = [&] {
    TestRequest request;
    request.operation = BlockOperation::kWrite;
    request.segments = std::span(&out, 1);
    request.bytes = 4096;
    Submit(request);
    return Wait(request);
  };
  const auto flush = [&] {  // over the other one
    TestRequest request;
    request.operation = BlockOperation::kFlush;
    second->Submit(request);
    while (request.ended == 0) {
      other->RunOnce();
      executor_->RunOnce();
    }
    return request.last;
  };
  EXPECT_EQ(flush(), BlockResult::kOk) << "both are connected";
  EXPECT_EQ(write(), BlockResult::kOk);
  EXPECT_EQ(flush(), BlockResult::kOk);
  StopServer();
  StartServer("file " + folder_ + "/image");
  EXPECT_EQ(flush(), BlockResult::kOk) << "nothing was lost that was not flushed";
  EXPECT_EQ(write(), BlockResult::kOk);
  StopServer();
  StartServer("file " + folder_ + "/image");
  EXPECT_EQ(flush(), BlockResult::kMediumError) << "the server that had the write is gone";
  EXPECT_EQ(write(), BlockResult::kOk);
  EXPECT_EQ(flush(), BlockResult::kMediumError) << "for good";
  EXPECT_GE(disk_->reconnects(), 2u);
  second.reset();
}

TEST_F(NbdDiskTest, ManyAtOnce) {
  StartServer("memory 4M");
  Open();
  std::vector<std::vector<std::byte>> blocks(500);
  std::vector<BlockSegment> segments(500);
  std::vector<TestRequest> requests(500);
  for (size_t i = 0; i < requests.size(); ++i) {
    blocks[i].assign(4096, static_cast<std::byte>(i));
    segments[i] = {blocks[i].data(), 4096};
    requests[i].operation = BlockOperation::kWrite;
    requests[i].offset = i * 4096;
    requests[i].bytes = 4096;
    requests[i].segments = std::span(&segments[i], 1);
    Submit(requests[i]);
  }
  for (TestRequest& request : requests) EXPECT_EQ(Wait(request), BlockResult::kOk);
  for (size_t i = 0; i < requests.size(); ++i) {
    std::vector<std::byte> back(4096);
    const BlockSegment in = {back.data(), 4096};
    ASSERT_EQ(Move(BlockOperation::kRead, i * 4096, std::span(&in, 1)), BlockResult::kOk);
    ASSERT_EQ(back, blocks[i]) << i;
  }
}

TEST(NbdDiskErrorTest, AServerThatIsNotThereIsNamed) {
  const absl::Status status = NbdDisk::Open("nbd+unix:///?socket=/no/such/socket", {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/socket"));
}

}  // namespace
}  // namespace vmbuskit
