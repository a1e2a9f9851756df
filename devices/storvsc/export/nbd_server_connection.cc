#include "devices/storvsc/export/nbd_server_connection.h"

#include <array>
#include <cassert>
#include <utility>

namespace vmbuskit {

NbdServerConnection::NbdServerConnection(NbdServerConnectionOwner& owner, Executor& executor,
                                         std::unique_ptr<Stream> stream, const Options& options)
    : owner_(owner),
      options_(options),
      stream_(std::move(stream)),
      pump_(executor, Callback::To<&NbdServerConnection::Pump>(this)),
      deadline_(executor, Callback::To<&NbdServerConnection::OnDeadline>(this)),
      session_(*this, executor, options.tls, options.limits) {}

NbdServerConnection::~NbdServerConnection() { assert(session_.in_flight() == 0); }

void NbdServerConnection::Start() {
  deadline_.Arm(pump_.executor().Now() + options_.handshake_deadline);
  const absl::Status started = stream_->Start(Callback::To<&NbdServerConnection::Pump>(this));
  if (!started.ok()) return Drop(started);
  pump_.Signal();
}

void NbdServerConnection::Stop() {
  session_.Stop();
  pump_.Signal();
}

void NbdServerConnection::Drop(absl::Status reason) {
  if (stream_ == nullptr) return;
  error_ = std::move(reason);
  stream_.reset();
  session_.Stop();
  pump_.Signal();  // the end is told from there
}

void NbdServerConnection::OnDeadline() {
  Drop(absl::DeadlineExceededError("NBD handshake: the client did not finish in time"));
}

void NbdServerConnection::Pump() {
  bool moved = true;
  for (int round = 0; round < kRoundsMax && moved && stream_ != nullptr; ++round) {
    moved = WriteSome();
    if (session_.wants_tls() && !StartTls()) break;
    moved |= ReadSome();
    if (session_.in_transmission()) deadline_.Disarm();
    if (!session_.error().ok()) Drop(session_.error());
  }
  if (AtEnd()) return owner_.OnConnectionEnded(*this);  // destroys this
  if (moved && stream_ != nullptr) pump_.Signal();
}

bool NbdServerConnection::AtEnd() {
  if (stream_ == nullptr) return session_.in_flight() == 0;
  if (!session_.finished()) return false;
  stream_->CloseOutput();
  return true;
}

bool NbdServerConnection::WriteSome() {
  std::array<std::span<const std::byte>, Stream::kPartsMax> parts;
  const size_t count = session_.Unsent(parts);
  if (count == 0) return false;
  const StreamResult result = stream_->Write(std::span(parts).first(count));
  if (result.state == StreamState::kFailed) Drop(stream_->error());
  if (result.bytes == 0) return false;
  session_.Sent(result.bytes);
  return true;
}

bool NbdServerConnection::StartTls() {
  auto safe = options_.guard->Protect(std::move(stream_));
  if (!safe.ok()) {
    error_ = safe.status();
    session_.Stop();
    return false;
  }
  stream_ = *std::move(safe);
  session_.TlsStarted();
  return true;
}

bool NbdServerConnection::ReadSome() {
  std::array<std::span<std::byte>, Stream::kPartsMax> targets;
  if (stream_ == nullptr) return false;
  const size_t count = session_.ReadTargets(targets);
  if (count == 0) return false;
  const StreamResult result = stream_->Read(std::span(targets).first(count));
  switch (result.state) {
    case StreamState::kOk:
      session_.Received(result.bytes);
      return true;
    case StreamState::kLater:
      return false;
    case StreamState::kEnd:
      Drop(absl::OkStatus());
      return false;
    case StreamState::kFailed:
      Drop(stream_->error());
      return false;
  }
  return false;
}

}  // namespace vmbuskit
