#include "platform/linux/tls_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

absl::Status TlsError(const char* what, ssize_t code) {
  return absl::UnavailableError(
      absl::StrCat("TLS ", what, ": ", gnutls_strerror(static_cast<int>(code))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Stream>> TlsStream::Create(
    std::unique_ptr<Stream> plain, gnutls_certificate_credentials_t credentials,
    gnutls_priority_t priority, bool verify_client) {
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(plain)));
  constexpr unsigned kFlags = GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL;
  if (const int code = gnutls_init(&stream->session_, kFlags); code < 0) {
    return TlsError("session", code);
  }
  gnutls_session_t session = stream->session_;
  int code = gnutls_priority_set(session, priority);
  if (code >= 0) code = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
  if (code < 0) return TlsError("session", code);
  if (verify_client) {
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert(session, nullptr, 0);
  }
  gnutls_transport_set_ptr(session, stream.get());
  gnutls_transport_set_pull_function(session, &TlsStream::Pull);
  gnutls_transport_set_push_function(session, &TlsStream::Push);
  return stream;
}

TlsStream::~TlsStream() {
  if (session_ != nullptr) gnutls_deinit(session_);
}

ssize_t TlsStream::Moved(const StreamResult& result) {
  switch (result.state) {
    case StreamState::kOk:
      return static_cast<ssize_t>(result.bytes);
    case StreamState::kEnd:
      return 0;
    case StreamState::kLater:
      gnutls_transport_set_errno(session_, EAGAIN);
      return -1;
    case StreamState::kFailed:
      break;
  }
  gnutls_transport_set_errno(session_, EIO);
  return -1;
}

ssize_t TlsStream::Pull(gnutls_transport_ptr_t self, void* data, size_t bytes) {
  auto& stream = *static_cast<TlsStream*>(self);
  const std::span<std::byte> part(static_cast<std::byte*>(data), bytes);
  return stream.Moved(stream.plain_->Read(std::span(&part, 1)));
}

ssize_t TlsStream::Push(gnutls_transport_ptr_t self, const void* data, size_t bytes) {
  auto& stream = *static_cast<TlsStream*>(self);
  const std::span<const std::byte> part(static_cast<const std::byte*>(data), bytes);
  return stream.Moved(stream.plain_->Write(std::span(&part, 1)));
}

StreamState TlsStream::Judge(ssize_t code, const char* what) {
  if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED) return StreamState::kLater;
  // A client that goes without a goodbye: the protocols inside TLS have their own.
  if (code == GNUTLS_E_PREMATURE_TERMINATION) return StreamState::kEnd;
  const bool certificate = code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR ||
                           code == GNUTLS_E_CERTIFICATE_REQUIRED ||
                           code == GNUTLS_E_NO_CERTIFICATE_FOUND;
  error_ = TlsError(certificate ? "the client's certificate" : what, code);
  return StreamState::kFailed;
}

StreamState TlsStream::Handshake() {
  if (ready_) return StreamState::kOk;
  if (!error_.ok()) return StreamState::kFailed;
  int code = gnutls_handshake(session_);
  // Warnings: bounded by what a client sends at a time.
  while (code < 0 && code != GNUTLS_E_AGAIN && gnutls_error_is_fatal(code) == 0) {
    code = gnutls_handshake(session_);
  }
  if (code < 0) {
    const StreamState state = Judge(code, "handshake");
    if (state == StreamState::kFailed) gnutls_alert_send_appropriate(session_, code);
    return state;
  }
  ready_ = true;
  return StreamState::kOk;
}

StreamResult TlsStream::Read(std::span<const std::span<std::byte>> into) {
  if (const StreamState state = Handshake(); state != StreamState::kOk) return {state};
  size_t total = 0;
  for (const std::span<std::byte> part : into) {
    if (total > 0 && gnutls_record_check_pending(session_) == 0) break;
    const ssize_t bytes = gnutls_record_recv(session_, part.data(), part.size());
    if (bytes > 0) {
      total += static_cast<size_t>(bytes);
      if (static_cast<size_t>(bytes) < part.size()) break;
      continue;
    }
    if (total > 0) break;  // told by the next call
    if (bytes == 0) return {StreamState::kEnd};
    return {Judge(bytes, "read")};
  }
  return {StreamState::kOk, total};
}

StreamResult TlsStream::Write(std::span<const std::span<const std::byte>> from) {
  if (const StreamState state = Handshake(); state != StreamState::kOk) return {state};
  ssize_t sent = 0;
  if (unsent_ > 0) {
    sent = gnutls_record_send(session_, nullptr, 0);  // goes on with the record before
  } else {
    size_t bytes = 0;
    for (const std::span<const std::byte> part : from) {
      const size_t count = std::min(part.size(), record_.size() - bytes);
      std::memcpy(record_.data() + bytes, part.data(), count);
      bytes += count;
    }
    unsent_ = bytes;
    sent = gnutls_record_send(session_, record_.data(), bytes);
  }
  if (sent < 0) return {Judge(sent, "write")};
  unsent_ = 0;
  return {StreamState::kOk, static_cast<size_t>(sent)};
}

void TlsStream::CloseOutput() {
  if (ready_) gnutls_bye(session_, GNUTLS_SHUT_WR);
  plain_->CloseOutput();
}

}  // namespace vmbuskit
