// For tests: the host's end of storvsc channels, as small as will do. It decodes requests, keeps a disk in memory, and
// lets a test answer in its place.
//
//   ScriptedHost host(memory, /*disk_bytes=*/1 << 20);
//   pair.host().Start(host);
//   host.intercept = [&](const HostCommand& command) {      // true: the test took care of it
//     return host.Answer(command, {.srb_status = storvsc::kSrbBusy});
//   };
//   EXPECT_EQ(host.commands.at(0).request.lun, 3);
//
// Thread safety: one thread. Lifetime: outlives its channels; one host may serve several.
#ifndef VMBUSKIT_DEVICES_STORVSC_SCRIPTED_HOST_H_
#define VMBUSKIT_DEVICES_STORVSC_SCRIPTED_HOST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "framework/channel/channel.h"
#include "framework/channel/packet_ranges.h"
#include "platform/memory.h"

namespace vmbuskit {

struct HostCommand {
  Channel* channel = nullptr;
  uint64_t id = 0;
  PacketType type = PacketType::kInBand;
  size_t packet_bytes = 0;
  storvsc::PacketHeader header{};
  storvsc::ScsiRequest request{};
  std::vector<GpaSegment> segments;

  uint8_t opcode() const { return request.cdb_or_sense[0]; }
  const uint8_t* cdb() const { return request.cdb_or_sense.data(); }
};

struct HostAnswer {
  uint8_t srb_status = storvsc::kSrbSuccess;
  uint8_t scsi_status = scsi::kGood;
  uint32_t transferred = 0;
  scsi::Sense sense{};  // with kSrbAutosenseValid in srb_status
};

class ScriptedHost final : public ChannelHandler {
 public:
  static constexpr uint32_t kBlockBytes = 512;

  ScriptedHost(GuestMemory& memory, size_t disk_bytes) : disk(disk_bytes), memory_(memory) {}

  void OnPacket(Channel& channel, const Packet& packet) override;

  // True, for `intercept`.
  bool Answer(const HostCommand& command, const HostAnswer& answer);
  // Check condition with sense.
  bool Refuse(const HostCommand& command, const scsi::Sense& sense,
              uint8_t srb_code = storvsc::kSrbError);
  // As the disk in memory answers.
  void Execute(const HostCommand& command);
  // A packet that nobody asked for.
  void Send(Channel& channel, uint32_t operation);

  // Copies between guest memory and `bytes`; as many as both have.
  uint32_t CopyToGuest(const HostCommand& command, std::span<const std::byte> bytes);
  uint32_t CopyFromGuest(const HostCommand& command, std::span<std::byte> bytes);

  std::function<bool(const HostCommand&)> intercept;
  bool keep_commands = true;
  std::vector<HostCommand> commands;
  uint64_t count = 0;
  std::vector<std::byte> disk;
  size_t packet_bytes = storvsc::kPacketBytes;

 private:
  template <typename Each>
  uint32_t EachPiece(const HostCommand& command, size_t bytes, Each each);
  uint32_t MoveBlocks(const HostCommand& command, uint64_t block, uint64_t blocks, bool to_guest);
  void WriteSame(const HostCommand& command);
  void Unmap(const HostCommand& command);

  GuestMemory& memory_;
  HostCommand scratch_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCRIPTED_HOST_H_
