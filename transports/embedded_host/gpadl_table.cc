#include "transports/embedded_host/gpadl_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"

namespace vmbuskit {

std::string_view GpadlStateName(GpadlState state) {
  switch (state) {
    case GpadlState::kInProgress:
      return "InProgress";
    case GpadlState::kOffered:
      return "Offered";
    case GpadlState::kOfferedTearingDown:
      return "OfferedTearingDown";
    case GpadlState::kAccepted:
      return "Accepted";
    case GpadlState::kTearingDown:
      return "TearingDown";
  }
  return "?";
}

absl::StatusOr<GpadlEntry*> GpadlTable::Begin(ChannelId channel, uint32_t handle,
                                              GpadlAssembly assembly) {
  if (in_progress_.contains(handle) || entries_.contains(Key(channel, handle))) {
    return Violation("GPADL_HEADER", "gpadl", handle, "in use");
  }
  if (entries_.size() >= limits_.count_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("GPADL ", handle, ": limit of ", limits_.count_max, " GPADLs reached"));
  }
  const uint32_t pages = assembly.qwords_needed();
  if (pages > limits_.in_progress_pages_max - in_progress_pages_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("GPADL ", handle, ": ", pages, " pages announced with ", in_progress_pages_,
                     " of ", limits_.in_progress_pages_max, " still missing"));
  }
  in_progress_pages_ += pages;
  in_progress_.emplace(handle, channel);
  GpadlEntry& entry = entries_[Key(channel, handle)];
  entry.assembly.emplace(std::move(assembly));
  return &entry;
}

void GpadlTable::EndProgress(uint32_t handle, GpadlEntry& entry) {
  if (!entry.assembly.has_value()) return;
  in_progress_pages_ -= entry.assembly->qwords_needed();
  in_progress_.erase(handle);
  entry.assembly.reset();
}

absl::Status GpadlTable::Complete(ChannelId channel, uint32_t handle, GpadlPages pages,
                                  bool charged) {
  GpadlEntry* entry = Find(channel, handle);
  const uint64_t bytes = charged ? pages.bytes() : 0;
  if (bytes > limits_.bytes_max - charged_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("GPADL ", handle, ": ", bytes, " bytes with ",
                                                     charged_bytes_, " of ", limits_.bytes_max,
                                                     " in use"));
  }
  EndProgress(handle, *entry);
  entry->state = GpadlState::kOffered;
  entry->pages = std::make_shared<const GpadlPages>(std::move(pages));
  entry->charged_bytes = bytes;
  charged_bytes_ += bytes;
  charged_bytes_peak_ = std::max(charged_bytes_peak_, charged_bytes_);
  return absl::OkStatus();
}

void GpadlTable::Remove(ChannelId channel, uint32_t handle) {
  const auto it = entries_.find(Key(channel, handle));
  if (it == entries_.end()) return;
  EndProgress(handle, it->second);
  charged_bytes_ -= it->second.charged_bytes;
  entries_.erase(it);
}

GpadlEntry* GpadlTable::Find(ChannelId channel, uint32_t handle) {
  const auto it = entries_.find(Key(channel, handle));
  return it == entries_.end() ? nullptr : &it->second;
}

const GpadlEntry* GpadlTable::Find(ChannelId channel, uint32_t handle) const {
  const auto it = entries_.find(Key(channel, handle));
  return it == entries_.end() ? nullptr : &it->second;
}

std::optional<ChannelId> GpadlTable::FindInProgress(uint32_t handle) const {
  const auto it = in_progress_.find(handle);
  if (it == in_progress_.end()) return std::nullopt;
  return it->second;
}

std::vector<uint32_t> GpadlTable::HandlesOf(ChannelId channel) const {
  std::vector<uint32_t> handles;
  for (auto it = entries_.lower_bound(Key(channel, 0));
       it != entries_.end() && it->first.first == channel; ++it) {
    handles.push_back(it->first.second);
  }
  return handles;
}

}  // namespace vmbuskit
