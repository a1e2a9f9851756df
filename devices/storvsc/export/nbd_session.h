// One NBD connection, sans-IO, from the greeting to the end: bytes in, bytes out, BlockRequests to the disk.
//
//   NbdSession session(owner, executor, NbdTls::kNone, {});
//   while (size_t count = session.ReadTargets(targets)) session.Received(ReadFromClient(targets, count));
//   while (size_t count = session.Unsent(parts)) session.Sent(WriteToClient(parts, count));
//   if (session.wants_tls()) ...; if (session.finished() || !session.error().ok()) Close();
//
// No read targets: it is held back (try again after OnProgress or Sent), waits for TLS, or takes nothing more.
// Thread safety: the executor's. Lifetime: the owner outlives it; destroyed when in_flight() is 0, also after an error.
// Memory: NbdLimits, and kStagingBytes. Errors: error() names what the client did; its connection is to be closed at
// once.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SESSION_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SESSION_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_handshake.h"
#include "devices/storvsc/export/nbd_transmission.h"

namespace vmbuskit {

class NbdSessionOwner : public NbdCatalog {
 public:
  // The disk of an export that Find told of; null when it is gone meanwhile.
  virtual std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo& info) = 0;
  // A request ended: there is something to send, or room for more, or an end. Not from inside a call of the session.
  virtual void OnProgress() = 0;
};

class NbdSession {
 public:
  static constexpr size_t kStagingBytes = 32 * 1024;  // of headers and small writes

  NbdSession(NbdSessionOwner& owner, Executor& executor, NbdTls tls, const NbdLimits& limits);

  size_t ReadTargets(std::span<std::span<std::byte>> into);
  // So many bytes were read into the targets; 0 merely goes on with what was held back.
  void Received(size_t bytes);

  size_t Unsent(std::span<std::span<const std::byte>> parts) const;
  void Sent(size_t bytes);

  // The handshake asks for TLS, and its answer is sent.
  bool wants_tls() const {
    return handshake_.state() == NbdHandshake::State::kStartTls && handshake_left() == 0;
  }
  void TlsStarted() { handshake_.TlsStarted(); }

  // Takes nothing more; requests in flight end and are answered.
  void Stop();
  bool finished() const;
  bool in_transmission() const { return transmission_.has_value(); }
  uint32_t in_flight() const { return transmission_ ? transmission_->in_flight() : 0; }
  NbdCounters counters() const { return transmission_ ? transmission_->counters() : NbdCounters(); }
  // Empty until an export was chosen.
  const NbdExportInfo& export_info() const { return handshake_.agreement().info; }
  const absl::Status& error() const;

 private:
  void Advance();
  void AdvanceHandshake();
  std::span<const std::byte> staged() const {
    return std::span(staging_).subspan(staged_begin_, staged_end_ - staged_begin_);
  }
  size_t handshake_left() const { return handshake_.output().size() - handshake_sent_; }
  void OnProgress() { owner_.OnProgress(); }

  NbdSessionOwner& owner_;
  Executor& executor_;
  const NbdLimits limits_;
  NbdHandshake handshake_;
  std::optional<NbdTransmission> transmission_;
  std::vector<std::byte> staging_;
  size_t staged_begin_ = 0;
  size_t staged_end_ = 0;
  size_t payload_offered_ = 0;  // of the targets that were given last
  size_t handshake_sent_ = 0;
  bool stopped_ = false;
  absl::Status error_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SESSION_H_
