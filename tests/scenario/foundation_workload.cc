// Twenty devices of the foundation: exchange, echo and heartbeat.
#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/echo/echo.h"
#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/heartbeat.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "tests/scenario/exchange.h"
#include "tests/scenario/workload.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kExchanges = 14;
constexpr uint32_t kEchoes = 5;
constexpr uint32_t kDevices = kExchanges + kEchoes + 1;

Guid InstanceOf(uint32_t device) {
  Guid guid = Guid::Parse("00000000-0000-4000-8000-736365006172");
  guid.bytes[0] = static_cast<uint8_t>(device + 1);
  return guid;
}

std::vector<ExchangePlan> DrawPlans(FaultSource& faults) {
  Random& random = faults.random();
  const FaultPlan& plan = faults.plan();
  const auto ring_bytes = [&] {
    const uint32_t spread = plan.ring_pages_max - plan.ring_pages_min + 1;
    return static_cast<uint32_t>(4096 * (plan.ring_pages_min + random.Below(spread)));
  };
  std::vector<ExchangePlan> plans(kExchanges);
  for (uint32_t device = 0; device < kExchanges; ++device) {
    plans[device] = {
        .instance = InstanceOf(device),
        .send_ring_bytes = ring_bytes(),
        .receive_ring_bytes = ring_bytes(),
        .subchannels = random.OneIn(4) ? static_cast<uint32_t>(1 + random.Below(3)) : 0,
        .shared_bytes = random.OneIn(4) ? static_cast<uint32_t>(4096 * (1 + random.Below(80))) : 0,
        .monitored = random.OneIn(16)};
  }
  return plans;
}

class FoundationWorkload final : public Workload {
 public:
  explicit FoundationWorkload(FaultSource& faults)
      : faults_(faults), board_(faults, DrawPlans(faults)) {}

  std::span<const DeviceClass* const> classes() const override { return classes_; }
  uint32_t device_count() const override { return kDevices; }
  Guid instance(uint32_t device) const override { return InstanceOf(device); }

  absl::StatusOr<DeviceId> Offer(EmbeddedHost& host, uint32_t device) override {
    if (device < kExchanges) {
      Renew(device);
      return host.AddDevice(
          ExchangeVspClass(board_.plan(device).monitored), InstanceOf(device),
          [this, device](VspContext& context) { return board_.MakeVsp(context, device); });
    }
    const VspClass& vsp = device < kExchanges + kEchoes ? EchoVspClass() : HeartbeatVspClass();
    return host.AddDevice(vsp, InstanceOf(device));
  }

  void StartRound(SimScheduler& sim) override { board_.StartRound(sim); }
  bool idle() const override { return board_.idle(); }

  void CheckQuiescent(EmbeddedHost& host, uint32_t device, DeviceId id) override {
    if (device < kExchanges) return board_.CheckPair(device);
    Vsp* const vsp = host.FindVsp(id);
    if (vsp == nullptr) return;
    InspectNode node;
    vsp->Inspect(node);
    for (const auto& [key, value] : node.values()) {
      if (key == "wrong" && std::get<uint64_t>(value) != 0) {
        faults_.Report(absl::InternalError(absl::StrCat("echo ", device, ": a damaged answer")));
      }
      if (key == "guest" && std::get<std::string>(value) != "ok") {
        faults_.Report(absl::InternalError("heartbeat: the host does not hear the guest"));
      }
    }
  }

  void CheckEnded() override {
    const ExchangeShared& shared = board_.shared();
    if (shared.accepted == shared.ended) return;
    faults_.Report(absl::InternalError(
        absl::StrCat(shared.accepted, " questions were accepted, ", shared.ended, " ended")));
  }

  void Harm(uint32_t device) override {
    if (device < kExchanges) board_.Harm(device);
  }

  void Renew(uint32_t device) override {
    if (device < kExchanges) board_.Renew(device);
  }

  Figures figures() const override {
    const ExchangeShared& shared = const_cast<ExchangeBoard&>(board_).shared();
    return {.packets = shared.packets,
            .signals = shared.signals,
            .wakeups = shared.wakeups,
            .needless_wakeups = shared.empty_wakeups};
  }

 private:
  FaultSource& faults_;
  ExchangeBoard board_;
  const std::array<const DeviceClass*, 3> classes_ = {&ExchangeClass(), &EchoClass(),
                                                      &HeartbeatClass()};
};

}  // namespace

std::unique_ptr<Workload> MakeFoundationWorkload(FaultSource& faults) {
  return std::make_unique<FoundationWorkload>(faults);
}

}  // namespace vmbuskit
