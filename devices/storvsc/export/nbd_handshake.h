// The first half of an NBD connection, sans-IO: greeting, options, the choice of an export. Bytes in, bytes out.
//
//   NbdHandshake handshake(catalog, NbdTls::kNone);            // its greeting stands in output() already
//   const size_t taken = handshake.Receive(bytes);             // what is left belongs to what comes next
//   Send(handshake.output()), handshake.output().clear();
//   if (handshake.state() == NbdHandshake::State::kTransmission) Serve(handshake.agreement());
//
// A client that breaks a rule gets the error reply that the protocol has for it; where it has none (wrong magic,
// unknown client flags, a name that EXPORT_NAME cannot refuse), or in a flood, the state becomes kClosed with the
// reason in error(). At most kOptionBytesMax bytes of input are kept; no input is taken while kOutputBytesMax bytes of
// output wait.
//
// Thread safety: none; one owner. Lifetime: the catalog outlives it. Units: bytes.
// Source: the protocol's sections "Newstyle negotiation", "TLS", "Size constraints", "Option types".
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_HANDSHAKE_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_HANDSHAKE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_protocol.h"
#include "framework/base/bytes.h"

namespace vmbuskit {

// What a client learns of an export before it uses it.
struct NbdExportInfo {
  std::string name;
  std::string description;  // for people
  uint64_t bytes = 0;
  uint16_t flags = 0;          // nbd::TransmissionFlag
  uint32_t block_bytes = 512;  // requests that are not multiples of it fail
  uint32_t preferred_bytes = 4096;
  uint32_t payload_bytes_max = nbd::kDefaultPayloadBytesMax;
};

class NbdCatalog {
 public:
  virtual ~NbdCatalog() = default;
  // The empty name: the default export, if there is one.
  virtual std::optional<NbdExportInfo> Find(std::string_view name) = 0;
  virtual std::vector<NbdExportInfo> List() = 0;
};

enum class NbdTls : uint8_t {
  kNone,
  kOffered,
  kRequired,  // nothing is told or done before TLS
};

// What the two sides agreed on.
struct NbdAgreement {
  NbdExportInfo info;
  bool structured_replies = false;
  bool base_allocation = false;  // kCmdBlockStatus may be used
};

class NbdHandshake {
 public:
  enum class State : uint8_t {
    kHaggling,
    kStartTls,      // once the output is sent, TLS begins; then TlsStarted
    kTransmission,  // once the output is sent, agreement() holds
    kClosed,        // once the output is sent, the connection is to be closed
  };

  static constexpr size_t kOptionBytesMax = 32 * 1024;    // longer ones are answered with TOO_BIG,
  static constexpr size_t kOptionBytesSkipped = 1 << 20;  // still longer ones with a disconnect
  static constexpr uint32_t kOptionsMax = 4096;           // so many without a choice are a flood
  static constexpr size_t kOutputBytesMax = 64 * 1024;
  static constexpr uint32_t kBaseAllocationId = 1;

  NbdHandshake(NbdCatalog& catalog, NbdTls tls);

  // How many of `bytes` it took; less than all only when the state changed or the output is full.
  size_t Receive(std::span<const std::byte> bytes);
  // kStartTls only: goes on inside TLS, where nothing agreed on before holds.
  void TlsStarted();

  State state() const { return state_; }
  std::vector<std::byte>& output() { return output_; }
  const std::vector<std::byte>& output() const { return output_; }
  const NbdAgreement& agreement() const { return agreement_; }
  // Why kClosed; ok when the client asked for it.
  const absl::Status& error() const { return error_; }

 private:
  enum class Step : uint8_t { kClientFlags, kOptionHeader, kOptionData };

  // What a client asks of INFO and GO.
  struct InfoRequest {
    std::string_view name;
    bool block_size = false;
    bool export_name = false;
    bool description = false;
  };

  // Meta contexts are remembered with the export that they were asked for.
  struct MetaContext {
    std::string export_name;
    bool base_allocation = false;
  };

  void Await(Step step, size_t bytes);
  void OnItem();
  void OnClientFlags();
  void OnOptionHeader();
  void OnOption();
  bool RefusedBeforeTls();
  void OnExportName(std::string_view name);
  void OnList();
  void OnStartTls();
  void OnStructuredReply();
  void OnInfoOrGo();
  bool ParseInfoRequest(InfoRequest& request) const;
  void SendInfo(const InfoRequest& request, const NbdExportInfo& info);
  void OnMetaContext();
  // False: it is not well formed.
  bool ParseQueries(ByteReader& reader, bool& matches) const;
  bool Matches(std::string_view query) const;
  void Enter(const NbdExportInfo& info);
  void Close(absl::Status error);

  void Reply(uint32_t type, std::string_view text = {});
  void ReplyWith(uint32_t type, std::span<const std::byte> head, std::string_view tail = {});
  void ReplyInfo(nbd::InfoType type, std::string_view text);
  void Append(std::span<const std::byte> bytes);
  std::string_view DataAsText() const;

  NbdCatalog& catalog_;
  const NbdTls tls_;
  State state_ = State::kHaggling;
  Step step_ = Step::kClientFlags;
  bool in_tls_ = false;
  uint32_t client_flags_ = 0;
  uint32_t option_ = 0;
  uint32_t options_ = 0;
  size_t needed_ = 0;    // bytes of the item that is being received
  size_t skipping_ = 0;  // bytes of an option that is too big
  std::vector<std::byte> input_;
  std::vector<std::byte> output_;
  MetaContext meta_;
  NbdAgreement agreement_;
  absl::Status error_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_HANDSHAKE_H_
