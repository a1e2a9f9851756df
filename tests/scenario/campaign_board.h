// What the processes of a campaign share: the next seed to take, and for every worker the seed that it is at, its
// totals and its failure. It lives in anonymous shared memory, so that it outlives a worker that dies.
//
//   absl::StatusOr<CampaignBoard> board = CampaignBoard::Create(/*workers=*/2);
//   ... fork ...
//   RunSeeds(*board, /*worker=*/0, options, run);                        // in the child
//   if (board->worker(0).busy()) Crashed(board->worker(0).seed());       // in the parent, once it is dead
//
// Thread safety: a worker's slot is written by that worker only and read by anybody; a failure is read once the
// worker says that it failed or is dead. Lifetime: forks keep the memory alive for themselves.
#ifndef VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_BOARD_H_
#define VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_BOARD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "tests/scenario/campaign.h"

namespace vmbuskit {

class alignas(64) CampaignWorkerSlot {
 public:
  static constexpr size_t kWhatBytes = 8192;  // of a failure; more is cut off

  // The worker's side.
  void Begin(uint64_t seed);
  void End(const ScenarioResult& result);  // of the seed that began
  void Fail(FailureKind kind, std::string_view what);

  // Everybody's side.
  bool busy() const { return busy_.load(std::memory_order_acquire); }
  uint64_t seed() const { return seed_.load(std::memory_order_relaxed); }
  CampaignTotals totals() const;
  std::optional<CampaignFailure> failure() const;

 private:
  std::atomic<bool> busy_ = false;
  std::atomic<uint64_t> seed_ = 0;
  std::atomic<uint64_t> seeds_ = 0;
  std::atomic<uint64_t> turns_ = 0;
  std::atomic<uint64_t> virtual_ns_ = 0;
  std::atomic<uint64_t> faults_ = 0;
  std::atomic<uint64_t> packets_ = 0;
  std::atomic<uint64_t> signals_ = 0;
  std::atomic<uint64_t> needless_signals_ = 0;
  std::atomic<uint64_t> lun_resets_ = 0;
  std::atomic<uint64_t> bus_resets_ = 0;
  std::atomic<uint64_t> hash_ = 0;
  std::atomic<bool> failed_ = false;
  FailureKind kind_ = FailureKind::kInvariant;
  size_t what_bytes_ = 0;
  std::array<char, kWhatBytes> what_;
};

class CampaignBoard {
 public:
  static absl::StatusOr<CampaignBoard> Create(uint32_t workers);
  CampaignBoard(CampaignBoard&& from) : memory_(std::exchange(from.memory_, {})) {}
  CampaignBoard& operator=(CampaignBoard&&) = delete;
  ~CampaignBoard();

  // The index of a seed that nobody has taken yet, ascending from 0; nothing after Stop or at `seeds`.
  std::optional<uint64_t> Take(uint64_t seeds);
  void Stop() { header().stop.store(true); }

  uint32_t workers() const { return header().workers; }
  CampaignWorkerSlot& worker(uint32_t index);
  CampaignTotals totals();  // of all workers

 private:
  struct alignas(64) Header {
    std::atomic<uint64_t> next = 0;
    std::atomic<bool> stop = false;
    uint32_t workers = 0;
  };

  explicit CampaignBoard(std::span<std::byte> memory) : memory_(memory) {}
  Header& header() const { return *reinterpret_cast<Header*>(memory_.data()); }

  std::span<std::byte> memory_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_CAMPAIGN_BOARD_H_
