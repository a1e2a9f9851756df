// Guest memory for many simulated machines, one after the other. To map and unmap pages, and to touch fresh ones, costs
// more than all else that a short simulation does; here mappings that were given up wait for whoever maps
// the same pages again, and pages that a machine touched are zeroed for the next one instead of made anew.
//
//   ReusedMemory memory(*memfd);
//   for (uint64_t seed = 0; seed < 10'000; ++seed) {
//     memory.Renew();                      // all pages are zero
//     Simulate(seed, memory);
//   }
//
// Nothing of an earlier machine can be seen but where its mappings lie in this process.
//
// Thread safety: one thread. Lifetime: `inner` must outlive it, and it the mappings it gave. Forked processes share
// what is in `inner`: each needs an inner memory of its own. Errors: those of `inner`.
#ifndef VMBUSKIT_PLATFORM_SIM_REUSED_MEMORY_H_
#define VMBUSKIT_PLATFORM_SIM_REUSED_MEMORY_H_

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/memory.h"

namespace vmbuskit {

class ReusedMemory final : public GuestMemory {
 public:
  // Runs of consecutive pages, in all mappings: the operating system has a limit (Linux: 65530 in a process).
  static constexpr uint64_t kPiecesMax = 40'000;

  explicit ReusedMemory(GuestMemory& inner, uint64_t pieces_max = kPiecesMax);
  ~ReusedMemory() override;

  uint64_t page_count() const override { return inner_.page_count(); }
  absl::StatusOr<std::span<std::byte>> Translate(Gpa gpa, size_t length) override;
  absl::StatusOr<Mapping> Map(std::span<const Pfn> pages) override;

  // Zeroes every page that anybody could have written. Nothing may be mapped. From now on whoever goes on using a
  // mapping that was given up is caught in the act, at two system calls for each mapping, unless `guarded` is false.
  void Renew(bool guarded = true);

  // Of mappings in use, each page as often as it is shown.
  uint64_t mapped_pages() const { return mapped_pages_; }
  // Mappings that wait to be used again.
  uint64_t idle_mappings() const { return idle_; }

 private:
  struct Kept {
    std::vector<Pfn> pages;
    uint64_t pieces;
    Mapping mapping;
    ReusedMemory* owner;
    bool in_use;
    bool guarded;  // not accessible now
  };

  static void Unmap(std::byte* data, size_t size, void* context);
  Mapping Use(Kept& kept);
  void Touch(Pfn page) { touched_[page / 64] |= uint64_t{1} << page % 64; }
  void DropIdle();

  GuestMemory& inner_;
  const uint64_t pieces_max_;
  std::vector<uint64_t> touched_;                                  // a bit for each page
  std::unordered_multimap<uint64_t, std::unique_ptr<Kept>> kept_;  // by a hash of the pages
  bool guarded_ = true;
  uint64_t pieces_ = 0;
  uint64_t idle_ = 0;
  uint64_t mapped_pages_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_SIM_REUSED_MEMORY_H_
