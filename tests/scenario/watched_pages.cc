#include "tests/scenario/watched_pages.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {

absl::StatusOr<PageRun> WatchedPages::Allocate(uint32_t count) {
  absl::StatusOr<PageRun> run = real_.Allocate(count);
  if (!run.ok()) return run.status();
  const Pfn first = run->first();
  runs_[first] = *std::move(run);
  return PageRun(this, first, count);
}

void WatchedPages::Free(Pfn first, uint32_t count) {
  // A host that lies makes the guest believe that it let go.
  const bool honest = faults_.plan().hostile_message_weight == 0;
  if (honest && host_ != nullptr) CheckNotShared(first, count);
  runs_.erase(first);
}

void WatchedPages::CheckNotShared(Pfn first, uint32_t count) {
  const VmbusServer& server = host_->server();
  for (const auto& [key, entry] : server.gpadls().all()) {
    if (entry.pages == nullptr) continue;
    const auto channel = server.channels().all().find(key.first);
    if (channel == server.channels().all().end() || channel->second.IsRevoked()) continue;
    const bool shared = std::ranges::any_of(
        entry.pages->pfns, [&](Pfn page) { return page >= first && page - first < count; });
    if (!shared) continue;
    faults_.Report(absl::InternalError(absl::StrCat("the guest reuses page ", first,
                                                    ", which the host has by GPADL ", key.second)));
  }
}

void WatchedPages::Leak(Pfn first, uint32_t) {
  const auto run = runs_.find(first);
  run->second.Leak();
  runs_.erase(run);
}

}  // namespace vmbuskit
