// For tests of the controller: a host with a handful of LUNs, as far as a driver's control path sees one, that can be
// told to misbehave. Data requests go to one disk in memory (scripted_host.h).
//
//   FakeStorvsp host(transport.memory());
//   transport.SetHost(instance, host);
//   host.luns[{.lun = 3}] = {.blocks = 2048, .id = "disk 3"};
//   host.version_max = storvsc::kVersion6_0;
//   host.intercept = [&](const HostCommand& command) { return command.opcode() == scsi::kRead10; };     // silent
//   EXPECT_THAT(host.control, ElementsAre(storvsc::kBeginInitialization, ...));
//
// Thread safety: one thread. Lifetime: outlives its channels, sub-channels included.
#ifndef VMBUSKIT_DEVICES_STORVSC_FAKE_STORVSP_H_
#define VMBUSKIT_DEVICES_STORVSC_FAKE_STORVSP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scripted_host.h"
#include "devices/storvsc/scsi.h"
#include "framework/channel/channel.h"
#include "framework/interfaces/block_controller.h"
#include "platform/memory.h"

namespace vmbuskit {

struct FakeLun {
  uint64_t blocks = 2048;
  std::string id = "fake disk";  // also of page 83
  uint8_t type = 0;
  uint32_t block_bytes = 512;
  bool medium = true;  // of a DVD
  bool write_protected = false;
};

class FakeStorvsp final : public ChannelHandler {
 public:
  explicit FakeStorvsp(GuestMemory& memory);

  void OnPacket(Channel& channel, const Packet& packet) override;

  // ---- What it is.
  std::map<BlockAddress, FakeLun> luns;
  uint16_t version_max = storvsc::kVersion6_2;
  storvsc::ChannelProperties properties{.reserved0 = 0,
                                        .max_channel_count = 0,
                                        .reserved1 = 0,
                                        .flags = storvsc::kPropertyMultiChannel,
                                        .max_transfer_bytes = 256 * 1024,
                                        .reserved2 = 0};
  storvsc::FcHbaData fc_hba{};
  // An INQUIRY to an absent LUN: fails with INVALID_LUN, or succeeds with qualifier 3.
  bool absent_inquiry_fails = false;
  bool reports_luns = true;
  std::map<uint32_t, uint32_t> statuses;  // of control messages: NTSTATUS by operation
  std::vector<uint32_t> silent;           // control messages that are not answered
  std::function<void(uint16_t)> on_create_subchannels;
  // First look at SCSI commands; true: the test took care of it.
  std::function<bool(const HostCommand&)> intercept;

  // ---- What it saw.
  std::vector<uint32_t> control;      // operations, in order
  std::vector<size_t> control_bytes;  // of their packets
  std::vector<HostCommand> held;      // commands that Hold kept
  ScriptedHost wire;

  bool Hold(const HostCommand& command) {
    held.push_back(command);
    return true;
  }
  // Commands with that operation code.
  uint32_t Count(uint8_t opcode) const;

 private:
  bool OnCommand(const HostCommand& command);
  bool OnControl(const HostCommand& command);
  bool OnInquiry(const HostCommand& command, const FakeLun& lun);
  bool OnReportLuns(const HostCommand& command, const BlockAddress& address);
  bool OnReadCapacity(const HostCommand& command, const FakeLun& lun);
  bool OnEventStatus(const HostCommand& command, FakeLun& lun);
  bool Give(const HostCommand& command, std::span<const uint8_t> data);
  template <typename Body>
  bool Reply(const HostCommand& command, uint32_t status, const Body& body);
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_FAKE_STORVSP_H_
