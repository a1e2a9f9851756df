#include "devices/storvsc/export/nbd_handshake.h"

#include <algorithm>

#include "framework/base/status.h"

namespace vmbuskit {
namespace {

constexpr std::string_view kSubject = "NBD handshake";

template <WireValue T>
std::span<const std::byte> BytesOf(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A string with its length in front of it. False: it does not fit, or is longer than a string may be.
bool ReadString(ByteReader& reader, std::string_view& text) {
  const uint32_t bytes = reader.Read<nbd::Be32>();
  if (bytes > nbd::kStringBytesMax) return false;
  text = AsText(reader.Bytes(bytes));
  return reader.ok();
}

}  // namespace

NbdHandshake::NbdHandshake(NbdCatalog& catalog, NbdTls tls) : catalog_(catalog), tls_(tls) {
  nbd::Greeting greeting;
  greeting.flags = nbd::kFixedNewstyle | nbd::kNoZeroes;
  Append(BytesOf(greeting));
  Await(Step::kClientFlags, sizeof(nbd::Be32));
}

void NbdHandshake::Await(Step step, size_t bytes) {
  step_ = step;
  needed_ = bytes;
  input_.clear();
}

size_t NbdHandshake::Receive(std::span<const std::byte> bytes) {
  size_t taken = 0;
  while (state_ == State::kHaggling && output_.size() < kOutputBytesMax && taken < bytes.size()) {
    if (skipping_ > 0) {
      const size_t skipped = std::min(skipping_, bytes.size() - taken);
      taken += skipped;
      skipping_ -= skipped;
      if (skipping_ == 0) Reply(nbd::kRepErrTooBig, "the option's data is too long");
      continue;
    }
    const auto part = bytes.subspan(taken, std::min(needed_ - input_.size(), bytes.size() - taken));
    input_.insert(input_.end(), part.begin(), part.end());
    taken += part.size();
    if (input_.size() == needed_) OnItem();
  }
  return taken;
}

void NbdHandshake::OnItem() {
  switch (step_) {
    case Step::kClientFlags:
      return OnClientFlags();
    case Step::kOptionHeader:
      return OnOptionHeader();
    case Step::kOptionData:
      OnOption();
      return Await(Step::kOptionHeader, sizeof(nbd::OptionHeader));
  }
}

void NbdHandshake::OnClientFlags() {
  client_flags_ = ByteReader(input_).Read<nbd::Be32>();
  constexpr uint32_t kKnown = nbd::kClientFixedNewstyle | nbd::kClientNoZeroes;
  if ((client_flags_ & ~kKnown) != 0) {
    return Close(Violation(kSubject, "client flags", client_flags_, "unknown ones"));
  }
  Await(Step::kOptionHeader, sizeof(nbd::OptionHeader));
}

void NbdHandshake::OnOptionHeader() {
  const auto header = ByteReader(input_).Read<nbd::OptionHeader>();
  if (header.magic != nbd::kOptionMagic) {
    return Close(Violation(kSubject, "option magic", header.magic));
  }
  if (++options_ > kOptionsMax) return Close(Violation(kSubject, "options", options_, "a flood"));
  option_ = header.option;
  if (option_ != nbd::kOptExportName && (client_flags_ & nbd::kClientFixedNewstyle) == 0) {
    return Close(Violation(kSubject, "option", option_, "of a client without fixed newstyle"));
  }
  const uint32_t bytes = header.bytes;
  const bool is_name = option_ == nbd::kOptExportName;
  if (bytes > kOptionBytesSkipped || (is_name && bytes > nbd::kStringBytesMax)) {
    return Close(Violation(kSubject, "option bytes", bytes));
  }
  if (bytes > kOptionBytesMax) {
    skipping_ = bytes;
    return Await(Step::kOptionHeader, sizeof(nbd::OptionHeader));
  }
  Await(Step::kOptionData, bytes);
  if (bytes == 0) OnItem();
}

bool NbdHandshake::RefusedBeforeTls() {
  if (tls_ != NbdTls::kRequired || in_tls_) return false;
  if (option_ == nbd::kOptStartTls || option_ == nbd::kOptAbort) return false;
  if (option_ == nbd::kOptExportName) {
    Close(absl::PermissionDeniedError("NBD handshake: an export was asked for without TLS"));
  } else {
    Reply(nbd::kRepErrTlsReqd, "this server needs TLS");
  }
  return true;
}

void NbdHandshake::OnOption() {
  if (RefusedBeforeTls()) return;
  switch (option_) {
    case nbd::kOptExportName:
      return OnExportName(DataAsText());
    case nbd::kOptAbort:
      Reply(nbd::kRepAck);
      return Close(absl::OkStatus());
    case nbd::kOptList:
      return OnList();
    case nbd::kOptStartTls:
      return OnStartTls();
    case nbd::kOptInfo:
    case nbd::kOptGo:
      return OnInfoOrGo();
    case nbd::kOptStructuredReply:
      return OnStructuredReply();
    case nbd::kOptListMetaContext:
    case nbd::kOptSetMetaContext:
      return OnMetaContext();
    default:
      return Reply(nbd::kRepErrUnsup);
  }
}

void NbdHandshake::OnExportName(std::string_view name) {
  const std::optional<NbdExportInfo> info = catalog_.Find(name);
  if (!info.has_value()) {
    return Close(absl::NotFoundError("NBD handshake: EXPORT_NAME of an export that is not there"));
  }
  nbd::ExportNameReply reply;
  reply.size = info->bytes;
  reply.transmission_flags = info->flags;
  Append(BytesOf(reply));
  if ((client_flags_ & nbd::kClientNoZeroes) == 0) {
    output_.resize(output_.size() + nbd::kExportNamePadding);
  }
  Enter(*info);
}

void NbdHandshake::OnList() {
  if (!input_.empty()) return Reply(nbd::kRepErrInvalid, "LIST has no data");
  for (const NbdExportInfo& info : catalog_.List()) {
    const nbd::Be32 bytes = static_cast<uint32_t>(info.name.size());
    ReplyWith(nbd::kRepServer, BytesOf(bytes), info.name + info.description);
  }
  Reply(nbd::kRepAck);
}

void NbdHandshake::OnStartTls() {
  if (!input_.empty()) return Reply(nbd::kRepErrInvalid, "STARTTLS has no data");
  if (in_tls_) return Reply(nbd::kRepErrInvalid, "TLS has been started");
  if (tls_ == NbdTls::kNone) return Reply(nbd::kRepErrPolicy, "this server has no certificate");
  Reply(nbd::kRepAck);
  state_ = State::kStartTls;
}

void NbdHandshake::TlsStarted() {
  in_tls_ = true;
  agreement_ = {};
  meta_ = {};
  state_ = State::kHaggling;
}

void NbdHandshake::OnStructuredReply() {
  if (!input_.empty()) return Reply(nbd::kRepErrInvalid, "STRUCTURED_REPLY has no data");
  agreement_.structured_replies = true;
  Reply(nbd::kRepAck);
}

bool NbdHandshake::ParseInfoRequest(InfoRequest& request) const {
  ByteReader reader(input_);
  if (!ReadString(reader, request.name)) return false;
  const uint16_t count = reader.Read<nbd::Be16>();
  if (!reader.ok() || reader.remaining() != size_t{count} * sizeof(nbd::Be16)) return false;
  for (uint16_t i = 0; i < count; ++i) {
    const uint16_t type = reader.Read<nbd::Be16>();
    request.block_size |= type == nbd::kInfoBlockSize;
    request.export_name |= type == nbd::kInfoName;
    request.description |= type == nbd::kInfoDescription;
  }
  return true;
}

void NbdHandshake::OnInfoOrGo() {
  InfoRequest request;
  if (!ParseInfoRequest(request)) return Reply(nbd::kRepErrInvalid, "malformed request");
  const std::optional<NbdExportInfo> info = catalog_.Find(request.name);
  if (!info.has_value()) return Reply(nbd::kRepErrUnknown, "there is no such export");
  SendInfo(request, *info);
  // Who does not ask sends multiples of 512 when it means well: larger blocks it has to know of.
  if (option_ == nbd::kOptGo && !request.block_size && info->block_bytes > 512) {
    return Reply(nbd::kRepErrBlockSizeReqd, "ask for the block size");
  }
  Reply(nbd::kRepAck);
  if (option_ == nbd::kOptGo) Enter(*info);
}

void NbdHandshake::SendInfo(const InfoRequest& request, const NbdExportInfo& info) {
  nbd::ExportInfo size;
  size.size = info.bytes;
  size.transmission_flags = info.flags;
  ReplyWith(nbd::kRepInfo, BytesOf(size));
  if (request.export_name) ReplyInfo(nbd::kInfoName, info.name);
  if (request.description) ReplyInfo(nbd::kInfoDescription, info.description);
  nbd::BlockSizeInfo limits;  // told to everybody: it may save a client an error later
  limits.minimum = info.block_bytes;
  limits.preferred = info.preferred_bytes;
  limits.payload_max = info.payload_bytes_max;
  ReplyWith(nbd::kRepInfo, BytesOf(limits));
}

bool NbdHandshake::Matches(std::string_view query) const {
  if (query == nbd::kBaseAllocation) return true;
  return option_ == nbd::kOptListMetaContext && query == nbd::kBaseNamespace;  // the wildcard
}

bool NbdHandshake::ParseQueries(ByteReader& reader, bool& matches) const {
  const uint32_t count = reader.Read<nbd::Be32>();
  if (count == 0) matches = option_ == nbd::kOptListMetaContext;
  for (uint32_t i = 0; i < count; ++i) {  // bounded by the data: each takes some, or ends it
    std::string_view query;
    if (!ReadString(reader, query)) return false;
    if (query.find(':') == std::string_view::npos) return false;
    matches |= Matches(query);
  }
  return reader.ok() && reader.remaining() == 0;
}

void NbdHandshake::OnMetaContext() {
  const bool set = option_ == nbd::kOptSetMetaContext;
  if (set) meta_ = {};
  if (!agreement_.structured_replies) {
    return Reply(nbd::kRepErrInvalid, "structured replies come first");
  }
  ByteReader reader(input_);
  std::string_view name;
  bool matches = false;
  if (!ReadString(reader, name) || !ParseQueries(reader, matches)) {
    return Reply(nbd::kRepErrInvalid, "malformed request");
  }
  const std::optional<NbdExportInfo> info = catalog_.Find(name);
  if (!info.has_value()) return Reply(nbd::kRepErrUnknown, "there is no such export");
  if (matches) {
    const nbd::Be32 id = set ? kBaseAllocationId : 0;
    ReplyWith(nbd::kRepMetaContext, BytesOf(id), nbd::kBaseAllocation);
  }
  Reply(nbd::kRepAck);
  if (set) meta_ = {.export_name = info->name, .base_allocation = matches};
}

void NbdHandshake::Enter(const NbdExportInfo& info) {
  agreement_.info = info;
  agreement_.base_allocation = meta_.base_allocation && meta_.export_name == info.name;
  state_ = State::kTransmission;
}

void NbdHandshake::Close(absl::Status error) {
  state_ = State::kClosed;
  error_ = std::move(error);
}

void NbdHandshake::Reply(uint32_t type, std::string_view text) { ReplyWith(type, {}, text); }

void NbdHandshake::ReplyWith(uint32_t type, std::span<const std::byte> head,
                             std::string_view tail) {
  nbd::OptionReply reply;
  reply.option = option_;
  reply.type = type;
  reply.bytes = static_cast<uint32_t>(head.size() + tail.size());
  Append(BytesOf(reply));
  Append(head);
  Append(std::as_bytes(std::span(tail)));
}

void NbdHandshake::ReplyInfo(nbd::InfoType type, std::string_view text) {
  const nbd::Be16 wire_type = static_cast<uint16_t>(type);
  ReplyWith(nbd::kRepInfo, BytesOf(wire_type), text);
}

void NbdHandshake::Append(std::span<const std::byte> bytes) {
  output_.insert(output_.end(), bytes.begin(), bytes.end());
}

std::string_view NbdHandshake::DataAsText() const { return AsText(input_); }

}  // namespace vmbuskit
