#include "tests/fuzz/raw_rings.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "framework/channel/packet.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kControlWords = 5;  // those of the control page that mean something
constexpr size_t kAnswerBytesMax = 2048;

}  // namespace

void Bend::Apply(std::vector<std::byte>& bytes, size_t bytes_max) const {
  for (size_t i = 0; i < sizeof value && !bytes.empty(); ++i) {
    bytes[(offset + i) % bytes.size()] ^= static_cast<std::byte>(value >> 8 * i);
  }
  const auto size = static_cast<int64_t>(bytes.size()) + longer % 256;
  bytes.resize(static_cast<size_t>(std::clamp<int64_t>(size, 0, static_cast<int64_t>(bytes_max))));
}

RawRings::RawRings(GuestMemory& memory, std::vector<Pfn> pages, uint32_t downstream_page, End end)
    : pages_(std::move(pages)), downstream_page_(downstream_page), end_(end) {
  const bool two = downstream_page >= 2 && pages_.size() >= size_t{downstream_page} + 2;
  const bool there =
      std::ranges::all_of(pages_, [&memory](Pfn page) { return page < memory.page_count(); });
  if (two && there) memory_ = &memory;
}

std::span<const Pfn> RawRings::Pages(Direction direction) const {
  const bool upstream = (direction == kOutgoing) == (end_ == End::kGuest);
  const std::span<const Pfn> pages(pages_);
  return upstream ? pages.first(downstream_page_) : pages.subspan(downstream_page_);
}

uint32_t RawRings::DataBytes(Direction direction) const {
  return static_cast<uint32_t>((Pages(direction).size() - 1) * kPageSize);
}

RingControl& RawRings::Control(Direction direction) const {
  const Gpa gpa = Pages(direction).front() * kPageSize;
  return *reinterpret_cast<RingControl*>(memory_->Translate(gpa, kPageSize)->data());
}

std::byte* RawRings::DataAt(Direction direction, uint32_t offset) const {
  offset = offset % DataBytes(direction) / 8 * 8;
  const Gpa gpa = Pages(direction)[1 + offset / kPageSize] * kPageSize + offset % kPageSize;
  return memory_->Translate(gpa, sizeof(uint64_t))->data();
}

void RawRings::WriteControl(Direction direction, uint32_t word, uint32_t value) {
  RingControl& control = Control(direction);
  uint32_t* const words[kControlWords] = {&control.write_index, &control.read_index,
                                          &control.interrupt_mask, &control.pending_send_sz,
                                          &control.feature_bits};
  RingWord(*words[word % kControlWords]).store(value);
}

void RawRings::WriteData(Direction direction, uint32_t offset, uint64_t value) {
  RingQword(DataAt(direction, offset)).store(value);
}

void RawRings::Send(uint64_t descriptor, uint64_t transaction, std::span<const std::byte> payload) {
  const uint32_t start = written_;
  const auto append = [this](uint64_t word) {
    WriteData(kOutgoing, written_, word);
    written_ = (written_ + 8) % DataBytes(kOutgoing);
  };
  append(descriptor);
  append(transaction);
  for (size_t at = 0; at < payload.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, payload.data() + at, std::min(sizeof word, payload.size() - at));
    append(word);
  }
  append(uint64_t{start} << 32);
  WriteControl(kOutgoing, 0, written_);
}

void RawRings::Serve(uint32_t count, const Bend& bend) {
  const uint32_t data_bytes = DataBytes(kIncoming);
  const uint32_t end = RingWord(Control(kIncoming).write_index).load() % data_bytes / 8 * 8;
  const auto word_at = [this](uint32_t offset) {
    return RingQword(DataAt(kIncoming, offset)).load();
  };
  for (; count > 0 && read_ != end; --count) {
    const auto descriptor =
        std::bit_cast<PacketDescriptor>(std::array{word_at(read_), word_at(read_ + 8)});
    const uint64_t word = word_at(read_ + descriptor.offset8 * 8u);
    read_ = (read_ + descriptor.len8 * 8u + kPacketTrailerBytes) % data_bytes;
    if (descriptor.flags == 0) continue;
    const uint64_t accepted = (word & 0xFFFF'FFFF) | uint64_t{1} << 32;
    std::vector<std::byte> answer(sizeof accepted);
    std::memcpy(answer.data(), &accepted, sizeof accepted);
    bend.Apply(answer, kAnswerBytesMax);
    const uint64_t length = 2 + (answer.size() + 7) / 8;
    Send(uint64_t{0x0002'000B} | length << 32, descriptor.transaction_id, answer);
  }
  WriteControl(kIncoming, 1, read_);
}

}  // namespace vmbuskit
