#include "tests/scenario/campaign_board.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>

namespace vmbuskit {
namespace {

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "processes can share lock-free atomics only");

}  // namespace

void CampaignWorkerSlot::Begin(uint64_t seed) {
  seed_.store(seed, std::memory_order_relaxed);
  busy_.store(true, std::memory_order_release);
}

void CampaignWorkerSlot::End(const ScenarioResult& result) {
  CampaignTotals sum = totals();
  sum.Add(seed(), result);
  seeds_.store(sum.seeds, std::memory_order_relaxed);
  turns_.store(sum.turns, std::memory_order_relaxed);
  virtual_ns_.store(static_cast<uint64_t>(sum.virtual_time.count()), std::memory_order_relaxed);
  faults_.store(sum.faults, std::memory_order_relaxed);
  packets_.store(sum.packets, std::memory_order_relaxed);
  signals_.store(sum.signals, std::memory_order_relaxed);
  needless_signals_.store(sum.needless_signals, std::memory_order_relaxed);
  lun_resets_.store(sum.lun_resets, std::memory_order_relaxed);
  bus_resets_.store(sum.bus_resets, std::memory_order_relaxed);
  hash_.store(sum.hash, std::memory_order_relaxed);
  busy_.store(false, std::memory_order_release);
}

void CampaignWorkerSlot::Fail(FailureKind kind, std::string_view what) {
  kind_ = kind;
  what_bytes_ = std::min(what.size(), what_.size());
  std::memcpy(what_.data(), what.data(), what_bytes_);
  failed_.store(true, std::memory_order_release);
}

CampaignTotals CampaignWorkerSlot::totals() const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  return {.seeds = seeds_.load(kRelaxed),
          .turns = turns_.load(kRelaxed),
          .virtual_time = Duration(static_cast<Duration::rep>(virtual_ns_.load(kRelaxed))),
          .faults = faults_.load(kRelaxed),
          .packets = packets_.load(kRelaxed),
          .signals = signals_.load(kRelaxed),
          .needless_signals = needless_signals_.load(kRelaxed),
          .lun_resets = lun_resets_.load(kRelaxed),
          .bus_resets = bus_resets_.load(kRelaxed),
          .hash = hash_.load(kRelaxed)};
}

std::optional<CampaignFailure> CampaignWorkerSlot::failure() const {
  if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
  return CampaignFailure{
      .seed = seed(), .kind = kind_, .what = std::string(what_.data(), what_bytes_)};
}

absl::StatusOr<CampaignBoard> CampaignBoard::Create(uint32_t workers) {
  const size_t bytes = sizeof(Header) + workers * sizeof(CampaignWorkerSlot);
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, /*fd=*/-1, 0);
  if (memory == MAP_FAILED) return absl::ErrnoToStatus(errno, "memory that the workers share");
  CampaignBoard board({static_cast<std::byte*>(memory), bytes});
  auto* header = new (memory) Header();
  for (uint32_t i = 0; i < workers; ++i) {
    new (board.memory_.data() + sizeof(Header) + i * sizeof(CampaignWorkerSlot))
        CampaignWorkerSlot();
  }
  header->workers = workers;
  return board;
}

CampaignBoard::~CampaignBoard() {
  if (!memory_.empty()) munmap(memory_.data(), memory_.size());
}

std::optional<uint64_t> CampaignBoard::Take(uint64_t seeds) {
  if (header().stop.load()) return std::nullopt;
  const uint64_t index = header().next.fetch_add(1);
  if (index >= seeds) return std::nullopt;
  return index;
}

CampaignWorkerSlot& CampaignBoard::worker(uint32_t index) {
  return reinterpret_cast<CampaignWorkerSlot*>(memory_.data() + sizeof(Header))[index];
}

CampaignTotals CampaignBoard::totals() {
  CampaignTotals sum;
  for (uint32_t i = 0; i < workers(); ++i) {
    const CampaignTotals one = worker(i).totals();
    sum.seeds += one.seeds;
    sum.turns += one.turns;
    sum.virtual_time += one.virtual_time;
    sum.faults += one.faults;
    sum.packets += one.packets;
    sum.signals += one.signals;
    sum.needless_signals += one.needless_signals;
    sum.lun_resets += one.lun_resets;
    sum.bus_resets += one.bus_resets;
    sum.hash += one.hash;
  }
  return sum;
}

}  // namespace vmbuskit
