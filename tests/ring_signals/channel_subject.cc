// Two Channels under the model check, each on an executor of its own that sleeps when it has nothing to do: mask,
// drain, commit, unmask and look again, back-pressure and OnWritable, answers that wait for room. Compiled once for
// each variant, with the sources of that variant in place of the real ones.
#include <array>
#include <memory>

#include "framework/base/status.h"
#include "framework/channel/channel.h"
#include "tests/ring_signals/packet_images.h"
#include "tests/ring_signals/subject.h"

// The variant's own copies, in its namespace.
#include "framework/channel/request_table.cc"
#include "framework/channel/ring_reader.cc"
#include "framework/channel/ring_writer.cc"
#include VMBUSKIT_CHANNEL_CC
#include VMBUSKIT_CHANNEL_DRAIN_CC

namespace vmbuskit {

// What the check never gets to see: no coroutine waits for space, and errors are NoteBroken.
void Waiter::Wake() {}
absl::Status Violation(std::string_view, std::string_view, uint64_t, std::string_view) {
  return absl::DataLossError("");
}

namespace {

using ring_signals::Choose;
using ring_signals::NoteBroken;
using ring_signals::Scenario;

// Keeps a channel's events, the peer's signal and its own wake-up, for the subject's turns to choose from: any order of
// them is more than an executor, which keeps theirs, can bring about.
class TurnExecutor : public Executor {
 public:
  uint32_t pending() const { return count_; }
  void Run(uint32_t which) {
    Event& event = *events_[which];
    Remove(event);
    event.RunHandler();
  }

  Instant Now() const override { return {}; }
  bool Post(Callback) override { return false; }
  bool IsCurrent() const override { return true; }
  uint32_t cpu() const override { return 0; }

 private:
  void EnqueueEvent(Event& event) override { events_[count_++] = &event; }
  void DetachEvent(Event& event) override {
    Remove(event);
    event.ClearPending();
  }
  void ArmTimer(Timer&) override {}
  void DisarmTimer(Timer&) override {}
  void AddPoller(Poller&) override {}
  void RemovePoller(Poller&) override {}

  void Remove(Event& event) {
    if (events_[0] == &event) events_[0] = events_[1];
    events_[--count_] = nullptr;
  }

  std::array<Event*, 2> events_{};
  uint32_t count_ = 0;
};

// One end with its user, who has packets to send, or answers each packet with one.
class End : public ChannelHandler, public PacketTap {
 public:
  End(int thread, const Scenario& scenario, PacketImages& out, PacketImages& in)
      : thread_(thread),
        scenario_(scenario),
        out_(out),
        in_(in),
        channel_(executor_,
                 {.name = "",
                  .incoming = in.memory(),
                  .outgoing = out.memory(),
                  .signal_peer = Callback([](void*) { ring_signals::SignalPeer(); }, nullptr),
                  .max_packet_bytes = ring_signals::kRingBytes,
                  .max_requests = 1,
                  .drain_budget = scenario.drain_budget,
                  .answer_bytes = Answers() ? AnswerBytes() : 0}) {
    channel_.SetTap(this);
    channel_.Start(*this);
  }
  ~End() override { channel_.Close(absl::CancelledError("")); }

  void Turn() {
    in_.Show(received_);
    const bool may_send = !Answers() && !full_ && sent_ < out_.count();
    // What an executor runs first is open.
    const bool idle = !may_send && executor_.pending() == 0;
    if (idle) ring_signals::Wait();
    if (idle || (!channel_.wake().pending() && ring_signals::Poll())) channel_.wake().Signal();
    const uint32_t choices = executor_.pending() + (may_send ? 1 : 0);
    const uint32_t choice = choices == 1 ? 0 : Choose(choices);
    if (choice < executor_.pending()) {
      executor_.Run(choice);
    } else {
      const uint32_t count = 1 + Choose(std::min(scenario_.longest_batch, out_.count() - sent_));
      SendBatch(count);
    }
    if (channel_.closed()) return NoteBroken("a channel failed");
    if (channel_.counters().empty_wakeups != 0) ring_signals::NoteNeedless();
    // Counting is not what tells two states apart.
    const_cast<ChannelCounters&>(channel_.counters()) = {};
  }

 private:
  bool Answers() const { return thread_ == 1; }
  uint32_t AnswerBytes() const { return out_.count() == 0 ? 0 : out_.total(0) - kMinRingBytes; }

  void SendBatch(uint32_t count) {
    Channel::Batch batch(channel_);
    for (uint32_t i = 0; i < count && !full_; ++i) SendNext();
  }
  void SendNext() {
    switch (channel_.Send(out_.Outgoing(sent_))) {
      case SendResult::kOk:
        ++sent_;
        return;
      case SendResult::kFull:
        full_ = true;
        return;
      default:
        return NoteBroken("a packet was refused");
    }
  }

  void OnOutgoing(const Channel&, const OutgoingPacket&) override {
    out_.Keep(sent_);
    ring_signals::NoteAppended(thread_);
  }
  void OnIncoming(const Channel&, const Packet&) override {}
  void OnPacket(Channel&, const Packet& packet) override {
    if (!in_.Check(received_, packet)) return NoteBroken("another packet than was sent");
    ring_signals::NoteRead(1 - thread_);
    in_.Show(++received_);
    if (!Answers() || sent_ == out_.count()) return;
    SendNext();
    if (full_) NoteBroken("an answer found no room");
  }
  void OnWritable(Channel&) override {
    full_ = false;
    while (!full_ && sent_ < out_.count()) SendNext();
  }

  const int thread_;
  const Scenario& scenario_;
  PacketImages& out_;
  PacketImages& in_;
  TurnExecutor executor_;
  uint32_t sent_ = 0;
  uint32_t received_ = 0;
  bool full_ = false;
  Channel channel_;
};

class ChannelSubject : public ring_signals::Subject {
 public:
  explicit ChannelSubject(const Scenario& scenario)
      : rings_{PacketImages(scenario.packets[0], scenario.start_index),
               PacketImages(scenario.packets[1], scenario.start_index)} {
    for (int thread = 0; thread < 2; ++thread) {
      regions_[thread] = memory_[thread];
      ends_[thread] =
          new (memory_[thread].data()) End(thread, scenario, rings_[thread], rings_[1 - thread]);
    }
  }
  ~ChannelSubject() override {
    for (End* end : ends_) end->~End();
  }

  std::span<const std::span<std::byte>> Regions(int thread) override {
    return {&regions_[thread], 1};
  }
  uint32_t* Control(int ring) override { return rings_[ring].control(); }
  void Turn(int thread) override { ends_[thread]->Turn(); }

 private:
  std::array<PacketImages, 2> rings_;
  // All bytes of an end are its value, padding too.
  alignas(End) std::array<std::array<std::byte, sizeof(End)>, 2> memory_{};
  std::array<End*, 2> ends_{};
  std::array<std::span<std::byte>, 2> regions_;
};

const ring_signals::RegisterVariant registered(
    {VMBUSKIT_VARIANT, [](const Scenario& scenario) -> std::unique_ptr<ring_signals::Subject> {
       return std::make_unique<ChannelSubject>(scenario);
     }});

}  // namespace
}  // namespace vmbuskit
