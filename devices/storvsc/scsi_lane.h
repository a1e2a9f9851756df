// The data path of one open storvsc channel: SCSI commands in, packets out, completions back.
// Source: protocol 10 sections 3.1, 5, 6 and 9.
//
//   ScsiLane lane(channel, listener);          // as soon as the channel is open
//   lane.Start();                              // Call(channel, ...) for the control messages goes on beside it
//   lane.SetVersion(version);                  // once it is negotiated, before the first command
//   lane.Submit(command);                      // command.OnScsiDone(end), exactly once
//   { Channel::Batch batch(channel); ... }     // several Submits, published together
//
// Submit always accepts: what finds no room in the ring or the request table waits in a list, first come first served.
// When the channel ends, what was outstanding is held, because the host may use its memory until the channel is torn
// down. Whoever closes it then says how that went:
//
//   co_await context.CloseChannels();          // destroys the channel
//   lane.EndAll(ScsiEnd::kGone);               // or kLost, when the host did not let go
//
// What was never sent, and what is submitted later, ends with kGone in either case: nobody can touch its memory.
// Deadlines: one timer looks at what is outstanding; a command past its time is reported once (OnOverdue) and stays,
// because only the host can end it.
//
// Thread safety: the channel's executor. Lifetime: constructed while the channel is open, not destroyed from inside a
// call of its own, and only when nothing is outstanding; the channel may go any time after OnClosed. The listener
// outlives it. Allocates at construction only.
// Errors: a host that breaks a rule fails the channel with a named error (Violation).
#ifndef VMBUSKIT_DEVICES_STORVSC_SCSI_LANE_H_
#define VMBUSKIT_DEVICES_STORVSC_SCSI_LANE_H_

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "devices/storvsc/scsi_command.h"
#include "framework/bus/condition.h"
#include "framework/channel/channel.h"
#include "framework/observe/inspect.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "platform/memory.h"
#include "platform/time.h"

namespace vmbuskit {

class ScsiLaneListener {
 public:
  virtual ~ScsiLaneListener() = default;

  // A packet that nobody asked for, such as storvsc::kEnumerateBus, or of an operation that nobody knows, which is to
  // be ignored. `packet` has at least 4 bytes and is valid until return.
  virtual void OnUnsolicited(ScsiLane& lane, uint32_t operation,
                             std::span<const std::byte> packet) = 0;
  // `command` is past its time; once for each. It goes on.
  virtual void OnOverdue(ScsiLane& lane, const ScsiCommand& command) = 0;
  // The channel ended. What was outstanding waits for EndAll.
  virtual void OnLaneClosed(ScsiLane& lane, const absl::Status& reason) = 0;
};

class ScsiLane final : public ChannelHandler {
 public:
  struct Options {
    Duration sweep_period = std::chrono::seconds(1);  // how exactly deadlines are kept
  };
  struct Counters {
    uint64_t submitted = 0;
    uint64_t completed = 0;
    uint64_t refused = 0;
    uint64_t waited = 0;  // found no room at first
    uint64_t overdue = 0;
    uint64_t unsolicited = 0;
    uint64_t ignored = 0;  // packets with an id that the host had no reason to send
  };

  ScsiLane(Channel& channel, ScsiLaneListener& listener);
  ScsiLane(Channel& channel, ScsiLaneListener& listener, const Options& options);
  ~ScsiLane() override;
  ScsiLane(const ScsiLane&) = delete;
  ScsiLane& operator=(const ScsiLane&) = delete;

  // Channel::Start.
  void Start();
  // How packets look from now on: 48 bytes before 5.1, 64 since (which it begins with).
  void SetVersion(uint16_t version);

  void Submit(ScsiCommand& command);

  // The channel was torn down, or its CLOSE failed: ends everything that is held, in the order of submission: what the
  // host had with `end` (kGone or kLost), what was never sent with kGone. What is submitted from now on ends with kGone
  // at the next turn.
  void EndAll(ScsiEnd end);

  // Before EndAll(kLost): keeps the pages of what is held from being used again when their owners free them
  // (PageAllocator::Withhold).
  void WithholdMemory(PageAllocator& pages) const;

  // Waits until nothing is outstanding: true. False after `deadline`.
  Task<bool> Drained(Duration deadline);

  // Null after the channel ended.
  Channel* channel() const { return channel_; }
  bool closed() const { return channel_ == nullptr; }
  Executor& executor() const { return executor_; }
  // Submitted and not ended.
  uint32_t outstanding() const {
    return static_cast<uint32_t>(sent_.size() + waiting_.size() + ending_.size());
  }
  // Of these, how many the host did not answer in time.
  uint32_t overdue() const { return overdue_; }
  // Largest command that fits into a packet of this channel, whatever its alignment; a multiple of 4096.
  uint32_t max_bytes() const { return max_pages_ <= 1 ? 0 : (max_pages_ - 1) * kPageSize; }
  const Counters& counters() const { return counters_; }
  void Inspect(InspectNode& node) const;

  // ChannelHandler.
  void OnPacket(Channel& channel, const Packet& packet) override;
  void OnWritable(Channel& channel) override;
  void OnClosed(Channel& channel, const absl::Status& reason) override;

 private:
  friend class ScsiCommand;
  using Commands =
      boost::intrusive::list<ScsiCommand, boost::intrusive::base_hook<ScsiCommandHook>>;

  SendResult TrySend(ScsiCommand& command);
  std::span<const std::byte> BuildRange(const ScsiCommand& command);
  uint32_t AddPages(Gpa begin, uint32_t length, uint32_t pages);
  uint32_t AddSegments(const ScsiCommand& command, Gpa& begin);
  void OnEnd(ScsiCommand& command, RequestEnd end, const Packet* completion);
  bool Accept(ScsiCommand& command, const Packet& completion);
  void EndLater(ScsiCommand& command, ScsiEnd end);
  void OnEnding();
  void OnSweep();
  void Fail(const char* field, uint64_t value, const char* rule);

  Executor& executor_;
  Channel* channel_;
  ScsiLaneListener& listener_;
  const Options options_;
  const uint32_t max_pages_;                  // that one packet can name
  const std::unique_ptr<std::byte[]> range_;  // where they are listed for it
  size_t packet_bytes_ = storvsc::kPacketBytes;
  uint8_t max_sense_bytes_ = storvsc::kMaxSenseBytes;

  storvsc::PacketOf<storvsc::ScsiRequest> template_{};  // what all packets have in common
  Commands sent_;     // the host has them, or had when the channel ended
  Commands waiting_;  // for room
  Commands ending_;   // to end at the next turn: refused, or submitted after the end
  ScsiEnd end_ = ScsiEnd::kCompleted;  // since EndAll: how commands end
  uint32_t tick_ = 0;
  uint32_t overdue_ = 0;
  Timer sweep_;
  Event ending_event_;
  Condition changed_;
  Counters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_SCSI_LANE_H_
