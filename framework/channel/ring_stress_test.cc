// Two threads that sleep until the other side's signal decisions wake them: a lost wake-up hangs,
// and fails at the deadline.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "framework/channel/ring.h"
#include "framework/channel/ring_testing.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr std::chrono::seconds kDeadline(60);

// What an interrupt is to a sleeping CPU: rings coalesce, none is lost.
class Bell {
 public:
  void Ring() {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    condition_.notify_one();
  }
  // False: nobody rang until the deadline.
  bool Wait() {
    std::unique_lock lock(mutex_);
    if (!condition_.wait_for(lock, kDeadline, [this] { return rung_; })) return false;
    rung_ = false;
    ++waits_;
    return true;
  }
  uint64_t waits() const { return waits_; }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
  uint64_t waits_ = 0;
};

struct Plan {
  uint32_t data_bytes;
  uint64_t messages;        // each direction
  uint32_t in_flight_max;   // messages sent ahead of those received
  uint32_t batch_max = 16;  // packets per publish and per commit
};

size_t SizeOf(uint64_t id) { return static_cast<size_t>(8 + id * 2654435761u % 233); }

// One end: sends numbered messages, checks those that come, sleeps when it can do neither.
class End {
 public:
  End(const Plan& plan, TestRing& out, TestRing& in, Bell& own, Bell& peer, bool guest)
      : plan_(plan),
        writer_(out.memory()),
        reader_(in.memory(), {.guest_end = guest}),
        own_(own),
        peer_(peer) {}

  void Run() {
    while (!failed_) {
      reader_.Mask();
      Receive();
      Send();
      if (sent_ == plan_.messages && received_ == plan_.messages) return;
      if (MaySend() && writer_.RequestSpace(NextBytes())) continue;
      if (reader_.Unmask()) continue;
      if (!own_.Wait()) Fail("lost wake-up");
    }
  }

  const char* failure() const { return failed_; }
  uint64_t received() const { return received_; }

 private:
  bool MaySend() const { return sent_ < plan_.messages && sent_ < received_ + plan_.in_flight_max; }
  uint32_t NextBytes() const {
    return static_cast<uint32_t>(AlignTo8(SizeOf(sent_)) + kMinRingBytes);
  }

  void Receive() {
    uint32_t batch = 0;
    Packet packet;
    ReadResult result;
    while ((result = reader_.Next(packet)) == ReadResult::kPacket) {
      Check(packet);
      if (++batch % (1 + received_ % plan_.batch_max) == 0 && reader_.Commit()) peer_.Ring();
    }
    if (reader_.Commit()) peer_.Ring();
    if (result == ReadResult::kCorrupt) Fail("corrupt");
  }

  void Check(const Packet& packet) {
    if (packet.transaction_id != received_) Fail("order");
    if (packet.payload.size() != AlignTo8(SizeOf(received_))) return Fail("size");
    const auto expected = static_cast<std::byte>(received_ % 251);
    for (size_t i = 0; i < SizeOf(received_); ++i) {
      if (packet.payload[i] != expected) return Fail("content");
    }
    ++received_;
  }

  void Send() {
    uint32_t batch = 0;
    while (MaySend()) {
      std::fill_n(buffer_, SizeOf(sent_), static_cast<std::byte>(sent_ % 251));
      const std::span<const std::byte> payload(buffer_, SizeOf(sent_));
      if (writer_.Append({.transaction_id = sent_, .payload = payload}) != AppendResult::kOk) break;
      ++sent_;
      if (++batch % (1 + sent_ % plan_.batch_max) == 0 && writer_.Publish()) peer_.Ring();
    }
    if (writer_.Publish()) peer_.Ring();
    if (writer_.violation()) Fail(writer_.violation().rule);
  }

  void Fail(const char* why) { failed_ = why; }

  const Plan plan_;
  RingWriter writer_;
  RingReader reader_;
  Bell& own_;
  Bell& peer_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
  const char* failed_ = nullptr;
  std::byte buffer_[256];
};

void RunBoth(const Plan& plan) {
  TestRing up(plan.data_bytes), down(plan.data_bytes);
  Bell guest_bell, host_bell;
  End guest(plan, up, down, guest_bell, host_bell, true);
  End host(plan, down, up, host_bell, guest_bell, false);
  std::thread thread([&] { host.Run(); });
  guest.Run();
  thread.join();
  EXPECT_STREQ(guest.failure(), nullptr);
  EXPECT_STREQ(host.failure(), nullptr);
  EXPECT_EQ(guest.received(), plan.messages);
  EXPECT_EQ(host.received(), plan.messages);
  EXPECT_GT(guest_bell.waits() + host_bell.waits(), 0u) << "nobody ever slept: nothing was tested";
}

TEST(RingStress, MinimalRingsFullInBothDirections) {
  RunBoth({.data_bytes = 4096, .messages = 60000, .in_flight_max = UINT32_MAX});
}

TEST(RingStress, LargeRings) {
  RunBoth({.data_bytes = 64 * 1024, .messages = 60000, .in_flight_max = UINT32_MAX});
}

TEST(RingStress, PingPongSleepsOnEveryMessage) {
  RunBoth({.data_bytes = 4096, .messages = 5000, .in_flight_max = 1});
}

TEST(RingStress, FewInFlightMakesManyEdges) {
  RunBoth({.data_bytes = 4096, .messages = 30000, .in_flight_max = 3, .batch_max = 2});
}

}  // namespace
}  // namespace vmbuskit
