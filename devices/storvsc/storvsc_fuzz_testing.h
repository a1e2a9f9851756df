// For storvsc_fuzz: a host that is honest (fake_storvsp.h) until the input says otherwise, at any of its answers.
//
//   FuzzedHost host(input, transport.memory());
//   transport.SetHost(instance, host.storvsp());
//   host.AnswerHeld();                            // one of those that it did not answer
//
// Thread safety: the simulation's thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_FUZZ_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_FUZZ_TESTING_H_

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "devices/storvsc/fake_storvsp.h"
#include "framework/base/fuzzing.h"
#include "framework/channel/payload.h"

namespace vmbuskit {

class FuzzedHost {
 public:
  FuzzedHost(FuzzInput& input, GuestMemory& memory) : input_(input), storvsp_(memory) {
    honest_ = std::exchange(storvsp_.wire.intercept,
                            [this](const HostCommand& command) { return OnCommand(command); });
    storvsp_.wire.keep_commands = false;
    static constexpr uint16_t kNewest[] = {0x0602, 0x0600, 0x0501, 0x0402, 0x0200};
    storvsp_.version_max = kNewest[Below(5)];
    storvsp_.reports_luns = Below(8) != 7;
    storvsp_.absent_inquiry_fails = Below(2) == 1;
    storvsp_.properties.max_channel_count = static_cast<uint16_t>(Below(4));
    ChangeLuns();
  }

  FakeStorvsp& storvsp() { return storvsp_; }
  bool is_evil = true;  // false: answers everything, and rightly

  // What the host has, from now on.
  void ChangeLuns() {
    static constexpr uint32_t kBlockBytes[] = {512, 512, 4096, 2048, 0, 520, 65536, 131072};
    for (uint32_t count = 1 + Below(3); count > 0; --count) {
      const BlockAddress address = {.target = static_cast<uint8_t>(Below(8) == 7 ? 1 : 0),
                                    .lun = static_cast<uint8_t>(Below(3))};
      if (Below(4) == 3) {
        storvsp_.luns.erase(address);
        continue;
      }
      static constexpr uint8_t kTypes[] = {0, 0, 0, 5, 8};
      storvsp_.luns[address] = {.blocks = Below(8) == 7 ? input_.ConsumeIntegral<uint64_t>() : 2048,
                                .id = std::string(1 + Below(3), 'd'),
                                .type = kTypes[Below(5)],
                                .block_bytes = kBlockBytes[Below(8)],
                                .medium = Below(4) != 3,
                                .write_protected = Below(8) == 7};
    }
  }
  // A packet that nobody asked for.
  void SayUnasked(Channel& channel) {
    static constexpr uint32_t kOperations[] = {storvsc::kEnumerateBus,      storvsc::kRemoveDevice,
                                               storvsc::kEventNotification, storvsc::kFcHbaData,
                                               storvsc::kCompleteIo,        99};
    storvsc::PacketOf<storvsc::FcHbaData> packet{};
    packet.header.operation = kOperations[Below(8) == 7 ? Below(6) : Below(4)];
    size_t bytes = Below(16) == 15 ? Below(65) : 64;
    const uint64_t id = Below(16) == 15 ? input_.ConsumeIntegral<uint64_t>() : 0;
    for (uint32_t count = Below(4) == 3 ? 1 + Below(60) : 1; count > 0; --count) {
      (void)channel.Send({.transaction_id = id, .payload = BytesOf(packet).first(bytes)});
    }
  }
  // To whom, if they are still there.
  void AnswerHeld(const std::function<bool(const Channel*)>& is_open) {
    if (held_.empty()) return;
    const size_t which = Below(static_cast<uint32_t>(held_.size()));
    const HostCommand command = held_[which];
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
    if (is_open(command.channel)) Answer(command);
  }
  void Forget(const std::function<bool(const Channel*)>& is_open) {
    std::erase_if(held_, [&](const HostCommand& command) { return !is_open(command.channel); });
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }

  // True: it was taken care of.
  bool OnCommand(const HostCommand& command) {
    const uint32_t how = is_evil ? Below(16) : 0;
    switch (how) {
      case 9:
      case 10:
      case 11:
        Answer(command);
        return true;
      case 12:
        if (held_.size() < 64) held_.push_back(command);
        return true;
      case 13:
        return Lie(command);
      default:
        return Right(command);
    }
  }
  bool Right(const HostCommand& command) {
    const bool data = command.header.operation == storvsc::kExecuteSrb;
    // What the disk in memory would believe blindly.
    const bool blind =
        data && (command.opcode() == scsi::kUnmap || command.opcode() == scsi::kWriteSame16);
    if (blind) return storvsp_.wire.Answer(command, {});
    return honest_(command);
  }

  // No answer that any host gives.
  bool Lie(const HostCommand& command) {
    storvsc::PacketOf<storvsc::ScsiRequest> packet = Completion(command);
    switch (Below(6)) {
      case 0:
        packet.header.operation = Below(16);
        (void)command.channel->Complete(command.id, BytesOf(packet));
        return true;
      case 1:
        (void)command.channel->Complete(command.id, BytesOf(packet).first(Below(65)));
        return true;
      case 2:
        (void)command.channel->Complete(command.id ^ (uint64_t{1} << Below(64)), BytesOf(packet));
        return Right(command);  // besides
      case 3:
        (void)command.channel->Complete(command.id, BytesOf(packet));
        (void)command.channel->Complete(command.id, BytesOf(packet));
        return true;
      case 4:
        command.channel->Close(absl::DataLossError("the host fails the channel"));
        return true;
      default:
        (void)command.channel->Complete(Below(4), BytesOf(packet));
        return Right(command);
    }
  }

  // Data, status and sense of any kind.
  void Answer(const HostCommand& command) {
    const storvsc::PacketOf<storvsc::ScsiRequest> packet = Completion(command);
    const size_t bytes = std::min(command.packet_bytes, sizeof packet);
    (void)command.channel->Complete(command.id, BytesOf(packet).first(bytes));
  }
  storvsc::PacketOf<storvsc::ScsiRequest> Completion(const HostCommand& command) {
    storvsc::PacketOf<storvsc::ScsiRequest> packet{};
    packet.header.operation = storvsc::kCompleteIo;
    if (command.header.operation != storvsc::kExecuteSrb) return ControlAnswer(command, packet);
    storvsc::ScsiRequest& body = packet.body;
    body.length = storvsc::kRequestLength;
    static constexpr uint8_t kSrb[] = {0x01, 0x02, 0x04, 0x05, 0x06, 0x08,
                                       0x09, 0x0E, 0x12, 0x20, 0x16};
    static constexpr uint8_t kScsi[] = {0x00, 0x02, 0x08, 0x18, 0x28, 0x40};
    body.srb_status = storvsc::kSrbSuccess;
    body.data_transfer_length = FillData(command);
    if (Below(2) == 1) return packet;
    body.srb_status =
        Below(8) == 7 ? input_.ConsumeIntegral<uint8_t>() : kSrb[Below(std::size(kSrb))];
    body.scsi_status = kScsi[Below(std::size(kScsi))];
    if (Below(4) == 3) body.data_transfer_length = input_.ConsumeIntegral<uint32_t>();
    if (Below(4) != 3) body.srb_status |= storvsc::kSrbAutosenseValid;
    const auto sense = scsi::FixedSense(SomeSense());
    std::copy(sense.begin(), sense.end(), body.cdb_or_sense.begin());
    if (Below(8) == 7) body.cdb_or_sense[0] = input_.ConsumeIntegral<uint8_t>();
    body.sense_info_length = Below(8) == 7 ? input_.ConsumeIntegral<uint8_t>() : 20;
    return packet;
  }
  scsi::Sense SomeSense() {
    static constexpr scsi::Sense kSense[] = {
        {0x2, 0x04, 0x01}, {0x2, 0x3A, 0x01}, {0x3, 0x11, 0x00}, {0x4, 0x44, 0x00},
        {0x5, 0x20, 0x00}, {0x5, 0x21, 0x00}, {0x5, 0x24, 0x00}, {0x5, 0x25, 0x00},
        {0x6, 0x29, 0x00}, {0x6, 0x2A, 0x09}, {0x6, 0x3F, 0x0E}, {0x7, 0x27, 0x00},
        {0x7, 0x27, 0x07}, {0xB, 0x00, 0x00}, {0x1, 0x17, 0x00}};
    const uint32_t which = Below(std::size(kSense) + 1);
    if (which < std::size(kSense)) return kSense[which];
    return {.key = static_cast<uint8_t>(Below(16)),
            .asc = input_.ConsumeIntegral<uint8_t>(),
            .ascq = input_.ConsumeIntegral<uint8_t>()};
  }
  storvsc::PacketOf<storvsc::ScsiRequest> ControlAnswer(
      const HostCommand& command, storvsc::PacketOf<storvsc::ScsiRequest> packet) {
    static constexpr uint32_t kStatus[] = {0, 0, 0xC000000D, 0xC0000059, 0xC0000184};
    packet.header.status = kStatus[Below(5)];
    std::memcpy(&packet.body, &command.request, 4);  // the version
    if (command.header.operation == storvsc::kQueryProperties) {
      storvsc::ChannelProperties properties = storvsp_.properties;
      properties.max_transfer_bytes =
          Below(2) == 1 ? Below(4 * kPageSize) : input_.ConsumeIntegral<uint32_t>();
      properties.max_channel_count = input_.ConsumeIntegral<uint16_t>();
      std::memcpy(&packet.body, &properties, sizeof properties);
    }
    if (Below(8) == 7) packet.body.length = input_.ConsumeIntegral<uint16_t>();
    if (command.header.operation == storvsc::kFcHbaData) {
      packet.body.length = static_cast<uint16_t>(Below(2));
      packet.body.cdb_or_sense[3] = input_.ConsumeIntegral<uint8_t>();
    }
    return packet;
  }

  // Returns how much it says that it moved.
  uint32_t FillData(const HostCommand& command) {
    if (command.request.data_in != storvsc::kDataIn) return command.request.data_transfer_length;
    std::vector<uint8_t> data = Data(command);
    for (uint32_t count = Below(4) == 3 ? 1 + Below(4) : 0; count > 0 && !data.empty(); --count) {
      data[Below(static_cast<uint32_t>(data.size()))] = input_.ConsumeIntegral<uint8_t>();
    }
    if (Below(8) == 7) data.resize(Below(static_cast<uint32_t>(data.size()) + 1));
    return storvsp_.wire.CopyToGuest(command, std::as_bytes(std::span(data)));
  }
  std::vector<uint8_t> Data(const HostCommand& command) {
    std::vector<uint8_t> data;
    switch (command.opcode()) {
      case scsi::kInquiry:
        return (command.cdb()[1] & 1) != 0 ? VpdPage(command.cdb()[2]) : Inquiry();
      case scsi::kReadCapacity10:
        data.resize(8);
        scsi::WriteBig32(data.data(), Below(4) == 3 ? input_.ConsumeIntegral<uint32_t>() : 2047);
        scsi::WriteBig32(data.data() + 4, 512u << Below(9));
        return data;
      case scsi::kServiceActionIn16:
        if ((command.cdb()[1] & 0x1F) == scsi::kGetLbaStatusAction) return LbaStatus();
        data.resize(32);
        scsi::WriteBig64(data.data(), Below(4) == 3 ? input_.ConsumeIntegral<uint64_t>() : 2047);
        scsi::WriteBig32(data.data() + 8, 512u << Below(9));
        data[13] = static_cast<uint8_t>(Below(16));
        data[14] = static_cast<uint8_t>(Below(4) << 6);
        return data;
      case scsi::kReportLuns:
        data.resize(8);
        for (uint32_t count = Below(6); count > 0; --count) {
          data.insert(data.end(), {static_cast<uint8_t>(Below(16) == 15 ? 0x40 : 0),
                                   static_cast<uint8_t>(Below(8)), 0, 0, 0, 0, 0, 0});
        }
        scsi::WriteBig32(data.data(), static_cast<uint32_t>(data.size() - 8));
        if (Below(8) == 7) scsi::WriteBig32(data.data(), input_.ConsumeIntegral<uint32_t>());
        return data;
      case scsi::kModeSense6:
        data = {15, 0, static_cast<uint8_t>(Below(4) << 6 | 0x10), 0, 8, 10, 4};
        data.resize(16);
        if (Below(2) == 1) data.insert(data.begin() + 4, {0x01, 0x02, 0, 0});
        if (Below(2) == 1) data.insert(data.begin() + 4, {0x48, 0x01, 0, 2, 0, 0});
        data[0] = static_cast<uint8_t>(data.size() - 1);
        return data;
      case scsi::kGetEventStatus:
        return {0,
                6,
                static_cast<uint8_t>(Below(8)),
                0x7E,
                static_cast<uint8_t>(Below(4)),
                static_cast<uint8_t>(Below(4)),
                0,
                0};
      default:
        return input_.ConsumeBytes<uint8_t>(Below(32));
    }
  }
  std::vector<uint8_t> Inquiry() {
    static constexpr uint8_t kTypes[] = {0, 0, 5, 0x0E, 0x7F, 0x20};
    std::vector<uint8_t> data = {
        kTypes[Below(6)], static_cast<uint8_t>(Below(2) << 7), 5, 2, 91, 0, 0, 2};
    data.resize(96, ' ');
    for (size_t i = 8; i < 36; ++i) data[i] = static_cast<uint8_t>('a' + i % 26);
    return data;
  }
  std::vector<uint8_t> VpdPage(uint8_t code) {
    std::vector<uint8_t> page = {0, code, 0, 0};
    switch (code) {
      case 0x00:
        page.insert(page.end(), {0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2});
        break;
      case 0x83:
        for (uint32_t count = Below(4); count > 0; --count) {
          const auto length = static_cast<uint8_t>(Below(12));
          page.insert(page.end(),
                      {0x01, static_cast<uint8_t>(Below(8) == 7 ? 0x10 : Below(5)), 0, length});
          page.resize(page.size() + length, static_cast<uint8_t>(Below(256)));
        }
        break;
      case 0xB0:
        page.resize(64);
        for (const size_t at : {8, 12, 20, 24, 28, 40}) {
          const uint32_t value = Below(4) == 3 ? input_.ConsumeIntegral<uint32_t>() : Below(64);
          scsi::WriteBig32(page.data() + at, value);
        }
        if (Below(8) == 7) scsi::WriteBig32(page.data() + 36, input_.ConsumeIntegral<uint32_t>());
        break;
      case 0xB1:
        page.resize(64);
        scsi::WriteBig16(page.data() + 4,
                         Below(2) == 1 ? 7200 : input_.ConsumeIntegral<uint16_t>());
        break;
      case 0xB2:
        page.insert(page.end(), {0, input_.ConsumeIntegral<uint8_t>(), 0, 0});
        break;
      default:
        page.insert(page.end(), {'0', '0', '4', '2'});
        break;
    }
    page[3] = static_cast<uint8_t>(page.size() - 4);
    return page;
  }
  std::vector<uint8_t> LbaStatus() {
    std::vector<uint8_t> data(8);
    uint64_t lba = Below(4) == 3 ? Below(64) : 0;
    for (uint32_t count = Below(5); count > 0; --count) {
      data.resize(data.size() + 16);
      uint8_t* const at = data.data() + data.size() - 16;
      const uint32_t blocks = Below(8) == 7 ? input_.ConsumeIntegral<uint32_t>() : Below(64);
      scsi::WriteBig64(at, lba);
      scsi::WriteBig32(at + 8, blocks);
      at[12] = static_cast<uint8_t>(Below(4));
      lba += blocks;
    }
    scsi::WriteBig32(data.data(), static_cast<uint32_t>(data.size() - 4));
    return data;
  }

  FuzzInput& input_;
  FakeStorvsp storvsp_;
  std::function<bool(const HostCommand&)> honest_;
  std::deque<HostCommand> held_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_FUZZ_TESTING_H_
