// What the benchmark times and the instruction counter counts: batches of in-band packets through
// one ring, written and read on one thread.
//
//   RingWorkload<16> work(ring, 64);
//   work.Run(1000);        // 1000 times: 16 packets in, one publish, 16 packets out, one commit
//
// Thread safety: one thread. Units: payload bytes and packets.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RING_WORKLOAD_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RING_WORKLOAD_H_

#include <cstdint>
#include <vector>

#include "framework/channel/ring.h"
#include "framework/channel/ring_baseline.h"
#include "framework/channel/ring_testing.h"

namespace vmbuskit {

// Both sides unmasked, as between drains that sleep: every publish makes the whole signal decision.
template <uint32_t kBatch, bool kInPlace = false>
class RingWorkload {
 public:
  RingWorkload(TestRing& ring, uint32_t payload_bytes)
      : writer_(ring.memory()),
        reader_(ring.memory(), {.max_packet_bytes = 8192}),
        payload_(Pattern(payload_bytes)) {
    (void)reader_.Unmask();
  }

  // False: something was lost.
  bool Run(uint64_t batches) {
    const std::span<const std::byte> payload = payload_;
    uint64_t id = id_, signals = 0, sum = 0;
    for (; batches > 0; --batches) {
      for (uint32_t i = 0; i < kBatch; ++i) {
        const AppendResult result = writer_.Append({.transaction_id = id + i, .payload = payload});
        if (result != AppendResult::kOk) return false;
      }
      signals += writer_.Publish();
      Packet packet;
      for (uint32_t i = 0; i < kBatch; ++i) {
        const ReadResult result = kInPlace ? reader_.NextInPlace(packet) : reader_.Next(packet);
        if (result != ReadResult::kPacket || packet.transaction_id != id + i) return false;
        sum += static_cast<uint64_t>(packet.payload.data()[0]);
      }
      signals += reader_.Commit();
      id += kBatch;
    }
    id_ = id;
    signals_ += signals;
    sum_ += sum;
    return true;
  }
  uint64_t signals() const { return signals_; }
  uint64_t sum() const { return sum_; }

 private:
  RingWriter writer_;
  RingReader reader_;
  const std::vector<std::byte> payload_;
  uint64_t id_ = 0;
  uint64_t signals_ = 0;
  uint64_t sum_ = 0;
};

template <uint32_t kBatch>
class BaselineWorkload {
 public:
  BaselineWorkload(TestRing& ring, uint32_t payload_bytes)
      : writer_(ring.memory()),
        reader_(ring.memory()),
        payload_(Pattern(payload_bytes)),
        copy_(8192) {}

  bool Run(uint64_t batches) {
    const std::span<const std::byte> payload = payload_;
    for (; batches > 0; --batches) {
      bool signal = false;
      for (uint32_t i = 0; i < kBatch; ++i) {
        if (!writer_.Write(id_ + i, payload, signal)) return false;
      }
      for (uint32_t i = 0; i < kBatch; ++i) {
        uint64_t id;
        if (reader_.Read(copy_, id, signal) < 0 || id != id_ + i) return false;
        sum_ += static_cast<uint64_t>(copy_[0]);
      }
      signals_ += signal;
      id_ += kBatch;
    }
    return true;
  }
  uint64_t signals() const { return signals_; }
  uint64_t sum() const { return sum_; }

 private:
  BaselineWriter writer_;
  BaselineReader reader_;
  const std::vector<std::byte> payload_;
  std::vector<std::byte> copy_;
  uint64_t id_ = 0;
  uint64_t signals_ = 0;
  uint64_t sum_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RING_WORKLOAD_H_
