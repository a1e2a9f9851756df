// The receiving half of Channel.
#include <algorithm>
#include <utility>

#include "framework/base/status.h"
#include "framework/channel/channel.h"

namespace vmbuskit {
namespace {

// How many packets are read before their space goes back to the peer: seldom enough to be cheap,
// often enough that a peer with a full ring need not wait for a whole drain.
constexpr uint32_t kPacketsPerCommit = 64;

}  // namespace

void Channel::OnSignal() {
  if (draining_) {
    wake_.Signal();  // the peer answered from inside our signal to it
    return;
  }
  Service();
}

void Channel::Service() {
  if (closed() || handler_ == nullptr) return OnSelfWake();
  self_wake_.Cancel();  // this does all that it would
  const bool useful = WantsSpace() || paused_ || polled_;
  const bool read = Drain();
  ++counters_.wakeups;
  if (!useful && !read) ++counters_.empty_wakeups;
}

void Channel::SetPolled(bool polled) {
  if (finished_ || std::exchange(polled_, polled) == polled) return;
  if (polled) {
    // A signal that is on its way finds nothing to do, which is no fault of the peer's.
    reader_.Mask();
    masked_ = true;
    poller_.Start();
  } else {
    poller_.Stop();
    // Still masked: whatever came is read, and then the peer asked for signals, with another look after that.
    WakeSelf();
  }
}

void Channel::OnPoll() {
  if (closed()) return Finish();
  if (handler_ == nullptr) return;
  // One look at a word of the ring, which stays in the cache until the peer writes it.
  if (WantsSpace() || (!paused_ && reader_.Readable())) (void)Drain();
}

void Channel::OnSelfWake() {
  if (finished_) return;
  if (closed()) return Finish();    // a Send found a violation
  if (handler_ == nullptr) return;  // Start drains
  if (masked_) return (void)Drain();
  // Packets have their signal on the way: reading them here would make it needless.
  if (!WantsSpace()) return;
  draining_ = true;
  ++batch_depth_;
  OfferSpace();
  --batch_depth_;
  Publish();
  draining_ = false;
  if (closed()) Finish();
}

// True when there was a packet.
bool Channel::Drain() {
  draining_ = true;
  masked_ = true;
  ++batch_depth_;
  uint32_t left = std::max(options_.drain_budget, 1u);
  uint32_t read = 0;
  do {
    // Polled, it is masked already; writing the word again would take its line from the peer.
    if (!polled_) reader_.Mask();
    stalled_ = false;
    const uint32_t count = ReadPass(left);
    read += count;
    if (count != 0 && !closed()) handler_->OnDrained(*this);
    if (!closed() && WantsSpace()) OfferSpace();
    if (closed()) break;
    // One signal for freed space and new packets.
    const bool freed = reader_.Commit();
    const bool sent = writer_.Publish();
    if (freed || sent) SignalPeer();
    if (stalled_ || paused_) break;  // masked: the room asked for, or ResumeReading, comes next
    if (polled_) break;              // masked: the poller comes again at the next turn
    // A pass without packets counts too: a peer could keep us busy with ignored ones.
    left -= std::max(count, 1u);
    if (left == 0) {
      // While masked no signal comes for what is left. When nothing is, the turn ends as any other.
      masked_ = reader_.Readable() || reader_.Unmask();
      if (masked_) WakeSelf();
      break;
    }
    masked_ = reader_.Unmask();
  } while (masked_);
  --batch_depth_;
  draining_ = false;
  if (closed()) Finish();
  return read != 0;
}

uint32_t Channel::ReadPass(uint32_t budget) {
  Packet packet;
  for (uint32_t count = 0; count < budget;) {
    if (paused_) [[unlikely]] {
      return count;
    }
    if (answer_ring_bytes_ != 0 && !writer_.Fits(answer_ring_bytes_)) [[unlikely]] {
      stalled_ = reader_.Readable();
      return count;
    }
    switch (reader_.Next(packet)) {
      case ReadResult::kEmpty:
        return count;
      case ReadResult::kCorrupt:
        Fail("incoming", reader_.violation());
        return count;
      case ReadResult::kPacket:
        break;
    }
    ++count;
    Deliver(packet);
    if (closed()) return count;
    if (count % kPacketsPerCommit == 0 && reader_.Commit()) SignalPeer();
  }
  return budget;
}

void Channel::Deliver(const Packet& packet) {
  ++counters_.packets_in;
  counters_.bytes_in += packet.payload.size();
  if (tap_ != nullptr) [[unlikely]] {
    tap_->OnIncoming(*this, packet);
  }
  if (packet.type != PacketType::kCompletion) {
    handler_->OnPacket(*this, packet);
    return;
  }
  const TakeResult taken = requests_.Take(packet.transaction_id);
  if (taken.request != nullptr) {
    taken.request->OnEnd(RequestEnd::kCompleted, &packet);
  } else if (taken.error != TakeError::kNone && !closed()) {
    reason_ = Violation(name(), "completion transaction_id", packet.transaction_id,
                        Describe(taken.error));
  }
}

uint32_t Channel::LeastSpaceWanted() const {
  if (!stalled_) return wanted_bytes_;
  return wanted_bytes_ == 0 ? answer_ring_bytes_ : std::min(wanted_bytes_, answer_ring_bytes_);
}

void Channel::ResumeReading() {
  if (!std::exchange(paused_, false)) return;
  if (masked_) WakeSelf();
}

void Channel::OfferSpace() {
  bool writable = false;
  // Twice at most: the smaller wish, then the larger one.
  while (LeastSpaceWanted() != 0 && writer_.RequestSpace(LeastSpaceWanted())) {
    if (writer_.violation()) return Fail("outgoing", writer_.violation());
    if (stalled_ && writer_.Fits(answer_ring_bytes_)) stalled_ = false;
    if (wanted_bytes_ != 0 && writer_.Fits(wanted_bytes_)) {
      wanted_bytes_ = 0;
      writable = true;
    }
  }
  if (wants_slot_ && !requests_.full()) {
    wants_slot_ = false;
    writable = true;
  }
  if (!writable) return;
  while (!writable_waits_.empty()) {
    WritableWait& wait = writable_waits_.front();
    writable_waits_.pop_front();
    writable_ended_.push_back(wait);
    wait.End(absl::OkStatus());
  }
  handler_->OnWritable(*this);
}

}  // namespace vmbuskit
