// The crash path of SynicTransport: one thread, nothing else runs, no waiting on anything but the
// host's slots.
// Source: protocol 01 section 7.1, 02 section 3.4.
#include <deque>
#include <optional>
#include <span>
#include <variant>

#include "absl/strings/str_cat.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kMessagesPerLook = 64;  // a host that never stops talking does not keep us here

}  // namespace

absl::Status SynicTransport::CrashUnload() {
  poster_.Clear();
  Operation operation(*this, "UNLOAD_RESPONSE");
  absl::Status status = client_.Unload(operation.id());
  if (!status.ok()) return status;
  std::deque<PostAction> posts;
  while (std::optional<ClientAction> action = client_.TakeAction()) {
    if (auto* post = std::get_if<PostAction>(&*action)) {
      posts.push_back(*post);
    } else {
      Perform(*action);
    }
  }
  SynicMessage message;
  for (uint32_t poll = 0; poll < options_.crash_polls_max; ++poll) {
    // A host that is short of buffers takes the message at a later look (section 3.6 of protocol 01).
    while (!posts.empty() &&
           poster_.PostAtOnce(posts.front().connection_id, posts.front().message) ==
               HypercallStatus::kSuccess) {
      posts.pop_front();
    }
    // The answer lands where the contact asked, or on VP 0, by host version. Everything else is
    // taken out of the slots as well, or the answer never gets into one.
    for (auto& synic : synics_) {
      for (uint32_t i = 0; i < kMessagesPerLook && synic->TakeMessage(message); ++i) {
        if (message.type != kMessageTypeVmbus || message.payload_size > kMessagePayloadMax)
          continue;
        client_.OnMessage(std::span(message.payload).first(message.payload_size));
      }
    }
    if (client_.state() == VmbusClient::State::kDisconnected) return absl::OkStatus();
    if (options_.crash_pause) options_.crash_pause();
  }
  client_.GiveUp(operation.id());
  return absl::DeadlineExceededError(
      absl::StrCat("no UNLOAD_RESPONSE in ", options_.crash_polls_max, " looks"));
}

absl::Status SynicTransport::CrashDisconnect() {
  if (!set_up_) return absl::OkStatus();
  absl::Status status;
  if (client_.state() == VmbusClient::State::kConnected) status = CrashUnload();
  RunActions();  // whoever waited for an answer has one
  for (auto& port : ports_) {
    port->gone = true;
    port->Detach();
  }
  offers_.clear();
  if (client_.host_holds_pages()) {
    status = absl::DataLossError(absl::StrCat("crashed without UNLOAD_RESPONSE (", status.message(),
                                              "): ", shared_.now(),
                                              " pages that the host may use are leaked"));
  } else {
    shared_.ReturnAll();
  }
  for (auto& synic : synics_) synic->Disable();
  poster_.Stop();
  ReleasePages();
  hypercall_page_.Disable();
  set_up_ = false;
  return status;
}

}  // namespace vmbuskit
