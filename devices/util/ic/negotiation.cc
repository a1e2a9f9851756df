#include "devices/util/ic/negotiation.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "absl/strings/str_format.h"
#include "framework/base/status.h"

namespace vmbuskit::ic {
namespace {

// Version `index` of a negotiation body whose counts were checked.
Version VersionAt(std::span<const std::byte> body, size_t index) {
  Version version;
  std::memcpy(&version, body.data() + sizeof(NegotiateBody) + index * sizeof version,
              sizeof version);
  return version;
}

// The counts, if they are plausible and the body holds that many versions.
std::optional<NegotiateBody> ReadCounts(std::span<const std::byte> body) {
  NegotiateBody counts;
  if (body.size() < sizeof counts) return std::nullopt;
  std::memcpy(&counts, body.data(), sizeof counts);
  for (uint16_t count : {counts.framework_count, counts.message_count}) {
    if (count < 1 || count > kNegotiateVersionsMax) return std::nullopt;
  }
  const size_t versions = size_t{counts.framework_count} + counts.message_count;
  if (sizeof counts + versions * sizeof(Version) > body.size()) return std::nullopt;
  return counts;
}

std::optional<Version> FirstCommon(std::span<const Version> preferred,
                                   std::span<const std::byte> body, size_t first, size_t count) {
  for (const Version& wanted : preferred) {
    for (size_t i = first; i < first + count; ++i) {
      if (VersionAt(body, i) == wanted) return wanted;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string Agreed::ToString() const {
  return absl::StrFormat("framework %d.%d, message %d.%d", framework.major, framework.minor,
                         message.major, message.minor);
}

std::optional<Agreed> AnswerNegotiation(Message& message, const VersionLists& preferences) {
  std::optional<Agreed> agreed;
  if (const std::optional<NegotiateBody> counts = ReadCounts(message.body)) {
    // The message list starts behind the framework list (rule N5).
    const std::optional<Version> framework =
        FirstCommon(preferences.framework, message.body, 0, counts->framework_count);
    const std::optional<Version> service = FirstCommon(
        preferences.message, message.body, counts->framework_count, counts->message_count);
    if (framework && service) agreed = Agreed{*framework, *service};
  }
  message.header.flags = kResponseFlags;
  NegotiateBody answer = {};
  if (agreed) {
    // Two versions were read, so the body holds the 16 bytes of the answer.
    answer = {.framework_count = 1, .message_count = 1, .reserved = 0};
    const Version versions[2] = {agreed->framework, agreed->message};
    std::memcpy(message.body.data() + sizeof answer, versions, sizeof versions);
    message.header.body_bytes = kNegotiateAnswerBodyBytes;
  }
  if (message.body.size() >= sizeof answer) {
    std::memcpy(message.body.data(), &answer, sizeof answer);
  }
  return agreed;
}

size_t BuildNegotiation(const VersionLists& offered, std::span<std::byte> buffer) {
  const NegotiateBody counts = {
      .framework_count = static_cast<uint16_t>(offered.framework.size()),
      .message_count = static_cast<uint16_t>(offered.message.size()),
      .reserved = 0,
  };
  assert(kBodyOffset + sizeof counts + offered.framework.size_bytes() +
             offered.message.size_bytes() <=
         buffer.size());
  std::byte* out = buffer.data() + kBodyOffset;
  std::memcpy(out, &counts, sizeof counts);
  out += sizeof counts;
  std::memcpy(out, offered.framework.data(), offered.framework.size_bytes());
  out += offered.framework.size_bytes();
  std::memcpy(out, offered.message.data(), offered.message.size_bytes());
  out += offered.message.size_bytes();
  Header header = {};
  header.message_type = MessageType::kNegotiate;
  header.body_bytes = static_cast<uint16_t>(out - (buffer.data() + kBodyOffset));
  header.flags = kRequestFlags;
  return FinishMessage(buffer, header);
}

absl::StatusOr<Agreed> ReadNegotiationAnswer(const Message& message, const VersionLists& offered) {
  const std::optional<NegotiateBody> counts = ReadCounts(message.body);
  if (!counts || counts->framework_count != 1 || counts->message_count != 1) {
    return Violation("ic negotiation answer", "version counts",
                     counts ? counts->framework_count : 0, "the guest accepted no version");
  }
  const Agreed agreed = {VersionAt(message.body, 0), VersionAt(message.body, 1)};
  if (std::ranges::find(offered.framework, agreed.framework) == offered.framework.end() ||
      std::ranges::find(offered.message, agreed.message) == offered.message.end()) {
    return Violation("ic negotiation answer", "version", agreed.message.major, "was not offered");
  }
  return agreed;
}

}  // namespace vmbuskit::ic
