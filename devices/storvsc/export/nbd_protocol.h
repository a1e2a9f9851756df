// The NBD protocol on the wire: fixed newstyle handshake, options, commands, simple and structured replies.
//
//   nbd::Request request = reader.Read<nbd::Request>();      // fields convert to and from host order by themselves
//   if (request.magic != nbd::kRequestMagic) return Fail("request magic");
//
// Everything is big-endian and unaligned. Source of the rules, here and where a header of this folder names a section:
// the protocol description of the NBD project, https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md; its
// sections are named in nbd_handshake.h, nbd_transmission.h, nbd_slot.h and nbd_export.h. Not here, because no server
// of today's needs it: oldstyle negotiation, extended headers, RESIZE. Thread safety: plain values.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_PROTOCOL_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_PROTOCOL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmbuskit::nbd {

// An unsigned integer as it lies on the wire.
template <typename T>
class BigEndian {
 public:
  BigEndian() = default;
  constexpr BigEndian(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) {
      bytes_[i] = static_cast<uint8_t>(value >> (8 * (sizeof(T) - 1 - i)));
    }
  }
  constexpr operator T() const {
    T value = 0;
    for (const uint8_t byte : bytes_) value = static_cast<T>(value << 8 | byte);
    return value;
  }

 private:
  std::array<uint8_t, sizeof(T)> bytes_{};
};

using Be16 = BigEndian<uint16_t>;
using Be32 = BigEndian<uint32_t>;
using Be64 = BigEndian<uint64_t>;

inline constexpr uint32_t kStringBytesMax = 4096;  // names, queries, messages
// What a client that asked for no limits may send and ask for at once.
inline constexpr uint32_t kDefaultPayloadBytesMax = 1 << 25;

// ---- Handshake: the server's greeting, the client's flags, options.

inline constexpr uint64_t kGreetingMagic = 0x4e42444d41474943;  // "NBDMAGIC"
inline constexpr uint64_t kOptionMagic = 0x49484156454F5054;    // "IHAVEOPT"
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;

enum HandshakeFlag : uint16_t { kFixedNewstyle = 1 << 0, kNoZeroes = 1 << 1 };
enum ClientFlag : uint32_t { kClientFixedNewstyle = 1 << 0, kClientNoZeroes = 1 << 1 };

enum Option : uint32_t {
  kOptExportName = 1,
  kOptAbort = 2,
  kOptList = 3,
  kOptStartTls = 5,
  kOptInfo = 6,
  kOptGo = 7,
  kOptStructuredReply = 8,
  kOptListMetaContext = 9,
  kOptSetMetaContext = 10,
};

inline constexpr uint32_t kOptionError = 1u << 31;
enum OptionReplyType : uint32_t {
  kRepAck = 1,
  kRepServer = 2,
  kRepInfo = 3,
  kRepMetaContext = 4,
  kRepErrUnsup = kOptionError + 1,
  kRepErrPolicy = kOptionError + 2,
  kRepErrInvalid = kOptionError + 3,
  kRepErrTlsReqd = kOptionError + 5,
  kRepErrUnknown = kOptionError + 6,
  kRepErrShutdown = kOptionError + 7,
  kRepErrBlockSizeReqd = kOptionError + 8,
  kRepErrTooBig = kOptionError + 9,
};

enum InfoType : uint16_t {
  kInfoExport = 0,
  kInfoName = 1,
  kInfoDescription = 2,
  kInfoBlockSize = 3,
};

struct Greeting {
  Be64 magic = kGreetingMagic;
  Be64 option_magic = kOptionMagic;
  Be16 flags;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
  Be64 magic = kOptionMagic;
  Be32 option;
  Be32 bytes;  // of data behind it
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReply {
  Be64 magic = kOptionReplyMagic;
  Be32 option;
  Be32 type;
  Be32 bytes;
};
static_assert(sizeof(OptionReply) == 20);

// The answer to kOptExportName; 124 zeros follow unless both sides set their flag "no zeroes".
struct ExportNameReply {
  Be64 size;
  Be16 transmission_flags;
};
static_assert(sizeof(ExportNameReply) == 10);
inline constexpr size_t kExportNamePadding = 124;

struct ExportInfo {
  Be16 type = kInfoExport;
  Be64 size;
  Be16 transmission_flags;
};
static_assert(sizeof(ExportInfo) == 12);

struct BlockSizeInfo {
  Be16 type = kInfoBlockSize;
  Be32 minimum;    // a power of two up to 64 KiB
  Be32 preferred;  // a power of two, at least 512 and `minimum`
  Be32 payload_max;
};
static_assert(sizeof(BlockSizeInfo) == 14);

inline constexpr std::string_view kBaseNamespace = "base:";
inline constexpr std::string_view kBaseAllocation = "base:allocation";

// ---- Transmission.

enum TransmissionFlag : uint16_t {
  kHasFlags = 1 << 0,
  kReadOnly = 1 << 1,
  kSendFlush = 1 << 2,
  kSendFua = 1 << 3,
  kRotational = 1 << 4,
  kSendTrim = 1 << 5,
  kSendWriteZeroes = 1 << 6,
  kSendDf = 1 << 7,
  kCanMultiConn = 1 << 8,
  kSendCache = 1 << 10,
  kSendFastZero = 1 << 11,
};

inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr uint32_t kStructuredReplyMagic = 0x668e33ef;

enum Command : uint16_t {
  kCmdRead = 0,
  kCmdWrite = 1,
  kCmdDisc = 2,
  kCmdFlush = 3,
  kCmdTrim = 4,
  kCmdCache = 5,
  kCmdWriteZeroes = 6,
  kCmdBlockStatus = 7,
};

enum CommandFlag : uint16_t {
  kFlagFua = 1 << 0,
  kFlagNoHole = 1 << 1,
  kFlagDf = 1 << 2,  // one chunk of data
  kFlagReqOne = 1 << 3,
  kFlagFastZero = 1 << 4,
};

struct Request {
  Be32 magic = kRequestMagic;
  Be16 flags;
  Be16 command;
  Be64 cookie;
  Be64 offset;
  Be32 bytes;
};
static_assert(sizeof(Request) == 28);

enum Error : uint32_t {
  kOk = 0,
  kEPerm = 1,
  kEIo = 5,
  kENoMem = 12,
  kEInval = 22,
  kENoSpc = 28,
  kEOverflow = 75,
  kENotSup = 95,
  kEShutdown = 108,
};

struct SimpleReply {
  Be32 magic = kSimpleReplyMagic;
  Be32 error;
  Be64 cookie;
};
static_assert(sizeof(SimpleReply) == 16);

inline constexpr uint16_t kReplyFlagDone = 1;
enum ReplyType : uint16_t {
  kReplyNone = 0,
  kReplyOffsetData = 1,
  kReplyOffsetHole = 2,
  kReplyBlockStatus = 5,
  kReplyError = (1 << 15) + 1,
  kReplyErrorOffset = (1 << 15) + 2,
};

struct StructuredReply {
  Be32 magic = kStructuredReplyMagic;
  Be16 flags = kReplyFlagDone;
  Be16 type;
  Be64 cookie;
  Be32 bytes;  // of payload behind it
};
static_assert(sizeof(StructuredReply) == 20);

struct ErrorPayload {
  Be32 error;
  Be16 message_bytes;
};
static_assert(sizeof(ErrorPayload) == 6);

enum AllocationFlag : uint32_t { kStateHole = 1 << 0, kStateZero = 1 << 1 };

struct StatusDescriptor {
  Be32 bytes;
  Be32 flags;
};
static_assert(sizeof(StatusDescriptor) == 8);

}  // namespace vmbuskit::nbd

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_PROTOCOL_H_
