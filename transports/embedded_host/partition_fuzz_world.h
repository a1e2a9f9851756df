// A fuzzed partition with what is around it: guest memory that the address sanitizer watches, three executors in
// virtual time, events that count, a handler of the guest's messages that checks their order.
//
//   PartitionFuzzWorld world(options, /*seed=*/0);
//   world.partition().WriteRegister(0, kRegSimp, PageRegister(0x3000));
//   world.Run(std::chrono::microseconds(10));
//
// Thread safety: none. For fuzzers only.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_WORLD_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_WORLD_H_

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "framework/base/fuzzing.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/raw_guest.h"

namespace vmbuskit {

// Guest memory on the heap, with nothing behind it.
class FuzzMemory final : public GuestMemory {
 public:
  static constexpr uint64_t kPages = 24;

  FuzzMemory() : bytes_(static_cast<std::byte*>(std::aligned_alloc(kPageSize, kSize))) {
    std::memset(bytes_, 0, kSize);
  }
  ~FuzzMemory() override { std::free(bytes_); }

  uint64_t page_count() const override { return kPages; }
  absl::StatusOr<std::span<std::byte>> Translate(Gpa gpa, size_t length) override {
    if (gpa > kSize || length > kSize - gpa) return absl::OutOfRangeError("beyond memory");
    return std::span(bytes_ + gpa, length);
  }
  absl::StatusOr<Mapping> Map(std::span<const Pfn>) override {
    return absl::UnimplementedError("nothing here maps pages");
  }

 private:
  static constexpr size_t kSize = kPages * kPageSize;

  std::byte* const bytes_;
};

class PartitionFuzzWorld : public GuestMessageHandler {
 public:
  static constexpr uint32_t kVps = 2;
  static constexpr size_t kQueueMax = 8;

  PartitionFuzzWorld(PartitionOptions options, uint64_t seed)
      : sim_(seed, {.steps_max = 400, .post_capacity = 16}) {
    options.synic_queue_messages_max = kQueueMax;
    options.inbox_messages_max = 4;
    options.monitor_period = std::chrono::microseconds(2);
    partition_ = std::make_unique<EmbeddedPartition>(
        memory_, host_, std::vector<Executor*>{&cpu0_, &cpu1_}, options);
    partition_->SetNotifications({.crash = &crash_.event, .reset = &reset_.event});
  }

  EmbeddedPartition& partition() { return *partition_; }
  CountingEvent& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }
  CountingEvent& signal() { return signal_; }
  bool refuses_messages = false;

  // May stop early: a guest can keep its timers busy for ever.
  void Run(Duration duration) { (void)sim_.RunFor(duration); }
  void RunUntilIdle() { (void)sim_.RunUntilIdle(); }

  // Guest memory as its owner uses it.
  void Write(Gpa gpa, std::span<const std::byte> bytes) {
    const auto target = memory_.Translate(gpa, bytes.size());
    if (target.ok() && !bytes.empty()) std::memcpy(target->data(), bytes.data(), bytes.size());
  }
  template <typename T>
  void Put(Gpa gpa, const T& value) {
    Write(gpa, std::as_bytes(std::span(&value, 1)));
  }
  // The slot of a SINT, where the guest laid the message page; null when there is none.
  SynicMessage* Slot(uint32_t vp, uint32_t sint) {
    const uint64_t simp = *partition_->ReadRegister(vp, kRegSimp);
    const auto page = memory_.Translate(simp & kPageRegisterPageMask, kPageSize);
    if ((simp & kPageRegisterEnable) == 0 || !page.ok()) return nullptr;
    return &reinterpret_cast<SynicMessagePage*>(page->data())->slot[sint];
  }

  // What a hypercall took from the guest must come to the handler in that order; what was sent to a port that went
  // may be missing.
  void Posted(uint32_t connection_id, std::span<const std::byte> payload) {
    posted_.push_back({connection_id, {payload.begin(), payload.end()}});
  }
  void ForgetPosted() {
    posted_.clear();
    expects_anything_ = false;
  }
  struct Message {
    uint32_t connection_id;
    std::vector<std::byte> payload;
  };
  const std::deque<Message>& posted() const { return posted_; }
  void RestorePosted(std::deque<Message> posted) { posted_ = std::move(posted); }
  // After a state that nobody vouches for, until ForgetPosted.
  void ExpectAnything() { expects_anything_ = true; }
  bool OnGuestMessage(uint32_t connection_id, std::span<const std::byte> payload) override {
    if (refuses_messages) return false;
    if (expects_anything_) return true;
    for (;;) {
      Require(!posted_.empty());
      const Message message = std::move(posted_.front());
      posted_.pop_front();
      if (message.connection_id == connection_id && std::ranges::equal(message.payload, payload)) {
        return true;
      }
    }
  }

 private:
  FuzzMemory memory_;
  SimScheduler sim_;
  SimExecutor& host_ = sim_.NewExecutor(0);
  SimExecutor& cpu0_ = sim_.NewExecutor(1);
  SimExecutor& cpu1_ = sim_.NewExecutor(2);
  CountingEvent interrupt0_{cpu0_};
  CountingEvent interrupt1_{cpu1_};
  CountingEvent signal_{host_};
  CountingEvent crash_{host_};
  CountingEvent reset_{host_};
  std::deque<Message> posted_;
  bool expects_anything_ = false;
  std::unique_ptr<EmbeddedPartition> partition_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_PARTITION_FUZZ_WORLD_H_
