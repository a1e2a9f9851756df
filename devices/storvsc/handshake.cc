#include "devices/storvsc/handshake.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"
#include "framework/channel/call.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

using storvsc::NoBody;
using storvsc::PacketOf;

std::string_view Name(storvsc::Operation operation) {
  switch (operation) {
    case storvsc::kResetLun:
      return "RESET_LUN";
    case storvsc::kResetAdapter:
      return "RESET_ADAPTER";
    case storvsc::kResetBus:
      return "RESET_BUS";
    case storvsc::kBeginInitialization:
      return "BEGIN_INITIALIZATION";
    case storvsc::kEndInitialization:
      return "END_INITIALIZATION";
    case storvsc::kQueryProtocolVersion:
      return "QUERY_PROTOCOL_VERSION";
    case storvsc::kQueryProperties:
      return "QUERY_PROPERTIES";
    case storvsc::kFcHbaData:
      return "FCHBA_DATA";
    case storvsc::kCreateSubchannels:
      return "CREATE_SUB_CHANNELS";
    default:
      return "a message";
  }
}

}  // namespace

std::string StorvscVersionName(uint16_t version) {
  return absl::StrCat(version >> 8, ".", version & 0xFF);
}

template <typename Body>
Task<absl::StatusOr<PacketOf<Body>>> StorvscHandshake::Ask(storvsc::Operation operation, Body body,
                                                           Duration deadline) {
  PacketOf<Body> request = {};
  request.header.operation = operation;
  request.header.flags = storvsc::kFlagRequestCompletion;
  request.body = body;
  PacketOf<Body> reply = {};
  const size_t bytes = version_ == 0 ? storvsc::kPacketBytes : storvsc::PacketBytes(version_);
  OutgoingPacket packet;
  packet.payload = BytesOf(request).first(bytes);
  const std::string name = absl::StrCat(channel_.name(), ": ", ToAbsl(Name(operation)));
  absl::StatusOr<uint32_t> length =
      co_await Call(channel_, packet, WritableBytesOf(reply), deadline);
  if (!length.ok()) {
    co_return absl::Status(length.status().code(),
                           absl::StrCat(name, ": ", length.status().message()));
  }
  // Before the version is known a host may answer with the packets of its own.
  const size_t least = version_ == 0 ? storvsc::kOldPacketBytes : bytes;
  if (*length < least) co_return Violation(name, "bytes of the answer", *length);
  if (reply.header.operation != storvsc::kCompleteIo) {
    co_return Violation(name, "operation of the answer", reply.header.operation,
                        "it is not COMPLETE_IO");
  }
  co_return reply;
}

template <typename Body>
Task<absl::Status> StorvscHandshake::Tell(storvsc::Operation operation, Body body,
                                          Duration deadline) {
  absl::StatusOr<PacketOf<Body>> reply = co_await Ask(operation, body, deadline);
  if (!reply.ok()) co_return reply.status();
  if (reply->header.status == storvsc::kStatusSuccess) co_return absl::OkStatus();
  co_return absl::FailedPreconditionError(
      absl::StrFormat("%s: %s: the host answers with status 0x%08X", channel_.name(),
                      ToAbsl(Name(operation)), reply->header.status));
}

Task<absl::Status> StorvscHandshake::Begin() {
  return Tell(storvsc::kBeginInitialization, NoBody{}, deadline_);
}

Task<absl::StatusOr<uint16_t>> StorvscHandshake::NegotiateVersion(
    std::span<const uint16_t> versions) {
  std::string refused;
  for (const uint16_t version : versions) {
    const storvsc::ProtocolVersion body = {.major_minor = version, .revision = 0};
    absl::StatusOr<PacketOf<storvsc::ProtocolVersion>> reply =
        co_await Ask(storvsc::kQueryProtocolVersion, body, deadline_);
    if (!reply.ok()) co_return reply.status();
    // Whatever the status: the next one (section 2).
    if (reply->header.status != storvsc::kStatusSuccess) {
      absl::StrAppend(&refused, refused.empty() ? "" : ", ", StorvscVersionName(version),
                      absl::StrFormat(" (0x%08X)", reply->header.status));
      continue;
    }
    if (reply->body.major_minor != version) {
      co_return Violation(channel_.name(), "accepted version", reply->body.major_minor,
                          absl::StrCat("asked for was ", StorvscVersionName(version)));
    }
    version_ = version;
    co_return version;
  }
  co_return absl::FailedPreconditionError(
      absl::StrCat(channel_.name(), ": no protocol version in common, the host refuses ", refused));
}

Task<absl::StatusOr<StorvscProperties>> StorvscHandshake::QueryProperties() {
  absl::StatusOr<PacketOf<storvsc::ChannelProperties>> reply =
      co_await Ask(storvsc::kQueryProperties, storvsc::ChannelProperties{}, deadline_);
  if (!reply.ok()) co_return reply.status();
  if (reply->header.status != storvsc::kStatusSuccess) {
    co_return absl::FailedPreconditionError(
        absl::StrFormat("%s: QUERY_PROPERTIES: the host answers with status 0x%08X",
                        channel_.name(), reply->header.status));
  }
  const storvsc::ChannelProperties& told = reply->body;
  const uint32_t max_transfer_bytes = told.max_transfer_bytes;
  if (max_transfer_bytes == 0) {
    co_return Violation(channel_.name(), "max_transfer_bytes", 0, "nothing could be moved");
  }
  StorvscProperties properties;
  properties.max_transfer_bytes =
      std::max<uint32_t>(max_transfer_bytes - max_transfer_bytes % kPageSize, kPageSize);
  // What is reserved may be anything before 5.1.
  if (version_ >= storvsc::kVersion5_1 && (told.flags & storvsc::kPropertyMultiChannel) != 0) {
    properties.max_subchannels = told.max_channel_count;
  }
  co_return properties;
}

Task<absl::StatusOr<storvsc::FcHbaData>> StorvscHandshake::QueryFcHbaData() {
  absl::StatusOr<PacketOf<storvsc::FcHbaData>> reply =
      co_await Ask(storvsc::kFcHbaData, storvsc::FcHbaData{}, deadline_);
  if (!reply.ok()) co_return reply.status();
  if (reply->header.status != storvsc::kStatusSuccess) {
    co_return absl::FailedPreconditionError(
        absl::StrFormat("%s: FCHBA_DATA: the host answers with status 0x%08X", channel_.name(),
                        reply->header.status));
  }
  co_return reply->body;
}

Task<absl::Status> StorvscHandshake::CreateSubchannels(uint16_t count) {
  const storvsc::SubchannelCount body = {.count = count};
  return Tell(storvsc::kCreateSubchannels, body, deadline_);
}

Task<absl::Status> StorvscHandshake::End() {
  return Tell(storvsc::kEndInitialization, NoBody{}, deadline_);
}

Task<absl::Status> StorvscHandshake::Reset(storvsc::Operation operation, BlockAddress address,
                                           Duration deadline) {
  storvsc::ScsiRequest body = {};
  body.length =
      version_ >= storvsc::kVersion5_1 ? storvsc::kRequestLength : storvsc::kOldRequestLength;
  body.path_id = address.path;
  body.target_id = address.target;
  body.lun = address.lun;
  return Tell(operation, body, deadline);
}

}  // namespace vmbuskit
