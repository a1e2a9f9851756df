// A peer that writes anything into its half of a ring, against the reader of each end and the writer.
#include "framework/base/fuzzing.h"
#include "framework/channel/ring.h"
#include "framework/channel/ring_testing.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRingBytes = 4096;
constexpr uint32_t kLargest = 1024;

// Mostly an index, sometimes any word.
uint32_t PeerIndex(FuzzedDataProvider& input) {
  if (input.ConsumeIntegral<uint8_t>() < 4) return input.ConsumeIntegral<uint32_t>();
  return input.ConsumeIntegralInRange<uint32_t>(0, kRingBytes / 8 - 1) * 8;
}

// A packet that is right but for what the input makes wrong, and the write index behind it.
void WritePacket(FuzzedDataProvider& input, TestRing& ring) {
  constexpr uint16_t kTypes[] = {6, 7, 9, 0xB, 1, 0x46};
  const uint32_t at = ring.words().write_index % kRingBytes / 8 * 8;
  PacketDescriptor descriptor{.type = kTypes[input.ConsumeIntegralInRange<size_t>(0, 5)],
                              .offset8 = input.ConsumeIntegralInRange<uint16_t>(1, 9),
                              .len8 = input.ConsumeIntegralInRange<uint16_t>(1, 140),
                              .flags = input.ConsumeIntegralInRange<uint16_t>(0, 2),
                              .transaction_id = 7};
  if (input.ConsumeIntegral<uint8_t>() == 0) descriptor.len8 = input.ConsumeIntegral<uint16_t>();
  std::memcpy(ring.memory().data + at, &descriptor, sizeof descriptor);
  ring.words().write_index = (at + descriptor.len8 * 8 + kPacketTrailerBytes) % kRingBytes;
}

void Use(std::span<const std::byte> bytes) {
  volatile unsigned sum = 0;
  for (std::byte byte : bytes) sum = sum + std::to_integer<unsigned>(byte);
}

void FuzzReader(FuzzedDataProvider& input, TestRing& ring) {
  const bool guest_end = input.ConsumeBool();
  RingReader reader(ring.memory(), {.max_packet_bytes = kLargest, .guest_end = guest_end});
  for (int step = 0; step < 64 && input.remaining_bytes() > 0; ++step) {
    Packet packet;
    const bool corrupt = static_cast<bool>(reader.violation());
    switch (input.ConsumeIntegralInRange<int>(0, 8)) {
      case 0:
        ring.words().write_index = PeerIndex(input);
        break;
      case 1:
        ring.words().pending_send_sz = PeerIndex(input);
        break;
      case 2:
        ring.words().feature_bits = input.ConsumeIntegral<uint8_t>();
        break;
      case 3:
        ring.words().read_index = PeerIndex(input);
        break;  // not even its own word
      case 4:
        (void)reader.Commit();
        break;
      case 5:
        (void)reader.Commit();
        (void)reader.Unmask();
        break;
      case 6:
        WritePacket(input, ring);
        [[fallthrough]];
      default: {
        const bool in_place = input.ConsumeBool();
        const ReadResult result = in_place ? reader.NextInPlace(packet) : reader.Next(packet);
        Require((result == ReadResult::kCorrupt) == static_cast<bool>(reader.violation()));
        Require(!corrupt || result == ReadResult::kCorrupt);
        if (result != ReadResult::kPacket) break;
        const size_t bytes =
            sizeof(PacketDescriptor) + packet.extension.size() + packet.payload.size();
        Require(bytes <= kLargest && bytes % 8 == 0);
        Use(packet.extension);
        Use(packet.payload);
      }
    }
    Require(reader.available_bytes() < kRingBytes && reader.available_bytes() % 8 == 0);
    Require(guest_end || reader.ignored() == 0);
  }
}

void FuzzWriter(FuzzedDataProvider& input, TestRing& ring) {
  static const std::vector<std::byte> bytes = Pattern(2 * kRingBytes);
  RingWriter writer(ring.memory());
  for (int step = 0; step < 64 && input.remaining_bytes() > 0; ++step) {
    const auto size = [&](uint32_t most) {
      return input.ConsumeIntegralInRange<uint32_t>(0, most);
    };
    switch (input.ConsumeIntegralInRange<int>(0, 6)) {
      case 0:
        ring.words().read_index = PeerIndex(input);
        break;
      case 1:
        ring.words().interrupt_mask = input.ConsumeBool();
        break;
      case 2:
        ring.words().pending_send_sz = PeerIndex(input);
        break;  // not its own word
      case 3:
        (void)writer.RequestSpace(8 + size(writer.max_total() - 8));
        break;
      case 4:
        (void)writer.Publish();
        break;
      default: {
        const std::span<const std::byte> all(bytes);
        const OutgoingPacket packet{.extension = all.first(8 * size(32)),
                                    .payload = all.first(size(kRingBytes)),
                                    .payload_tail = all.first(size(64))};
        const uint32_t free = writer.FreeBytes();
        const bool ok = writer.Append(packet) == AppendResult::kOk;
        Require(ok == (RingBytes(packet) < free));
        Require(!ok || !writer.violation());
      }
    }
    Require(writer.unpublished_bytes() < kRingBytes && writer.FreeBytes() <= kRingBytes);
    Require(!writer.violation() || (writer.FreeBytes() == 0 && !writer.Fits(8)));
  }
}

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  static TestRing ring(kRingBytes);
  FuzzedDataProvider input(data, size);
  ring.words() = {};
  const uint32_t start = PeerIndex(input);
  ring.words().write_index = start;
  ring.words().read_index = input.ConsumeBool() ? start : PeerIndex(input);
  std::memset(ring.memory().data, 0, kRingBytes);
  input.ConsumeBool() ? FuzzReader(input, ring) : FuzzWriter(input, ring);
  return 0;
}
