#include "devices/storvsc/fake_storvsp.h"

#include <algorithm>
#include <cstring>

#include "framework/channel/payload.h"

namespace vmbuskit {

using storvsc::PacketOf;

FakeStorvsp::FakeStorvsp(GuestMemory& memory) : wire(memory, 1 << 20) {
  wire.intercept = [this](const HostCommand& command) { return OnCommand(command); };
}

void FakeStorvsp::OnPacket(Channel& channel, const Packet& packet) {
  wire.OnPacket(channel, packet);
}

uint32_t FakeStorvsp::Count(uint8_t opcode) const {
  return static_cast<uint32_t>(
      std::count_if(wire.commands.begin(), wire.commands.end(), [&](const HostCommand& command) {
        return command.header.operation == storvsc::kExecuteSrb && command.opcode() == opcode;
      }));
}

template <typename Body>
bool FakeStorvsp::Reply(const HostCommand& command, uint32_t status, const Body& body) {
  PacketOf<Body> packet{};
  packet.header.operation = storvsc::kCompleteIo;
  packet.header.status = status;
  packet.body = body;
  (void)command.channel->Complete(command.id, BytesOf(packet).first(command.packet_bytes));
  return true;
}

bool FakeStorvsp::OnControl(const HostCommand& command) {
  const uint32_t operation = command.header.operation;
  control.push_back(operation);
  control_bytes.push_back(command.packet_bytes);
  if (std::ranges::count(silent, operation) != 0) return true;
  if (statuses.contains(operation)) {
    return Reply(command, statuses[operation], storvsc::NoBody{});
  }
  uint16_t word = 0;
  std::memcpy(&word, &command.request, sizeof word);
  switch (operation) {
    case storvsc::kQueryProtocolVersion: {
      const bool known = std::ranges::count(storvsc::kVersions, word) != 0 && word <= version_max;
      if (known) wire.packet_bytes = storvsc::PacketBytes(word);
      return Reply(command, known ? storvsc::kStatusSuccess : storvsc::kStatusRevisionMismatch,
                   storvsc::ProtocolVersion{.major_minor = word, .revision = 0});
    }
    case storvsc::kQueryProperties:
      return Reply(command, storvsc::kStatusSuccess, properties);
    case storvsc::kFcHbaData:
      return Reply(command, storvsc::kStatusSuccess, fc_hba);
    case storvsc::kCreateSubchannels:
      (void)Reply(command, storvsc::kStatusSuccess, storvsc::NoBody{});
      if (on_create_subchannels) on_create_subchannels(word);
      return true;
    default:
      return Reply(command, storvsc::kStatusSuccess, storvsc::NoBody{});
  }
}

bool FakeStorvsp::OnCommand(const HostCommand& command) {
  if (command.header.operation != storvsc::kExecuteSrb) return OnControl(command);
  if (intercept && intercept(command)) return true;
  const BlockAddress address = {.path = command.request.path_id,
                                .target = command.request.target_id,
                                .lun = command.request.lun};
  if (command.opcode() == scsi::kReportLuns) return OnReportLuns(command, address);
  const auto found = luns.find(address);
  if (found == luns.end()) {
    static constexpr uint8_t kAbsent[36] = {0x7F, 0, 5, 2, 31};
    if (command.opcode() == scsi::kInquiry && !absent_inquiry_fails) return Give(command, kAbsent);
    return wire.Answer(
        command, {.srb_status = storvsc::kSrbInvalidLun, .scsi_status = scsi::kCheckCondition});
  }
  FakeLun& lun = found->second;
  const uint8_t mode[16] = {15, 0, static_cast<uint8_t>(lun.write_protected ? 0x90 : 0x10), 0, 8,
                            10, 4};
  switch (command.opcode()) {
    case scsi::kInquiry:
      return OnInquiry(command, lun);
    case scsi::kReadCapacity10:
    case scsi::kServiceActionIn16:
      return OnReadCapacity(command, lun);
    case scsi::kModeSense6:
      return Give(command, mode);
    case scsi::kGetEventStatus:
      return OnEventStatus(command, lun);
    default:
      return false;
  }
}

bool FakeStorvsp::Give(const HostCommand& command, std::span<const uint8_t> data) {
  return wire.Answer(command, {.transferred = wire.CopyToGuest(command, std::as_bytes(data))});
}

bool FakeStorvsp::OnReportLuns(const HostCommand& command, const BlockAddress& address) {
  if (!reports_luns) {
    return wire.Refuse(command, {scsi::kIllegalRequest, 0x20, 0}, storvsc::kSrbInvalidRequest);
  }
  std::vector<uint8_t> data(8);
  for (const auto& [each, lun] : luns) {
    if (each.path != address.path || each.target != address.target) continue;
    data.insert(data.end(), {0, each.lun, 0, 0, 0, 0, 0, 0});
  }
  scsi::WriteBig32(data.data(), static_cast<uint32_t>(data.size() - 8));
  return Give(command, data);
}

bool FakeStorvsp::OnInquiry(const HostCommand& command, const FakeLun& lun) {
  if ((command.cdb()[1] & 1) == 0) {
    std::vector<uint8_t> data(36, ' ');
    const uint8_t head[8] = {
        lun.type, static_cast<uint8_t>(lun.type == 5 ? 0x80 : 0), 5, 2, 31, 0, 0, 2};
    std::copy(std::begin(head), std::end(head), data.begin());
    static constexpr char kNames[] = "Msft    Virtual Disk    1.0 ";
    std::copy_n(kNames, 28, data.begin() + 8);
    return Give(command, data);
  }
  std::vector<uint8_t> page = {lun.type, command.cdb()[2], 0, 0};
  switch (command.cdb()[2]) {
    case 0x00:
      page.insert(page.end(), {0x00, 0x83});
      break;
    case 0x83:
      page.insert(page.end(), {0x02, 0x01, 0x00, static_cast<uint8_t>(lun.id.size())});
      page.insert(page.end(), lun.id.begin(), lun.id.end());
      break;
    default:
      return wire.Refuse(command, {scsi::kIllegalRequest, 0x24, 0}, storvsc::kSrbInvalidRequest);
  }
  page[3] = static_cast<uint8_t>(page.size() - 4);
  return Give(command, page);
}

bool FakeStorvsp::OnReadCapacity(const HostCommand& command, const FakeLun& lun) {
  if (!lun.medium) return wire.Refuse(command, {scsi::kNotReady, 0x3A, 0x01});
  if (command.opcode() == scsi::kReadCapacity10) {
    std::vector<uint8_t> data(8);
    scsi::WriteBig32(data.data(), static_cast<uint32_t>(lun.blocks - 1));
    scsi::WriteBig32(data.data() + 4, lun.block_bytes);
    return Give(command, data);
  }
  if (lun.type == 5) {  // drives know the short form only
    return wire.Refuse(command, {scsi::kIllegalRequest, 0x20, 0});
  }
  std::vector<uint8_t> data(32);
  scsi::WriteBig64(data.data(), lun.blocks - 1);
  scsi::WriteBig32(data.data() + 8, lun.block_bytes);
  return Give(command, data);
}

bool FakeStorvsp::OnEventStatus(const HostCommand& command, FakeLun& lun) {
  const uint8_t data[8] = {0, 6, 4, 0x7E, 0, static_cast<uint8_t>(lun.medium ? 2 : 0), 0, 0};
  return Give(command, data);
}

}  // namespace vmbuskit
