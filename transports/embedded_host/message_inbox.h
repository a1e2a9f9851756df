// Messages that the guest posted and the host has not handled yet: bounded, many processors in, one executor out,
// strictly in order of arrival. Source: protocol 01 section 3.6.
//
//   if (!inbox.Push(connection_id, type, payload)) return HypercallStatus::kInsufficientBuffers;   // guest
//   while (const PostedMessage* message = inbox.Front()) { Handle(*message); inbox.Pop(); }        // host
//
// Thread safety: Push from any thread; Front and Pop on the host executor. (Not boost::lockfree::queue: its node
// recycling reads links that another thread may be writing, which the thread sanitizer reports.)
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_INBOX_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_INBOX_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

struct PostedMessage {
  uint32_t connection_id = 0;
  uint32_t type = 0;
  uint32_t size = 0;
  std::array<std::byte, kMessagePayloadMax> bytes{};

  std::span<const std::byte> payload() const { return std::span(bytes).first(size); }
};

class MessageInbox {
 public:
  // `capacity` is rounded up to a power of two.
  explicit MessageInbox(uint32_t capacity)
      : mask_(std::bit_ceil(capacity) - 1), cells_(new Cell[mask_ + 1]) {
    for (uint64_t i = 0; i <= mask_; ++i) cells_[i].turn.store(i, std::memory_order_relaxed);
  }

  // False when full: nothing was queued. `payload` has at most 240 bytes.
  [[nodiscard]] bool Push(uint32_t connection_id, uint32_t type,
                          std::span<const std::byte> payload) {
    uint64_t position = tail_.load(std::memory_order_relaxed);
    // Each failed exchange means that another processor got on: at most as many turns as there are processors.
    for (;;) {
      Cell& cell = cells_[position & mask_];
      const auto ahead = static_cast<int64_t>(cell.turn.load(std::memory_order_acquire) - position);
      if (ahead < 0) return false;
      if (ahead > 0) {
        position = tail_.load(std::memory_order_relaxed);
        continue;
      }
      if (!tail_.compare_exchange_weak(position, position + 1, std::memory_order_relaxed)) continue;
      cell.message.connection_id = connection_id;
      cell.message.type = type;
      cell.message.size = static_cast<uint32_t>(payload.size());
      if (!payload.empty()) {
        std::memcpy(cell.message.bytes.data(), payload.data(), payload.size());
      }
      cell.turn.store(position + 1, std::memory_order_release);
      return true;
    }
  }

  // The oldest message, valid until Pop; null when there is none.
  const PostedMessage* Front() const {
    const Cell& cell = cells_[head_ & mask_];
    return cell.turn.load(std::memory_order_acquire) == head_ + 1 ? &cell.message : nullptr;
  }
  void Pop() {
    cells_[head_ & mask_].turn.store(head_ + mask_ + 1, std::memory_order_release);
    ++head_;
  }

  // Saves, or takes over what was saved; with StateWriter or StateReader, while no processor runs.
  template <typename Archive>
  void Exchange(Archive& archive) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    const size_t count = archive.Count("messages of the guest", tail - head_, mask_ + 1);
    if constexpr (Archive::kLoading) {
      while (Front() != nullptr) Pop();
    }
    for (uint64_t i = 0; i < count; ++i) {
      PostedMessage message =
          Archive::kLoading ? PostedMessage{} : cells_[(head_ + i) & mask_].message;
      archive(message.connection_id);
      archive(message.type);
      // No more than its bytes: behind them are those of an earlier message.
      if constexpr (Archive::kLoading) {
        const std::span<const std::byte> payload = archive.Bytes();
        if (payload.size() > kMessagePayloadMax ||
            !Push(message.connection_id, message.type, payload)) {
          return archive.Fail("message bytes", payload.size(), "more than a message holds");
        }
      } else {
        archive.Bytes(message.payload());
      }
    }
  }

 private:
  struct Cell {
    std::atomic<uint64_t> turn;  // position: free for it; position + 1: holds its message
    PostedMessage message;
  };

  const uint64_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<uint64_t> tail_ = 0;
  alignas(64) uint64_t head_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_MESSAGE_INBOX_H_
