// How a channel shows itself in the inspect tree.
#include "framework/channel/channel.h"

namespace vmbuskit {

void Channel::Inspect(InspectNode& node) const {
  node.Set("name", options_.name);
  node.Set("state", closed() ? "closed" : handler_ != nullptr ? "started" : "opened");
  if (closed()) node.Set("reason", std::string(reason_.message()));
  node.Set("packets_in", counters_.packets_in);
  node.Set("packets_out", counters_.packets_out);
  node.Set("packets_ignored", reader_.ignored());
  node.Set("bytes_in", counters_.bytes_in);
  node.Set("bytes_out", counters_.bytes_out);
  node.Set("signals_sent", counters_.signals_sent);
  node.Set("wakeups", counters_.wakeups);
  node.Set("empty_wakeups", counters_.empty_wakeups);
  node.Set("full", counters_.full);
  node.Set("waits_for_space", WantsSpace());
  node.Set("polled", polled_);
  InspectNode& table = node.Child("requests");
  table.Set("slots", requests_.slots());
  table.Set("outstanding", requests_.outstanding());
  table.Set("abandoned", requests_.abandoned());
  table.Set("added", requests_.counters().added);
  table.Set("completed", requests_.counters().completed);
  table.Set("deadlines", requests_.counters().deadlines);
  table.Set("closed", requests_.counters().closed);
  table.Set("late_answers", requests_.counters().late_answers);
}

}  // namespace vmbuskit
