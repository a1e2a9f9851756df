#include "transports/embedded_host/overlay_page.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/statusor.h"
#include "framework/base/saved_state.h"

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

// Most are empty, and then take one byte.
template <typename Archive>
void ExchangePage(Archive& archive, std::array<std::byte, kPageSize>& page) {
  bool used = std::ranges::any_of(page, [](std::byte one) { return one != std::byte{0}; });
  archive(used);
  if (used) {
    archive(page);
  } else {
    page.fill(std::byte{0});
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

template <typename Archive>
void OverlayPage::Exchange(Archive& archive) {
  bool enabled = this->enabled();
  archive(enabled);
  archive(gpa_);
  ExchangePage(archive, contents_);
  ExchangePage(archive, hidden_ram_);
  if constexpr (Archive::kLoading) {
    live_.store(nullptr);
    if (!enabled || !archive.ok()) return;
    absl::StatusOr<std::span<std::byte>> ram = memory_.Translate(gpa_, kPageSize);
    if (!ram.ok() || gpa_ % kPageSize != 0) {
      return archive.Fail("overlay page", gpa_, "no page of this guest");
    }
    live_.store(ram->data());
  }
}

template void OverlayPage::Exchange(StateWriter& archive);
template void OverlayPage::Exchange(StateReader& archive);

}  // namespace vmbuskit
