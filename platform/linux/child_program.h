// Runs another program of the system to its end, without a word.
//
//   const std::string e2fsck = FindSystemProgram("e2fsck");          // empty: it is not installed
//   absl::StatusOr<int> code = RunQuietly({e2fsck, "-fn", image});   // its exit code
//
// Thread safety: any thread, which waits, at most for `limit`; then the program is killed. Nothing is inherited but the
// environment: standard streams are /dev/null.
// Errors: of the system call that starts it; Aborted when a signal ended it; DeadlineExceeded at the limit.
#ifndef VMBUSKIT_PLATFORM_LINUX_CHILD_PROGRAM_H_
#define VMBUSKIT_PLATFORM_LINUX_CHILD_PROGRAM_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/time.h"

namespace vmbuskit {

// Where the program is, of those folders that also hold what an administrator runs.
std::string FindSystemProgram(const std::string& name);

absl::StatusOr<int> RunQuietly(const std::vector<std::string>& arguments,
                               Duration limit = std::chrono::seconds(60));

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_CHILD_PROGRAM_H_
