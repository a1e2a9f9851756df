// For tests: a storvsp whose guest is the test, in virtual time: packets as bytes, no guest driver.
//
//   StorvspGuest guest;
//   ASSERT_TRUE(guest.vsp().Attach({.lun = 0}, disk).ok());
//   guest.Initialize();
//   const ScsiReply reply = guest.Do({.cdb = {0x12, 0, 0, 0, 36, 0}, .bytes = 36});
//   EXPECT_EQ(reply.srb_status, 0x01);
//
// Guest memory is 4 MiB; data lies at kDataGpa unless said otherwise. Thread safety: one thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_TESTING_H_

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"
#include "framework/base/saved_state.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/payload.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit {

struct ScsiCall {
  std::vector<uint8_t> cdb = {};
  uint32_t bytes = 0;  // data_transfer_length, and of the range
  uint8_t direction = storvsc::kDataIn;
  BlockAddress address = {};
  Gpa gpa = 0x10000;
  int cdb_length = -1;       // as many as there are in `cdb`
  int64_t range_bytes = -1;  // as `bytes`
};

// A completion, taken apart.
struct ScsiReply {
  bool answered = false;
  storvsc::PacketOf<storvsc::ScsiRequest> packet{};
  size_t bytes = 0;

  uint32_t status() const { return packet.header.status; }
  uint8_t srb_status() const { return packet.body.srb_status; }
  uint8_t scsi_status() const { return packet.body.scsi_status; }
  uint32_t transferred() const { return packet.body.data_transfer_length; }
  scsi::Sense sense() const {
    const auto& bytes = packet.body.cdb_or_sense;
    return {.key = bytes[2], .asc = bytes[12], .ascq = bytes[13]};
  }
};

class StorvspGuest {
 public:
  static constexpr Gpa kDataGpa = 0x10000;
  using Packet64 = storvsc::PacketOf<storvsc::ScsiRequest>;

  explicit StorvspGuest(const StorvspOptions& options = {}, uint64_t seed = 0)
      : sim_(seed),
        memory_(MemfdMemory::Create({.page_count = 1024}).value()),
        context_(host_executor_, memory_.get()),
        vsp_(std::make_unique<Storvsp>(context_, options)) {}
  ~StorvspGuest() {
    while (!channels_.empty()) Close(channels_.rbegin()->first);
    const SimTurn turn = sim_.Enter(host_executor_);
    vsp_.reset();
  }

  SimScheduler& sim() { return sim_; }
  SimExecutor& host_executor() { return host_executor_; }
  FakeVspContext& context() { return context_; }
  Storvsp& vsp() { return *vsp_; }
  GuestMemory& memory() { return *memory_; }
  std::span<std::byte> data(size_t bytes, Gpa gpa = kDataGpa) {
    return memory_->Translate(gpa, bytes).value();
  }
  void Run() { EXPECT_TRUE(sim_.RunUntilIdle().ok()); }
  Channel& host(uint16_t index = 0) { return *channels_.at(index)->host; }
  Channel& channel(uint16_t index = 0) { return channels_.at(index)->pair->guest(); }
  // Messages of the host that are no answers.
  std::vector<RecordingHandler::Record>& messages() { return channels_.at(0)->handler.packets; }

  void Open(uint16_t index = 0, uint32_t ring_bytes = 64 * 1024) {
    auto made = std::make_unique<Opened>();
    made->pair = std::make_unique<ChannelPair>(
        guest_executor_, host_executor_,
        ChannelPair::Options{.up_bytes = ring_bytes, .down_bytes = ring_bytes, .with_host = false});
    made->pair->guest().Start(made->handler);
    MakeHost(*made);
    const SimTurn turn = sim_.Enter(host_executor_);
    EXPECT_TRUE(vsp_->OnOpen(*made->host, context_.open_data(index)).ok());
    channels_[index] = std::move(made);
  }
  void Close(uint16_t index = 0) {
    const SimTurn turn = sim_.Enter(host_executor_);
    Opened& opened = *channels_.at(index);
    opened.host->Close(absl::CancelledError("test ends"));
    vsp_->OnClose(*opened.host);
    opened.pair->DestroyGuest();
    opened.pair->to_host().Connect(nullptr);
    channels_.erase(index);
  }
  void DestroyVsp() {
    const SimTurn turn = sim_.Enter(host_executor_);
    vsp_.reset();
  }
  // As the embedded host does it with a VSP that the embedder made: the guest's end stays as it is.
  void SaveAndRestore() {
    const SimTurn turn = sim_.Enter(host_executor_);
    StateWriter writer;
    for (auto& [index, opened] : channels_) opened->host->Exchange(writer);
    ASSERT_TRUE(vsp_->Save(writer).ok());
    const std::vector<std::byte> saved = std::move(writer).Take();
    for (auto& [index, opened] : channels_) opened->host->Vanish();
    for (auto& [index, opened] : channels_) vsp_->OnClose(*opened->host);
    StateReader reader(saved);
    for (auto& [index, opened] : channels_) {
      MakeHost(*opened);
      opened->host->Exchange(reader);
    }
    ASSERT_TRUE(vsp_->Restore(reader).ok()) << reader.status();
    ASSERT_TRUE(reader.Finish().ok());
    for (auto& [index, opened] : channels_) {
      ASSERT_TRUE(vsp_->OnReopen(*opened->host, context_.open_data(index)).ok());
    }
  }

  // Starts a request; its completion can be read from `Reply` when it is there.
  RecordingRequest& Start(const OutgoingPacket& packet, uint16_t index = 0) {
    requests_.push_back(std::make_unique<RecordingRequest>());
    const SimTurn turn = sim_.Enter(guest_executor_);
    EXPECT_EQ(
        channel(index).SendRequest(packet, *requests_.back(), sim_.Now() + std::chrono::hours(1)),
        SendResult::kOk);
    return *requests_.back();
  }
  static ScsiReply ReplyOf(const RecordingRequest& request) {
    ScsiReply reply;
    if (request.ends.size() != 1 || request.ends[0] != RequestEnd::kCompleted) return reply;
    reply.answered = true;
    reply.bytes = request.reply.size();
    std::memcpy(&reply.packet, request.reply.data(), std::min(reply.bytes, sizeof reply.packet));
    return reply;
  }

  RecordingRequest& StartPacket(const Packet64& packet, uint16_t index = 0,
                                size_t bytes = sizeof(Packet64)) {
    return Start({.payload = BytesOf(packet).first(bytes)}, index);
  }
  ScsiReply DoPacket(const Packet64& packet, uint16_t index = 0, size_t bytes = sizeof(Packet64)) {
    RecordingRequest& request = StartPacket(packet, index, bytes);
    Run();
    return ReplyOf(request);
  }
  ScsiReply DoOperation(uint32_t operation, uint16_t value = 0, uint16_t index = 0,
                        size_t bytes = sizeof(Packet64)) {
    Packet64 packet{};
    packet.header.operation = operation;
    packet.header.flags = storvsc::kFlagRequestCompletion;
    packet.body.length = value;  // the first two bytes of every body
    return DoPacket(packet, index, bytes);
  }
  // Opens the primary channel and goes through all steps with `version`.
  void Initialize(uint16_t version = storvsc::kVersion6_2) {
    if (!channels_.contains(0)) Open();
    EXPECT_EQ(DoOperation(storvsc::kBeginInitialization).status(), 0u);
    EXPECT_EQ(DoOperation(storvsc::kQueryProtocolVersion, version).status(), 0u);
    EXPECT_EQ(DoOperation(storvsc::kQueryProperties).status(), 0u);
    EXPECT_EQ(DoOperation(storvsc::kEndInitialization).status(), 0u);
  }

  static Packet64 PacketOf(const ScsiCall& call) {
    Packet64 packet{};
    packet.header = {.operation = storvsc::kExecuteSrb, .flags = 1, .status = 0};
    packet.body.length = storvsc::kRequestLength;
    packet.body.path_id = call.address.path;
    packet.body.target_id = call.address.target;
    packet.body.lun = call.address.lun;
    packet.body.cdb_length =
        static_cast<uint8_t>(call.cdb_length < 0 ? call.cdb.size() : call.cdb_length);
    packet.body.sense_info_length = storvsc::kMaxSenseBytes;
    packet.body.data_in = call.direction;
    packet.body.data_transfer_length = call.bytes;
    for (size_t i = 0; i < call.cdb.size(); ++i) packet.body.cdb_or_sense[i] = call.cdb[i];
    return packet;
  }
  RecordingRequest& StartScsi(const ScsiCall& call, uint16_t index = 0) {
    const Packet64 packet = PacketOf(call);
    const auto range = static_cast<uint32_t>(call.range_bytes < 0 ? call.bytes : call.range_bytes);
    if (range == 0) return StartPacket(packet, index);
    const auto offset = static_cast<uint32_t>(call.gpa % kPageSize);
    std::vector<Pfn> pfns(PagesSpanned(offset, range));
    for (size_t i = 0; i < pfns.size(); ++i) pfns[i] = call.gpa / kPageSize + i;
    std::vector<std::byte> space(GpaDirectBytes(pfns.size()));
    return Start({.type = PacketType::kGpaDirect,
                  .extension = BuildMultiPage(space, offset, range, pfns),
                  .payload = BytesOf(packet)},
                 index);
  }
  ScsiReply Do(const ScsiCall& call, uint16_t index = 0) {
    RecordingRequest& request = StartScsi(call, index);
    Run();
    return ReplyOf(request);
  }

 private:
  struct Opened {
    RecordingHandler handler;
    std::unique_ptr<ChannelPair> pair;
    std::unique_ptr<Channel> host;
  };

  void MakeHost(Opened& opened) {
    opened.host = std::make_unique<Channel>(
        host_executor_, Channel::Options{.name = "host end",
                                         .incoming = opened.pair->up(),
                                         .outgoing = opened.pair->down(),
                                         .signal_peer = opened.pair->to_guest().raise(),
                                         .max_packet_bytes = 64 * 1024,
                                         .guest_end = false});
    opened.pair->to_host().Connect(opened.host.get());
  }

  SimScheduler sim_;
  SimExecutor& guest_executor_ = sim_.NewExecutor(0);
  SimExecutor& host_executor_ = sim_.NewExecutor(1);
  std::unique_ptr<MemfdMemory> memory_;
  FakeVspContext context_;
  std::vector<std::unique_ptr<RecordingRequest>> requests_;
  std::unique_ptr<Storvsp> vsp_;
  std::map<uint16_t, std::unique_ptr<Opened>> channels_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_TESTING_H_
