#include "tests/scenario/exchange.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

ExchangeBoard* current_board = nullptr;

}  // namespace

ExchangeBoard::ExchangeBoard(FaultSource& faults, std::vector<ExchangePlan> plans)
    : shared_(faults), plans_(std::move(plans)) {
  assert(current_board == nullptr);
  current_board = this;
  for (size_t i = 0; i < plans_.size(); ++i) harmed_.push_back(std::make_unique<bool>(false));
}

ExchangeBoard::~ExchangeBoard() { current_board = nullptr; }

ExchangeBoard& ExchangeBoard::current() { return *current_board; }

uint32_t ExchangeBoard::Find(const Guid& instance) const {
  uint32_t device = 0;
  while (device + 1 < plans_.size() && plans_[device].instance != instance) ++device;
  return device;
}

std::shared_ptr<Lane> ExchangeBoard::NewLane(bool guest, uint32_t device, uint16_t index,
                                             Executor& executor) {
  auto lane = std::make_shared<Lane>(shared_, executor,
                                     absl::StrCat(guest ? "guest " : "host ", device, ".", index),
                                     index, shared_.faults.random().Next(), *harmed_[device]);
  std::erase_if(lanes_, [&](const Entry& entry) {
    return entry.lane.expired() ||
           (entry.guest == guest && entry.device == device && entry.index == index);
  });
  lanes_.push_back({.guest = guest, .device = device, .index = index, .lane = lane});
  return lane;
}

std::shared_ptr<Lane> ExchangeBoard::FindLane(bool guest, uint32_t device, uint16_t index) const {
  for (const Entry& entry : lanes_) {
    if (entry.guest == guest && entry.device == device && entry.index == index) {
      return entry.lane.lock();
    }
  }
  return nullptr;
}

void ExchangeBoard::StartRound(SimScheduler& sim) {
  for (const Entry& entry : lanes_) {
    const std::shared_ptr<Lane> lane = entry.lane.lock();
    if (lane == nullptr || !lane->attached()) continue;
    const SimTurn turn = sim.Enter(static_cast<const SimExecutor&>(lane->executor()));
    lane->StartRound(static_cast<uint32_t>(shared_.faults.random().Below(4)));
  }
}

bool ExchangeBoard::idle() const {
  for (const Entry& entry : lanes_) {
    const std::shared_ptr<Lane> lane = entry.lane.lock();
    if (lane != nullptr && lane->attached() && !*harmed_[entry.device] && !lane->idle()) {
      return false;
    }
  }
  return true;
}

void ExchangeBoard::CheckPair(uint32_t device) {
  for (const Entry& entry : lanes_) {
    if (!entry.guest || entry.device != device) continue;
    const std::shared_ptr<Lane> guest = entry.lane.lock();
    if (guest == nullptr || !guest->attached()) continue;
    const std::shared_ptr<Lane> host = FindLane(false, device, entry.index);
    const auto wrong = [&](const char* what) {
      shared_.faults.Report(absl::InternalError(absl::StrCat(
          "device ", device, ".", entry.index, ", when nothing is under way: ", what)));
    };
    if (host == nullptr || !host->attached()) {
      wrong("the guest has the channel, the host has not");
      continue;
    }
    const Lane::Figures& g = guest->figures();
    const Lane::Figures& h = host->figures();
    if (!guest->idle()) wrong("the guest's end has work left");
    if (!host->idle()) wrong("the host's end has work left");
    if (g.sent != h.received) wrong("the host has not got all that the guest sent");
    if (h.sent != g.received) wrong("the guest has not got all that the host sent");
    if (g.deadlines != h.left_alone) wrong("the guest's deadlines are not the host's silences");
    if (h.deadlines != g.left_alone) wrong("the host's deadlines are not the guest's silences");
    if (guest->channel()->requests().abandoned() != h.left_alone ||
        host->channel()->requests().abandoned() != g.left_alone) {
      wrong("a request slot leaked");
    }
    if (guest->channel()->counters().packets_out != host->channel()->counters().packets_in ||
        host->channel()->counters().packets_out != guest->channel()->counters().packets_in) {
      wrong("packets are readable and nobody reads them");
    }
  }
}

}  // namespace vmbuskit
