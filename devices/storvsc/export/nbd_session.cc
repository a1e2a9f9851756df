#include "devices/storvsc/export/nbd_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "framework/base/status.h"

namespace vmbuskit {

NbdSession::NbdSession(NbdSessionOwner& owner, Executor& executor, NbdTls tls,
                       const NbdLimits& limits)
    : owner_(owner),
      executor_(executor),
      limits_(limits),
      handshake_(owner, tls),
      staging_(kStagingBytes) {}

size_t NbdSession::ReadTargets(std::span<std::span<std::byte>> into) {
  payload_offered_ = 0;
  if (stopped_ || !error().ok() || into.size() < 2) return 0;
  size_t count = 0;
  if (transmission_.has_value()) {
    if (transmission_->stopping() || transmission_->blocked()) return 0;
    count = transmission_->PayloadTargets(into.first(into.size() - 1));
    for (const std::span<std::byte> target : into.first(count)) payload_offered_ += target.size();
  } else if (handshake_.state() != NbdHandshake::State::kHaggling) {
    return 0;
  }
  // Held back bytes come first. What is left otherwise is the beginning of a header.
  const std::span<std::byte> room = std::span(staging_).subspan(staged_end_);
  if (!room.empty()) into[count++] = room;
  return count;
}

void NbdSession::Received(size_t bytes) {
  const size_t payload = std::min(bytes, payload_offered_);
  payload_offered_ = 0;
  if (payload > 0) transmission_->PayloadReceived(payload);
  staged_end_ += bytes - payload;
  Advance();
}

void NbdSession::Advance() {
  if (stopped_) return;
  if (!transmission_.has_value()) AdvanceHandshake();
  if (transmission_.has_value()) staged_begin_ += transmission_->Receive(staged());
  const std::span<const std::byte> left = staged();
  if (staged_begin_ == 0) return;
  std::memmove(staging_.data(), left.data(), left.size());
  staged_end_ = left.size();
  staged_begin_ = 0;
}

void NbdSession::AdvanceHandshake() {
  staged_begin_ += handshake_.Receive(staged());
  if (handshake_.state() == NbdHandshake::State::kStartTls && !staged().empty()) {
    // Somebody between us could have put it there, to be taken for the client's own inside TLS.
    error_ = Violation("NBD handshake", "bytes behind STARTTLS", staged().size());
  }
  if (handshake_.state() != NbdHandshake::State::kTransmission) return;
  std::shared_ptr<BlockDevice> disk = owner_.OpenDisk(export_info());
  if (disk == nullptr) {
    error_ = absl::NotFoundError("NBD handshake: the export went away");
    return;
  }
  transmission_.emplace(std::move(disk), executor_, handshake_.agreement(), limits_,
                        Callback::To<&NbdSession::OnProgress>(this));
  if (transmission_->usable()) return;
  transmission_.reset();
  error_ = absl::UnavailableError("NBD handshake: the disk gives no queue");
}

size_t NbdSession::Unsent(std::span<std::span<const std::byte>> parts) const {
  size_t count = 0;
  if (parts.empty()) return 0;
  if (handshake_left() > 0) {
    parts[count++] = std::span(handshake_.output()).subspan(handshake_sent_);
  }
  if (transmission_.has_value()) count += transmission_->Unsent(parts.subspan(count));
  return count;
}

void NbdSession::Sent(size_t bytes) {
  const size_t early = std::min(bytes, handshake_left());
  handshake_sent_ += early;
  if (handshake_sent_ > 0 && handshake_left() == 0) {
    handshake_.output().clear();
    handshake_sent_ = 0;
  }
  if (transmission_.has_value()) transmission_->Sent(bytes - early);
  Advance();
}

void NbdSession::Stop() {
  stopped_ = true;
  if (transmission_.has_value()) transmission_->Stop();
}

bool NbdSession::finished() const {
  if (handshake_left() > 0) return false;
  if (transmission_.has_value()) return transmission_->finished();
  return stopped_ || handshake_.state() == NbdHandshake::State::kClosed;
}

const absl::Status& NbdSession::error() const {
  if (!error_.ok()) return error_;
  if (transmission_.has_value()) return transmission_->error();
  return handshake_.error();
}

}  // namespace vmbuskit
