#include "tests/scenario/fault_plan.h"

#include <array>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "transports/protocol/versions.h"

namespace vmbuskit {
namespace {

// A family of faults is off in half of the seeds, so that each is also seen alone (swarm testing).
void DrawFamily(Random& random, std::initializer_list<Chance*> family, uint32_t most) {
  const bool on = random.OneIn(2);
  for (Chance* chance : family) {
    const auto drawn = static_cast<uint32_t>(1 + random.Below(most));
    if (on && !random.OneIn(3)) chance->per_1024 = drawn;
  }
}

void DrawWeights(Random& random, std::initializer_list<uint32_t*> weights) {
  for (uint32_t* weight : weights) {
    const auto drawn = static_cast<uint32_t>(random.Below(8));
    *weight = random.OneIn(2) ? drawn : 0;
  }
}

}  // namespace

FaultPlan FaultPlan::DrawCalm(Random& random) {
  FaultPlan plan;
  plan.vp_count = static_cast<uint32_t>(1 + random.Below(4));
  constexpr size_t kVersions = std::size(kVersionsNewestFirst);
  if (random.OneIn(2)) plan.host_version_max = kVersionsNewestFirst[random.Below(kVersions)];
  plan.monitor_pages = !random.OneIn(4);
  if (random.OneIn(2)) plan.offer_shuffle_seed = random.Next();
  plan.ring_pages_max = static_cast<uint32_t>(1 + random.Below(random.OneIn(8) ? 64 : 8));
  return plan;
}

FaultPlan FaultPlan::Draw(Random& random) {
  FaultPlan plan = DrawCalm(random);
  DrawFamily(random,
             {&plan.interrupt_late, &plan.interrupt_duplicated, &plan.interrupt_lost,
              &plan.interrupt_early, &plan.interrupt_wrong_cpu},
             128);
  DrawFamily(random, {&plan.signal_late, &plan.signal_duplicated, &plan.signal_lost}, 128);
  DrawFamily(random, {&plan.message_late, &plan.message_reordered}, 256);
  DrawFamily(random, {&plan.post_refused}, 128);
  DrawFamily(random, {&plan.backend_error, &plan.backend_stall}, 128);
  DrawFamily(random, {&plan.backend_silent}, 16);
  if (random.OneIn(8)) {
    plan.message_dropped.per_1024 = static_cast<uint32_t>(1 + random.Below(64));
    plan.messages_dropped_max = static_cast<uint32_t>(1 + random.Below(3));
  }
  plan.disturbances = static_cast<uint32_t>(random.Below(12));
  DrawWeights(random, {&plan.rescind_weight, &plan.reoffer_weight, &plan.restart_weight,
                       &plan.retarget_weight});
  if (random.OneIn(4)) plan.reconnect_weight = 1;
  if (random.OneIn(8)) plan.crash_weight = 1;
  if (random.OneIn(4)) plan.restore_weight = 1;
  if (random.OneIn(8)) plan.hostile_ring_weight = 1;
  if (random.OneIn(16)) plan.hostile_message_weight = 1;
  DrawFamily(random, {&plan.signal_served_at_once}, 512);
  DrawWeights(random, {&plan.workload_weight});
  plan.rescinded_unanswered = random.OneIn(2);
  DrawWeights(random, {&plan.rescind_in_the_act_weight});
  DrawWeights(random, {&plan.hold_weight});
  return plan;
}

std::string FaultPlan::ToString() const {
  std::string text;
  const auto chance = [&text](const char* name, Chance value) {
    if (value.per_1024 != 0) absl::StrAppend(&text, " ", name, "=", value.per_1024, "/1024");
  };
  const auto number = [&text](const char* name, uint64_t value) {
    if (value != 0) absl::StrAppend(&text, " ", name, "=", value);
  };
  number("vp_count", vp_count);
  number("host_version_max", host_version_max);
  number("monitor_pages", monitor_pages);
  number("ring_pages_max", ring_pages_max);
  chance("interrupt_late", interrupt_late);
  chance("interrupt_duplicated", interrupt_duplicated);
  chance("interrupt_lost", interrupt_lost);
  chance("interrupt_early", interrupt_early);
  chance("interrupt_wrong_cpu", interrupt_wrong_cpu);
  chance("signal_late", signal_late);
  chance("signal_duplicated", signal_duplicated);
  chance("signal_lost", signal_lost);
  chance("signal_served_at_once", signal_served_at_once);
  chance("message_late", message_late);
  chance("message_reordered", message_reordered);
  chance("message_dropped", message_dropped);
  chance("post_refused", post_refused);
  chance("backend_error", backend_error);
  chance("backend_stall", backend_stall);
  chance("backend_silent", backend_silent);
  number("messages_dropped_max", messages_dropped_max);
  number("disturbances", disturbances);
  number("rescinded_unanswered", rescinded_unanswered);
  number("rescind_weight", rescind_weight);
  number("rescind_in_the_act_weight", rescind_in_the_act_weight);
  number("reoffer_weight", reoffer_weight);
  number("restart_weight", restart_weight);
  number("retarget_weight", retarget_weight);
  number("reconnect_weight", reconnect_weight);
  number("crash_weight", crash_weight);
  number("restore_weight", restore_weight);
  number("hostile_ring_weight", hostile_ring_weight);
  number("hostile_message_weight", hostile_message_weight);
  number("hold_weight", hold_weight);
  number("workload_weight", workload_weight);
  return text;
}

}  // namespace vmbuskit
