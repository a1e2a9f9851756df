// Pages that a silent host may still use although their owner does not know: when the owner frees them they must not
// be anybody's memory again before the host let go. Source: protocol 02 section 5.4, rules 3 and 4.
//
//   withheld.Withhold(/*first=*/40, 2);              // some request's pages; the run around them belongs to its owner
//   if (withheld.Returned(40, 16) == WithheldPages::Fate::kKept) return;     // the owner is through with the run
//   for (auto run : withheld.End(/*host_let_go=*/true)) Free(run);           // UNLOAD_RESPONSE: now it is free
//
// A run is kept whole when any of its pages is withheld. After an end without UNLOAD_RESPONSE the marks stay: a run
// that comes back later is lost. What is withheld between an end and the next Begin (a device that ends after the crash
// path, say) shares the fate of that end.
//
// Thread safety: any thread. Costs one relaxed load per returned run while nothing was ever withheld.
#ifndef VMBUSKIT_PLATFORM_WITHHELD_PAGES_H_
#define VMBUSKIT_PLATFORM_WITHHELD_PAGES_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace vmbuskit {

class WithheldPages {
 public:
  enum class Fate { kFree, kKept, kLost };
  struct Run {
    uint64_t first = 0;
    uint64_t count = 0;
  };

  // There is a connection again (also before the first Begin).
  void Begin() {
    const std::lock_guard lock(mutex_);
    connection_ = Connection::kOpen;
  }

  void Withhold(uint64_t first, uint64_t count) {
    const std::lock_guard lock(mutex_);
    if (connection_ == Connection::kLetGo) return;
    (connection_ == Connection::kOpen ? marked_ : lost_).push_back({first, count});
    any_.store(true, std::memory_order_relaxed);
  }

  // What becomes of a run that its owner returned; kKept ones are given out by End.
  Fate Returned(uint64_t first, uint64_t count) {
    if (!any_.load(std::memory_order_relaxed)) return Fate::kFree;
    const std::lock_guard lock(mutex_);
    const bool lost = Unmark(lost_, first, count);
    const bool marked = Unmark(marked_, first, count);
    if (lost) return Fate::kLost;
    if (!marked) return Fate::kFree;
    kept_.push_back({first, count});
    return Fate::kKept;
  }

  // The connection ended. The kept runs: free when the host let go, else lost.
  std::vector<Run> End(bool host_let_go) {
    const std::lock_guard lock(mutex_);
    connection_ = host_let_go ? Connection::kLetGo : Connection::kLost;
    if (!host_let_go) lost_.insert(lost_.end(), marked_.begin(), marked_.end());
    marked_.clear();
    return std::exchange(kept_, {});
  }

  // Pages of returned runs that wait for the end.
  uint64_t kept() const {
    const std::lock_guard lock(mutex_);
    uint64_t pages = 0;
    for (const Run& run : kept_) pages += run.count;
    return pages;
  }

 private:
  // Takes the marks in that run away; whether there were any. Marks never reach past the run they were made in.
  static bool Unmark(std::vector<Run>& marks, uint64_t first, uint64_t count) {
    return std::erase_if(marks, [=](const Run& mark) {
             return mark.first < first + count && first < mark.first + mark.count;
           }) != 0;
  }

  enum class Connection { kOpen, kLetGo, kLost };  // the last two: it ended so

  std::atomic<bool> any_ = false;
  mutable std::mutex mutex_;
  Connection connection_ = Connection::kOpen;
  std::vector<Run> marked_;
  std::vector<Run> lost_;
  std::vector<Run> kept_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_WITHHELD_PAGES_H_
