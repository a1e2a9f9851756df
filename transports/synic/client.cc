#include "transports/synic/client.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {

VmbusClient::VmbusClient(const Options& options)
    : options_(options),
      gpadls_(link_, options.gpadls_max, options.first_gpadl),
      channels_(link_, gpadls_, options.isolated) {}

absl::Status VmbusClient::CheckConnected(const char* command) const {
  if (state_ == State::kConnected) return absl::OkStatus();
  if (state_ == State::kUnloading) {
    return absl::CancelledError(absl::StrCat(command, ": the connection is being unloaded"));
  }
  return absl::FailedPreconditionError(absl::StrCat(command, ": there is no connection"));
}

absl::Status VmbusClient::Connect(OperationId operation, const Pages& pages, uint32_t target_vp) {
  if (state_ != State::kDisconnected) {
    return absl::FailedPreconditionError("Connect: there is a connection already");
  }
  if ((pages.parent_to_child == 0) != (pages.child_to_parent == 0)) {
    return absl::InvalidArgumentError("Connect: monitor pages come both or not at all");
  }
  state_ = State::kConnecting;
  pages_ = pages;
  target_vp_ = target_vp;
  connect_ = operation;
  next_version_ = 0;
  all_offers_told_ = false;
  ProposeNext();
  return absl::OkStatus();
}

void VmbusClient::ProposeNext() {
  const uint32_t oldest =
      options_.isolated ? std::max(options_.version_min, kVersion5_2) : options_.version_min;
  for (; next_version_ < kVersionsNewestFirst.size(); ++next_version_) {
    const uint32_t version = kVersionsNewestFirst[next_version_];
    if (version > options_.version_max || version < oldest) continue;
    ++next_version_;
    proposed_ = version;
    host_holds_pages_ = true;
    const Contact contact{.version = version,
                          .target_vp = target_vp_,
                          .interrupt_page = pages_.interrupt_page,
                          .sint = options_.sint,
                          .features = options_.features,
                          .parent_to_child = pages_.parent_to_child,
                          .child_to_parent = pages_.child_to_parent,
                          .client_id = options_.client_id};
    link_.actions.Add(PostAction{.connection_id = ContactConnectionId(version),
                                 .contact = true,
                                 .message = EmitContact(contact)});
    return;
  }
  FailConnect(absl::UnavailableError(absl::StrCat("the host refused every version from ",
                                                  VersionText(options_.version_max), " to ",
                                                  VersionText(oldest))));
}

void VmbusClient::FailConnect(absl::Status reason) {
  state_ = State::kDisconnected;
  proposed_ = 0;
  link_.actions.Finish(connect_, std::move(reason));
}

void VmbusClient::OnContactRefused() {
  if (state_ != State::kConnecting || proposed_ == 0) return;
  proposed_ = 0;
  host_holds_pages_ = false;
  ProposeNext();
}

void VmbusClient::OnMessage(std::span<const std::byte> bytes) {
  ++link_.counters.messages;
  if (state_ == State::kConnected) return OnConnectedMessage(bytes);
  uint32_t type = 0;
  if (bytes.size() >= sizeof type) std::memcpy(&type, bytes.data(), sizeof type);
  const auto awaited = state_ == State::kConnecting && proposed_ != 0
                           ? MessageType::kVersionResponse
                       : state_ == State::kUnloading ? MessageType::kUnloadResponse
                                                     : MessageType{};
  // Left-overs of whoever was connected before, or what was on its way when we said UNLOAD.
  if (type == 0 || static_cast<MessageType>(type) != awaited) {
    ++link_.counters.discarded;
    return;
  }
  absl::StatusOr<CheckedMessage> message =
      CheckMessage(Direction::kHostToGuest, link_.negotiated, bytes);
  if (!message.ok()) {
    ++link_.counters.malformed;
    link_.Violated(message.status());
  } else if (state_ == State::kUnloading) {
    OnUnloadResponse();
  } else {
    OnVersionResponse(*message);
  }
}

void VmbusClient::OnVersionResponse(const CheckedMessage& message) {
  absl::StatusOr<VersionReply> reply = ParseVersionResponse(message, proposed_);
  if (!reply.ok()) {
    ++link_.counters.malformed;
    link_.Violated(reply.status());
    return;
  }
  if (!reply->supported) {
    proposed_ = 0;
    host_holds_pages_ = false;
    return ProposeNext();
  }
  if (reply->selected_version != proposed_) {
    // An answer to somebody else's contact, left in the slot; ours is still to come.
    link_.Violated(Violation("VERSION_RESPONSE", "selected_version", reply->selected_version,
                             absl::StrCat("proposed was ", VersionText(proposed_))));
    return;
  }
  if (reply->state != ConnectionState::kSuccessful) {
    // Linux goes on regardless; the host, however, is disconnected then.
    host_holds_pages_ = false;
    return FailConnect(absl::UnavailableError(
        absl::StrCat("VERSION_RESPONSE: connection_state is ", static_cast<int>(reply->state),
                     ": the host could not connect with version ", VersionText(proposed_))));
  }
  OnConnected(*reply);
}

absl::Status VmbusClient::TakeMonitorPages(const VersionReply& reply) {
  if ((reply.features & kFeatureServerMonitorPages) == 0) return absl::OkStatus();
  constexpr std::string_view kMessage = "VERSION_RESPONSE";
  if (reply.child_to_parent == 0 || reply.child_to_parent % kPageSize != 0) {
    return Violation(kMessage, "child_to_parent", reply.child_to_parent, "a page, never 0");
  }
  if (reply.parent_to_child % kPageSize != 0) {
    return Violation(kMessage, "parent_to_child", reply.parent_to_child, "a page, or 0");
  }
  pages_.parent_to_child = reply.parent_to_child;
  pages_.child_to_parent = reply.child_to_parent;
  return absl::OkStatus();
}

void VmbusClient::OnConnected(const VersionReply& reply) {
  absl::Status checked = TakeMonitorPages(reply);
  const uint32_t unasked = reply.features & ~options_.features;
  if (unasked != 0) {
    checked = Violation("VERSION_RESPONSE", "features", reply.features,
                        absl::StrCat("asked for were ", options_.features));
  }
  if (reply.message_connection_id == 0 || reply.message_connection_id > kConnectionIdMask) {
    checked = Violation("VERSION_RESPONSE", "message_connection_id", reply.message_connection_id,
                        "24 bits, never 0");
  }
  if (!checked.ok()) {
    // The host is connected and would act on what we cannot speak: nothing safe can be said any
    // more.
    link_.Violated(checked);
    return FailConnect(std::move(checked));
  }
  link_.negotiated = {.version = proposed_, .features = reply.features};
  link_.message_connection_id = reply.message_connection_id;
  proposed_ = 0;
  state_ = State::kConnected;
  link_.Post(RequestOffersMessage{});
  link_.actions.Finish(connect_, absl::OkStatus());
}

void VmbusClient::OnConnectedMessage(std::span<const std::byte> bytes) {
  absl::StatusOr<CheckedMessage> message =
      CheckMessage(Direction::kHostToGuest, link_.negotiated, bytes);
  if (!message.ok()) {
    ++link_.counters.malformed;
    link_.Violated(message.status());
    return;
  }
  switch (message->type()) {
    case MessageType::kOfferChannel:
      return channels_.OnOffer(*message);
    case MessageType::kRescindChannelOffer:
      return channels_.OnRescind(message->As<RescindMessage>().relid);
    case MessageType::kAllOffersDelivered:
      if (all_offers_told_) {
        ++link_.counters.unexpected_answers;
      } else {
        all_offers_told_ = true;
        link_.actions.Add(AllOffersAction{});
      }
      return;
    case MessageType::kOpenChannelResult:
      return channels_.OnOpenResult(message->As<OpenChannelResultMessage>());
    case MessageType::kGpadlCreated:
      return gpadls_.OnCreated(message->As<GpadlCreatedMessage>());
    case MessageType::kGpadlTorndown:
      return gpadls_.OnTorndown(message->As<GpadlTorndownMessage>());
    case MessageType::kModifyChannelResponse:
      return channels_.OnModifyResponse(message->As<ModifyChannelResponseMessage>());
    case MessageType::kVersionResponse:
    case MessageType::kUnloadResponse:
      ++link_.counters.unexpected_answers;
      return;
    default:
      // Valid, and nobody here asked for it: must not harm the connection.
      ++link_.counters.unhandled;
      return;
  }
}

absl::StatusOr<uint32_t> VmbusClient::CreateGpadl(OperationId operation, uint32_t relid,
                                                  std::span<const GpadlRange> ranges) {
  VMBUSKIT_RETURN_IF_ERROR(CheckConnected("CreateGpadl"));
  VMBUSKIT_RETURN_IF_ERROR(channels_.CheckUsable(relid));
  return gpadls_.Create(operation, relid, ranges);
}

absl::Status VmbusClient::TearDownGpadl(OperationId operation, uint32_t handle) {
  // While unloading nothing is said to the host: UNLOAD_RESPONSE answers for all GPADLs.
  const uint32_t relid = gpadls_.RelidOf(handle);
  if (channels_.UsesRing(relid, handle)) {
    return absl::FailedPreconditionError(
        absl::StrCat("TearDownGpadl: channel ", relid, " is open on it"));
  }
  absl::Status started = gpadls_.TearDown(operation, handle);
  channels_.ReleaseIfDone(relid);
  return started;
}

absl::Status VmbusClient::Open(OperationId operation, const ClientOpen& request) {
  VMBUSKIT_RETURN_IF_ERROR(CheckConnected("Open"));
  return channels_.Open(operation, request);
}

absl::Status VmbusClient::Close(uint32_t relid) { return channels_.Close(relid); }

absl::Status VmbusClient::Modify(OperationId operation, uint32_t relid, uint32_t target_vp) {
  VMBUSKIT_RETURN_IF_ERROR(CheckConnected("Modify"));
  return channels_.Modify(operation, relid, target_vp);
}

absl::Status VmbusClient::Release(uint32_t relid) { return channels_.Release(relid); }

absl::Status VmbusClient::Unload(OperationId operation) {
  VMBUSKIT_RETURN_IF_ERROR(CheckConnected("Unload"));
  state_ = State::kUnloading;
  unload_ = operation;
  link_.Post(UnloadMessage{});
  link_.muted = true;
  return absl::OkStatus();
}

void VmbusClient::OnUnloadResponse() {
  host_holds_pages_ = false;
  OperationId unload = std::exchange(unload_, kNoOperation);
  EndConnection(absl::CancelledError("the connection was unloaded"), /*pages_returned=*/true);
  link_.actions.Finish(unload, absl::OkStatus());
}

void VmbusClient::EndConnection(const absl::Status& reason, bool pages_returned) {
  link_.actions.Finish(connect_, reason);
  link_.actions.Finish(unload_, reason);
  channels_.OnConnectionEnd(reason);
  gpadls_.OnConnectionEnd(reason, pages_returned);
  link_.negotiated = {};
  link_.message_connection_id = 0;
  link_.muted = false;
  proposed_ = 0;
  state_ = State::kDisconnected;
}

void VmbusClient::OnPostFailed(const absl::Status& reason) {
  const bool was_connected = state_ == State::kConnected;
  EndConnection(reason, /*pages_returned=*/false);
  if (was_connected) link_.actions.Add(ConnectionLostAction{reason});
}

void VmbusClient::GiveUp(OperationId operation) {
  if (operation == kNoOperation) return;
  if (operation == connect_) {
    connect_ = kNoOperation;
    FailConnect(absl::OkStatus());
  } else if (operation == unload_) {
    // The host may be unloading still: nothing that it was told of is ours again.
    unload_ = kNoOperation;
    EndConnection(absl::DeadlineExceededError("the host did not answer UNLOAD"),
                  /*pages_returned=*/false);
  } else if (!channels_.GiveUp(operation)) {
    gpadls_.GiveUp(operation);
  }
}

}  // namespace vmbuskit
