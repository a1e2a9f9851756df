// GPADLs: create, tear down, and what happens to them when the guest is gone (protocol 02 sections 5.1 and 5.4).
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {

absl::Status VmbusServer::HandleGpadlHeader(const CheckedMessage& message) {
  const auto header = message.As<GpadlHeaderMessage>();
  const absl::Status status = BeginGpadl(message, header);
  if (!status.ok()) AnswerGpadl(header.relid, header.gpadl, kStatusUnsuccessful);
  return status;
}

absl::Status VmbusServer::BeginGpadl(const CheckedMessage& message,
                                     const GpadlHeaderMessage& header) {
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, header.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  if (channel.IsReservedOpen()) return StateError(message, channel);
  if (header.gpadl == 0) return Violation(message.row().name, "gpadl", 0, "never 0");
  absl::StatusOr<GpadlAssembly> assembly =
      GpadlAssembly::Begin(header.range_bytes, header.range_count);
  if (!assembly.ok()) return assembly.status();
  const absl::StatusOr<GpadlEntry*> entry =
      gpadls_.Begin(channel.id, header.gpadl, *std::move(assembly));
  if (!entry.ok()) {
    if (absl::IsResourceExhausted(entry.status())) ++counters_.gpadls_over_limit;
    return entry.status();
  }
  (*entry)->assembly->Append(message.bytes().subspan(sizeof(GpadlHeaderMessage)));
  if (!(*entry)->assembly->complete()) return absl::OkStatus();
  return CompleteGpadl(channel, header.gpadl);
}

absl::Status VmbusServer::HandleGpadlBody(const CheckedMessage& message) {
  const auto body = message.As<GpadlBodyMessage>();
  const std::optional<ChannelId> id = gpadls_.FindInProgress(body.gpadl);
  if (!id.has_value()) {
    return Violation(message.row().name, "gpadl", body.gpadl, "no header came before");
  }
  ServerChannel& channel = channels_.all().find(*id)->second;
  GpadlEntry& entry = *gpadls_.Find(*id, body.gpadl);
  entry.assembly->Append(message.bytes().subspan(sizeof(GpadlBodyMessage)));
  if (!entry.assembly->complete()) return absl::OkStatus();
  const absl::Status status = CompleteGpadl(channel, body.gpadl);
  if (!status.ok()) AnswerGpadl(channel.relid, body.gpadl, kStatusUnsuccessful);
  return status;
}

absl::Status VmbusServer::CompleteGpadl(ServerChannel& channel, uint32_t handle) {
  GpadlEntry& entry = *gpadls_.Find(channel.id, handle);
  absl::StatusOr<GpadlPages> pages = std::move(*entry.assembly).Finish(options_.guest_page_count);
  if (!pages.ok()) {
    gpadls_.Remove(channel.id, handle);
    return pages.status();
  }
  const bool revoked = channel.IsRevoked();
  // On a revoked channel nobody will use the pages: they are neither kept nor charged.
  const absl::Status status = gpadls_.Complete(
      channel.id, handle, revoked ? GpadlPages{} : *std::move(pages), /*charged=*/!revoked);
  if (!status.ok()) {
    ++counters_.gpadls_over_limit;
    gpadls_.Remove(channel.id, handle);
    return status;
  }
  if (revoked) {
    // Nobody is there to use it, but the guest's sequence of messages stays whole.
    entry.state = GpadlState::kAccepted;
    AnswerGpadl(channel.relid, handle, kStatusSuccess);
    return absl::OkStatus();
  }
  queue_.Add(
      server_action::CreateGpadl{channel.id, GpadlInfo{.handle = handle, .pages = entry.pages}});
  return absl::OkStatus();
}

void VmbusServer::AnswerGpadl(uint32_t relid, uint32_t handle, uint32_t status) {
  Send(GpadlCreatedMessage{.relid = relid, .gpadl = handle, .status = status});
}

void VmbusServer::OnGpadlCreated(ChannelId id, uint32_t handle, bool ok) {
  const Scope scope(*this);
  ServerChannel* channel = FindForEvent(id);
  if (channel == nullptr) return;
  GpadlEntry* entry = gpadls_.Find(id, handle);
  if (entry != nullptr && entry->state == GpadlState::kOffered) {
    AnswerGpadl(channel->relid, handle, ok ? kStatusSuccess : kStatusUnsuccessful);
    entry->state = GpadlState::kAccepted;
    if (!ok) gpadls_.Remove(id, handle);
  } else if (entry != nullptr && entry->state == GpadlState::kOfferedTearingDown) {
    if (ok) return TearDown(*channel, handle, *entry, /*silent=*/true);
    gpadls_.Remove(id, handle);
    MaybeFinishDisconnect();
  } else {
    ++counters_.stale_events;
  }
}

absl::Status VmbusServer::HandleGpadlTeardown(const CheckedMessage& message) {
  const auto teardown = message.As<GpadlTeardownMessage>();
  const absl::StatusOr<ServerChannel*> found = FindRelid(message, teardown.relid);
  if (!found.ok()) return found.status();
  ServerChannel& channel = **found;
  const uint32_t handle = teardown.gpadl;
  GpadlEntry* entry = gpadls_.Find(channel.id, handle);
  if (entry == nullptr) {
    return Violation(message.row().name, "gpadl", handle, "not a GPADL of this channel");
  }
  if (entry->state != GpadlState::kAccepted) {
    return Violation(message.row().name, "gpadl", handle,
                     absl::StrCat("it is ", ToAbsl(GpadlStateName(entry->state))));
  }
  if (channel.IsRevoked()) {
    Send(GpadlTorndownMessage{.gpadl = handle});
    gpadls_.Remove(channel.id, handle);
    return absl::OkStatus();
  }
  if (channel.IsReservedOpen()) return StateError(message, channel);
  const bool in_use =
      (channel.state == ChannelState::kOpening || channel.state == ChannelState::kOpen)
          ? channel.open.ring_gpadl == handle
          : channel.reopen.has_value() && channel.reopen->ring_gpadl == handle;
  if (in_use) return Violation(message.row().name, "gpadl", handle, "the ring of an open channel");
  TearDown(channel, handle, *entry, /*silent=*/false);
  return absl::OkStatus();
}

void VmbusServer::TearDown(ServerChannel& channel, uint32_t handle, GpadlEntry& entry,
                           bool silent) {
  entry.state = GpadlState::kTearingDown;
  entry.silent = entry.silent || silent;
  entry.deferred = channel.HoldsRings() && channel.open.ring_gpadl == handle;
  if (!entry.deferred) queue_.Add(server_action::TearDownGpadl{channel.id, handle});
}

void VmbusServer::StartDeferredTearDowns(ServerChannel& channel) {
  for (uint32_t handle : gpadls_.HandlesOf(channel.id)) {
    GpadlEntry& entry = *gpadls_.Find(channel.id, handle);
    if (!std::exchange(entry.deferred, false)) continue;
    queue_.Add(server_action::TearDownGpadl{channel.id, handle});
  }
}

void VmbusServer::OnGpadlReleased(ChannelId id, uint32_t handle) {
  const Scope scope(*this);
  if (FindForEvent(id) == nullptr) return;
  const GpadlEntry* entry = gpadls_.Find(id, handle);
  if (entry == nullptr || entry->state != GpadlState::kTearingDown || entry->deferred) {
    ++counters_.stale_events;
    return;
  }
  if (!entry->silent) Send(GpadlTorndownMessage{.gpadl = handle});
  gpadls_.Remove(id, handle);
  MaybeFinishDisconnect();
}

void VmbusServer::DropGpadls(ServerChannel& channel) {
  for (uint32_t handle : gpadls_.HandlesOf(channel.id)) {
    GpadlEntry& entry = *gpadls_.Find(channel.id, handle);
    if (channel.IsRevoked() || entry.state == GpadlState::kInProgress) {
      gpadls_.Remove(channel.id, handle);
    } else if (entry.state == GpadlState::kOffered) {
      entry.state = GpadlState::kOfferedTearingDown;
    } else if (entry.state == GpadlState::kAccepted) {
      TearDown(channel, handle, entry, /*silent=*/true);
    } else {
      entry.silent = true;
    }
  }
}

}  // namespace vmbuskit
