#include "platform/linux/child_program.h"

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(ChildProgramTest, AProgramIsFoundByItsName) {
  EXPECT_TRUE(FindSystemProgram("sh").ends_with("/sh"));
  EXPECT_EQ(FindSystemProgram("no such program"), "");
}

TEST(ChildProgramTest, ItsExitCodeIsTold) {
  const std::string shell = FindSystemProgram("sh");
  EXPECT_EQ(*RunQuietly({shell, "-c", "exit 0"}), 0);
  EXPECT_EQ(*RunQuietly({shell, "-c", "exit 7"}), 7);
}

TEST(ChildProgramTest, ItHasNobodyToTalkTo) {
  const std::string script = "read line && exit 1; echo lost; echo lost >&2";
  EXPECT_EQ(*RunQuietly({FindSystemProgram("sh"), "-c", script}), 0);
}

TEST(ChildProgramTest, WhatCannotBeStartedOrDiesIsAnError) {
  EXPECT_EQ(RunQuietly({"/no/such/program"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(RunQuietly({FindSystemProgram("sh"), "-c", "kill -9 $$"}).status().code(),
            absl::StatusCode::kAborted);
}

TEST(ChildProgramTest, WhatDoesNotEndIsKilled) {
  const absl::StatusOr<int> code =
      RunQuietly({FindSystemProgram("sleep"), "3600"}, std::chrono::milliseconds(50));
  EXPECT_EQ(code.status().code(), absl::StatusCode::kDeadlineExceeded) << code.status();
}

}  // namespace
}  // namespace vmbuskit
