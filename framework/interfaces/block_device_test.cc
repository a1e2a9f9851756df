#include "framework/interfaces/block_device.h"

#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

struct TestRequest final : BlockRequest {
  TestRequest(BlockOperation op, uint64_t at, uint64_t count) {
    operation = op;
    offset = at;
    bytes = count;
  }
  void OnDone(BlockResult) override { FAIL() << "nobody took it"; }
};

constexpr uint64_t kDeviceBytes = 8192;
const BlockInfo kInfo;

TEST(BlockRequestTest, OneThatKeepsTheRulesIsOk) {
  const std::vector<BlockSegment> segments = {{nullptr, 100}, {nullptr, 412}};
  TestRequest request(BlockOperation::kWrite, kDeviceBytes - 512, 512);
  request.segments = segments;
  EXPECT_EQ(CheckBlockRequest(request, kInfo, kDeviceBytes), BlockResult::kOk);
}

TEST(BlockRequestTest, PartsOfBlocksAndNothingAtAllAreInvalid) {
  for (const auto& [offset, bytes] : {std::pair{1, 512}, {0, 511}, {0, 0}}) {
    EXPECT_EQ(CheckBlockRequest(TestRequest(BlockOperation::kDiscard, offset, bytes), kInfo,
                                kDeviceBytes),
              BlockResult::kInvalid)
        << offset << " " << bytes;
  }
}

TEST(BlockRequestTest, SegmentsMustAddUpToTheLength) {
  const std::vector<BlockSegment> segments = {{nullptr, 511}};
  TestRequest request(BlockOperation::kRead, 0, 512);
  EXPECT_EQ(CheckBlockRequest(request, kInfo, kDeviceBytes), BlockResult::kInvalid);
  request.segments = segments;
  EXPECT_EQ(CheckBlockRequest(request, kInfo, kDeviceBytes), BlockResult::kInvalid);
}

TEST(BlockRequestTest, TheEndOfTheDeviceIsAnEndAlsoForLargeNumbers) {
  const auto check = [](uint64_t offset, uint64_t bytes) {
    return CheckBlockRequest(TestRequest(BlockOperation::kWriteZeroes, offset, bytes), kInfo,
                             kDeviceBytes);
  };
  EXPECT_EQ(check(0, kDeviceBytes), BlockResult::kOk);
  EXPECT_EQ(check(512, kDeviceBytes), BlockResult::kOutOfRange);
  EXPECT_EQ(check(kDeviceBytes + 512, 512), BlockResult::kOutOfRange);
  EXPECT_EQ(check(uint64_t{0} - 512, 1024), BlockResult::kOutOfRange);
}

TEST(BlockRequestTest, AReadOnlyDeviceRefusesWhatChangesIt) {
  BlockInfo info;
  info.read_only = true;
  const std::vector<BlockSegment> segments = {{nullptr, 512}};
  for (const BlockOperation operation :
       {BlockOperation::kRead, BlockOperation::kWrite, BlockOperation::kDiscard}) {
    TestRequest request(operation, 0, 512);
    request.segments = segments;
    EXPECT_EQ(CheckBlockRequest(request, info, kDeviceBytes),
              operation == BlockOperation::kRead ? BlockResult::kOk : BlockResult::kReadOnly)
        << ToString(operation);
  }
}

TEST(BlockRequestTest, AFlushHasNoLength) {
  EXPECT_EQ(CheckBlockRequest(TestRequest(BlockOperation::kFlush, 0, 0), kInfo, kDeviceBytes),
            BlockResult::kOk);
  EXPECT_EQ(CheckBlockRequest(TestRequest(BlockOperation::kFlush, 0, 512), kInfo, kDeviceBytes),
            BlockResult::kInvalid);
}

TEST(BlockRequestTest, StatusNeedsAPlaceForItsAnswer) {
  TestRequest request(BlockOperation::kStatus, 0, 512);
  EXPECT_EQ(CheckBlockRequest(request, kInfo, kDeviceBytes), BlockResult::kInvalid);
  std::vector<BlockExtent> extents(1);
  request.extents = extents;
  EXPECT_EQ(CheckBlockRequest(request, kInfo, kDeviceBytes), BlockResult::kOk);
}

}  // namespace
}  // namespace vmbuskit
