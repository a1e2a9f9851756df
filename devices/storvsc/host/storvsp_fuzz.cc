// Controllers of the host with a guest that lies, and back ends that are slow and fail, as a script: the messages of
// the initialization in any order, commands with bent fields and memory that is none, resets, channels that close and
// come again, disks that come and go, a host that is saved and goes on elsewhere. Two controllers show the same disk,
// for its reservations. Each request is answered once, in the end; nothing of the guest's memory changes but what its
// requests named; and a back end is asked for nothing that it has not.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "devices/storvsc/host/reservations.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/host/storvsp_fuzz_srb_testing.h"
#include "devices/storvsc/host/storvsp_fuzz_world_testing.h"
#include "framework/base/saved_state.h"
#include "framework/channel/channel.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit {
namespace {

constexpr int kStepsMax = 60;

class Fuzz final : public ChannelHandler {
 public:
  Fuzz(FuzzInput& input, World& world) : input_(input), world_(world) {
    world_.Reset();
    static constexpr uint16_t kNewest[] = {0x0602, 0x0600, 0x0501, 0x0402};
    options_.kind = static_cast<StorvspOptions::Kind>(Below(3));
    options_.version_max = kNewest[Below(4)];
    options_.max_transfer_bytes = 16 * kPageSize;
    options_.max_subchannels = 2;
    options_.requests_max = 1 + Below(8);
    options_.reset = static_cast<StorvspOptions::Reset>(Below(2));
    disk_options_.serial = Below(2) == 1 ? "0042" : "";
    disk_options_.sector_bytes = Below(4) == 3 ? 4096 : 0;
    disk_options_.read_only = Below(16) == 15;
    if (Below(4) == 3) disk_options_.write_cache = Below(2) == 1;
    disk_options_.reservations_supported = Below(8) != 7;
    disk_options_.reservations = std::make_shared<Reservations>();
    sector_bytes_ = {disk_options_.sector_bytes == 0 ? 512 : disk_options_.sector_bytes, 2048, 512};
    const uint32_t lacks = Below(32);
    for (size_t i = 0; i < disks_.size(); ++i) {
      BlockInfo info;
      info.read_only = Below(16) == 15;
      info.volatile_cache = (lacks & 1) == 0;
      info.force_unit_access = (lacks & 2) == 0;
      info.discard = (lacks & 4) == 0;
      info.write_zeroes = (lacks & 8) == 0;
      info.discard_bytes_max = kDiskBytes;
      info.write_zeroes_bytes_max = kDiskBytes;
      info.status = (lacks & 16) == 0;
      if (i == 0) info.id = "a disk";
      disks_[i] = std::make_shared<WatchedDisk>(world_, info);
    }
    for (size_t i = 0; i < hosts_.size(); ++i) MakeVsp(i);
  }
  ~Fuzz() override {
    for (size_t i = 0; i < kChannels; ++i) CloseChannel(i);
  }

  void Run() {
    OpenChannel(0);
    if (Below(8) != 7) Initialize(0);
    if (Below(2) == 1) {
      OpenChannel(kChannels - 1);
      Initialize(kChannels - 1);
    }
    for (int step = 0; step < kStepsMax && input_.remaining_bytes() > 0; ++step) {
      Act();
      if (Below(4) != 0) Idle();
    }
    if (Below(4) != 3) ComeToAnEnd();  // else the controllers go with work under way
    const bool at_once = Below(4) == 3;
    for (size_t i = 0; i < kChannels && !at_once; ++i) CloseChannel(i);
    for (size_t i = 0; i < hosts_.size(); ++i) DestroyVsp(i);
    for (size_t i = 0; i < kChannels; ++i) CloseChannel(i);
    EndAll();
    for (auto& disk : disks_) Require(disk.use_count() == 1);  // nobody holds it any more
    Require(world_.OnlyGivenChanged());
  }

 private:
  struct Asked final : Request {
    explicit Asked(const bool& is_anything_said) : anything_said(is_anything_said) {}
    void OnEnd(RequestEnd end, const Packet* completion) override {
      ++ends;
      if (end != RequestEnd::kCompleted || anything_said) return;
      Require(completion != nullptr && completion->payload.size() >= AlignTo8(bytes));
      if (bytes < sizeof(storvsc::PacketHeader)) return;
      Require(completion->PayloadAs<uint32_t>() == uint32_t{storvsc::kCompleteIo});
      if (bytes < storvsc::kOldPacketBytes) return;
      using Answer = storvsc::PacketOf<storvsc::ScsiRequest>;
      std::array<std::byte, sizeof(Answer)> copy{};
      std::ranges::copy(
          completion->payload.first(std::min(completion->payload.size(), copy.size())),
          copy.begin());
      Require(std::bit_cast<Answer>(copy).body.data_transfer_length <= transferred_max);
    }
    const bool& anything_said;  // by a state that was tampered with
    int ends = 0;
    size_t bytes = 0;  // of its packet: the answer has as many
    uint32_t transferred_max = UINT32_MAX;
  };
  struct Host {
    std::optional<FakeVspContext> context;
    std::unique_ptr<Storvsp> vsp;
  };
  struct Ends {
    std::unique_ptr<Channel> guest;
    std::unique_ptr<Channel> host;
    bool is_open = false;
    std::deque<Asked> asked;
    // The answer to such a one ends the channel, because its table knows none.
    uint64_t raw_asked = 0;
  };

  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  static size_t HostOf(size_t channel) { return channel == kChannels - 1 ? 1 : 0; }
  static uint16_t IndexOf(size_t channel) {
    return channel == kChannels - 1 ? 0 : static_cast<uint16_t>(channel);
  }
  Host& host_of(size_t channel) { return hosts_[HostOf(channel)]; }

  void MakeVsp(size_t which) {
    const SimTurn turn = sim_.Enter(executor_);
    Host& host = hosts_[which];
    host.context.emplace(executor_, world_.memory.get());
    StorvspOptions options = options_;
    options.initiator = static_cast<uint32_t>(1 + which);
    host.vsp = std::make_unique<Storvsp>(*host.context, options);
    AttachDisk(host, 0);
    if (which != 0) return;
    AttachDisk(host, 1);
    AttachDisk(host, 2);
  }
  void AttachDisk(Host& host, size_t disk) {
    const BlockAddress address = {.lun = static_cast<uint8_t>(disk)};
    DiskOptions options = disk == 1 ? DiskOptions{.unit = ScsiUnit::kDvd} : disk_options_;
    if (disk == 2) options = {.sector_bytes = 100};  // refused, and then as it should be
    absl::Status status = host.vsp->Attach(address, disks_[disk], options);
    if (disk == 2) {
      Require(absl::IsInvalidArgument(status));
      status = host.vsp->Attach(address, disks_[disk]);
    }
    Require(status.ok() || absl::IsAlreadyExists(status));
  }
  // Its channels have ended, if they have not closed.
  void DestroyVsp(size_t which) {
    const SimTurn turn = sim_.Enter(executor_);
    for (size_t i = 0; i < kChannels; ++i) {
      if (HostOf(i) != which || !channels_[i].is_open) continue;
      channels_[i].host->Close(absl::CancelledError("the controller goes"));
    }
    hosts_[which].vsp.reset();
  }

  // ---- Channels.

  void OpenChannel(size_t which) {
    Ends& ends = channels_[which];
    if (ends.is_open && !ends.guest->closed() && !ends.host->closed()) return;
    CloseChannel(which);
    World::Reset(world_.rings[which]);
    const SimTurn turn = sim_.Enter(executor_);
    ends.asked.clear();
    ends.raw_asked = 0;
    const auto& [up, down] = world_.rings[which];
    ends.guest = std::make_unique<Channel>(
        executor_, Channel::Options{.name = "guest end",
                                    .incoming = down->memory(),
                                    .outgoing = up->memory(),
                                    .signal_peer = Callback::To<&Fuzz::WakeAll>(this)});
    ends.guest->Start(*this);
    MakeHostEnd(which);
    Require(host_of(which)
                .vsp->OnOpen(*ends.host, host_of(which).context->open_data(IndexOf(which)))
                .ok());
    ends.is_open = true;
  }
  void MakeHostEnd(size_t which) {
    const auto& [up, down] = world_.rings[which];
    channels_[which].host = std::make_unique<Channel>(
        executor_, Channel::Options{.name = "host end",
                                    .incoming = up->memory(),
                                    .outgoing = down->memory(),
                                    .signal_peer = Callback::To<&Fuzz::WakeAll>(this),
                                    .guest_end = false});
  }
  void WakeAll() {
    for (Ends& ends : channels_) {
      if (ends.guest) ends.guest->wake().Signal();
      if (ends.host) ends.host->wake().Signal();
    }
  }
  void CloseChannel(size_t which) {
    Ends& ends = channels_[which];
    if (!std::exchange(ends.is_open, false)) return;
    const SimTurn turn = sim_.Enter(executor_);
    ends.host->Close(absl::CancelledError("the channel closes"));
    if (host_of(which).vsp) host_of(which).vsp->OnClose(*ends.host);
    ends.guest->Close(absl::CancelledError("the channel closes"));
    ends.host.reset();
    ends.guest.reset();
    for (const Asked& asked : ends.asked) Require(asked.ends == 1);
  }

  // What the host says that is no answer to a request of a channel's table.
  void OnPacket(Channel& channel, const Packet& packet) override {
    if (world_.tampered) return;
    for (Ends& ends : channels_) {
      if (ends.guest.get() != &channel) continue;
      Require(packet.transaction_id == 0);
      Require(packet.PayloadAs<uint32_t>() == uint32_t{storvsc::kEnumerateBus});
    }
  }

  // ---- What the guest says.

  void Ask(size_t which, const OutgoingPacket& packet, uint32_t transferred_max = UINT32_MAX) {
    Ends& ends = channels_[which];
    if (!ends.is_open) return;
    const SimTurn turn = sim_.Enter(executor_);
    ends.asked.emplace_back(world_.tampered).bytes = packet.payload.size();
    ends.asked.back().transferred_max = transferred_max;
    if (ends.guest->SendRequest(packet, ends.asked.back(), kInfiniteFuture) != SendResult::kOk) {
      ends.asked.pop_back();
    }
  }
  void AskControl(size_t which, uint32_t operation, uint16_t value, size_t bytes = 64) {
    storvsc::PacketOf<storvsc::ScsiRequest> packet{};
    packet.header.operation = operation;
    packet.header.flags = storvsc::kFlagRequestCompletion;
    packet.body.length = value;
    packet.body.lun = static_cast<uint8_t>(value);
    Ask(which, {.payload = BytesOf(packet).first(bytes)});
  }
  void Initialize(size_t which) {
    static constexpr uint16_t kVersions[] = {0x0602, 0x0501, 0x0402, 0x0200};
    AskControl(which, storvsc::kBeginInitialization, 0);
    AskControl(which, storvsc::kQueryProtocolVersion, kVersions[Below(4)]);
    AskControl(which, storvsc::kQueryProtocolVersion, options_.version_max);
    AskControl(which, storvsc::kQueryProperties, 0);
    if (Below(2) == 1) AskControl(which, storvsc::kFcHbaData, 0);
    if (Below(4) == 3)
      AskControl(which, storvsc::kCreateSubchannels, static_cast<uint16_t>(Below(4)));
    AskControl(which, storvsc::kEndInitialization, 0);
    Idle();
  }
  // More answers than the ring has room for: the guest does not read.
  void Flood(size_t which) {
    if (!channels_[which].is_open) return;
    channels_[which].guest->PauseReading();
    for (int i = 0; i < 100; ++i) {
      AskControl(which, storvsc::kExecuteSrb, 0);
      if (i % 32 == 31) Idle();
    }
  }
  SrbMaker Maker() { return SrbMaker(input_, kGuestPages, kDiskBytes, sector_bytes_); }
  // Registers a key and goes on from there; the other controller may, too.
  void Reserve(size_t which) {
    constexpr uint8_t kRegisterAndIgnore = 6;
    if (Below(2) == 1) AskScsi(which, Maker().MakeReservation(kRegisterAndIgnore));
    AskScsi(which, Maker().MakeReservation(static_cast<uint8_t>(Below(8))));
  }
  void AskScsi(size_t which, const FuzzedSrb& srb) {
    if (!channels_[which].is_open) return;
    size_t at = 0;
    for (const GpaSegment& segment : srb.touched) {
      world_.Give(segment);
      for (uint32_t i = 0; i < segment.length && at < srb.parameters.size(); ++i, ++at) {
        if (segment.gpa + i >= kGuestBytes) return;
        world_.bytes[segment.gpa + i] = std::byte{srb.parameters[at]};
      }
    }
    const storvsc::ScsiRequest& request = srb.packet.body;
    const uint8_t opcode = request.cdb_or_sense[0];
    // WRITE SAME counts what it wrote, as the reference does.
    const bool repeats = opcode == scsi::kWriteSame10 || opcode == scsi::kWriteSame16;
    const bool is_command = srb.packet.header.operation == storvsc::kExecuteSrb;
    Ask(which, srb.Packet(), repeats || !is_command ? UINT32_MAX : request.data_transfer_length);
  }
  // Past the table of requests: ids of any kind, also twice, and what no guest sends.
  void AskRaw(size_t which) {
    const FuzzedSrb srb = Maker().Make();
    Ends& ends = channels_[which];
    if (!ends.is_open) return;
    for (const GpaSegment& segment : srb.touched) world_.Give(segment);
    OutgoingPacket packet = srb.Packet();
    packet.transaction_id = Below(4) << 30;
    if (Below(4) == 3) packet.type = PacketType::kTransferPages;
    if (Below(4) == 3) packet.type = PacketType::kCompletion;
    packet.completion_requested = Below(4) != 3;
    const SimTurn turn = sim_.Enter(executor_);
    if (ends.guest->Send(packet) == SendResult::kOk) ++ends.raw_asked;
  }

  // ---- Steps.

  void Act() {
    // Mostly on the first primary.
    const size_t which = Below(4) == 3 ? Below(kChannels) : Below(4) == 3 ? kChannels - 1 : 0;
    switch (Below(24)) {
      case 0:
        return AskControl(
            which, Below(16),
            Below(4) == 3 ? input_.ConsumeIntegral<uint16_t>() : static_cast<uint16_t>(Below(4)),
            Below(8) == 7 ? Below(65) : 64);
      case 1:
        return AskControl(which, storvsc::kResetLun + Below(3), static_cast<uint16_t>(Below(3)));
      case 2:
        return OpenChannel(which);
      case 3:
        return Below(2) == 1 ? CloseChannel(which) : Initialize(which);
      case 4:
        return ComeAndGo();
      case 5:
        return Below(2) == 1 ? SaveAndRestore(HostOf(which)) : Look();
      case 6:
        return AskRaw(which);
      case 7:
        return Below(4) == 3 ? Flood(which) : PauseOrResume(which);
      case 8:
      case 9:
      case 10:
        return EndOne();
      case 11:
        return Reserve(which);
      default:
        return AskScsi(which, Maker().Make());
    }
  }
  void ComeAndGo() {
    const SimTurn turn = sim_.Enter(executor_);
    const size_t disk = Below(3);
    switch (Below(3)) {
      case 0:
        return AttachDisk(hosts_[0], disk);
      case 1: {
        const absl::Status status = hosts_[0].vsp->Detach({.lun = static_cast<uint8_t>(disk)});
        return Require(status.ok() || absl::IsNotFound(status));
      }
      default:
        return disks_[disk]->Resize(kDiskBytes / 8 * (1 + Below(16)));
    }
  }
  void Look() {
    InspectNode node;
    for (Host& host : hosts_) host.vsp->Inspect(node);
    Require(!node.ToJson().empty());
    Require(!hosts_[0].vsp->HoldsMemory(99));
  }
  void PauseOrResume(size_t which) {
    const SimTurn turn = sim_.Enter(executor_);
    if (!channels_[which].is_open) return;
    Channel& guest = *channels_[which].guest;
    if (guest.reading_paused()) {
      guest.ResumeReading();
    } else {
      guest.PauseReading();
    }
  }
  void EndOne() {
    static constexpr BlockResult kResults[] = {
        BlockResult::kMediumError, BlockResult::kInvalid, BlockResult::kOutOfRange,
        BlockResult::kReadOnly,    BlockResult::kNoSpace, BlockResult::kNotSupported,
        BlockResult::kConflict,    BlockResult::kAborted, BlockResult::kTimedOut,
        BlockResult::kGone};
    WatchedDisk& disk = *disks_[Below(3)];
    if (disk.waiting() == 0) return;
    const BlockResult result =
        Below(4) == 3 ? kResults[Below(std::size(kResults))] : BlockResult::kOk;
    const SimTurn turn = sim_.Enter(executor_);
    disk.End(Below(static_cast<uint32_t>(disk.waiting())), result);
  }

  // The controller goes on in another host; a state that was tampered with is refused or does no harm to the host.
  void SaveAndRestore(size_t which) {
    Host& host = hosts_[which];
    std::vector<size_t> open;
    for (size_t i = 0; i < kChannels; ++i) {
      if (HostOf(i) == which && channels_[i].is_open) open.push_back(i);
    }
    const bool elsewhere = Below(2) == 1;
    std::vector<std::byte> of_channels;
    std::vector<std::byte> state = Save(host, open, of_channels);
    if (Below(4) == 3) Tamper(state);
    if (elsewhere) {
      DestroyVsp(which);
      EndAll();  // nothing may be at work any more
      MakeVsp(which);
    }
    const SimTurn turn = sim_.Enter(executor_);
    StateReader channels(of_channels);
    for (const size_t i : open) {
      MakeHostEnd(i);
      channels_[i].host->Exchange(channels);
    }
    Require(channels.Finish().ok());
    StateReader reader(state);
    const bool restored = host.vsp->Restore(reader).ok() && reader.Finish().ok();
    Require(restored || world_.tampered);
    for (const size_t i : open) {
      const Vsp::OpenData data = host.context->open_data(IndexOf(i));
      Channel& channel = *channels_[i].host;
      Require(
          (restored ? host.vsp->OnReopen(channel, data) : host.vsp->OnOpen(channel, data)).ok());
    }
  }
  std::vector<std::byte> Save(Host& host, const std::vector<size_t>& open,
                              std::vector<std::byte>& of_channels) {
    const SimTurn turn = sim_.Enter(executor_);
    StateWriter channels;
    for (const size_t i : open) channels_[i].host->Exchange(channels);
    of_channels = std::move(channels).Take();
    StateWriter writer;
    Require(host.vsp->Save(writer).ok());
    for (const size_t i : open) channels_[i].host->Vanish();
    for (const size_t i : open) host.vsp->OnClose(*channels_[i].host);
    return std::move(writer).Take();
  }
  void Tamper(std::vector<std::byte>& state) {
    world_.tampered = true;
    for (uint32_t count = 1 + Below(4); count > 0; --count) {
      state[Below(static_cast<uint32_t>(state.size()))] = static_cast<std::byte>(Below(256));
    }
    state.resize(state.size() - Below(4));
  }

  // ---- The end.

  void Idle() { Require(sim_.RunUntilIdle().ok()); }
  void EndAll() {
    Idle();
    for (int ended = 0;; ++ended) {
      Require(ended < 20000);
      bool any = false;
      for (auto& disk : disks_) {
        if (disk->waiting() == 0) continue;
        const SimTurn turn = sim_.Enter(executor_);
        disk->End(0, BlockResult::kOk);
        any = true;
      }
      if (!any) break;
      Idle();
    }
  }
  // Everything that was asked is answered, once the guest reads, the disks end and the controllers are ready.
  void ComeToAnEnd() {
    for (size_t i = 0; i < kChannels; ++i) {
      if (channels_[i].is_open && channels_[i].guest->reading_paused()) PauseOrResume(i);
    }
    EndAll();
    for (const size_t primary : {size_t{0}, kChannels - 1}) {
      OpenChannel(primary);
      Initialize(primary);
    }
    EndAll();
    for (Ends& ends : channels_) {
      if (!ends.is_open || ends.host->closed() || world_.tampered) continue;
      Require(!ends.guest->closed() || ends.raw_asked != 0);
      for (const Asked& asked : ends.asked) Require(asked.ends == 1);
    }
  }

  FuzzInput& input_;
  World& world_;
  SimScheduler sim_{0, {.steps_max = 20000, .post_capacity = 1}};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  StorvspOptions options_;
  DiskOptions disk_options_;
  std::array<uint32_t, 3> sector_bytes_ = {};  // as the targets count
  std::array<std::shared_ptr<WatchedDisk>, 3> disks_;
  std::array<Host, 2> hosts_;
  std::array<Ends, kChannels> channels_;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  static World world;
  FuzzInput input(data, size);
  Fuzz(input, world).Run();
  return 0;
}
