#include "devices/storvsc/host/storvsp_channel.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "devices/storvsc/host/inquiry.h"
#include "framework/base/status.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

// How long the CDBs of an opcode's group are; 0 where the standard does not say.
uint8_t CdbBytes(uint8_t opcode) {
  constexpr uint8_t kBytes[8] = {6, 10, 10, 0, 16, 12, 0, 0};
  return kBytes[opcode >> 5];
}

}  // namespace

StorvspChannel::StorvspChannel(Channel& channel, uint16_t index, GuestMemory& memory, Owner& owner,
                               const Limits& limits)
    : channel_(&channel),
      opened_(channel),
      index_(index),
      memory_(memory),
      owner_(owner),
      limits_(limits),
      slots_(std::max(limits.requests_max, 1u)),
      answers_ready_(channel.executor(), Callback::To<&StorvspChannel::SendAll>(this)) {
  const size_t pages = limits.transfer_bytes_max / kPageSize + 2;  // both ends inside of a page
  page_space_ = std::make_unique<Pfn[]>(pages * slots_.size());
  segment_space_ = std::make_unique<BlockSegment[]>(pages * slots_.size());
  for (size_t i = 0; i < slots_.size(); ++i) {
    StorvspSlot& slot = slots_[i];
    slot.channel = this;
    slot.pages = {page_space_.get() + i * pages, pages};
    slot.segment_space = {segment_space_.get() + i * pages, pages};
    free_.push_back(slot);
  }
}

StorvspChannel::~StorvspChannel() {
  assert(closed() && under_way_ == 0);
  free_.clear();
  done_.clear();
}

void StorvspChannel::Park() {
  parked_ = true;
  UpdateReading();
}

void StorvspChannel::Resume() {
  parked_ = false;
  UpdateReading();
}

void StorvspChannel::UpdateReading() {
  if (closed()) return;
  if (parked_ || free_.empty()) {
    channel_->PauseReading();
  } else {
    channel_->ResumeReading();
  }
}

void StorvspChannel::OnPacket(Channel& channel, const Packet& packet) {
  if (packet.type == PacketType::kTransferPages || !packet.completion_requested) {
    return channel.Close(Violation(channel.name(), "packet type",
                                   static_cast<uint64_t>(packet.type),
                                   "a request in band or with guest pages, to be completed"));
  }
  if (packet.payload.size() < sizeof(storvsc::PacketHeader)) {
    return channel.Close(Violation(channel.name(), "packet bytes", packet.payload.size()));
  }
  Accept(packet);
}

void StorvspChannel::Accept(const Packet& packet) {
  StorvspSlot& slot = free_.front();  // there is one: else the ring is not read
  free_.pop_front();
  if (free_.empty()) [[unlikely]] {
    ++counters_.slots_empty;
    channel_->PauseReading();
  }
  const size_t bytes = std::min(packet.payload.size(), sizeof slot.packet);
  if (bytes < sizeof slot.packet) slot.packet = {};
  std::memcpy(&slot.packet, packet.payload.data(), bytes);
  slot.reply_bytes = static_cast<uint32_t>(bytes);
  slot.transaction_id = packet.transaction_id;
  slot.end_as = 0;
  if (slot.packet.header.operation != storvsc::kExecuteSrb) return owner_.OnControl(*this, slot);
  Execute(slot, packet);
}

void StorvspChannel::Execute(StorvspSlot& slot, const Packet& packet) {
  ++counters_.requests;
  const storvsc::ScsiRequest& request = slot.packet.body;
  if (!owner_.ready()) [[unlikely]] {
    return Answer(slot, storvsc::kStatusInvalidDeviceState);
  }
  slot.sequence = owner_.NextSequence();
  if (slot.reply_bytes < storvsc::kOldPacketBytes) [[unlikely]] {
    return Answer(slot, storvsc::kStatusInvalidParameter);
  }
  if (!MapData(slot, packet)) [[unlikely]]
    return;
  std::memcpy(slot.cdb.data(), request.cdb_or_sense.data(), slot.cdb.size());
  slot.cdb_length = request.cdb_length;
  slot.direction = request.data_in;
  const ScsiOutcome bad_cdb = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
  if (slot.cdb_length > slot.cdb.size() || slot.cdb_length < CdbBytes(slot.cdb[0])) [[unlikely]] {
    return Complete(slot, storvsc::kStatusIoDeviceError, bad_cdb);
  }
  if (slot.cdb[0] == scsi::kReportLuns) {
    // With the path that the guest gave, also on an IDE channel.
    owner_.luns().EndReportLuns(request.path_id, request.target_id, slot);
    return Complete(slot, NtStatusOf(slot.outcome.srb_status), slot.outcome);
  }
  slot.lun = owner_.luns().Find({owner_.PathOf(request), request.target_id, request.lun});
  if (slot.lun == nullptr) [[unlikely]] {
    ++counters_.absent_lun;
    slot.outcome = outcome::NoLun();
    if (slot.cdb[0] == scsi::kInquiry) (void)EndAbsentInquiry(request.lun, slot);
    return Complete(slot, NtStatusOf(slot.outcome.srb_status), slot.outcome);
  }
  if (slot.lun->target->Execute(slot)) {
    return Complete(slot, NtStatusOf(slot.outcome.srb_status), slot.outcome);
  }
  slot.state = StorvspSlot::State::kRunning;
  ++slot.lun->under_way;
  ++under_way_;
}

// Finds the guest's memory. False: the command was answered.
bool StorvspChannel::MapData(StorvspSlot& slot, const Packet& packet) {
  const uint32_t bytes = slot.packet.body.data_transfer_length;
  slot.data_bytes = bytes;
  slot.data = {};
  slot.page_count = 0;
  if (bytes == 0 && packet.type == PacketType::kInBand) return true;
  const auto ranges = GpaDirectRanges::Parse(packet.extension);
  if (packet.type != PacketType::kGpaDirect || !ranges || ranges->range_count() != 1 ||
      ranges->total_bytes() < bytes) {
    ++counters_.bad_ranges;
    Complete(slot, storvsc::kStatusInvalidParameter,
             outcome::CheckWithoutSense(storvsc::kSrbInvalidRequest));
    return false;
  }
  const ScsiOutcome bad_memory = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
  if (bytes > limits_.transfer_bytes_max) {
    ++counters_.bad_ranges;
    Complete(slot, storvsc::kStatusIoDeviceError, bad_memory);
    return false;
  }
  if (bytes == 0) return true;
  // One range: reserved, count, length, offset, pages.
  constexpr size_t kOffsetAt = 12;
  constexpr size_t kPagesAt = 16;
  std::memcpy(&slot.page_offset, packet.extension.data() + kOffsetAt, sizeof slot.page_offset);
  slot.page_count = static_cast<uint32_t>(PagesSpanned(slot.page_offset, bytes));
  std::memcpy(slot.pages.data(), packet.extension.data() + kPagesAt, slot.page_count * sizeof(Pfn));
  GpaCursor cursor(*ranges);
  size_t count = 0;
  for (uint32_t left = bytes; left != 0; ++count) {
    GpaSegment segment;
    if (!cursor.Next(segment)) break;
    const uint32_t part = std::min(segment.length, left);
    const absl::StatusOr<std::span<std::byte>> memory = memory_.Translate(segment.gpa, part);
    if (!memory.ok()) {
      ++counters_.bad_ranges;
      Complete(slot, storvsc::kStatusIoDeviceError, bad_memory);
      return false;
    }
    slot.segment_space[count] = {.data = memory->data(), .bytes = part};
    left -= part;
  }
  slot.data = slot.segment_space.first(count);
  return true;
}

void StorvspChannel::OnTaskEnd(StorvspSlot& slot) {
  --under_way_;
  const bool lun_idle = owner_.luns().Release(*slot.lun);
  slot.lun = nullptr;
  if (slot.end_as != 0) [[unlikely]] {
    slot.outcome = outcome::Aborted(slot.end_as);
  }
  if (closed()) [[unlikely]] {
    Free(slot);
    owner_.OnIdle();
  } else {
    Complete(slot, NtStatusOf(slot.outcome.srb_status), slot.outcome);
  }
  if (lun_idle) [[unlikely]] {
    owner_.OnIdle();
  }
  if (owner_.reset_waits) [[unlikely]] {
    owner_.OnCommandEnd();
  }
}

void StorvspChannel::Complete(StorvspSlot& slot, uint32_t status, const ScsiOutcome& end) {
  StorvspSlot::ScsiPacket& packet = slot.packet;
  packet = {};
  packet.header = {.operation = storvsc::kCompleteIo, .flags = 0, .status = status};
  packet.body.length = storvsc::kRequestLength;
  packet.body.srb_status = end.srb_status;
  packet.body.scsi_status = end.scsi_status;
  packet.body.cdb_length = storvsc::kMaxCdbBytes;
  packet.body.sense_info_length = storvsc::kMaxSenseBytes;
  packet.body.data_transfer_length = end.transferred;
  if (end.scsi_status != scsi::kGood) {
    ++counters_.check_conditions;
    if (end.has_sense) {
      packet.body.srb_status |= storvsc::kSrbAutosenseValid;
      const auto sense = scsi::FixedSense(end.sense);
      std::ranges::copy(sense, packet.body.cdb_or_sense.begin());
    }
  }
  Send(slot);
}

// Inside of a drain answers are published together anyway; else those that end together are collected, until the last
// one that is under way ended or the next turn.
void StorvspChannel::Send(StorvspSlot& slot) {
  slot.state = StorvspSlot::State::kDone;
  done_.push_back(slot);
  if (under_way_ == 0) return SendAll();
  answers_ready_.Signal();
}

void StorvspChannel::SendAll() {
  if (closed() || ring_full_) return;
  const Channel::Batch batch(*channel_);
  while (!done_.empty()) {
    StorvspSlot& slot = done_.front();
    const auto answer = BytesOf(slot.packet).first(slot.reply_bytes);
    if (channel_->Complete(slot.transaction_id, answer) == SendResult::kFull) {
      ++counters_.ring_full;
      ring_full_ = true;
      return;
    }
    done_.pop_front();  // sent; or the channel has ended, and OnClosed follows
    Free(slot);
  }
}

void StorvspChannel::Free(StorvspSlot& slot) {
  slot.state = StorvspSlot::State::kFree;
  const bool waited_for = free_.empty();
  free_.push_front(slot);
  if (waited_for) UpdateReading();
}

SendResult StorvspChannel::SendMessage(uint32_t operation, size_t bytes) {
  if (closed()) return SendResult::kClosed;
  const storvsc::PacketOf<storvsc::NoBody> packet = {
      .header = {.operation = operation, .flags = 0, .status = 0}, .body = {}, .zeros = {}};
  return channel_->Send({.payload = BytesOf(packet).first(bytes)});
}

void StorvspChannel::OnWritable(Channel&) {
  ring_full_ = false;
  if (index_ == 0) owner_.OnRoom();
  SendAll();
}

void StorvspChannel::OnClosed(Channel&, const absl::Status&) { Close(); }

void StorvspChannel::Close() {
  if (closed()) return;
  channel_ = nullptr;
  answers_ready_.Cancel();
  while (!done_.empty()) {
    StorvspSlot& slot = done_.front();
    done_.pop_front();
    Free(slot);
  }
  for (StorvspSlot& slot : slots_) {
    if (slot.state == StorvspSlot::State::kWaiting) Free(slot);
  }
}

void StorvspChannel::Inspect(InspectNode& node) const {
  node.Set("under_way", under_way_);
  node.Set("parked", parked_);
  node.Set("requests", counters_.requests);
  node.Set("check_conditions", counters_.check_conditions);
  node.Set("bad_ranges", counters_.bad_ranges);
  node.Set("absent_lun", counters_.absent_lun);
  node.Set("ring_full", counters_.ring_full);
  node.Set("slots_empty", counters_.slots_empty);
}

}  // namespace vmbuskit
