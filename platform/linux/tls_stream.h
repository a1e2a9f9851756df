// The server's side of TLS over a plain stream. Made by tls_guard.h.
//
//   absl::StatusOr<std::unique_ptr<Stream>> stream = TlsStream::Create(std::move(plain), credentials, priority, true);
//
// Thread safety, lifetime: platform/stream.h; credentials and priority outlive it. What is sent is copied once, into
// records of at most kRecordBytes. Errors: GnuTLS's words, and "the client's certificate" where that is what failed.
#ifndef VMBUSKIT_PLATFORM_LINUX_TLS_STREAM_H_
#define VMBUSKIT_PLATFORM_LINUX_TLS_STREAM_H_

#include <gnutls/gnutls.h>
#include <sys/types.h>

#include <array>
#include <memory>

#include "absl/status/statusor.h"
#include "platform/stream.h"

namespace vmbuskit {

class TlsStream final : public Stream {
 public:
  static constexpr size_t kRecordBytes = 16 * 1024;

  static absl::StatusOr<std::unique_ptr<Stream>> Create(
      std::unique_ptr<Stream> plain, gnutls_certificate_credentials_t credentials,
      gnutls_priority_t priority, bool verify_client);
  ~TlsStream() override;

  absl::Status Start(Callback on_ready) override { return plain_->Start(on_ready); }
  StreamResult Read(std::span<const std::span<std::byte>> into) override;
  StreamResult Write(std::span<const std::span<const std::byte>> from) override;
  void CloseOutput() override;
  absl::Status error() const override { return error_; }

 private:
  explicit TlsStream(std::unique_ptr<Stream> plain) : plain_(std::move(plain)) {}

  // kOk once the handshake is over.
  StreamState Handshake();
  // What GnuTLS's negative `code` means.
  StreamState Judge(ssize_t code, const char* what);
  static ssize_t Pull(gnutls_transport_ptr_t self, void* data, size_t bytes);
  static ssize_t Push(gnutls_transport_ptr_t self, const void* data, size_t bytes);
  ssize_t Moved(const StreamResult& result);

  const std::unique_ptr<Stream> plain_;
  gnutls_session_t session_ = nullptr;
  bool ready_ = false;
  size_t unsent_ = 0;  // of record_, taken by GnuTLS and not reported as written
  std::array<std::byte, kRecordBytes> record_;
  absl::Status error_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_TLS_STREAM_H_
