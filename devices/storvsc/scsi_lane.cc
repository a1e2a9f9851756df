#include "devices/storvsc/scsi_lane.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "framework/base/status.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

using storvsc::ScsiRequest;
using ScsiPacket = storvsc::PacketOf<ScsiRequest>;

// The upper bound that Hyper-V's own headers name for max_transfer_bytes (section 3.2).
constexpr uint32_t kMaxPages = (8 << 20) / kPageSize + 1;
constexpr size_t kRangeHeadBytes = GpaDirectBytes(0);
static_assert(kRangeHeadBytes == 16);

uint32_t PagesOf(const Channel& channel) {
  const uint32_t largest = std::min(channel.max_packet_bytes(),
                                    channel.largest_packet_ring_bytes() - kPacketTrailerBytes);
  constexpr uint32_t kRest = sizeof(PacketDescriptor) + kRangeHeadBytes + storvsc::kPacketBytes;
  return largest <= kRest ? 0 : std::min<uint32_t>((largest - kRest) / sizeof(Pfn), kMaxPages);
}

uint32_t SrbFlags(storvsc::DataDirection direction) {
  constexpr uint32_t kAlways = storvsc::kSrbFlagDisableSynchTransfer |
                               storvsc::kSrbFlagQueueActionEnable | storvsc::kSrbFlagNoQueueFreeze;
  constexpr uint32_t kFlags[] = {kAlways | storvsc::kSrbFlagDataOut,
                                 kAlways | storvsc::kSrbFlagDataIn, kAlways};
  static_assert(storvsc::kDataOut == 0 && storvsc::kDataIn == 1 && storvsc::kNoData == 2);
  return kFlags[direction];
}

bool WellFormed(const ScsiCommand& command) {
  return command.cdb_bytes >= 6 && command.cdb_bytes <= storvsc::kMaxCdbBytes &&
         command.direction <= storvsc::kNoData &&
         (command.bytes == 0) == (command.direction == storvsc::kNoData);
}

}  // namespace

ScsiLane::ScsiLane(Channel& channel, ScsiLaneListener& listener)
    : ScsiLane(channel, listener, Options()) {}

ScsiLane::ScsiLane(Channel& channel, ScsiLaneListener& listener, const Options& options)
    : executor_(channel.executor()),
      channel_(&channel),
      listener_(listener),
      options_(options),
      max_pages_(PagesOf(channel)),
      range_(std::make_unique<std::byte[]>(GpaDirectBytes(max_pages_))),
      sweep_(executor_, Callback::To<&ScsiLane::OnSweep>(this)),
      ending_event_(executor_, Callback::To<&ScsiLane::OnEnding>(this)),
      changed_(executor_) {
  template_.header.operation = storvsc::kExecuteSrb;
  template_.header.flags = storvsc::kFlagRequestCompletion;
  template_.body.queue_tag = storvsc::kUntagged;
  template_.body.queue_action = storvsc::kSimpleQueueTag;
  SetVersion(storvsc::kVersion5_1);
}

ScsiLane::~ScsiLane() { assert(outstanding() == 0 && closed()); }

void ScsiLane::Start() { channel_->Start(*this); }

void ScsiLane::SetVersion(uint16_t version) {
  const bool extended = version >= storvsc::kVersion5_1;
  packet_bytes_ = storvsc::PacketBytes(version);
  max_sense_bytes_ = extended ? storvsc::kMaxSenseBytes : storvsc::kOldMaxSenseBytes;
  template_.body.length = extended ? storvsc::kRequestLength : storvsc::kOldRequestLength;
  template_.body.sense_info_length = max_sense_bytes_;
}

// Lists the pages of [begin, begin + length) behind the `pages` that stand there. Returns how many that makes; 0 when
// there is no room.
inline uint32_t ScsiLane::AddPages(Gpa begin, uint32_t length, uint32_t pages) {
  Pfn pfn = begin / kPageSize;
  const uint64_t count = (begin + length - 1) / kPageSize - pfn + 1;
  if (count > max_pages_ - pages) return 0;
  std::byte* to = range_.get() + GpaDirectBytes(pages);
  std::byte* const end = to + count * sizeof pfn;
  for (; to != end; to += sizeof pfn, ++pfn) std::memcpy(to, &pfn, sizeof pfn);
  return pages + static_cast<uint32_t>(count);
}

// The pages of several segments, and where the first begins; 0 when they break a rule.
uint32_t ScsiLane::AddSegments(const ScsiCommand& command, Gpa& begin) {
  uint32_t left = command.bytes;
  uint32_t skip = command.skip_bytes;
  uint32_t pages = 0;
  for (const BlockSegment& segment : command.segments) {
    if (skip != 0 && skip >= segment.bytes) return 0;
    if (segment.bytes == 0) continue;
    if (segment.gpa > BlockSegment::kNoGpa - segment.bytes) return 0;  // kNoGpa, too
    const uint32_t length = std::min(segment.bytes - skip, left);
    const Gpa here = segment.gpa + skip;
    if (pages == 0) begin = here;
    if (pages != 0 && here % kPageSize != 0) return 0;
    pages = AddPages(here, length, pages);
    left -= length;
    if (left == 0 || pages == 0) return pages;
    if ((here + length) % kPageSize != 0) return 0;
    skip = 0;
  }
  return 0;
}

// One range (section 5.1). Empty when the segments break a rule or need more pages than a packet can name.
inline std::span<const std::byte> ScsiLane::BuildRange(const ScsiCommand& command) {
  if (command.segments.empty()) return {};
  const BlockSegment& first = command.segments.front();
  Gpa begin = first.gpa + command.skip_bytes;
  uint32_t pages = 0;
  // Nearly always the first segment has it all.
  if (uint64_t{command.skip_bytes} + command.bytes <= first.bytes) [[likely]] {
    if (first.gpa > BlockSegment::kNoGpa - first.bytes) return {};  // kNoGpa, too
    pages = AddPages(begin, command.bytes, 0);
  } else {
    pages = AddSegments(command, begin);
  }
  if (pages == 0) return {};
  const uint32_t head[4] = {0, 1, command.bytes, static_cast<uint32_t>(begin % kPageSize)};
  static_assert(sizeof head == kRangeHeadBytes);
  std::memcpy(range_.get(), head, sizeof head);
  return {range_.get(), GpaDirectBytes(pages)};
}

// kTooBig also stands for everything else that can never be sent.
inline __attribute__((always_inline)) SendResult ScsiLane::TrySend(ScsiCommand& command) {
  if (!WellFormed(command)) [[unlikely]] {
    return SendResult::kTooBig;
  }
  OutgoingPacket outgoing;
  if (command.bytes != 0) {
    outgoing.type = PacketType::kGpaDirect;
    outgoing.extension = BuildRange(command);
    if (outgoing.extension.empty()) [[unlikely]] {
      return SendResult::kTooBig;
    }
  }
  ScsiPacket packet = template_;
  packet.body.path_id = command.address.path;
  packet.body.target_id = command.address.target;
  packet.body.lun = command.address.lun;
  packet.body.cdb_length = command.cdb_bytes;
  packet.body.data_in = command.direction;
  packet.body.data_transfer_length = command.bytes;
  std::memcpy(packet.body.cdb_or_sense.data(), command.cdb.data(), command.cdb.size());
  packet.body.srb_flags = SrbFlags(command.direction);
  packet.body.time_out_value = command.timeout_seconds;
  outgoing.payload = BytesOf(packet).first(packet_bytes_);
  const SendResult result = channel_->SendRequest(std::move(outgoing), command, kInfiniteFuture);
  if (result != SendResult::kOk) [[unlikely]] {
    return result;
  }
  command.sent_tick_ = tick_;
  sent_.push_back(command);
  if (!sweep_.armed()) [[unlikely]] {
    sweep_.Arm(executor_.Now() + options_.sweep_period);
  }
  return SendResult::kOk;
}

void ScsiLane::Submit(ScsiCommand& command) {
  ++counters_.submitted;
  command.lane_ = this;
  command.overdue_ = false;
  if (end_ != ScsiEnd::kCompleted) [[unlikely]] {
    return EndLater(command, ScsiEnd::kGone);
  }
  if (!waiting_.empty() || channel_ == nullptr) [[unlikely]] {
    waiting_.push_back(command);
    return;
  }
  switch (TrySend(command)) {
    case SendResult::kOk:
      break;
    case SendResult::kFull:
      ++counters_.waited;
      waiting_.push_back(command);
      break;
    case SendResult::kClosed:
      waiting_.push_back(command);  // OnClosed and EndAll follow
      break;
    case SendResult::kTooBig:
      EndLater(command, ScsiEnd::kRefused);
      break;
  }
}

// False: the host broke a rule, the channel has ended and the command is held as those that it did not answer.
inline bool ScsiLane::Accept(ScsiCommand& command, const Packet& completion) {
  if (completion.payload.size() < packet_bytes_) {
    Fail("completion bytes", completion.payload.size(), "is less than a packet of the version");
    return false;
  }
  storvsc::PacketHeader header;
  std::memcpy(&header, completion.payload.data(), sizeof header);
  if (header.operation != storvsc::kCompleteIo) {
    Fail("completion operation", header.operation, "is not COMPLETE_IO");
    return false;
  }
  // The first 36 bytes are there in every version. The CDB is not to be believed (section 3.1).
  const std::byte* const body = completion.payload.data() + sizeof header;
  command.srb_status = static_cast<uint8_t>(body[offsetof(ScsiRequest, srb_status)]);
  command.scsi_status = static_cast<uint8_t>(body[offsetof(ScsiRequest, scsi_status)]);
  command.sense_bytes = 0;
  command.transferred = 0;
  // Exactly these values, without flags (section 5.4).
  if (command.srb_status == storvsc::kSrbSuccess ||
      command.srb_status == storvsc::kSrbDataOverrun) {
    uint32_t transferred;
    std::memcpy(&transferred, body + offsetof(ScsiRequest, data_transfer_length),
                sizeof transferred);
    // More is not a lie: WRITE SAME says what it wrote (section 7).
    command.transferred = std::min(transferred, command.bytes);
  }
  if ((command.srb_status & storvsc::kSrbAutosenseValid) != 0) [[unlikely]] {
    command.sense_bytes = std::min(
        static_cast<uint8_t>(body[offsetof(ScsiRequest, sense_info_length)]), max_sense_bytes_);
    command.sense = {};
    std::memcpy(command.sense.data(), body + offsetof(ScsiRequest, cdb_or_sense),
                command.sense_bytes);
  }
  return true;
}

inline void ScsiLane::OnEnd(ScsiCommand& command, RequestEnd end, const Packet* completion) {
  if (end != RequestEnd::kCompleted) return;  // held: the host may still use its memory
  if (!Accept(command, *completion)) [[unlikely]] {
    return;
  }
  sent_.erase(sent_.iterator_to(command));
  if (command.overdue_) [[unlikely]] {
    --overdue_;
  }
  ++counters_.completed;
  if (outstanding() == 0) changed_.NotifyAll();
  command.OnScsiDone(ScsiEnd::kCompleted);
}

void ScsiCommand::OnEnd(RequestEnd end, const Packet* completion) {
  lane_->OnEnd(*this, end, completion);
}

void ScsiLane::OnPacket(Channel&, const Packet& packet) {
  // Only unsolicited packets have id 0, and only they come as something else than a completion.
  if (packet.transaction_id != 0 || packet.type != PacketType::kInBand) {
    ++counters_.ignored;
    return;
  }
  const std::optional<uint32_t> operation = packet.PayloadAs<uint32_t>();
  if (!operation) {
    return Fail("unsolicited packet bytes", packet.payload.size(), "holds no operation");
  }
  if (*operation == storvsc::kCompleteIo) {
    return Fail("unsolicited packet operation", *operation, "completes nothing");
  }
  ++counters_.unsolicited;
  listener_.OnUnsolicited(*this, *operation, packet.payload);
}

void ScsiLane::OnWritable(Channel& channel) {
  while (!waiting_.empty() && !channel.closed()) {
    ScsiCommand& command = waiting_.front();
    waiting_.pop_front();
    switch (TrySend(command)) {
      case SendResult::kOk:
        break;
      case SendResult::kFull:
      case SendResult::kClosed:
        return waiting_.push_front(command);
      case SendResult::kTooBig:
        EndLater(command, ScsiEnd::kRefused);
        break;
    }
  }
}

void ScsiLane::OnClosed(Channel& channel, const absl::Status& reason) {
  (void)channel;
  channel_ = nullptr;
  sweep_.Disarm();
  listener_.OnLaneClosed(*this, reason);
}

void ScsiLane::EndAll(ScsiEnd end) {
  assert(closed() && (end == ScsiEnd::kGone || end == ScsiEnd::kLost));
  end_ = end;
  overdue_ = 0;
  while (!sent_.empty()) {
    ScsiCommand& command = sent_.front();
    sent_.pop_front();
    command.OnScsiDone(end);
  }
  // What was never sent, nobody can touch.
  while (!waiting_.empty()) {
    ScsiCommand& command = waiting_.front();
    waiting_.pop_front();
    command.OnScsiDone(ScsiEnd::kGone);
  }
  if (outstanding() == 0) changed_.NotifyAll();
}

void ScsiLane::WithholdMemory(PageAllocator& pages) const {
  for (const ScsiCommand& command : sent_) {
    uint64_t skip = command.skip_bytes;
    uint64_t left = command.bytes;
    for (const BlockSegment& segment : command.segments) {
      if (left == 0 || skip >= segment.bytes) break;
      const uint64_t length = std::min<uint64_t>(segment.bytes - skip, left);
      const Gpa first = segment.gpa + skip;
      pages.Withhold(first / kPageSize, PagesSpanned(first % kPageSize, length));
      left -= length;
      skip = 0;
    }
  }
}

void ScsiLane::EndLater(ScsiCommand& command, ScsiEnd end) {
  command.end_ = end;
  ending_.push_back(command);
  ending_event_.Signal();
}

void ScsiLane::OnEnding() {
  // Those that are added meanwhile signal for themselves.
  for (size_t left = ending_.size(); left != 0; --left) {
    ScsiCommand& command = ending_.front();
    ending_.pop_front();
    if (command.end_ == ScsiEnd::kRefused) ++counters_.refused;
    command.OnScsiDone(command.end_);
  }
  if (outstanding() == 0) changed_.NotifyAll();
}

void ScsiLane::OnSweep() {
  ++tick_;
  for (ScsiCommand& command : sent_) {
    // In the tick that it was sent in, a part of the period had passed already.
    const uint32_t periods = tick_ - command.sent_tick_ - 1;
    if (command.overdue_ ||
        periods * options_.sweep_period < std::chrono::seconds(command.timeout_seconds)) {
      continue;
    }
    command.overdue_ = true;
    ++overdue_;
    ++counters_.overdue;
    listener_.OnOverdue(*this, command);
    if (closed()) return;
  }
  if (!sent_.empty()) sweep_.Arm(executor_.Now() + options_.sweep_period);
}

Task<bool> ScsiLane::Drained(Duration deadline) {
  const Instant end = executor_.Now() + deadline;
  while (outstanding() != 0) {
    const bool notified = co_await changed_.Wait(end);
    if (!notified) co_return outstanding() == 0;
  }
  co_return true;
}

void ScsiLane::Fail(const char* field, uint64_t value, const char* rule) {
  channel_->Close(Violation(channel_->name(), field, value, rule));
}

void ScsiLane::Inspect(InspectNode& node) const {
  node.Set("submitted", counters_.submitted);
  node.Set("completed", counters_.completed);
  node.Set("refused", counters_.refused);
  node.Set("waited", counters_.waited);
  node.Set("overdue", counters_.overdue);
  node.Set("unsolicited", counters_.unsolicited);
  node.Set("ignored", counters_.ignored);
  node.Set("outstanding", uint64_t{outstanding()});
}

}  // namespace vmbuskit
