// Save and restore of a channel.
#include "framework/base/saved_state.h"
#include "framework/channel/channel.h"

namespace vmbuskit {

template <typename Archive>
void Channel::Exchange(Archive& archive) {
  uint32_t code = static_cast<uint32_t>(reason_.code());
  std::string reason(reason_.message());
  archive.AtMost("channel reason", code, static_cast<uint64_t>(absl::StatusCode::kUnauthenticated));
  archive(reason);
  if (Archive::kLoading) reason_ = absl::Status(static_cast<absl::StatusCode>(code), reason);
  archive(finished_);
  archive.AtMost("bytes waited for", wanted_bytes_, writer_.max_total());
  archive(wants_slot_);
  for (uint64_t* counter :
       {&counters_.packets_in, &counters_.packets_out, &counters_.bytes_in, &counters_.bytes_out,
        &counters_.signals_sent, &counters_.wakeups, &counters_.empty_wakeups, &counters_.full}) {
    archive(*counter);
  }
  requests_.Exchange(archive);
  if constexpr (Archive::kLoading) {
    if (!finished_) return;
    // A finished channel has a reason and takes no request.
    if (!closed()) archive.Fail("channel reason", code, "it has ended");
    requests_.DropAll();
  }
}

template void Channel::Exchange(StateWriter& archive);
template void Channel::Exchange(StateReader& archive);

void Channel::Vanish() {
  if (finished_) return;
  if (!closed()) reason_ = absl::CancelledError(name() + ": the host's state is dropped");
  finished_ = true;
  handler_ = nullptr;
  wake_.Cancel();
  self_wake_.Cancel();
  poller_.Stop();
  requests_.DropAll();
  EndWritableWaits();
}

}  // namespace vmbuskit
