// One end of a channel, guest's or host's, whose peer is honest until the input makes it lie: in words of the rings, in
// packets, in what it answers. Meanwhile the user sends, asks, gives up, waits and closes, also from inside every call.
// Each request that started ends exactly once, each wait ends, nothing is delivered after the end. While the peer is
// honest nothing readable is left lying, nobody waits for space that is there, and what the peer reads is right.
#include <array>
#include <cstring>
#include <optional>

#include "framework/base/fuzzing.h"
#include "framework/channel/call.h"
#include "framework/channel/channel.h"
#include "framework/channel/ring_testing.h"
#include "framework/task/deadline.h"
#include "framework/task/spawn.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRingBytes = 4096;
constexpr size_t kRequests = 8;

std::span<const std::byte> Bytes(size_t count) {
  static const std::vector<std::byte> bytes = Pattern(3 * kRingBytes);
  return std::span(bytes).first(count);
}

TestRing& FreshRing(TestRing& ring) {
  std::memset(ring.memory().control, 0, sizeof(RingControl));
  std::memset(ring.memory().data, 0, kRingBytes);
  return ring;
}

class Fuzz;

class FuzzRequest final : public Request {
 public:
  void OnEnd(RequestEnd end, const Packet* completion) override;

  Fuzz* fuzz = nullptr;
  bool started = false;
};

class Fuzz final : public ChannelHandler, public PacketTap {
 public:
  Fuzz(FuzzedDataProvider& input, TestRing& incoming, TestRing& outgoing)
      : input_(input), incoming_(FreshRing(incoming)), outgoing_(FreshRing(outgoing)) {
    for (FuzzRequest& request : requests_) request.fuzz = this;
    incoming_.words().write_index = incoming_.words().read_index = StartIndex();
    outgoing_.words().write_index = outgoing_.words().read_index = StartIndex();
    const uint32_t answer_bytes[] = {0, 0, 64, 3000};
    const uint32_t packet_bytes[] = {256, 1024, 4608, 64};
    options_ = {.name = "fuzzed",
                .incoming = incoming_.memory(),
                .outgoing = outgoing_.memory(),
                .signal_peer = Callback::To<&Fuzz::OnOurSignal>(this),
                .max_packet_bytes = packet_bytes[Below(4)],
                .max_requests = Below(6),
                .drain_budget = Below(2) == 0 ? 1024 : Below(4),
                .answer_bytes = answer_bytes[Below(4)],
                .guest_end = Below(2) == 0};
    channel_.emplace(executor_, options_);
    peer_writer_.emplace(incoming_.memory());
    peer_reader_.emplace(outgoing_.memory(), RingReader::Options{.guest_end = !options_.guest_end});
    (void)peer_reader_->Unmask();
  }

  void Run() {
    for (int step = 0; step < 100 && input_.remaining_bytes() > 0; ++step) {
      {
        const SimTurn turn = sim_.Enter(executor_);
        const uint32_t dice = Below(20);
        dice < 11 ? PeerActs(dice) : UserActs();
      }
      if (Below(2) == 0) Settle();
      if (Below(8) == 0) Require(sim_.RunFor(std::chrono::milliseconds(Below(20))).ok());
      CheckBooks();
    }
    Settle();
    {
      const SimTurn turn = sim_.Enter(executor_);
      channel_->Close(absl::CancelledError("the end"));
      channel_->Close(absl::CancelledError("once more"));
    }
    Require(sim_.RunUntilIdle().ok());
    Require(channel_->requests_outstanding() == 0 && tasks_.running() == 0);
    for (const FuzzRequest& request : requests_) Require(!request.started);
    Require(!started_ || ended_);
    Require(channel_->Send({}) == SendResult::kClosed);
  }

  void OnRequestEnd(FuzzRequest& request, RequestEnd end, const Packet* completion) {
    Require(std::exchange(request.started, false) && !ended_);
    Require((end == RequestEnd::kCompleted) == (completion != nullptr));
    Require(completion == nullptr || completion->type == PacketType::kCompletion);
    Require(end != RequestEnd::kClosed || channel_->closed());
    Nested();
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  uint32_t Index() { return 8 * Below(kRingBytes / 8); }
  uint32_t StartIndex() {
    if (Below(16) != 0) return Index();
    honest_ = false;
    return input_.ConsumeIntegral<uint32_t>();
  }

  // ---- The peer.

  void PeerActs(uint32_t dice) {
    switch (dice) {
      case 0:
      case 1:
        return PeerSends({.completion_requested = Below(2) == 0,
                          .transaction_id = Below(8),
                          .payload = Bytes(Below(Below(4) == 0 ? 4000 : 64))});
      case 2:
        return PeerSends({.type = PacketType::kGpaDirect,
                          .transaction_id = Below(8),
                          .extension = Bytes(8 * Below(8)),
                          .payload = Bytes(Below(64))});
      case 3:
      case 4:
        return PeerReads(1 + Below(16));
      case 5:
        return PeerAnswers(Below(2) == 0);
      case 6:
        peer_reacts_ = Below(4);
        return;
      case 7:
        in_signal_ = true;
        channel_->OnSignal();
        in_signal_ = false;
        return;
      case 8:
        return channel_->wake().Signal();
      case 9:
        return PeerMayWait();
      default:
        return PeerLies();
    }
  }
  void SignalUs() { channel_->wake().Signal(); }
  void PeerSends(const OutgoingPacket& packet) {
    (void)peer_writer_->Append(packet);
    if (Below(4) != 0 && peer_writer_->Publish()) SignalUs();
  }
  void PeerReads(uint32_t count) {
    Packet packet;
    for (; count > 0; --count) {
      const ReadResult result = peer_reader_->Next(packet);
      Require(result != ReadResult::kCorrupt || !honest_);
      if (result != ReadResult::kPacket) break;
      Require(packet.type == PacketType::kCompletion || packet.type == PacketType::kInBand ||
              packet.type == PacketType::kGpaDirect || !honest_);
      if (packet.completion_requested)
        asked_[asked_count_++ % asked_.size()] = packet.transaction_id;
    }
    if (peer_reader_->Commit()) SignalUs();
    (void)peer_reader_->Unmask();
  }
  // What it was asked, or was asked before already; or what nobody asked.
  void PeerAnswers(bool right) {
    uint64_t id = Below(8);
    if (right) {
      if (asked_count_ == answered_count_) return;
      if (asked_count_ - answered_count_ > asked_.size())
        answered_count_ = asked_count_ - asked_.size();
      id = asked_[answered_count_++ % asked_.size()];
    }
    PeerSends({.type = PacketType::kCompletion, .transaction_id = id, .payload = Bytes(Below(64))});
  }
  // It waits for space in its ring, as RingWriter's RequestSpace says it; the channel is to tell it.
  void PeerMayWait() {
    if (peer_writer_->violation()) return;
    (void)peer_writer_->RequestSpace(8 * (1 + Below(peer_writer_->max_total() / 8 - 1)));
    incoming_.words().feature_bits = Below(2);
  }
  void PeerLies() {
    honest_ = false;
    RingControl& in = incoming_.words();
    RingControl& out = outgoing_.words();
    const uint32_t value = Below(4) == 0 ? input_.ConsumeIntegral<uint32_t>() : Index();
    switch (Below(8)) {
      case 0:
        in.write_index = value;
        return;
      case 1:
        in.read_index = value;
        return;
      case 2:
        in.pending_send_sz = value;
        return;
      case 3:
        out.read_index = value;
        return;
      case 4:
        out.write_index = value;
        return;
      case 5:
        out.interrupt_mask = value;
        return;
      case 6:
        out.pending_send_sz = value;
        return;
      default: {  // a descriptor or payload where it likes
        const auto bytes = input_.ConsumeSpan(1 + Below(24));
        std::memcpy(incoming_.memory().data + value % kRingBytes / 8 * 8, bytes.data(),
                    bytes.size());
        PacketDescriptor descriptor{.type = static_cast<uint16_t>(Below(16)),
                                    .offset8 = static_cast<uint16_t>(Below(8)),
                                    .len8 = static_cast<uint16_t>(Below(140)),
                                    .flags = static_cast<uint16_t>(Below(3)),
                                    .transaction_id = Below(8)};
        const uint32_t at = in.write_index % kRingBytes / 8 * 8;
        std::memcpy(incoming_.memory().data + at, &descriptor, sizeof descriptor);
        in.write_index = (at + descriptor.len8 * 8 + kPacketTrailerBytes) % kRingBytes;
      }
    }
  }
  // Called from inside a Send, a drain or the end of the channel.
  void OnOurSignal() {
    if ((peer_reacts_ & 1) != 0) PeerReads(64);
    if ((peer_reacts_ & 2) != 0) PeerAnswers(true);
    if (in_signal_) channel_->OnSignal();
  }

  // ---- The user.

  void UserActs() {
    switch (Below(11)) {
      case 0:
        if (!started_ && !channel_->closed()) {
          started_ = true;
          channel_->Start(*this);
        }
        return;
      case 1:
        tasks_.Spawn(Waits());
        return;
      case 2:
        tasks_.Spawn(Calls());
        return;
      case 3:
        tasks_.DestroyAll();
        waiting_ = 0;
        return;
      case 4: {
        const Channel::Batch batch(*channel_);
        for (uint32_t count = 1 + Below(4); count > 0; --count) Sends();
        return;
      }
      case 5:
        channel_->SetTap(Below(2) == 0 ? this : nullptr);
        return;
      case 6: {
        InspectNode node;
        channel_->Inspect(node);
        return;
      }
      default:
        return Sends();
    }
  }
  void Sends() {
    const OutgoingPacket packet{
        .type = Below(8) == 0 ? PacketType::kGpaDirect : PacketType::kInBand,
        .extension = Bytes(Below(8) == 0 ? 8 * Below(64) : 0),
        .payload = Bytes(Below(4) == 0 ? Below(2 * kRingBytes) : Below(64)),
        .payload_tail = Bytes(Below(4) == 0 ? Below(300) : 0)};
    switch (Below(6)) {
      case 0:
        return Sent(channel_->Send(packet), RingBytes(packet));
      case 1:
        return Sent(channel_->Complete(Below(3), packet.payload), 0);
      case 2:
        return GivesUp();
      case 3:
        if (Below(8) == 0) channel_->Close(absl::UnavailableError("the user closes"));
        return;
      default:
        return Asks(packet);
    }
  }
  void Sent(SendResult result, size_t total) {
    Require((result == SendResult::kClosed) == channel_->closed());
    Require(result != SendResult::kTooBig || total == 0 ||
            total > channel_->largest_packet_ring_bytes() ||
            total - kPacketTrailerBytes > options_.max_packet_bytes);
  }
  void Asks(const OutgoingPacket& packet) {
    FuzzRequest& request = requests_[Below(kRequests)];
    if (request.started) return;
    const Instant deadline =
        Below(2) == 0 ? kInfiniteFuture : sim_.Now() + std::chrono::milliseconds(Below(8));
    const SendResult result = channel_->SendRequest(packet, request, deadline);
    request.started = result == SendResult::kOk;
    Require(request.started == request.outstanding());
    Sent(result, RingBytes(packet));
  }
  void GivesUp() {
    FuzzRequest& request = requests_[Below(kRequests)];
    channel_->AbandonRequest(request);
    request.started = false;
    Require(!request.outstanding());
  }
  // From inside a call of the channel's.
  void Nested() {
    switch (Below(8)) {
      case 1:
        return Sends();
      case 2:
        Sends();
        return Sends();
      case 3:
        return GivesUp();
      case 4:
        if (Below(8) == 0) channel_->Close(absl::UnavailableError("closed from inside"));
        return;
      default:
        return;
    }
  }

  Task<void> Waits() {
    ++waiting_;
    const Instant deadline = sim_.Now() + std::chrono::seconds(1 + Below(4));
    absl::Status status = co_await channel_->Writable(deadline);
    --waiting_;
    Require(status.ok() || channel_->closed() || sim_.Now() >= deadline);
  }
  Task<void> Calls() {
    OutgoingPacket packet{.payload = Bytes(Below(4) == 0 ? Below(2 * kRingBytes) : Below(64))};
    const Duration limit = std::chrono::milliseconds(1 + Below(8));
    std::array<std::byte, 16> reply;
    absl::StatusOr<uint32_t> length = co_await Call(*channel_, packet, reply, limit);
    Require(!length.ok() || *length <= sizeof reply);
    if (Below(8) == 1) channel_->Close(absl::UnavailableError("closed after a call"));
  }

  // ---- What the channel says.

  void OnPacket(Channel& channel, const Packet& packet) override {
    Require(&channel == &*channel_ && !ended_ && !channel.closed());
    Require(sizeof(PacketDescriptor) + packet.extension.size() + packet.payload.size() <=
            options_.max_packet_bytes);
    if (options_.answer_bytes != 0 && honest_) {
      // Room for an answer was promised, as long as nothing else takes it.
      const size_t answer =
          std::min<size_t>(options_.answer_bytes,
                           std::min(options_.max_packet_bytes, 4000u) - sizeof(PacketDescriptor));
      if (Below(2) == 0) Require(channel.Complete(1, Bytes(answer)) == SendResult::kOk);
    }
    Nested();
  }
  void OnDrained(Channel&) override {
    Require(!ended_);
    Nested();
  }
  void OnWritable(Channel& channel) override {
    Require(!ended_ && !channel.closed());
    Nested();
  }
  void OnClosed(Channel& channel, const absl::Status& reason) override {
    Require(!std::exchange(ended_, true) && channel.closed() && !reason.ok());
    for (const FuzzRequest& request : requests_) Require(!request.started);
  }
  void OnIncoming(const Channel&, const Packet&) override {}
  void OnOutgoing(const Channel&, const OutgoingPacket&) override {}

  void Settle() {
    Require(sim_.RunUntilIdle().ok());
    if (!honest_ || channel_->closed() || !started_) return;
    // The channel waits for a signal: so there is nothing to read, but what waits for room for its answer.

    const bool empty = incoming_.words().read_index == incoming_.words().write_index;
    Require(empty || options_.answer_bytes != 0);
    if (outgoing_.words().read_index != outgoing_.words().write_index) return;
    Require(empty);
    Require(waiting_ == 0 || channel_->requests().full());
  }
  void CheckBooks() {
    uint32_t started = 0;
    for (const FuzzRequest& request : requests_) {
      Require(request.started == request.outstanding());
      started += request.started;
    }
    const RequestTable& table = channel_->requests();
    Require(table.outstanding() >= started && table.outstanding() - started <= tasks_.running());
    Require(table.outstanding() + table.abandoned() <= table.slots() || channel_->closed());
    Require(!ended_ || channel_->closed());
  }

  FuzzedDataProvider& input_;
  TestRing& incoming_;
  TestRing& outgoing_;
  SimScheduler sim_{0, {.steps_max = 20000, .post_capacity = 1}};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  Channel::Options options_;
  std::array<FuzzRequest, kRequests> requests_;
  std::optional<Channel> channel_;
  TaskGroup tasks_{executor_, "fuzzed"};
  std::optional<RingWriter> peer_writer_;
  std::optional<RingReader> peer_reader_;
  std::array<uint64_t, 8> asked_{};
  uint64_t asked_count_ = 0;
  uint64_t answered_count_ = 0;
  uint32_t waiting_ = 0;      // tasks in Waits
  uint32_t peer_reacts_ = 0;  // to our signals: bit 0 reads, bit 1 answers
  bool honest_ = true;        // the peer, so far
  bool in_signal_ = false;
  bool started_ = false;
  bool ended_ = false;
};

void FuzzRequest::OnEnd(RequestEnd end, const Packet* completion) {
  fuzz->OnRequestEnd(*this, end, completion);
}

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  static TestRing incoming(kRingBytes);
  static TestRing outgoing(kRingBytes);
  FuzzedDataProvider input(data, size);
  Fuzz(input, incoming, outgoing).Run();
  return 0;
}
