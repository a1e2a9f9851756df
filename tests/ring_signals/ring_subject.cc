// RingWriter and RingReader under the model check: a producer and a consumer that sleep, as every user of a ring is
// written. Compiled once for each variant, with the sources of that variant in place of the real ones.
#include <algorithm>
#include <array>
#include <memory>

#include "framework/channel/ring.h"
#include "tests/ring_signals/packet_images.h"
#include "tests/ring_signals/subject.h"

// The variant's own copies, in its namespace.
#include VMBUSKIT_RING_READER_CC
#include VMBUSKIT_RING_WRITER_CC

namespace vmbuskit {
namespace {

using ring_signals::Choose;
using ring_signals::NoteBroken;
using ring_signals::Scenario;

struct Producer {
  explicit Producer(const RingMemory& ring) : writer(ring) {}

  RingWriter writer;
  uint32_t sent = 0;
  uint32_t wanted = 0;  // it sleeps until that many bytes are free; 0: awake
};

struct Consumer {
  explicit Consumer(const RingMemory& ring) : reader(ring, {.max_packet_bytes = 4096}) {}

  RingReader reader;
  uint32_t received = 0;
  uint32_t uncommitted = 0;
  bool asleep = false;
  bool found = true;  // this wake-up found something
};

// An object whose bytes, padding too, are its value.
template <typename T>
class Cell {
 public:
  explicit Cell(const RingMemory& ring) : object_(new(bytes_.data()) T(ring)) {}
  ~Cell() { object_->~T(); }
  T& operator*() { return *object_; }
  std::span<std::byte> bytes() { return bytes_; }

 private:
  alignas(T) std::array<std::byte, sizeof(T)> bytes_{};
  T* const object_;
};

class RingSubject : public ring_signals::Subject {
 public:
  explicit RingSubject(const Scenario& scenario)
      : scenario_(scenario),
        images_(scenario.packets[0], scenario.start_index),
        producer_(images_.memory()),
        consumer_(images_.memory()),
        regions_{producer_.bytes(), consumer_.bytes()} {
    // Construction goes past the checker.
  }

  std::span<const std::span<std::byte>> Regions(int thread) override {
    return {&regions_[thread], 1};
  }
  uint32_t* Control(int ring) override { return ring == 0 ? images_.control() : unused_.data(); }
  void Turn(int thread) override { thread == 0 ? Produce(*producer_) : Consume(*consumer_); }

 private:
  void Produce(Producer& p) {
    if (p.wanted != 0) {
      ring_signals::Wait();
      if (!p.writer.RequestSpace(p.wanted)) return ring_signals::NoteNeedless();
      p.wanted = 0;
    }
    const uint32_t left = images_.count() - p.sent;
    if (left == 0 || (scenario_.may_stop && Choose(2) == 1)) ring_signals::Finish();
    const uint32_t batch = 1 + Choose(std::min(left, scenario_.longest_batch));
    for (uint32_t i = 0; i < batch; ++i) {
      const AppendResult result = p.writer.Append(images_.Outgoing(p.sent));
      if (result == AppendResult::kFull) {
        p.wanted = std::max(images_.total(p.sent), scenario_.ask_bytes_min);
        break;
      }
      if (result != AppendResult::kOk) return NoteBroken("Append failed");
      images_.Keep(p.sent++);
      ring_signals::NoteAppended(0);
    }
    if (p.writer.Publish()) ring_signals::SignalPeer();
    if (p.wanted != 0 && p.writer.RequestSpace(p.wanted)) p.wanted = 0;
    if (p.writer.violation()) NoteBroken(p.writer.violation().field);
  }

  // One packet a turn, which keeps the number of different turns small.
  void Consume(Consumer& c) {
    if (c.asleep) {
      ring_signals::Wait();
      c.asleep = false;
      c.reader.Mask();
    }
    images_.Show(c.received);
    Packet packet;
    switch (c.reader.Next(packet)) {
      case ReadResult::kCorrupt:
        return NoteBroken(c.reader.violation().field);
      case ReadResult::kPacket:
        if (!images_.Check(c.received, packet)) return NoteBroken("another packet than was sent");
        ring_signals::NoteRead(0);
        ++c.received;
        c.found = true;
        if (++c.uncommitted == scenario_.longest_commit || Choose(2) == 1) Commit(c);
        return;
      case ReadResult::kEmpty:
        break;
    }
    Commit(c);
    if (c.reader.Unmask()) return c.reader.Mask();
    if (!c.found) ring_signals::NoteNeedless();
    c.found = false;
    c.asleep = true;
  }

  void Commit(Consumer& c) {
    c.uncommitted = 0;
    if (c.reader.Commit()) ring_signals::SignalPeer();
  }

  const Scenario& scenario_;
  PacketImages images_;
  Cell<Producer> producer_;
  Cell<Consumer> consumer_;
  std::array<std::span<std::byte>, 2> regions_;
  std::array<uint32_t, 4> unused_{};
};

const ring_signals::RegisterVariant registered(
    {VMBUSKIT_VARIANT, [](const Scenario& scenario) -> std::unique_ptr<ring_signals::Subject> {
       return std::make_unique<RingSubject>(scenario);
     }});

}  // namespace
}  // namespace vmbuskit
