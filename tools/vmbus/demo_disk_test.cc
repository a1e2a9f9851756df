// What the demo says when its disk loses data.
#include "tools/vmbus/demo_disk.h"

#include <memory>
#include <optional>
#include <string>

#include "devices/storvsc/export/nbd_testing.h"
#include "framework/task/run_task.h"
#include "framework/task/spawn.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

class DemoDiskTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<DemoDisk>> made = DemoDisk::Make();
    if (absl::IsNotFound(made.status())) GTEST_SKIP() << made.status();
    ASSERT_TRUE(made.ok()) << made.status();
    demo_ = *std::move(made);
  }
  // Requests that the disk holds end with `result`.
  absl::Status Verify(BlockResult result) {
    std::optional<absl::StatusOr<std::string>> verified;
    TaskGroup group(*executor_, "test");
    group.Spawn(KeepResult(demo_->Verify(*executor_, until_stop_), &verified));
    while (group.running() > 0) {
      executor_->RunOnce();
      while (!disk_->held.empty()) disk_->End(result);
    }
    return verified->status();
  }

  std::unique_ptr<LinuxExecutor> executor_ = *LinuxExecutor::Create({});
  CancelScope until_stop_;
  std::shared_ptr<TestDisk> disk_ = std::make_shared<TestDisk>(8 << 20);
  std::unique_ptr<DemoDisk> demo_;
};

TEST_F(DemoDiskTest, OtherBytesThanWereWrittenAreALoss) {
  demo_->OnDiskAdded({}, disk_);
  const absl::Status status = Verify(BlockResult::kOk);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("other bytes than mke2fs wrote"));
}

TEST_F(DemoDiskTest, ADiskOfAnotherSizeIsALossToo) {
  disk_ = std::make_shared<TestDisk>(1 << 20);
  demo_->OnDiskAdded({}, disk_);
  EXPECT_EQ(Verify(BlockResult::kOk).code(), absl::StatusCode::kDataLoss);
}

TEST_F(DemoDiskTest, AReadThatFailsIsALossAndNamesTheOffset) {
  disk_->hold = true;
  demo_->OnDiskAdded({}, disk_);
  const absl::Status status = Verify(BlockResult::kMediumError);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("a read at 0 ended with"));
  EXPECT_EQ(disk_->seen.size(), 1u) << "it goes no further";
}

TEST_F(DemoDiskTest, ADiskThatWentIsNotThereAndCannotBeWaitedForAfterTheStop) {
  demo_->OnDiskAdded({}, disk_);
  demo_->OnDiskRemoved({});
  until_stop_.Cancel(absl::CancelledError("the demo ends"));
  EXPECT_EQ(Verify(BlockResult::kOk).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace vmbuskit
