// Packet capture: every packet of a channel into a buffer in memory, from there into a pcapng file.
//
//   CaptureBuffer buffer(executor, {.bytes = 1 << 20});      // one per executor
//   ChannelTap tap(buffer, relid);                           // one per channel
//   channel.SetTap(&tap);                                    // null, the default, is off
//   ...
//   absl::Status status = buffer.Drain(writer);              // oldest first; empties the buffer
//
// Off, capturing costs a channel one predictable branch per packet. On, a packet is copied up to
// the snap length; a full buffer forgets the oldest packets and counts them.
//
// A captured packet (link type USER0, all little-endian) is this header, then the packet as it lies
// on the ring without padding and trailer: descriptor, extension, payload (protocol 02 section
// 8.1).
//   0  u32 relid
//   4  u8 direction: 0 received, 1 sent
//   5  u8 version: 1
//   6  u16 header bytes: 16
//   8  u64 timestamp, ns of the executor's clock
//
// Thread safety: the executor of the channels that it captures; Drain too. Packets of several
// executors may be drained into one writer one after the other: pcapng readers sort by time.
// Ownership: the tap goes after its channel, the buffer after its taps.
#ifndef VMBUSKIT_FRAMEWORK_OBSERVE_CAPTURE_H_
#define VMBUSKIT_FRAMEWORK_OBSERVE_CAPTURE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "framework/channel/channel_handler.h"
#include "framework/channel/packet.h"
#include "framework/observe/pcapng.h"
#include "platform/executor.h"

namespace vmbuskit {

enum class CaptureDirection : uint8_t { kReceived = 0, kSent = 1 };

struct CaptureHeader {
  uint32_t relid;
  CaptureDirection direction;
  uint8_t version;
  uint16_t header_bytes;
  uint64_t timestamp_ns;
};
static_assert(sizeof(CaptureHeader) == 16 && offsetof(CaptureHeader, timestamp_ns) == 8);

class CaptureBuffer {
 public:
  struct Options {
    size_t bytes = size_t{1} << 20;  // memory for captured packets, allocated once
    uint32_t snap_bytes = 256;       // of each packet, descriptor included
  };

  CaptureBuffer(const Executor& executor, Options options);

  // Copies the packet, whose parts lie one after the other on the ring.
  void Append(uint32_t relid, CaptureDirection direction, const OutgoingPacket& packet);

  // Writes what is there, oldest first, and forgets it; stops at the first error, and keeps the
  // rest.
  absl::Status Drain(PcapngWriter& writer);

  uint64_t packets() const { return packets_; }  // in the buffer now
  uint64_t captured() const { return captured_; }
  uint64_t lost() const { return lost_; }  // forgotten because the buffer was full

 private:
  struct Entry;

  void CopyIn(const void* data, size_t size);
  void CopyOut(size_t position, void* data, size_t size) const;
  Entry First() const;
  void DropFirst(const Entry& entry);

  const Executor& executor_;
  const uint32_t snap_bytes_;
  std::vector<std::byte> bytes_;  // a ring of entries
  size_t first_ = 0;
  size_t used_ = 0;
  uint64_t packets_ = 0;
  uint64_t captured_ = 0;
  uint64_t lost_ = 0;
  uint64_t lost_told_ = 0;
  std::vector<std::byte> scratch_;
};

// What one channel is given.
class ChannelTap final : public PacketTap {
 public:
  ChannelTap(CaptureBuffer& buffer, uint32_t relid) : buffer_(buffer), relid_(relid) {}

  void OnIncoming(const Channel& channel, const Packet& packet) override;
  void OnOutgoing(const Channel& channel, const OutgoingPacket& packet) override;

 private:
  CaptureBuffer& buffer_;
  const uint32_t relid_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_OBSERVE_CAPTURE_H_
