// Safe removal of what another thread may be using, without a lock on the using side. The one thread that uses
// shared pointers does so inside the gate; whoever unpublished a pointer waits at the gate before it frees.
//
//   { AccessGate::Scope inside(gate);                     // the using thread: two stores
//     if (Event* event = slot.load()) event->Signal(); }
//
//   slot.store(nullptr);                                  // any other thread
//   gate.Synchronize();                                   // now nobody uses the old pointer any more
//
// Thread safety: Scope is for one thread at a time (an executor's), may nest and must not block; Synchronize for
// any thread that is not inside. It waits for the section that runs now and for none that begins later, so its
// wait is bounded by one section. Pointers must be loaded and cleared with memory_order_seq_cst.
#ifndef VMBUSKIT_PLATFORM_ACCESS_GATE_H_
#define VMBUSKIT_PLATFORM_ACCESS_GATE_H_

#include <atomic>
#include <cstdint>

namespace vmbuskit {

class AccessGate {
 public:
  class Scope {
   public:
    explicit Scope(AccessGate& gate) : gate_(gate) { gate_.Enter(); }
    ~Scope() { gate_.Leave(); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    AccessGate& gate_;
  };

  AccessGate() = default;
  AccessGate(const AccessGate&) = delete;
  AccessGate& operator=(const AccessGate&) = delete;

  void Synchronize() const;

 private:
  void Enter() {
    // Sequentially consistent: the pointer loads inside must not move before it.
    if (depth_++ == 0) epoch_.store(epoch_.load(std::memory_order_relaxed) + 1);
  }
  void Leave() {
    if (--depth_ == 0) {
      epoch_.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
  }

  alignas(64) std::atomic<uint64_t> epoch_ = 0;  // odd: somebody is inside
  uint32_t depth_ = 0;                           // the using thread's own
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_ACCESS_GATE_H_
