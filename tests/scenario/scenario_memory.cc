#include "tests/scenario/scenario_memory.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "platform/linux/memfd_memory.h"

namespace vmbuskit {
namespace {

struct OwnMemory {
  pid_t process;
  std::unique_ptr<MemfdMemory> pages;
  std::unique_ptr<ReusedMemory> reused;
};

}  // namespace

absl::StatusOr<ReusedMemory*> ScenarioMemory() {
  static OwnMemory* memory = nullptr;  // until the process ends
  if (memory != nullptr && memory->process == getpid()) return memory->reused.get();
  absl::StatusOr<std::unique_ptr<MemfdMemory>> pages =
      MemfdMemory::Create({.page_count = kScenarioPages});
  if (!pages.ok()) return pages.status();
  auto reused = std::make_unique<ReusedMemory>(**pages);
  // What a fork inherits is its parent's, and stays as it is.
  memory =
      new OwnMemory{.process = getpid(), .pages = *std::move(pages), .reused = std::move(reused)};
  return memory->reused.get();
}

}  // namespace vmbuskit
