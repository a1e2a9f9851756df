// The two-thread halves of the ring benchmark: polling producers and consumers, of the ring and of
// the baseline.
//
//   RingEnds<16> ends(ring, 64);
//   ends.Produce(1000000);              // on one thread, while another runs ends.Consume(1000000)
//
// Both sides poll, so the reader stays masked and nobody is signalled.
// Thread safety: each half on one thread. Units: payload bytes and packets.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_THREADS_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_THREADS_H_

#include <cstdint>
#include <vector>

#include "framework/channel/ring.h"
#include "framework/channel/ring_baseline.h"
#include "framework/channel/ring_testing.h"
#include "platform/spin_wait.h"

namespace vmbuskit {

// Publishes every kBatch packets; commits when there is nothing to read, at the latest every
// kCommit packets, as Channel does.
template <uint32_t kBatch>
class RingEnds {
 public:
  static constexpr uint32_t kCommit = kBatch == 1 ? 1 : 64;

  RingEnds(TestRing& ring, uint32_t payload_bytes)
      : payload_(Pattern(payload_bytes)), writer_(ring.memory()), reader_(ring.memory(), {}) {}

  void Produce(uint64_t messages) {
    const std::span<const std::byte> payload = payload_;
    SpinWait spin;
    for (uint64_t id = 0; id < messages;) {
      for (uint32_t i = 0; i < kBatch; ++i, ++id) {
        while (writer_.Append({.transaction_id = id, .payload = payload}) != AppendResult::kOk) {
          (void)writer_.Publish();
          spin.Pause();
        }
      }
      (void)writer_.Publish();
    }
  }

  void Consume(uint64_t messages) {
    Packet packet;
    SpinWait spin;
    uint64_t id = 0;
    bool ok = true;
    while (id < messages && !reader_.violation()) {
      uint32_t count = 0;
      for (; count < kCommit && reader_.Next(packet) == ReadResult::kPacket; ++count, ++id) {
        ok = ok && packet.transaction_id == id;
      }
      (void)reader_.Commit();
      if (count < kCommit) spin.Pause();
    }
    ok_ = ok && id == messages;
  }
  bool ok() const { return ok_; }

 private:
  const std::vector<std::byte> payload_;
  alignas(64) RingWriter writer_;
  alignas(64) RingReader reader_;
  bool ok_ = false;
};

class BaselineEnds {
 public:
  BaselineEnds(TestRing& ring, uint32_t payload_bytes)
      : payload_(Pattern(payload_bytes)), writer_(ring.memory()), reader_(ring.memory()) {
    ring.words().interrupt_mask = 1;
  }

  void Produce(uint64_t messages) {
    SpinWait spin;
    bool signal = false;
    for (uint64_t id = 0; id < messages; ++id) {
      while (!writer_.Write(id, payload_, signal)) spin.Pause();
    }
  }

  void Consume(uint64_t messages) {
    std::vector<std::byte> copy(8192);
    SpinWait spin;
    bool signal = false, ok = true;
    for (uint64_t id = 0; id < messages; ++id) {
      uint64_t got;
      while (reader_.Read(copy, got, signal) < 0) spin.Pause();
      ok = ok && got == id;
    }
    ok_ = ok;
  }
  bool ok() const { return ok_; }

 private:
  const std::vector<std::byte> payload_;
  alignas(64) BaselineWriter writer_;
  alignas(64) BaselineReader reader_;
  bool ok_ = false;
};

// One side of a ping-pong over two rings.
class RingPlayer {
 public:
  RingPlayer(TestRing& out, TestRing& in) : writer_(out.memory()), reader_(in.memory(), {}) {}

  void Play(uint64_t rounds, bool serve) {
    const std::vector<std::byte> payload = Pattern(64);
    bool ok = true;
    for (uint64_t id = 0; id < rounds; ++id) {
      if (serve) ok = ok && Send(id, payload);
      ok = ok && Await(id);
      if (!serve) ok = ok && Send(id, payload);
      if (!ok) break;
    }
    ok_ = ok;
  }
  bool ok() const { return ok_; }

 private:
  bool Send(uint64_t id, std::span<const std::byte> payload) {
    const bool ok = writer_.Append({.transaction_id = id, .payload = payload}) == AppendResult::kOk;
    (void)writer_.Publish();
    return ok;
  }
  bool Await(uint64_t id) {
    Packet packet;
    SpinWait spin;
    ReadResult result;
    while ((result = reader_.Next(packet)) == ReadResult::kEmpty) spin.Pause();
    (void)reader_.Commit();
    return result == ReadResult::kPacket && packet.transaction_id == id;
  }

  alignas(64) RingWriter writer_;
  alignas(64) RingReader reader_;
  bool ok_ = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_THREADS_H_
