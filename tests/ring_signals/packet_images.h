// The data area of one ring under a model check. Replays go back and forth, so before a thread reads, the packets that
// it may find are put where the producer's code wrote them.
//
//   images.Keep(3);          // packet 3 has been appended: remembers its bytes
//   images.Show(2);          // packets 2 and following stand in the ring, as far as they fit
//   images.Check(2, packet)  // what was read is packet 2
//
// Thread safety: none. Ownership: owns the memory of the ring, control page included.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_PACKET_IMAGES_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_PACKET_IMAGES_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "framework/channel/packet.h"
#include "framework/channel/ring_memory.h"
#include "tests/ring_signals/subject.h"

namespace vmbuskit {

class PacketImages {
 public:
  PacketImages(std::vector<uint32_t> totals, uint32_t start_index)
      : totals_(std::move(totals)), images_(totals_.size()) {
    uint32_t at = start_index;
    for (const uint32_t total : totals_) {
      starts_.push_back(at);
      at = (at + total) % ring_signals::kRingBytes;
    }
    memory().words().write_index = memory().words().read_index = start_index;
  }

  RingMemory memory() const {
    return {bytes_.get(), bytes_.get() + kRingPageBytes, ring_signals::kRingBytes};
  }
  uint32_t* control() const { return reinterpret_cast<uint32_t*>(bytes_.get()); }
  uint32_t count() const { return static_cast<uint32_t>(totals_.size()); }
  uint32_t total(uint32_t packet) const { return totals_[packet]; }

  // Packet `packet` as it is sent: its number everywhere.
  OutgoingPacket Outgoing(uint32_t packet) const {
    static const std::vector<std::vector<std::byte>>& payloads = Payloads();
    return {.transaction_id = packet,
            .payload = std::span(payloads[packet]).first(totals_[packet] - kMinRingBytes)};
  }
  bool Check(uint32_t packet, const Packet& read) const {
    if (packet >= count() || read.transaction_id != packet) return false;
    const OutgoingPacket sent = Outgoing(packet);
    return read.payload.size() == sent.payload.size() &&
           std::memcmp(read.payload.data(), sent.payload.data(), sent.payload.size()) == 0;
  }

  void Keep(uint32_t packet) {
    if (!images_[packet].empty()) return;
    const std::byte* const from = memory().data + starts_[packet];
    images_[packet].assign(from, from + totals_[packet]);
  }
  void Show(uint32_t first) {
    uint32_t used = 0;
    for (uint32_t packet = first; packet < count() && !images_[packet].empty(); ++packet) {
      used += totals_[packet];
      if (used >= ring_signals::kRingBytes) return;
      std::memcpy(memory().data + starts_[packet], images_[packet].data(), totals_[packet]);
    }
  }

 private:
  static const std::vector<std::vector<std::byte>>& Payloads() {
    static const auto& payloads = *new std::vector<std::vector<std::byte>>([] {
      std::vector<std::vector<std::byte>> all;
      for (int number = 0; number < 32; ++number) {
        all.emplace_back(ring_signals::kRingBytes, static_cast<std::byte>(number + 1));
      }
      return all;
    }());
    return payloads;
  }

  const std::vector<uint32_t> totals_;
  std::vector<uint32_t> starts_;
  std::vector<std::vector<std::byte>> images_;
  // The data is not mapped twice: packets are read where they were written, in one piece.
  const std::unique_ptr<std::byte[]> bytes_ =
      std::make_unique<std::byte[]>(kRingPageBytes + 2 * ring_signals::kRingBytes);
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_PACKET_IMAGES_H_
