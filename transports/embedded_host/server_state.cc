// Save and restore of the server.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/saved_state.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {
namespace {

// More than a guest can cause: one answer to each of its messages, for each of which it has to make a hypercall.
constexpr uint64_t kHeldMessagesMax = 1 << 20;

}  // namespace

template <typename Archive>
void VmbusServer::ContactRequest::Exchange(Archive& archive) {
  archive(contact.version);
  archive(contact.target_vp);
  archive(contact.interrupt_page);
  archive(contact.sint);
  archive(contact.vtl);
  archive(contact.features);
  archive(contact.parent_to_child);
  archive(contact.child_to_parent);
  archive(contact.client_id);
  archive(target);
}

template <typename Archive>
void VmbusServer::ExchangeConnection(Archive& archive) {
  uint8_t state = static_cast<uint8_t>(state_);
  archive.AtMost("server state", state, static_cast<uint64_t>(State::kDisconnecting));
  state_ = static_cast<State>(state);
  archive(negotiated_.version);
  archive(negotiated_.features);
  archive(connection_);
  archive(modified_);
  archive(setup_outstanding_);
  archive(set_up_);
  archive(offers_requested_);
  archive(paused_);
  archive(next_contact_);
  archive(answer_unload_);
  archive(reset_pending_);
}

template <typename Archive>
void VmbusServer::ExchangeHeld(Archive& archive) {
  const size_t count = archive.Count("messages held", held_messages_.size(), kHeldMessagesMax);
  if constexpr (Archive::kLoading) held_messages_.clear();
  for (size_t i = 0; i < count && archive.ok(); ++i) {
    if constexpr (Archive::kLoading) {
      auto& [target, message] = held_messages_.emplace_back();
      archive(target);
      const std::span<const std::byte> bytes = archive.Bytes();
      uint32_t type = 0;
      if (bytes.size() < sizeof type || !message.Append(bytes)) {
        return archive.Fail("message bytes", bytes.size(), "at least 4, at most 240");
      }
      std::memcpy(&type, bytes.data(), sizeof type);
      const MessageRow* row = FindMessage(type);
      if (row == nullptr || row->direction != Direction::kHostToGuest ||
          bytes.size() < row->bytes || target.vp >= options_.vp_count) {
        return archive.Fail("message type", type, "none of a host, or to no processor");
      }
    } else {
      auto& [target, message] = held_messages_[i];
      archive(target);
      archive.Bytes(message.bytes());
    }
  }
}

template <typename Archive>
void VmbusServer::ExchangeCounters(Archive& archive) {
  archive(counters_.messages_in);
  archive(counters_.messages_out);
  archive(counters_.offers);
  archive(counters_.rescinds);
  archive(counters_.contacts);
  archive(counters_.stale_events);
  archive(counters_.gpadls_over_limit);
  archive(counters_.received);
  archive(counters_.sent);
  archive(errors_);
}

template <typename Archive>
void VmbusServer::Exchange(Archive& archive) {
  if constexpr (Archive::kLoading) Clear();
  ExchangeConnection(archive);
  ExchangeHeld(archive);
  ExchangeCounters(archive);
  archive(channels_);
  gpadls_.Exchange(archive, options_.guest_page_count);
  if constexpr (Archive::kLoading) CheckRestored(archive);
}

template void VmbusServer::Exchange(StateWriter& archive);
template void VmbusServer::Exchange(StateReader& archive);

// What the rest of the server takes for granted.
void VmbusServer::CheckRestored(StateReader& reader) const {
  const uint32_t version = negotiated_.version;
  if ((version != 0) != (state_ == State::kConnected) ||
      (version != 0 && !IsKnownVersion(version))) {
    reader.Fail("version", version, "of a connection, and known");
  }
  // It becomes the connection's when the set-up ends.
  if (state_ == State::kConnecting && !IsKnownVersion(connection_.version)) {
    reader.Fail("version", connection_.version, "of a contact, and known");
  }
  for (const uint32_t features : {negotiated_.features, connection_.features}) {
    if ((features & ~(options_.features & kServerFeatures)) != 0) {
      reader.Fail("features", features, "no more than this host has");
    }
  }
  if ((state_ == State::kConnecting && !setup_outstanding_) ||
      (state_ == State::kDisconnected && setup_outstanding_)) {
    reader.Fail("server state", static_cast<uint64_t>(state_), "nothing to wait for, or no more");
  }
  const bool must_be_set_up =
      state_ == State::kConnected || (state_ == State::kDisconnecting && setup_outstanding_);
  if (set_up_ != must_be_set_up && (must_be_set_up || state_ != State::kDisconnecting)) {
    reader.Fail("set up", set_up_, "a connection that is torn down later, and no other");
  }
  if (offers_requested_ && version == 0) reader.Fail("offers requested", 1, "without connection");
  if (paused_ && version == 0) reader.Fail("paused", 1, "without connection");
  CheckRestored(reader, connection_);
  CheckRestored(reader, modified_);
  if (next_contact_.has_value() && !IsConnectionTarget(next_contact_->target)) {
    reader.Fail("target vp", next_contact_->target.vp, "no such message slot");
  }
  for (const auto& [id, channel] : channels_.all()) CheckRestored(reader, channel);
  for (const auto& [key, entry] : gpadls_.all()) {
    const auto found = channels_.all().find(key.first);
    if (found == channels_.all().end()) {
      return reader.Fail("GPADL", key.second, "of a channel that does not exist");
    }
    const ServerChannel& channel = found->second;
    if (channel.IsRevoked() && entry.state != GpadlState::kInProgress &&
        entry.state != GpadlState::kAccepted) {
      return reader.Fail("GPADL", key.second, "a revoked channel's waits for nobody");
    }
    // The pages of a ring go after its close, all others at once.
    const bool waits = entry.state == GpadlState::kTearingDown && channel.HoldsRings() &&
                       channel.open.ring_gpadl == key.second;
    if (entry.deferred != waits) reader.Fail("GPADL", key.second, "torn down out of turn");
  }
}

bool VmbusServer::IsConnectionTarget(MessageTarget target) const {
  return target.vp < options_.vp_count && target.sint == kVmbusSint;
}

void VmbusServer::CheckRestored(StateReader& reader, const ConnectionSetup& setup) const {
  if (!IsConnectionTarget(setup.target)) {
    reader.Fail("target vp", setup.target.vp, "no such message slot");
  }
  const Gpa page = setup.parent_to_child;
  const bool known = setup.server_pages
                         ? page == options_.server_parent_to_child &&
                               setup.child_to_parent == options_.server_child_to_parent
                         : AreMonitorPages(page, setup.child_to_parent);
  if (!known) reader.Fail("monitor page", page, "no pages of this guest, or of this host");
}

void VmbusServer::CheckRestored(StateReader& reader, const ServerChannel& channel) const {
  const auto id = static_cast<uint32_t>(channel.id);
  const bool released = channel.state == ChannelState::kClientReleased ||
                        channel.state == ChannelState::kOpeningClientRelease ||
                        channel.state == ChannelState::kClosingClientRelease;
  if (released != (channel.relid == 0) || (released && channel.monitor_id != kNoMonitor)) {
    reader.Fail("relid", channel.relid, "of a channel that the guest knows, and of no other");
  }
  if (!released && negotiated_.version == 0 && !channel.IsReservedOpen()) {
    reader.Fail("channel", id, "known to the guest, without connection");
  }
  if ((channel.state == ChannelState::kClosingReopen) != channel.reopen.has_value()) {
    reader.Fail("channel", id, "an open behind a close, and nowhere else");
  }
  // It ends with the close, so an open that fails would leave it behind.
  const bool was_open = channel.HoldsRings() && channel.state != ChannelState::kOpening &&
                        channel.state != ChannelState::kOpeningClientRelease;
  for (const std::optional<uint32_t>& vp : {channel.retarget_vp, channel.next_retarget_vp}) {
    if (vp.has_value() && (*vp >= options_.vp_count || !was_open)) {
      reader.Fail("retarget vp", *vp, "no such processor, or no rings");
    }
  }
  const MessageTarget closed = channel.close_answer.value_or(ReservedClose{}).target;
  for (const MessageTarget& target : {channel.open.reserved_target, closed}) {
    if (target.vp >= options_.vp_count) reader.Fail("target vp", target.vp, "no such processor");
  }
}

void VmbusServer::Clear() {
  queue_.Clear();
  errors_.Clear();
  counters_ = {};
  state_ = State::kDisconnected;
  negotiated_ = {};
  connection_ = {};
  modified_ = {};
  setup_outstanding_ = set_up_ = offers_requested_ = paused_ = false;
  next_contact_.reset();
  answer_unload_ = reset_pending_ = false;
  held_messages_.clear();
  gpadls_.Clear();
  channels_.Clear();
}

void VmbusServer::Resume() {
  const Scope scope(*this);
  if (setup_outstanding_) {
    queue_.Add(
        server_action::SetUpConnection{state_ == State::kConnecting ? connection_ : modified_});
  }
  for (const auto& [key, entry] : gpadls_.all()) {
    if (entry.state == GpadlState::kOffered || entry.state == GpadlState::kOfferedTearingDown) {
      queue_.Add(server_action::CreateGpadl{key.first,
                                            GpadlInfo{.handle = key.second, .pages = entry.pages}});
    } else if (entry.state == GpadlState::kTearingDown && !entry.deferred) {
      queue_.Add(server_action::TearDownGpadl{key.first, key.second});
    }
  }
  std::vector<ChannelId> unopened;
  for (auto& [id, channel] : channels_.all()) {
    if (!ResumeChannel(channel)) unopened.push_back(id);
  }
  // Not before: what follows from it may change the channels.
  for (const ChannelId id : unopened) OnOpenCompleted(id, false);
  MaybeFinishDisconnect();
}

bool VmbusServer::ResumeChannel(ServerChannel& channel) {
  switch (channel.state) {
    case ChannelState::kOpening:
    case ChannelState::kOpeningClientRelease: {
      absl::StatusOr<OpenRequest> request = BuildOpenRequest(channel, channel.open);
      if (request.ok()) {
        queue_.Add(server_action::OpenChannel{channel.id, *std::move(request)});
      } else {
        errors_.Add(request.status());
        return false;
      }
      break;
    }
    case ChannelState::kClosing:
    case ChannelState::kClosingReopen:
    case ChannelState::kClosingClientRelease:
      queue_.Add(server_action::CloseChannel{channel.id});
      break;
    default:
      break;
  }
  if (channel.retarget_vp.has_value()) {
    queue_.Add(server_action::Retarget{channel.id, *channel.retarget_vp});
  }
  return true;
}

absl::StatusOr<OpenRequest> VmbusServer::DescribeOpen(ChannelId id) const {
  const auto found = channels_.all().find(id);
  if (found == channels_.all().end() || found->second.state != ChannelState::kOpen) {
    return absl::FailedPreconditionError(
        absl::StrCat("channel ", static_cast<uint32_t>(id), ": not open"));
  }
  return BuildOpenRequest(found->second, found->second.open);
}

}  // namespace vmbuskit
