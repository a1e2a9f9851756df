// A page that the hypervisor lays over guest RAM: HYPERCALL, SIMP, SIEFP, REFERENCE_TSC and VP assist.
// Source: protocol 01 section 2.2; both readings of what happens to the RAM beneath.
//
//   OverlayPage simp(memory, OverlayReading::kCopyOver, &host_gate);
//   VMBUSKIT_RETURN_IF_ERROR(simp.Enable(gpa));
//   { AccessGate::Scope inside(host_gate);
//     if (std::byte* page = simp.live()) ... }
//
// Thread safety: Enable, Disable and Reset under the owner's control lock; live() from any thread that reads it
// inside `user_gate`. After Disable returned nobody on the host touches the page.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OVERLAY_PAGE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OVERLAY_PAGE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "platform/access_gate.h"
#include "platform/memory.h"
#include "transports/embedded_host/partition_options.h"

namespace vmbuskit {

class OverlayPage {
 public:
  // `user_gate` may be null when nothing but the owner uses the page.
  OverlayPage(GuestMemory& memory, OverlayReading reading, const AccessGate* user_gate)
      : memory_(memory), reading_(reading), user_gate_(user_gate) {}
  OverlayPage(const OverlayPage&) = delete;
  OverlayPage& operator=(const OverlayPage&) = delete;

  // Lays the page over `gpa` (page-aligned); moves it when it was enabled elsewhere. OutOfRange, and nothing
  // changed, when there is no such page.
  absl::Status Enable(Gpa gpa);
  void Disable();
  // Disables and forgets the contents (partition reset).
  void Reset();

  // Saves, or takes over what was saved, while nobody uses the page; with StateWriter or StateReader. What the page was
  // laid over before is not touched any more: the guest's RAM is as it was saved.
  template <typename Archive>
  void Exchange(Archive& archive);

  // Shared with the guest; null while disabled.
  std::byte* live() const { return live_.load(); }
  bool enabled() const { return live_.load() != nullptr; }

  // What the page holds while disabled.
  std::span<std::byte, kPageSize> contents() { return contents_; }

 private:
  GuestMemory& memory_;
  const OverlayReading reading_;
  const AccessGate* const user_gate_;
  std::atomic<std::byte*> live_ = nullptr;
  Gpa gpa_ = 0;
  alignas(8) std::array<std::byte, kPageSize> contents_{};
  alignas(8) std::array<std::byte, kPageSize> hidden_ram_{};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_OVERLAY_PAGE_H_
