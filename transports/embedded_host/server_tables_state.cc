// Save and restore of the server's tables: channels and GPADLs.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "framework/base/saved_state.h"
#include "transports/embedded_host/gpadl_table.h"
#include "transports/embedded_host/offer_table.h"

namespace vmbuskit {
namespace {

bool IsSame(const OfferParameters& a, const OfferParameters& b) {
  return a.class_id == b.class_id && a.instance_id == b.instance_id &&
         a.subchannel_index == b.subchannel_index;
}

}  // namespace

void OfferTable::Clear() {
  channels_.clear();
  by_relid_.fill(nullptr);
  monitors_.reset();
  next_id_ = 1;
  successors_ = 0;
}

template <typename Archive>
void OfferTable::ExchangeNumbers(Archive& archive, ServerChannel& channel) {
  if constexpr (Archive::kLoading) {
    if (channel.relid != 0 && std::exchange(by_relid_[channel.relid], &channel) != nullptr) {
      archive.Fail("relid", channel.relid, "lent twice");
    }
    if (channel.monitor_id == kNoMonitor) return;
    if (channel.monitor_id >= kMonitorCount || monitors_[channel.monitor_id]) {
      archive.Fail("monitor id", channel.monitor_id, "lent twice, or none");
      channel.monitor_id = kNoMonitor;
      return;
    }
    monitors_[channel.monitor_id] = true;
  }
}

template <typename Archive>
void OfferTable::ExchangeSuccessor(Archive& archive, ServerChannel& channel) {
  uint32_t id = channel.successor == nullptr ? 0 : static_cast<uint32_t>(channel.successor->id);
  archive(id);
  if constexpr (Archive::kLoading) {
    if ((id != 0) != (channel.state == ChannelState::kReoffered)) {
      return archive.Fail("successor", id, "of a channel that was offered again");
    }
    if (id == 0) return;
    ServerChannel* const successor = FindLive(ChannelId{id});
    if (successor == nullptr || successor->predecessor != nullptr) {
      return archive.Fail("successor", id, "no channel, or another one's");
    }
    // It waits for the relid, and so that no other one can: Offer looks for both by the device.
    if (successor->state != ChannelState::kClientReleased ||
        !IsSame(successor->offer, channel.offer)) {
      return archive.Fail("successor", id, "of another device, or known to the guest");
    }
    Link(channel, *successor);
  }
}

void OfferTable::CheckRestored(StateReader& reader) const {
  std::set<std::tuple<Guid, Guid, uint16_t>> living;
  for (const auto& [id, channel] : channels_) {
    const OfferParameters& offer = channel.offer;
    if (channel.IsRevoked()) continue;
    if (!living.emplace(offer.class_id, offer.instance_id, offer.subchannel_index).second) {
      return reader.Fail("channel", static_cast<uint32_t>(id), "of a device that is there already");
    }
  }
}

template <typename Archive>
void OfferTable::Exchange(Archive& archive) {
  if constexpr (Archive::kLoading) Clear();
  archive(next_id_);
  const size_t count = archive.Count("channels", channels_.size(), 2 * kRelidMax);
  auto saved = channels_.begin();
  for (size_t i = 0; i < count; ++i) {
    uint32_t number = Archive::kLoading ? 0 : static_cast<uint32_t>(saved->first);
    archive(number);
    if constexpr (Archive::kLoading) {
      if (number == 0 || channels_.contains(ChannelId{number})) {
        return archive.Fail("channel id", number, "given twice, or 0");
      }
    }
    ServerChannel& channel = Archive::kLoading ? channels_[ChannelId{number}] : (saved++)->second;
    channel.id = ChannelId{number};
    archive(channel);
    ExchangeNumbers(archive, channel);
  }
  for (auto& [id, channel] : channels_) ExchangeSuccessor(archive, channel);
  if constexpr (Archive::kLoading) CheckRestored(archive);
}

template void OfferTable::Exchange(StateWriter& archive);
template void OfferTable::Exchange(StateReader& archive);

void GpadlTable::Clear() {
  entries_.clear();
  in_progress_.clear();
  charged_bytes_ = charged_bytes_peak_ = 0;
  in_progress_pages_ = 0;
}

template <typename Archive>
void GpadlTable::ExchangeAssembly(Archive& archive, GpadlEntry& entry) {
  uint32_t qwords = 0;
  uint32_t ranges = 0;
  if constexpr (!Archive::kLoading) {
    qwords = entry.assembly->qwords_needed();
    ranges = entry.assembly->range_count();
  }
  archive(qwords);
  archive(ranges);
  if constexpr (Archive::kLoading) {
    absl::StatusOr<GpadlAssembly> assembly =
        GpadlAssembly::Restore(qwords, ranges, archive.Bytes());
    if (!assembly.ok() || assembly->complete()) {
      return archive.Fail("GPADL qwords", qwords, "no GPADL that misses bodies");
    }
    if (qwords > limits_.in_progress_pages_max - in_progress_pages_) {
      return archive.Fail("GPADL qwords", qwords, "above the limit");
    }
    in_progress_pages_ += qwords;
    entry.assembly.emplace(*std::move(assembly));
  } else {
    archive.Bytes(entry.assembly->arrived());
  }
}

// As the guest listed them, so that the same checks apply.
template <typename Archive>
void GpadlTable::ExchangePages(Archive& archive, GpadlEntry& entry, uint64_t page_limit) {
  uint32_t ranges = 0;
  if constexpr (!Archive::kLoading) ranges = static_cast<uint32_t>(entry.pages->ranges.size());
  archive(ranges);
  archive(entry.charged_bytes);
  if constexpr (Archive::kLoading) {
    const std::span<const std::byte> bytes = archive.Bytes();
    GpadlPages pages;
    if (ranges != 0) {
      absl::StatusOr<GpadlAssembly> assembly =
          GpadlAssembly::Restore(static_cast<uint32_t>(bytes.size() / 8), ranges, bytes);
      if (!assembly.ok()) return archive.Fail("GPADL ranges", ranges, "not in those bytes");
      absl::StatusOr<GpadlPages> finished = (*std::move(assembly)).Finish(page_limit);
      if (!finished.ok()) return archive.Fail("GPADL ranges", ranges, "no pages of this guest");
      pages = *std::move(finished);
    }
    if (entry.charged_bytes != 0 && entry.charged_bytes != pages.bytes()) {
      return archive.Fail("GPADL bytes charged", entry.charged_bytes, "as many as it has, or none");
    }
    if (entry.charged_bytes > limits_.bytes_max - charged_bytes_) {
      return archive.Fail("GPADL bytes charged", entry.charged_bytes, "above the limit");
    }
    charged_bytes_ += entry.charged_bytes;
    entry.pages = std::make_shared<const GpadlPages>(std::move(pages));
  } else {
    const std::vector<uint64_t> qwords = entry.pages->ToQwords();
    archive.Bytes(std::as_bytes(std::span(qwords)));
  }
}

template <typename Archive>
void GpadlTable::ExchangeEntry(Archive& archive, Key key, GpadlEntry& entry, uint64_t page_limit) {
  archive.AtMost("GPADL state", entry.state, static_cast<uint64_t>(GpadlState::kTearingDown));
  archive(entry.silent);
  archive(entry.deferred);
  if (entry.state != GpadlState::kInProgress) return ExchangePages(archive, entry, page_limit);
  ExchangeAssembly(archive, entry);
  if constexpr (Archive::kLoading) {
    if (!in_progress_.emplace(key.second, key.first).second) {
      archive.Fail("GPADL", key.second, "misses bodies twice");
    }
  }
}

template <typename Archive>
void GpadlTable::Exchange(Archive& archive, uint64_t page_limit) {
  if constexpr (Archive::kLoading) Clear();
  uint64_t peak = charged_bytes_peak_;
  archive(peak);
  const size_t count = archive.Count("GPADLs", entries_.size(), limits_.count_max);
  auto saved = entries_.begin();
  for (size_t i = 0; i < count && archive.ok(); ++i) {
    uint32_t channel = Archive::kLoading ? 0 : static_cast<uint32_t>(saved->first.first);
    uint32_t handle = Archive::kLoading ? 0 : saved->first.second;
    archive(channel);
    archive(handle);
    const Key key(ChannelId{channel}, handle);
    if constexpr (Archive::kLoading) {
      if (entries_.contains(key)) return archive.Fail("GPADL", handle, "listed twice");
    }
    GpadlEntry& entry = Archive::kLoading ? entries_[key] : (saved++)->second;
    ExchangeEntry(archive, key, entry, page_limit);
  }
  charged_bytes_peak_ = std::max(peak, charged_bytes_);
}

template void GpadlTable::Exchange(StateWriter& archive, uint64_t page_limit);
template void GpadlTable::Exchange(StateReader& archive, uint64_t page_limit);

}  // namespace vmbuskit
