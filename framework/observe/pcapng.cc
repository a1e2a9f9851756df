#include "framework/observe/pcapng.h"

#include <cstring>
#include <string_view>

namespace vmbuskit {
namespace {

constexpr uint32_t kSectionHeaderBlock = 0x0A0D0D0A;
constexpr uint32_t kByteOrderMagic = 0x1A2B3C4D;
constexpr uint32_t kInterfaceBlock = 1;
constexpr uint32_t kPacketBlock = 6;
constexpr uint16_t kLinkTypeUser0 = 147;

constexpr uint16_t kOptionEnd = 0;
constexpr uint16_t kOptionUserApplication = 4;      // of a section
constexpr uint16_t kOptionInterfaceName = 2;        // of an interface
constexpr uint16_t kOptionTimestampResolution = 9;  // of an interface
constexpr uint16_t kOptionFlags = 2;                // of a packet
constexpr uint16_t kOptionDropCount = 4;            // of a packet

// Appends to one block; its length stands at both ends.
class Block {
 public:
  Block(std::vector<std::byte>& bytes, uint32_t type) : bytes_(bytes) {
    bytes_.clear();
    Word32(type);
    Word32(0);
  }

  void Word16(uint16_t value) { Word(value, 2); }
  void Word32(uint32_t value) { Word(value, 4); }
  void Word64(uint64_t value) { Word(value, 8); }
  void Padded(std::span<const std::byte> data) {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    bytes_.resize((bytes_.size() + 3) & ~size_t{3});
  }
  void Option(uint16_t code, std::span<const std::byte> value) {
    Word16(code);
    Word16(static_cast<uint16_t>(value.size()));
    Padded(value);
  }
  void TextOption(uint16_t code, std::string_view text) {
    Option(code, std::as_bytes(std::span(text.substr(0, 0xFFFF))));
  }
  void End() {
    const auto length = static_cast<uint32_t>(bytes_.size() + 4);
    Word32(length);
    for (size_t i = 0; i < 4; ++i) bytes_[4 + i] = static_cast<std::byte>(length >> (8 * i));
  }

 private:
  void Word(uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }

  std::vector<std::byte>& bytes_;
};

}  // namespace

absl::Status PcapngWriter::Begin() {
  Block section(block_, kSectionHeaderBlock);
  section.Word32(kByteOrderMagic);
  section.Word16(1);  // version 1.0
  section.Word16(0);
  section.Word64(~uint64_t{0});  // section length unknown
  if (!options_.application.empty()) {
    section.TextOption(kOptionUserApplication, options_.application);
    section.Option(kOptionEnd, {});
  }
  section.End();
  if (absl::Status status = Flush(); !status.ok()) return status;

  Block interface(block_, kInterfaceBlock);
  interface.Word16(kLinkTypeUser0);
  interface.Word16(0);
  interface.Word32(options_.snap_bytes);
  interface.TextOption(kOptionInterfaceName, "vmbus");
  const std::byte nanoseconds{9};
  interface.Option(kOptionTimestampResolution, std::span(&nanoseconds, 1));
  interface.Option(kOptionEnd, {});
  interface.End();
  return Flush();
}

absl::Status PcapngWriter::Write(const Record& record) {
  Block packet(block_, kPacketBlock);
  packet.Word32(0);  // interface
  packet.Word32(static_cast<uint32_t>(record.timestamp_ns >> 32));
  packet.Word32(static_cast<uint32_t>(record.timestamp_ns));
  packet.Word32(static_cast<uint32_t>(record.data.size()));
  packet.Word32(record.original_bytes);
  packet.Padded(record.data);
  packet.Word16(kOptionFlags);
  packet.Word16(4);
  packet.Word32(record.outbound ? 2 : 1);
  if (record.lost_before != 0) {
    packet.Word16(kOptionDropCount);
    packet.Word16(8);
    packet.Word64(record.lost_before);
  }
  packet.Option(kOptionEnd, {});
  packet.End();
  return Flush();
}

absl::Status PcapngWriter::Flush() { return sink_.Write(block_); }

}  // namespace vmbuskit
