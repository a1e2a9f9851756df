#include "transports/embedded_host/overlay_page.h"

#include <cstdint>

#include "absl/status/statusor.h"

namespace vmbuskit {
namespace {

// The guest may write while the page is copied; what it then gets is its own affair, but each word is whole.
void CopyPage(std::byte* to, std::byte* from) {
  auto* target = reinterpret_cast<uint64_t*>(to);
  auto* source = reinterpret_cast<uint64_t*>(from);
  for (size_t i = 0; i < kPageSize / sizeof(uint64_t); ++i) {
    const uint64_t word = std::atomic_ref(source[i]).load(std::memory_order_relaxed);
    std::atomic_ref(target[i]).store(word, std::memory_order_relaxed);
  }
}

}  // namespace

absl::Status OverlayPage::Enable(Gpa gpa) {
  if (enabled() && gpa == gpa_) return absl::OkStatus();
  absl::StatusOr<std::span<std::byte>> ram = memory_.Translate(gpa, kPageSize);
  if (!ram.ok()) return ram.status();
  Disable();
  if (reading_ == OverlayReading::kHideRam) CopyPage(hidden_ram_.data(), ram->data());
  CopyPage(ram->data(), contents_.data());
  gpa_ = gpa;
  live_.store(ram->data());
  return absl::OkStatus();
}

void OverlayPage::Disable() {
  std::byte* const page = live_.exchange(nullptr);
  if (page == nullptr) return;
  if (user_gate_ != nullptr) user_gate_->Synchronize();
  CopyPage(contents_.data(), page);
  if (reading_ == OverlayReading::kHideRam) CopyPage(page, hidden_ram_.data());
}

void OverlayPage::Reset() {
  Disable();
  contents_.fill(std::byte{0});
}

}  // namespace vmbuskit
