#include "transports/synic/synthetic_timer.h"

#include <algorithm>

#include "framework/base/status.h"

namespace vmbuskit {

SyntheticTimer::SyntheticTimer(Partition& partition, SynicVp& synic, Options options,
                               Callback handler)
    : partition_(partition),
      synic_(synic),
      options_(options),
      vp_(options.vp),
      handler_(handler),
      interrupt_(synic.executor(), Callback::To<&SyntheticTimer::OnExpired>(this)) {}

absl::Status SyntheticTimer::Start() {
  uint64_t config = kStimerEnable | kStimerAutoEnable;
  if (options_.mode == Mode::kDirect) {
    config |= StimerDirectVector(options_.vector);
    partition_.ConnectInterrupt(vp_, options_.vector, &interrupt_);
  } else {
    config |= StimerSint(static_cast<uint8_t>(options_.sint));
    synic_.SetTimerTarget(options_.index, Callback::To<&SyntheticTimer::OnExpired>(this));
  }
  started_ = true;
  // Configuration with nothing due, then a count per event: as Linux programs them.
  absl::Status status = partition_.WriteRegister(vp_, count_register(), 0);
  if (status.ok()) status = partition_.WriteRegister(vp_, config_register(), config);
  if (!status.ok()) Stop();
  return status;
}

void SyntheticTimer::Stop() {
  if (!started_) return;
  started_ = false;
  armed_ = false;
  (void)partition_.WriteRegister(vp_, config_register(), 0);
  (void)partition_.WriteRegister(vp_, count_register(), 0);
  if (options_.mode == Mode::kDirect) {
    partition_.ConnectInterrupt(vp_, options_.vector, nullptr);
  } else {
    synic_.SetTimerTarget(options_.index, {});
  }
  interrupt_.Cancel();
}

absl::Status SyntheticTimer::Arm(uint64_t deadline) {
  if (!started_) return absl::FailedPreconditionError("the synthetic timer is not started");
  deadline_ = std::max<uint64_t>(deadline, 1);  // 0 would disarm
  armed_ = true;
  return partition_.WriteRegister(vp_, count_register(), deadline_);
}

void SyntheticTimer::Disarm() {
  if (!armed_) return;
  armed_ = false;
  (void)partition_.WriteRegister(vp_, count_register(), 0);
}

void SyntheticTimer::OnExpired() {
  if (!armed_) return;
  // The expiry of an earlier deadline may still have been on its way; the right one will come.
  if (absl::StatusOr<uint64_t> now = ReferenceNow(); now.ok() && *now < deadline_) return;
  armed_ = false;
  handler_();
}

}  // namespace vmbuskit
