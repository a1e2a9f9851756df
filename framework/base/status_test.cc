#include "framework/base/status.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(Violation, NamesSubjectFieldValueAndRule) {
  const absl::Status status =
      Violation("echo incoming ring", "write_index", 4097, "must be below 4096");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.message(), "echo incoming ring: write_index is 4097: must be below 4096");
}

TEST(Violation, RuleMayBeLeftOut) {
  EXPECT_EQ(Violation("channel 5", "len8", UINT64_MAX).message(),
            "channel 5: len8 is 18446744073709551615");
}

absl::Status Step(const absl::Status& result, int& count) {
  VMBUSKIT_RETURN_IF_ERROR(result);
  ++count;
  return absl::OkStatus();
}

TEST(ReturnIfError, PassesSuccessAndReturnsTheFirstFailure) {
  int count = 0;
  EXPECT_TRUE(Step(absl::OkStatus(), count).ok());
  EXPECT_EQ(count, 1);
  EXPECT_EQ(Step(absl::NotFoundError("no such relid"), count),
            absl::NotFoundError("no such relid"));
  EXPECT_EQ(count, 1);
}

TEST(ReturnIfError, IsOneStatementAfterIf) {
  auto run = [](bool check) -> absl::Status {
    if (check)
      VMBUSKIT_RETURN_IF_ERROR(absl::AbortedError("checked"));
    else
      return absl::CancelledError("not checked");
    return absl::OkStatus();
  };
  EXPECT_TRUE(absl::IsAborted(run(true)));
  EXPECT_TRUE(absl::IsCancelled(run(false)));
}

}  // namespace
}  // namespace vmbuskit
