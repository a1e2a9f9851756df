#include "devices/storvsc/scripted_host.h"

#include <algorithm>
#include <cstring>

#include "framework/channel/payload.h"

namespace vmbuskit {

using storvsc::PacketOf;
using storvsc::ScsiRequest;

void ScriptedHost::OnPacket(Channel& channel, const Packet& packet) {
  HostCommand& command = scratch_;
  command.channel = &channel;
  command.id = packet.transaction_id;
  command.type = packet.type;
  command.packet_bytes = packet.payload.size();
  command.segments.clear();
  PacketOf<ScsiRequest> whole{};
  std::memcpy(&whole, packet.payload.data(), std::min(packet.payload.size(), sizeof whole));
  command.header = whole.header;
  command.request = whole.body;
  if (packet.type == PacketType::kGpaDirect) {
    const auto ranges = GpaDirectRanges::Parse(packet.extension);
    if (!ranges || ranges->range_count() != 1) {
      return channel.Close(absl::DataLossError("the guest names no single range"));
    }
    GpaSegment segment;
    for (GpaCursor cursor(*ranges); cursor.Next(segment);) command.segments.push_back(segment);
  }
  ++count;
  if (keep_commands) commands.push_back(command);
  if (intercept && intercept(command)) return;
  Execute(command);
}

bool ScriptedHost::Answer(const HostCommand& command, const HostAnswer& answer) {
  PacketOf<ScsiRequest> packet{};
  packet.header.operation = storvsc::kCompleteIo;
  packet.body.length = storvsc::kRequestLength;
  packet.body.srb_status = answer.srb_status;
  packet.body.scsi_status = answer.scsi_status;
  packet.body.data_transfer_length = answer.transferred;
  packet.body.sense_info_length = storvsc::kMaxSenseBytes;
  if ((answer.srb_status & storvsc::kSrbAutosenseValid) != 0) {
    const auto sense = scsi::FixedSense(answer.sense);
    std::copy(sense.begin(), sense.end(), packet.body.cdb_or_sense.begin());
  }
  (void)command.channel->Complete(command.id, BytesOf(packet).first(packet_bytes));
  return true;
}

bool ScriptedHost::Refuse(const HostCommand& command, const scsi::Sense& sense, uint8_t srb_code) {
  return Answer(command,
                {.srb_status = static_cast<uint8_t>(srb_code | storvsc::kSrbAutosenseValid),
                 .scsi_status = scsi::kCheckCondition,
                 .sense = sense});
}

void ScriptedHost::Send(Channel& channel, uint32_t operation) {
  PacketOf<storvsc::NoBody> packet{};
  packet.header.operation = operation;
  (void)channel.Send({.payload = BytesOf(packet).first(packet_bytes)});
}

template <typename Each>
uint32_t ScriptedHost::EachPiece(const HostCommand& command, size_t bytes, Each each) {
  uint32_t done = 0;
  for (const GpaSegment& segment : command.segments) {
    const auto length = static_cast<uint32_t>(std::min<size_t>(segment.length, bytes - done));
    if (length == 0) break;
    const auto guest = memory_.Translate(segment.gpa, length);
    if (!guest.ok()) break;
    each(guest->data(), done, length);
    done += length;
  }
  return done;
}

uint32_t ScriptedHost::CopyToGuest(const HostCommand& command, std::span<const std::byte> bytes) {
  return EachPiece(command, bytes.size(), [&](std::byte* guest, uint32_t at, uint32_t length) {
    std::memcpy(guest, bytes.data() + at, length);
  });
}

uint32_t ScriptedHost::CopyFromGuest(const HostCommand& command, std::span<std::byte> bytes) {
  return EachPiece(command, bytes.size(), [&](std::byte* guest, uint32_t at, uint32_t length) {
    std::memcpy(bytes.data() + at, guest, length);
  });
}

uint32_t ScriptedHost::MoveBlocks(const HostCommand& command, uint64_t block, uint64_t blocks,
                                  bool to_guest) {
  const std::span<std::byte> part =
      std::span(disk).subspan(block * kBlockBytes, blocks * kBlockBytes);
  return to_guest ? CopyToGuest(command, part) : CopyFromGuest(command, part);
}

void ScriptedHost::WriteSame(const HostCommand& command) {
  const uint64_t block = scsi::ReadBig64(command.cdb() + 2);
  const uint64_t blocks = scsi::ReadBig32(command.cdb() + 10);
  std::array<std::byte, kBlockBytes> pattern{};
  CopyFromGuest(command, pattern);
  for (uint64_t i = 0; i < blocks; ++i) {
    std::memcpy(disk.data() + (block + i) * kBlockBytes, pattern.data(), kBlockBytes);
  }
  Answer(command, {.transferred = static_cast<uint32_t>(blocks * kBlockBytes)});
}

void ScriptedHost::Unmap(const HostCommand& command) {
  std::vector<std::byte> list(command.request.data_transfer_length);
  CopyFromGuest(command, list);
  for (size_t at = 8; at + 16 <= list.size(); at += 16) {
    const uint64_t block = scsi::ReadBig64(list.data() + at);
    const uint64_t blocks = scsi::ReadBig32(list.data() + at + 8);
    std::memset(disk.data() + block * kBlockBytes, 0, blocks * kBlockBytes);
  }
  Answer(command, {});
}

void ScriptedHost::Execute(const HostCommand& command) {
  const uint8_t* const cdb = command.cdb();
  uint64_t block = 0;
  uint64_t blocks = 0;
  switch (command.opcode()) {
    case scsi::kRead10:
    case scsi::kWrite10:
      block = scsi::ReadBig32(cdb + 2);
      blocks = scsi::ReadBig16(cdb + 7);
      break;
    case scsi::kRead16:
    case scsi::kWrite16:
    case scsi::kWriteSame16:
      block = scsi::ReadBig64(cdb + 2);
      blocks = scsi::ReadBig32(cdb + 10);
      break;
    case scsi::kUnmap:
      return Unmap(command);
    case scsi::kSynchronizeCache10:
    case scsi::kSynchronizeCache16:
    case scsi::kTestUnitReady:
      Answer(command, {});
      return;
    default:
      Refuse(command, {scsi::kIllegalRequest, scsi_asc::kInvalidOpcode, 0},
             storvsc::kSrbInvalidRequest);
      return;
  }
  const uint64_t capacity = disk.size() / kBlockBytes;
  if (blocks == 0 || block > capacity || blocks > capacity - block) {
    Refuse(command, {scsi::kIllegalRequest, scsi_asc::kLbaOutOfRange, 0},
           storvsc::kSrbInvalidRequest);
    return;
  }
  if (command.opcode() == scsi::kWriteSame16) return WriteSame(command);
  const bool read = command.opcode() == scsi::kRead10 || command.opcode() == scsi::kRead16;
  Answer(command, {.transferred = MoveBlocks(command, block, blocks, read)});
}

}  // namespace vmbuskit
