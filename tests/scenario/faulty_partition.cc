#include "tests/scenario/faulty_partition.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "transports/protocol/hypervisor.h"
#include "transports/protocol/message_table.h"
#include "transports/protocol/messages.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kTurnsAtOnce = 8;

}  // namespace

class FaultyPartition::Line {
 public:
  Line(FaultyPartition& partition, uint32_t vp, uint8_t vector, Event* handler)
      : partition_(partition),
        vp_(vp),
        vector_(vector),
        handler_(handler),
        raised_(*partition.executors_[vp], Callback::To<&Line::OnRaised>(this)),
        late_(*partition.executors_[vp], Callback::To<&Line::Deliver>(this)) {}

  Event& raised() { return raised_; }
  void Deliver() { handler_->Signal(); }

 private:
  void OnRaised() {
    FaultSource& faults = partition_.faults_;
    const FaultPlan& plan = faults.plan();
    if (faults.Happens(plan.interrupt_wrong_cpu)) {
      faults.Note("interrupt of vp ", vp_, " goes to another one first");
      partition_.RaiseElsewhere(vp_, vector_);
      return Later(plan.interrupt_late_max);
    }
    if (faults.Happens(plan.interrupt_lost)) {
      faults.Note("interrupt of vp ", vp_, " lost for now");
      return Later(plan.interrupt_repair_max);
    }
    if (faults.Happens(plan.interrupt_late)) {
      faults.Note("interrupt of vp ", vp_, " late");
      return Later(plan.interrupt_late_max);
    }
    Deliver();
    if (faults.Happens(plan.interrupt_duplicated)) {
      faults.Note("interrupt of vp ", vp_, " comes again later");
      Later(plan.interrupt_late_max);
    }
  }
  void Later(Duration most) {
    const Instant now = partition_.executors_[vp_]->Now();
    const Instant then = now + DrawUpTo(partition_.faults_.random(), most);
    if (!late_.armed() || then < late_.deadline()) late_.Arm(then);
  }

  FaultyPartition& partition_;
  const uint32_t vp_;
  const uint8_t vector_;
  Event* const handler_;
  Event raised_;
  Timer late_;
};

struct FaultyPartition::LateSignals {
  LateSignals(FaultyPartition& partition, uint32_t vp)
      : partition(partition),
        vp(vp),
        timer(*partition.executors_[vp], Callback::To<&LateSignals::Send>(this)) {}

  struct Call {
    uint64_t control, input, output;
  };
  void Add(const Call& call, Duration most) {
    calls.push_back(call);
    const Instant now = partition.executors_[vp]->Now();
    if (!timer.armed()) timer.Arm(now + DrawUpTo(partition.faults_.random(), most));
  }
  void Send() {
    // The connection may be gone by now: what the host says then, nobody hears.
    for (const Call& call : std::exchange(calls, {})) {
      (void)partition.real().Hypercall(vp, call.control, call.input, call.output);
    }
  }

  FaultyPartition& partition;
  const uint32_t vp;
  std::vector<Call> calls;
  Timer timer;
};

FaultyPartition::FaultyPartition(Partition& real, const std::vector<Executor*>& executors,
                                 SimExecutor& host, FaultSource& faults)
    : ForwardingPartition(real), executors_(executors), host_(host), faults_(faults) {
  for (uint32_t vp = 0; vp < executors_.size(); ++vp) {
    late_.push_back(std::make_unique<LateSignals>(*this, vp));
  }
}

FaultyPartition::~FaultyPartition() { Forget(); }

void FaultyPartition::Forget() {
  for (auto& [key, line] : lines_) real().ConnectInterrupt(key.first, key.second, nullptr);
  lines_.clear();
  for (auto& late : late_) {
    late->calls.clear();
    late->timer.Disarm();
  }
}

void FaultyPartition::ConnectInterrupt(uint32_t vp, uint8_t vector, Event* handler) {
  const auto key = std::make_pair(vp, vector);
  if (handler == nullptr) {
    real().ConnectInterrupt(vp, vector, nullptr);
    lines_.erase(key);
    return;
  }
  auto line = std::make_unique<Line>(*this, vp, vector, handler);
  real().ConnectInterrupt(vp, vector, &line->raised());
  lines_[key] = std::move(line);
}

void FaultyPartition::RaiseElsewhere(uint32_t vp, uint8_t vector) {
  for (auto& [key, line] : lines_) {
    if (key.first != vp && key.second == vector) return line->Deliver();
  }
}

void FaultyPartition::RaiseEarly(uint32_t vp) {
  for (auto& [key, line] : lines_) {
    if (key.first == vp) line->Deliver();
  }
}

uint64_t FaultyPartition::Hypercall(uint32_t vp, uint64_t control, uint64_t input,
                                    uint64_t output) {
  const uint16_t code = static_cast<uint16_t>(control);
  if (faults_.Happens(faults_.plan().interrupt_early)) {
    faults_.Note("interrupt of vp ", vp, " without a reason");
    RaiseEarly(vp);
  }
  if (code == kCallSignalEvent) return Signal(vp, control, input, output);
  if (code != kCallPostMessage) return real().Hypercall(vp, control, input, output);
  const bool refused = faults_.Happens(faults_.plan().post_refused);
  if (faults_.tracing()) NotePost(input, refused);
  if (refused) return static_cast<uint64_t>(HypercallStatus::kInsufficientBuffers);
  return real().Hypercall(vp, control, input, output);
}

void FaultyPartition::NotePost(Gpa input, bool refused) {
  uint32_t words[3] = {};
  const auto bytes = real().memory().Translate(input, sizeof(PostMessageInput));
  if (bytes.ok()) {
    std::memcpy(words, bytes->data() + offsetof(PostMessageInput, payload), sizeof words);
  }
  faults_.Note("guest posts ", MessageName(words[0]), " ", words[2],
               refused ? ", refused for now" : "");
}

uint64_t FaultyPartition::Signal(uint32_t vp, uint64_t control, uint64_t input, uint64_t output) {
  const FaultPlan& plan = faults_.plan();
  if (faults_.Happens(plan.signal_lost)) {
    faults_.Note("signal of vp ", vp, " lost for now");
    late_[vp]->Add({control, input, output}, plan.interrupt_repair_max);
    return 0;
  }
  if (faults_.Happens(plan.signal_late)) {
    faults_.Note("signal of vp ", vp, " late");
    late_[vp]->Add({control, input, output}, plan.interrupt_late_max);
    return 0;
  }
  if (faults_.Happens(plan.signal_duplicated)) {
    faults_.Note("signal of vp ", vp, " comes again later");
    late_[vp]->Add({control, input, output}, plan.interrupt_late_max);
  }
  const uint64_t result = real().Hypercall(vp, control, input, output);
  if (faults_.Happens(plan.signal_served_at_once)) {
    faults_.Note("signal of vp ", vp, " served at once");
    RunHost();
  }
  return result;
}

void FaultyPartition::RunHost() {
  for (uint32_t turn = 0; turn < kTurnsAtOnce; ++turn) {
    const uint32_t runnable = host_.Runnable();
    if (runnable == 0) return;
    host_.RunTurn(static_cast<SimWork>(std::countr_zero(runnable)));
  }
}

}  // namespace vmbuskit
