#include "platform/linux/affinity.h"

#include <sched.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(Affinity, AllowedCpusAreSomeOfThoseOnline) {
  const std::vector<uint32_t> cpus = AllowedCpus();
  ASSERT_FALSE(cpus.empty());
  EXPECT_LE(cpus.size(), OnlineCpuCount());
  for (size_t i = 1; i < cpus.size(); ++i) EXPECT_LT(cpus[i - 1], cpus[i]);
}

TEST(Affinity, PinnedThreadRunsThereOnly) {
  for (uint32_t cpu : AllowedCpus()) {
    std::thread thread([cpu] {
      ASSERT_TRUE(PinCurrentThread(cpu).ok());
      EXPECT_EQ(AllowedCpus(), std::vector<uint32_t>{cpu});
      EXPECT_EQ(sched_getcpu(), static_cast<int>(cpu));
    });
    thread.join();
  }
}

TEST(Affinity, ErrorNamesTheCpu) {
  for (uint32_t cpu : {uint32_t{CPU_SETSIZE} - 1, uint32_t{CPU_SETSIZE}, ~uint32_t{0}}) {
    const absl::Status status = PinCurrentThread(cpu);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find("cpu " + std::to_string(cpu) + " of "),
              std::string::npos);
  }
}

}  // namespace
}  // namespace vmbuskit
