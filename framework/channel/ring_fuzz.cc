// A peer that writes anything into its half of a ring, against the reader of each end and the writer; and a writer and
// a reader that are honest to each other, between which nothing may be lost, changed or signalled too late.
#include <cstring>
#include <deque>

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

std::span<const std::byte> Bytes() {
  static const std::vector<std::byte> bytes = Pattern(2 * kRingBytes);
  return bytes;
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
    switch (input.ConsumeIntegralInRange<int>(0, 9)) {
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
        Require(reader.Readable() || reader.available_bytes() == 0);
        break;
      case 7:
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
  RingWriter writer(ring.memory());
  for (int step = 0; step < 64 && input.remaining_bytes() > 0; ++step) {
    const auto size = [&](uint32_t most) {
      return input.ConsumeIntegralInRange<uint32_t>(0, most);
    };
    switch (input.ConsumeIntegralInRange<int>(0, 7)) {
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
      case 5:
        writer.CancelSpaceRequest();
        Require(!writer.space_requested());
        break;
      default: {
        const std::span<const std::byte> all = Bytes();
        const OutgoingPacket packet{.extension = all.first(8 * size(32)),
                                    .payload = all.first(size(kRingBytes)),
                                    .payload_tail = all.first(size(64))};
        const uint32_t free = writer.FreeBytes();
        const bool ok = writer.Append(packet) == AppendResult::kOk;
        Require(ok == (RingBytes(packet) < free));
        Require(!ok || !writer.violation());
      }
    }
    Require(writer.unpublished_bytes() < writer.data_bytes() && writer.FreeBytes() <= kRingBytes);
    Require(!writer.violation() || (writer.FreeBytes() == 0 && !writer.Fits(8)));
  }
}

// Both ends of one ring, each waiting for the other's signals only: none may wait while what it waits for is there.
class HonestEnds {
 public:
  HonestEnds(FuzzedDataProvider& input, TestRing& ring)
      : input_(input),
        writer_(ring.memory()),
        reader_(ring.memory(), {.max_packet_bytes = 2 * kLargest}) {
    reader_awake_ = reader_.Unmask();
  }

  void Run() {
    for (int step = 0; step < 64 && input_.remaining_bytes() > 0; ++step) {
      input_.ConsumeIntegralInRange<int>(0, 3) < 2 ? Write() : Read();
    }
    for (int step = 0; step < 1000 && (!sent_.empty() || wanted_ != 0); ++step) {
      reader_awake_ |= writer_.Publish();
      Require(sent_.empty() || reader_awake_);
      Read();
      Require(wanted_ == 0 || !sent_.empty() || writer_awake_);
      if (writer_awake_) wanted_ = 0;
    }
    Require(sent_.empty() && wanted_ == 0);
  }

 private:
  struct Sent {
    uint64_t id;
    size_t extension, payload;
  };

  void Write() {
    if (wanted_ != 0 && !writer_awake_) return;
    wanted_ = 0;
    const Sent sent{.id = ++last_id_,
                    .extension = 8 * input_.ConsumeIntegralInRange<size_t>(0, 4),
                    .payload = input_.ConsumeIntegralInRange<size_t>(0, kLargest)};
    const std::span<const std::byte> all = Bytes();
    const size_t split = sent.payload / 3;
    const OutgoingPacket packet{
        .transaction_id = sent.id,
        .extension = all.first(sent.extension),
        .payload = all.subspan(sent.id % 200, split),
        .payload_tail = all.subspan(sent.id % 200 + split, sent.payload - split)};
    AppendResult result = writer_.Append(packet);
    if (result == AppendResult::kFull) {
      reader_awake_ |= writer_.Publish();
      const auto total = static_cast<uint32_t>(RingBytes(packet));
      Require(!writer_.RequestSpace(total) && writer_.space_requested());
      wanted_ = total;
      writer_awake_ = false;
      return;
    }
    Require(result == AppendResult::kOk);
    sent_.push_back(sent);
    if (input_.ConsumeBool()) reader_awake_ |= writer_.Publish();
  }

  void Read() {
    if (!reader_awake_) return;
    reader_.Mask();
    Packet packet;
    for (int left = input_.ConsumeIntegralInRange<int>(1, 8); left > 0; --left) {
      const ReadResult result = reader_.Next(packet);
      Require(result != ReadResult::kCorrupt);
      if (result == ReadResult::kEmpty) break;
      Arrived(packet);
    }
    if (reader_.Commit() && wanted_ != 0) {
      writer_awake_ = true;
      Require(writer_.Fits(wanted_));
    }
    reader_awake_ = reader_.Unmask();
  }
  void Arrived(const Packet& packet) {
    Require(!sent_.empty() && packet.transaction_id == sent_.front().id);
    const Sent sent = sent_.front();
    sent_.pop_front();
    const std::byte* const all = Bytes().data();
    Require(packet.extension.size() == sent.extension);
    Require(std::memcmp(packet.extension.data(), all, sent.extension) == 0);
    Require(packet.payload.size() == AlignTo8(sent.payload));
    Require(std::memcmp(packet.payload.data(), all + sent.id % 200, sent.payload) == 0);
  }

  FuzzedDataProvider& input_;
  RingWriter writer_;
  RingReader reader_;
  std::deque<Sent> sent_;
  uint64_t last_id_ = 0;
  uint32_t wanted_ = 0;  // what the writer waits for; 0: it does not wait
  bool writer_awake_ = false;
  bool reader_awake_ = false;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  static TestRing ring(kRingBytes);
  FuzzedDataProvider input(data, size);
  ring.words() = {};
  std::memset(ring.memory().data, 0, kRingBytes);
  const int who = input.ConsumeIntegralInRange<int>(0, 2);
  const uint32_t start = PeerIndex(input);
  ring.words().write_index = start;
  ring.words().read_index = input.ConsumeBool() ? start : PeerIndex(input);
  if (who == 0) FuzzReader(input, ring);
  if (who == 1) FuzzWriter(input, ring);
  if (who == 2) {
    ring.words().write_index = ring.words().read_index = start % kRingBytes / 8 * 8;
    HonestEnds(input, ring).Run();
  }
  return 0;
}
