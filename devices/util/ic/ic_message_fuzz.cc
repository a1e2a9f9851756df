// Integration component messages of any content, as a guest reads the host's and as a host reads the guest's answer.
#include <algorithm>
#include <cstring>
#include <vector>

#include "devices/util/ic/message.h"
#include "devices/util/ic/negotiation.h"
#include "framework/base/fuzzing.h"

namespace vmbuskit::ic {
namespace {

constexpr Version kFrameworks[] = {{3, 0}, {1, 0}};
constexpr Version kMessages[] = {{5, 0}, {4, 0}, {3, 0}, {1, 0}};
constexpr VersionLists kLists = {kFrameworks, kMessages};

// Lies about lengths, counts and versions in a negotiation that is right otherwise; or bytes as they come.
std::vector<std::byte> AnyMessage(FuzzedDataProvider& input) {
  if (input.ConsumeBool()) return input.ConsumeRemainingBytes<std::byte>();
  std::vector<std::byte> bytes(kBodyOffset + input.ConsumeIntegralInRange<size_t>(0, 96));
  const auto put = [&]<typename T>(size_t offset, T value) {
    if (offset + sizeof value <= bytes.size()) {
      std::memcpy(bytes.data() + offset, &value, sizeof value);
    }
  };
  for (size_t at = kBodyOffset + sizeof(NegotiateBody); at < bytes.size(); at += sizeof(Version)) {
    put(at, input.ConsumeIntegralInRange<uint16_t>(0, 6));
  }
  const size_t body_bytes = bytes.size() - kBodyOffset;
  put(0, PipeHeader{kPipeData, static_cast<uint32_t>(sizeof(Header) + body_bytes)});
  put(kHeaderOffset + offsetof(Header, body_bytes), static_cast<uint16_t>(body_bytes));
  put(kBodyOffset, input.ConsumeIntegralInRange<uint16_t>(0, 12));
  put(kBodyOffset + 2, input.ConsumeIntegralInRange<uint16_t>(0, 12));
  while (input.remaining_bytes() > 4) {
    put(input.ConsumeIntegralInRange<size_t>(0, bytes.size()), input.ConsumeIntegral<uint16_t>());
  }
  return bytes;
}

// A host's whole negotiation, any lists: the guest agrees to what both have, and to nothing else.
void Negotiate(FuzzedDataProvider& input) {
  std::vector<Version> lists[4];
  for (std::vector<Version>& list : lists) {
    list.resize(1 + input.ConsumeIntegralInRange<size_t>(0, 5));
    for (Version& version : list) version.major = input.ConsumeIntegralInRange<uint16_t>(0, 7);
  }
  const VersionLists offered = {lists[0], lists[1]};
  const VersionLists wanted = {lists[2], lists[3]};
  std::vector<std::byte> buffer(128);
  const size_t bytes = BuildNegotiation(offered, buffer);
  absl::StatusOr<Message> message = ParseMessage(std::span(buffer).first(bytes));
  Require(message.ok() && message->header.flags == kRequestFlags);
  const std::optional<Agreed> agreed = AnswerNegotiation(*message, wanted);
  const auto common = [](std::span<const Version> a, std::span<const Version> b) {
    return std::ranges::find_first_of(a, b) != a.end();
  };
  Require(agreed.has_value() ==
          (common(wanted.framework, offered.framework) && common(wanted.message, offered.message)));
  if (agreed) Require(agreed->ToString().starts_with("framework "));
}

}  // namespace
}  // namespace vmbuskit::ic

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit::ic;
  using vmbuskit::Require;
  FuzzedDataProvider input(data, size);
  if (input.ConsumeIntegralInRange<int>(0, 3) == 0) {
    Negotiate(input);
    return 0;
  }
  std::vector<std::byte> bytes = AnyMessage(input);
  absl::StatusOr<Message> message = ParseMessage(bytes);
  if (!message.ok()) return 0;
  Require(message->bytes <= bytes.size());
  Require(message->body.size() == message->header.body_bytes);
  Require(message->body.data() == bytes.data() + kBodyOffset);
  (void)ReadNegotiationAnswer(*message, kLists);

  const std::optional<Agreed> agreed = AnswerNegotiation(*message, kLists);
  Require(message->header.flags == kResponseFlags);
  if (message->body.size() < sizeof(NegotiateBody)) return 0;
  // The answer as it would be sent, and as the host reads it.
  Require(message->header.body_bytes <= message->body.size());
  const size_t answer_bytes = FinishMessage(bytes, message->header);
  absl::StatusOr<Message> answer = ParseMessage(std::span(bytes).first(answer_bytes));
  Require(answer.ok());
  const absl::StatusOr<Agreed> read = ReadNegotiationAnswer(*answer, kLists);
  Require(read.ok() == agreed.has_value());
  Require(!read.ok() || *read == *agreed);
  return 0;
}
