// For storvsp_fuzz: what the controllers work with: a guest's memory that knows which of its bytes were given away, and
// disks that check what they are asked for.
//
//   static World world;
//   world.Reset();                                // an input finds what every other one finds
//   world.Give({.gpa = 4096, .length = 512});
//   Require(world.OnlyGivenChanged());
//
// Thread safety: one thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_WORLD_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_WORLD_TESTING_H_

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "framework/base/fuzzing.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/ring_testing.h"
#include "framework/interfaces/block_device.h"
#include "platform/linux/memfd_memory.h"

namespace vmbuskit {

inline constexpr uint64_t kGuestPages = 32;
inline constexpr size_t kGuestBytes = kGuestPages * kPageSize;
inline constexpr uint32_t kRingBytes = 4096;
inline constexpr uint64_t kDiskBytes = 256 * 1024;
// 0 to 2 of the first controller, the last one the second's primary.
inline constexpr size_t kChannels = 4;

// The guest's memory, what it should hold, and which bytes of it the host was given.
struct World {
  World() {
    for (auto& [up, down] : rings) {
      up = std::make_unique<TestRing>(kRingBytes);
      down = std::make_unique<TestRing>(kRingBytes);
    }
  }
  void Reset() {
    for (auto& ring : rings) Reset(ring);
    for (size_t page = 0; page < kGuestPages; ++page) {
      // Some as the disk reads, so that VERIFY can succeed.
      std::memset(bytes.data() + page * kPageSize, page % 4 == 0 ? 0x5A : 0xA5, kPageSize);
    }
    std::memcpy(shadow.data(), bytes.data(), kGuestBytes);
    std::fill(given.begin(), given.end(), 0);
    tampered = false;
  }
  static void Reset(std::pair<std::unique_ptr<TestRing>, std::unique_ptr<TestRing>>& ring) {
    std::memset(ring.first->memory().control, 0, sizeof(RingControl));
    std::memset(ring.second->memory().control, 0, sizeof(RingControl));
  }
  void Give(const GpaSegment& segment) {
    if (segment.gpa >= kGuestBytes) return;
    const size_t length = std::min<size_t>(segment.length, kGuestBytes - segment.gpa);
    std::memset(given.data() + segment.gpa, 1, length);
  }
  bool WasGiven(std::span<const std::byte> part) const {
    if (tampered) return true;
    const auto at = static_cast<size_t>(part.data() - bytes.data());
    for (size_t i = 0; i < part.size(); ++i) {
      if (given[at + i] == 0) return false;
    }
    return true;
  }
  bool OnlyGivenChanged() const {
    if (tampered) return true;
    bool right = true;
    for (size_t i = 0; i < kGuestBytes; ++i) right &= given[i] != 0 || bytes[i] == shadow[i];
    return right;
  }

  std::unique_ptr<MemfdMemory> memory = MemfdMemory::Create({.page_count = kGuestPages}).value();
  std::span<std::byte> bytes = memory->Translate(0, kGuestBytes).value();
  std::vector<std::byte> shadow{kGuestBytes};
  bool tampered = false;  // a saved state was tampered with: its requests name what they like
  std::vector<uint8_t> given = std::vector<uint8_t>(kGuestBytes);
  std::array<std::pair<std::unique_ptr<TestRing>, std::unique_ptr<TestRing>>, kChannels> rings;
};

// A disk that reads as 0x5A, whose requests end when the script says so.
class WatchedDisk final : public BlockDevice {
 public:
  WatchedDisk(World& world, const BlockInfo& info) : world_(world), info_(info) {}

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return bytes_; }
  std::unique_ptr<BlockQueue> OpenQueue(Executor&) override {
    return std::make_unique<Queue>(*this);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    return BlockBuffer::OfHeap(bytes);
  }

  void Resize(uint64_t bytes) {
    bytes_ = bytes;
    resized_ = true;
  }
  size_t waiting() const { return waiting_.size(); }
  void End(size_t which, BlockResult result) {
    BlockRequest& request = *waiting_[which];
    waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(which));
    if (result == BlockResult::kOk) Carry(request);
    request.OnDone(result);
  }

 private:
  class Queue final : public BlockQueue {
   public:
    explicit Queue(WatchedDisk& disk) : disk_(disk) {}
    void Submit(BlockRequest& request) override {
      disk_.Check(request);
      disk_.waiting_.push_back(&request);
    }

   private:
    WatchedDisk& disk_;
  };

  void Check(const BlockRequest& request) {
    const BlockResult result = CheckBlockRequest(request, info_, bytes_);
    const bool fits = result == BlockResult::kOk ||
                      (resized_ && result == BlockResult::kOutOfRange) ||
                      (request.operation == BlockOperation::kStatus && !info_.status);
    Require(fits);
    EachGuestPart(request,
                  [&](std::span<const std::byte> part) { Require(world_.WasGiven(part)); });
  }
  template <typename Each>
  void EachGuestPart(const BlockRequest& request, Each each) {
    for (const BlockSegment& segment : request.segments) {
      const std::less_equal<const std::byte*> no_more;
      if (no_more(world_.bytes.data(), segment.data) &&
          no_more(segment.data, world_.bytes.data() + kGuestBytes)) {
        each(std::span<const std::byte>(segment.data, segment.bytes));
      }
    }
  }
  void Carry(BlockRequest& request) {
    if (request.operation == BlockOperation::kRead) {
      for (const BlockSegment& segment : request.segments) {
        std::memset(segment.data, 0x5A, segment.bytes);
      }
    } else if (request.operation == BlockOperation::kWrite) {
      for (const BlockSegment& segment : request.segments) {
        for (uint32_t i = 0; i < segment.bytes; ++i) sum_ += static_cast<uint8_t>(segment.data[i]);
      }
    } else if (request.operation == BlockOperation::kStatus) {
      const uint64_t half = request.bytes / 2 / info_.block_bytes * info_.block_bytes;
      uint32_t count = 0;
      if (half != 0 && request.extents.size() > 1) {
        request.extents[count++] = {.bytes = half, .allocated = false, .zero = true};
      }
      request.extents[count] = {.bytes = request.bytes - (count == 0 ? 0 : half)};
      request.extent_count = count + 1;
    }
  }

  World& world_;
  const BlockInfo info_;
  uint64_t bytes_ = kDiskBytes;
  bool resized_ = false;
  uint64_t sum_ = 0;
  std::deque<BlockRequest*> waiting_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_FUZZ_WORLD_TESTING_H_
