// Wire format of the integration components' shared framing (ICMSG): pipe header, message header, negotiation.
// Source: protocol 30 sections 1 and 2. All fields little-endian; nothing but structures and constants here.
#ifndef VMBUSKIT_DEVICES_UTIL_IC_PROTOCOL_H_
#define VMBUSKIT_DEVICES_UTIL_IC_PROTOCOL_H_

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>

namespace vmbuskit::ic {

static_assert(std::endian::native == std::endian::little);

// Two 16-bit words, major first: opposite of the version words of other classes.
struct Version {
  uint16_t major = 0;
  uint16_t minor = 0;
  friend constexpr auto operator<=>(const Version&, const Version&) = default;
};
static_assert(sizeof(Version) == 4);

enum class MessageType : uint16_t {
  kNegotiate = 0,
  kHeartbeat = 1,
  kKvp = 2,
  kShutdown = 3,
  kTimesync = 4,
  kVss = 5,
  kFcopy = 7,
};

struct PipeHeader {
  uint32_t type;    // kPipeData
  uint32_t length;  // bytes that follow this header, not padded
};
static_assert(sizeof(PipeHeader) == 8);
inline constexpr uint32_t kPipeData = 1;

struct Header {
  Version framework;
  MessageType message_type;
  Version message;
  uint16_t body_bytes;
  uint32_t status;
  uint8_t transaction_id;
  uint8_t flags;
  uint16_t reserved;
};
static_assert(sizeof(Header) == 20);
static_assert(offsetof(Header, message_type) == 4 && offsetof(Header, body_bytes) == 10);
static_assert(offsetof(Header, status) == 12 && offsetof(Header, flags) == 17);

// A message in its packet: pipe header, message header, body.
inline constexpr size_t kHeaderOffset = sizeof(PipeHeader);
inline constexpr size_t kBodyOffset = sizeof(PipeHeader) + sizeof(Header);
static_assert(kBodyOffset == 28);
// OpenVMM's limit on one message; KVP needs 7456.
inline constexpr size_t kMessageBytesMax = 13312;

inline constexpr uint8_t kFlagTransaction = 1;
inline constexpr uint8_t kFlagRequest = 2;
inline constexpr uint8_t kFlagResponse = 4;
inline constexpr uint8_t kRequestFlags = kFlagTransaction | kFlagRequest;
inline constexpr uint8_t kResponseFlags = kFlagTransaction | kFlagResponse;

// Body of a negotiation; framework versions, then message versions, follow.
struct NegotiateBody {
  uint16_t framework_count;
  uint16_t message_count;
  uint32_t reserved;
};
static_assert(sizeof(NegotiateBody) == 8);
inline constexpr uint16_t kNegotiateVersionsMax = 100;       // per list
inline constexpr uint16_t kNegotiateAnswerBodyBytes = 0x10;  // one version of each

// Pipe, device interface; the user-defined part of the offer starts with the pipe mode.
inline constexpr uint16_t kOfferFlags = 0x11;
inline constexpr uint32_t kPipeModeMessage = 4;

// Status words are HRESULTs (protocol 30 section 2.2).
inline constexpr uint32_t kStatusOk = 0;
inline constexpr uint32_t kStatusFail = 0x80004005;
inline constexpr uint32_t kStatusNoMoreItems = 0x80070103;
inline constexpr uint32_t kStatusNotSupported = 0x80070032;
inline constexpr uint32_t kStatusInvalidArgument = 0x80070057;

inline constexpr Version kFramework1 = {1, 0};
inline constexpr Version kFramework3 = {3, 0};

}  // namespace vmbuskit::ic

#endif  // VMBUSKIT_DEVICES_UTIL_IC_PROTOCOL_H_
