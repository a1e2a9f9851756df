// For storvsp_fuzz: requests of a guest as an input describes them. Each would be right for its command, with the
// parameter data that belongs to it, but for what the input bends.
//
//   const FuzzedSrb srb = SrbMaker(input, guest_pages, disk_bytes, sector_bytes).Make();
//   channel.SendRequest(srb.Packet(), request, kInfiniteFuture);
//
// Thread safety: plain values.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_SRB_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_SRB_TESTING_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "framework/base/fuzzing.h"
#include "framework/channel/packet.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/payload.h"
#include "platform/memory.h"

namespace vmbuskit {

struct FuzzedSrb {
  storvsc::PacketOf<storvsc::ScsiRequest> packet{};
  size_t packet_bytes = sizeof packet;
  std::vector<std::byte> extension;  // empty: in band
  std::vector<uint8_t> parameters;   // what the guest put into its memory for it
  std::vector<GpaSegment> touched;   // what the host may use, if it believes the packet

  OutgoingPacket Packet() const {
    return {.type = extension.empty() ? PacketType::kInBand : PacketType::kGpaDirect,
            .completion_requested = true,
            .extension = extension,
            .payload = BytesOf(packet).first(packet_bytes)};
  }
};

// What a command moves, and where its CDB says how much (protocol 10 section 7).
enum class SrbMoves : uint8_t { kNothing, kRead, kWrite, kOneBlock, kAnswer, kList };
struct SrbCommand {
  uint8_t opcode;
  SrbMoves moves = SrbMoves::kNothing;
  uint8_t at = 0;  // the allocation length, or the length of the parameter list
  uint8_t width = 0;
};
inline constexpr SrbCommand kSrbCommands[] = {
    {scsi::kTestUnitReady},
    {scsi::kRequestSense, SrbMoves::kAnswer, 4, 1},
    {scsi::kFormatUnit},
    {scsi::kRead6, SrbMoves::kRead},
    {scsi::kWrite6, SrbMoves::kWrite},
    {scsi::kInquiry, SrbMoves::kAnswer, 3, 2},
    {scsi::kModeSelect6, SrbMoves::kList, 4, 1},
    {scsi::kReserve6},
    {scsi::kRelease6},
    {scsi::kModeSense6, SrbMoves::kAnswer, 4, 1},
    {scsi::kStartStopUnit},
    {scsi::kSendDiagnostic},
    {scsi::kPreventAllow},
    {scsi::kReadCapacity10, SrbMoves::kAnswer},
    {scsi::kRead10, SrbMoves::kRead},
    {scsi::kWrite10, SrbMoves::kWrite},
    {scsi::kWriteAndVerify10, SrbMoves::kWrite},
    {scsi::kVerify10, SrbMoves::kWrite},
    {scsi::kSynchronizeCache10},
    {scsi::kWriteSame10, SrbMoves::kOneBlock},
    {scsi::kUnmap, SrbMoves::kList, 7, 2},
    {scsi::kReadToc, SrbMoves::kAnswer, 7, 2},
    {scsi::kGetConfiguration, SrbMoves::kAnswer, 7, 2},
    {scsi::kGetEventStatus, SrbMoves::kAnswer, 7, 2},
    {scsi::kReadDiscInformation, SrbMoves::kAnswer, 7, 2},
    {scsi::kReadTrackInformation, SrbMoves::kAnswer, 7, 2},
    {scsi::kModeSelect10, SrbMoves::kList, 7, 2},
    {scsi::kModeSense10, SrbMoves::kAnswer, 7, 2},
    {scsi::kReadBufferCapacity, SrbMoves::kAnswer, 7, 2},
    {scsi::kPersistentReserveIn, SrbMoves::kAnswer, 7, 2},
    {scsi::kPersistentReserveOut, SrbMoves::kList, 7, 2},
    {scsi::kPersistentReserveOut, SrbMoves::kList, 7, 2},
    {scsi::kPersistentReserveOut, SrbMoves::kList, 7, 2},
    {scsi::kAta16},
    {scsi::kRead16, SrbMoves::kRead},
    {scsi::kWrite16, SrbMoves::kWrite},
    {scsi::kWriteAndVerify16, SrbMoves::kWrite},
    {scsi::kVerify16, SrbMoves::kWrite},
    {scsi::kSynchronizeCache16},
    {scsi::kWriteSame16, SrbMoves::kOneBlock},
    {scsi::kServiceActionIn16, SrbMoves::kAnswer, 10, 4},
    {scsi::kReportLuns, SrbMoves::kAnswer, 6, 4},
    {scsi::kAta12},
    {scsi::kMaintenanceIn, SrbMoves::kAnswer, 6, 4},
    {scsi::kRead12, SrbMoves::kRead},
    {scsi::kWrite12, SrbMoves::kWrite},
    {scsi::kGetPerformance, SrbMoves::kAnswer, 8, 2},
    {scsi::kReadDvdStructure, SrbMoves::kAnswer, 8, 2},
    {scsi::kWriteAndVerify12, SrbMoves::kWrite},
    {scsi::kVerify12, SrbMoves::kWrite},
    {scsi::kSetStreaming, SrbMoves::kList, 9, 2},
    {scsi::kMechanismStatus, SrbMoves::kAnswer, 8, 2}};

class SrbMaker {
 public:
  // `sector_bytes`: of LUNs 0 to 2.
  SrbMaker(FuzzInput& input, uint64_t guest_pages, uint64_t disk_bytes,
           const std::array<uint32_t, 3>& sector_bytes)
      : input_(input),
        guest_pages_(guest_pages),
        disk_bytes_(disk_bytes),
        sector_bytes_(sector_bytes) {}

  FuzzedSrb Make() {
    FuzzedSrb srb;
    srb.packet.header = {.operation = storvsc::kExecuteSrb, .flags = 1, .status = 0};
    storvsc::ScsiRequest& request = srb.packet.body;
    request.length = storvsc::kRequestLength;
    request.sense_info_length = storvsc::kMaxSenseBytes;
    static constexpr uint8_t kLuns[] = {0, 0, 0, 0, 1, 1, 2, 3};
    request.lun = kLuns[Below(8)];
    sector_ = sector_bytes_[std::min<size_t>(request.lun, 2)];
    if (Below(16) == 15) request.path_id = static_cast<uint8_t>(Below(3));
    MakeCommand(request, srb.parameters);
    if (Below(16) == 15) bytes_ = DataBytes();
    if (Below(16) == 15) request.data_in = static_cast<uint8_t>(Below(3));
    if (Below(16) == 15) Bend(std::as_writable_bytes(std::span(request.cdb_or_sense).first(16)));
    if (Below(16) == 15) request.cdb_length = input_.ConsumeIntegral<uint8_t>();
    request.data_transfer_length = bytes_;
    if (bytes_ != 0) MakeRange(srb);
    if (Below(16) == 15) Bend(std::as_writable_bytes(std::span(&srb.packet, 1)));
    if (Below(16) == 15) srb.packet_bytes = Below(sizeof srb.packet + 1);
    FindTouched(srb);
    return srb;
  }
  // PERSISTENT RESERVE OUT to LUN 0, with one of few keys: several after the other tell a story.
  FuzzedSrb MakeReservation(uint8_t action) {
    FuzzedSrb srb;
    srb.packet.header = {.operation = storvsc::kExecuteSrb, .flags = 1, .status = 0};
    storvsc::ScsiRequest& request = srb.packet.body;
    request.length = storvsc::kRequestLength;
    request.sense_info_length = storvsc::kMaxSenseBytes;
    request.cdb_length = 10;
    request.data_in = storvsc::kDataOut;
    uint8_t* const cdb = request.cdb_or_sense.data();
    cdb[0] = scsi::kPersistentReserveOut;
    MakeFields(cdb);
    cdb[1] = action;
    MakeParameters(cdb[0], srb.parameters);
    bytes_ = static_cast<uint32_t>(srb.parameters.size());
    request.data_transfer_length = bytes_;
    cdb[8] = static_cast<uint8_t>(bytes_);
    if (bytes_ != 0) MakeRange(srb);
    FindTouched(srb);
    return srb;
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  template <size_t n>
  uint8_t OneOf(const uint8_t (&values)[n]) {
    return values[Below(n)];
  }

  uint32_t DataBytes() {
    switch (Below(4)) {
      case 0:
        return 0;
      case 1:
        return Below(300);
      case 2:
        return input_.ConsumeIntegral<uint32_t>();
      default:
        return 65536 + Below(8192);  // more than is allowed
    }
  }
  uint64_t Lba() {
    const uint64_t blocks = disk_bytes_ / sector_;
    switch (Below(8)) {
      case 0:
        return blocks - 1 - Below(4);
      case 1:
        return Below(2) == 1 ? blocks : input_.ConsumeIntegral<uint64_t>();
      default:
        return Below(16);
    }
  }

  // All that belongs together; the caller bends it.
  void MakeCommand(storvsc::ScsiRequest& request, std::vector<uint8_t>& parameters) {
    const uint32_t which = Below(std::size(kSrbCommands) + 1);
    const SrbCommand command = which == std::size(kSrbCommands)
                                   ? SrbCommand{.opcode = input_.ConsumeIntegral<uint8_t>()}
                                   : kSrbCommands[which];
    uint8_t* const cdb = request.cdb_or_sense.data();
    cdb[0] = command.opcode;
    static constexpr uint8_t kBytes[8] = {6, 10, 10, 16, 16, 12, 16, 16};
    request.cdb_length = kBytes[cdb[0] >> 5];
    request.data_in = storvsc::kNoData;
    uint32_t blocks = 1 + Below(8);
    if (Below(32) == 31) blocks = input_.ConsumeIntegral<uint32_t>();
    bytes_ = 0;
    switch (command.moves) {
      case SrbMoves::kNothing:
        break;
      case SrbMoves::kRead:
      case SrbMoves::kWrite:
      case SrbMoves::kOneBlock: {
        request.data_in = command.moves == SrbMoves::kRead ? storvsc::kDataIn : storvsc::kDataOut;
        bytes_ = (command.moves == SrbMoves::kOneBlock ? 1 : blocks % 64) * sector_;
        WriteRange(cdb, request.cdb_length, Lba(), blocks);
        break;
      }
      case SrbMoves::kAnswer: {
        request.data_in = storvsc::kDataIn;
        const uint32_t lengths[] = {command.width == 1 ? 255u : 4096u, 24, 8, Below(64)};
        bytes_ = lengths[Below(4)];
        break;
      }
      case SrbMoves::kList:
        request.data_in = storvsc::kDataOut;
        break;
    }
    MakeFields(cdb);
    MakeParameters(cdb[0], parameters);
    if (command.moves == SrbMoves::kList) bytes_ = static_cast<uint32_t>(parameters.size());
    for (uint8_t i = 0; i < command.width; ++i) {
      cdb[command.at + i] = static_cast<uint8_t>(bytes_ >> 8 * (command.width - 1 - i));
    }
  }
  static void WriteRange(uint8_t* cdb, uint8_t cdb_length, uint64_t lba, uint32_t blocks) {
    switch (cdb_length) {
      case 6:
        cdb[2] = static_cast<uint8_t>(lba >> 8);
        cdb[3] = static_cast<uint8_t>(lba);
        cdb[4] = static_cast<uint8_t>(blocks);
        break;
      case 10:
        scsi::WriteBig32(cdb + 2, static_cast<uint32_t>(lba));
        scsi::WriteBig16(cdb + 7, static_cast<uint16_t>(blocks));
        break;
      case 12:
        scsi::WriteBig32(cdb + 2, static_cast<uint32_t>(lba));
        scsi::WriteBig32(cdb + 6, blocks);
        break;
      default:
        scsi::WriteBig64(cdb + 2, lba);
        scsi::WriteBig32(cdb + 10, blocks);
        break;
    }
  }

  // Actions, pages, types and flags of those that have such.
  void MakeFields(uint8_t* cdb) {
    switch (cdb[0]) {
      case scsi::kInquiry:
        cdb[1] = OneOf({0, 1, 1, 1});
        if (cdb[1] != 0) {
          cdb[2] = OneOf({0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2, 0x8F, 0xC8, 0xCE, 0xCF, 0xFF});
        }
        break;
      case scsi::kServiceActionIn16:
        cdb[1] = OneOf({scsi::kReadCapacity16Action, scsi::kGetLbaStatusAction, 0});
        if (cdb[1] == scsi::kGetLbaStatusAction) scsi::WriteBig64(cdb + 2, Lba());
        break;
      case scsi::kPersistentReserveIn:
        cdb[1] = static_cast<uint8_t>(Below(5));
        break;
      case scsi::kPersistentReserveOut:
        cdb[1] = OneOf({0, 6, 1, 1, 2, 3, 4, 5, 7});
        cdb[2] = OneOf({1, 3, 5, 6, 7, 8, 0, 0x11});
        break;
      case scsi::kModeSense6:
      case scsi::kModeSense10:
        cdb[2] = static_cast<uint8_t>(OneOf({0x08, 0x3F, 0x01, 0x1A, 0x1D}) | Below(4) << 6);
        break;
      case scsi::kModeSelect6:
      case scsi::kModeSelect10:
        cdb[1] = OneOf({0x10, 0x10, 0x11});
        break;
      case scsi::kGetEventStatus:
        cdb[1] = OneOf({1, 1, 0});
        cdb[4] = static_cast<uint8_t>(1u << Below(8));
        break;
      case scsi::kStartStopUnit:
      case scsi::kPreventAllow:
        cdb[4] = static_cast<uint8_t>(Below(4));
        break;
      case scsi::kReadTrackInformation:
        cdb[1] = OneOf({1, 2, 0, 3, 5});
        cdb[5] = OneOf({1, 0});
        break;
      case scsi::kReadDvdStructure:
        cdb[7] = static_cast<uint8_t>(Below(6));
        break;
      default:
        MakeFlags(cdb);
        break;
    }
  }
  void MakeFlags(uint8_t* cdb) {
    switch (cdb[0]) {
      case scsi::kGetPerformance:
        cdb[1] = OneOf({0x10, 0x11, 0x14, 0});
        break;
      case scsi::kVerify10:
      case scsi::kVerify12:
      case scsi::kVerify16:
        cdb[1] = OneOf({2, 2, 0, 4});
        break;
      case scsi::kWriteAndVerify10:
      case scsi::kWriteAndVerify12:
      case scsi::kWriteAndVerify16:
        cdb[1] = OneOf({2, 0, 8, 0x0A});
        break;
      case scsi::kReadToc:
      case scsi::kGetConfiguration:
        cdb[1] = static_cast<uint8_t>(Below(4));
        cdb[2] = static_cast<uint8_t>(Below(3));
        break;
      case scsi::kRead6:
      case scsi::kWrite6:
        break;  // of the address
      default:
        cdb[1] = OneOf({0, 8, 0, 8, 1, 0x0B, 0x10, 0xF0});
        break;
    }
  }

  // UNMAP descriptors, reservation keys, mode pages, streaming ranges, the block of WRITE SAME.
  void MakeParameters(uint8_t opcode, std::vector<uint8_t>& to) {
    switch (opcode) {
      case scsi::kUnmap: {
        to.resize(8);
        for (uint32_t count = Below(5); count > 0; --count) {
          to.resize(to.size() + 16);
          scsi::WriteBig64(to.data() + to.size() - 16, Lba());
          scsi::WriteBig32(to.data() + to.size() - 8, Below(16));
        }
        scsi::WriteBig16(to.data(), static_cast<uint16_t>(to.size() - 2));
        scsi::WriteBig16(to.data() + 2, static_cast<uint16_t>(to.size() - 8));
        break;
      }
      case scsi::kPersistentReserveOut:
        to.resize(24);
        to[7] = OneOf({1, 0, 1, 2});
        to[15] = OneOf({1, 0, 1, 2});
        if (Below(8) == 7) to[20] = input_.ConsumeIntegral<uint8_t>();
        break;
      case scsi::kModeSelect6:
      case scsi::kModeSelect10:
        to.resize(opcode == scsi::kModeSelect6 ? 4 : 8);
        to.insert(to.end(), {0x08, 0x0A, OneOf({0x04, 0x00}), 0, 0, 0, 0, 0, 0, 0, 0, 0});
        break;
      case scsi::kSetStreaming:
        to.resize(28);
        if (Below(4) == 3) to[0] = 4;
        scsi::WriteBig32(to.data() + 4, static_cast<uint32_t>(Lba()));
        scsi::WriteBig32(to.data() + 8, static_cast<uint32_t>(Lba()));
        break;
      case scsi::kWriteSame10:
      case scsi::kWriteSame16:
        if (Below(2) == 1) to.resize(sector_);  // zeros
        break;
      default:
        if (Below(8) == 7) to = input_.ConsumeBytes<uint8_t>(Below(64));
        break;
    }
    if (Below(16) == 15) Bend(std::as_writable_bytes(std::span(to)));
    if (Below(16) == 15) to.resize(Below(static_cast<uint32_t>(to.size()) + 1));
  }

  void MakeRange(FuzzedSrb& srb) {
    const uint32_t offset = Below(4) == 3 ? Below(kPageSize) : 0;
    const uint32_t length = Below(16) == 15 ? input_.ConsumeIntegral<uint32_t>() : bytes_;
    // No more pages than a packet can have: what claims more is a lie.
    const uint64_t spanned = std::min<uint64_t>(PagesSpanned(offset, length), 20);
    const uint64_t pages = Below(32) == 31 ? Below(20) : spanned;
    const Pfn first = Below(Below(8) == 7 ? static_cast<uint32_t>(guest_pages_) + 1 : 16);
    const uint32_t step = Below(4) == 3 ? 2 : 1;  // 2: no two of them are one segment
    srb.extension.resize(GpaDirectBytes(pages));
    const uint32_t head[4] = {0, Below(32) == 31 ? Below(4) : 1, length, offset};
    std::memcpy(srb.extension.data(), head, sizeof head);
    for (uint64_t i = 0; i < pages; ++i) {
      Pfn pfn = first + i * step;
      if (Below(32) == 31) pfn = input_.ConsumeIntegral<Pfn>() >> Below(64);
      std::memcpy(srb.extension.data() + GpaDirectBytes(i), &pfn, sizeof pfn);
    }
    if (Below(32) == 31) Bend(srb.extension);
  }

  static void FindTouched(FuzzedSrb& srb) {
    if (AlignTo8(srb.packet_bytes) < storvsc::kOldPacketBytes) return;  // as the ring has it
    const auto ranges = GpaDirectRanges::Parse(srb.extension);
    if (!ranges) return;
    uint32_t left = srb.packet.body.data_transfer_length;
    GpaSegment segment;
    for (GpaCursor cursor(*ranges); left != 0 && cursor.Next(segment); left -= segment.length) {
      segment.length = std::min(segment.length, left);
      srb.touched.push_back(segment);
    }
  }

  void Bend(std::span<std::byte> bytes) {
    for (uint32_t count = 1 + Below(3); count > 0 && !bytes.empty(); --count) {
      bytes[Below(static_cast<uint32_t>(bytes.size()))] = static_cast<std::byte>(Below(256));
    }
  }

  FuzzInput& input_;
  const uint64_t guest_pages_;
  const uint64_t disk_bytes_;
  const std::array<uint32_t, 3>& sector_bytes_;
  uint32_t sector_ = 512;
  uint32_t bytes_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_SRB_TESTING_H_
