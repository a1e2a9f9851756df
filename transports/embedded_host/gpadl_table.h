// The GPADLs of one guest with their states, and the accounting against the host's limits.
//
//   GpadlTable table({.bytes_max = 384 << 20});
//   GpadlEntry& entry = *table.Begin(channel, handle, assembly);     // or why not
//   table.Complete(channel, handle, pages);                          // now Offered, and charged
//   table.Remove(channel, handle);                                   // gives everything back
//
// Thread safety: none; the server's. Pointers to entries are valid until their Remove.
// Units: bytes; pages of 4 KiB. Errors: ResourceExhausted for a limit, Violation for a handle in use.
// Source: protocol 02 section 5.4, protocol 01 section 7.4.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_TABLE_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transports/embedded_host/gpadl_assembly.h"
#include "transports/embedded_host/server_actions.h"

namespace vmbuskit {

enum class GpadlState : uint8_t {
  kInProgress,          // bodies are missing
  kOffered,             // the device decides
  kOfferedTearingDown,  // the same, and the guest is gone
  kAccepted,
  kTearingDown,
};
std::string_view GpadlStateName(GpadlState state);

struct GpadlEntry {
  GpadlState state = GpadlState::kInProgress;
  bool silent = false;    // no TORNDOWN when it is gone
  bool deferred = false;  // the device is asked when the ring's close completes
  std::shared_ptr<const GpadlPages> pages;
  std::optional<GpadlAssembly> assembly;  // InProgress
  uint64_t charged_bytes = 0;
};

class GpadlTable {
 public:
  struct Limits {
    uint64_t bytes_max = 0;
    uint32_t count_max = 0;
    uint32_t in_progress_pages_max = 0;
  };
  using Key = std::pair<ChannelId, uint32_t>;  // channel and handle
  using Map = std::map<Key, GpadlEntry>;

  explicit GpadlTable(Limits limits) : limits_(limits) {}

  // A new entry, InProgress. A handle must be new to its channel, and to the connection while bodies are missing.
  absl::StatusOr<GpadlEntry*> Begin(ChannelId channel, uint32_t handle, GpadlAssembly assembly);
  // Its bodies are all here. Charges the pages' bytes unless `charged` is false, and makes it Offered.
  absl::Status Complete(ChannelId channel, uint32_t handle, GpadlPages pages, bool charged);
  void Remove(ChannelId channel, uint32_t handle);

  GpadlEntry* Find(ChannelId channel, uint32_t handle);
  const GpadlEntry* Find(ChannelId channel, uint32_t handle) const;
  // The channel whose GPADL of that handle still misses bodies.
  std::optional<ChannelId> FindInProgress(uint32_t handle) const;
  // Handles of one channel's GPADLs, ascending.
  std::vector<uint32_t> HandlesOf(ChannelId channel) const;

  // Saves, or takes over what was saved into an empty table; with StateWriter or StateReader. Page numbers must be
  // below `page_limit`. Not checked: whether the channels exist.
  template <typename Archive>
  void Exchange(Archive& archive, uint64_t page_limit);
  void Clear();

  const Map& all() const { return entries_; }
  size_t count() const { return entries_.size(); }
  uint64_t charged_bytes() const { return charged_bytes_; }
  uint64_t charged_bytes_peak() const { return charged_bytes_peak_; }
  uint32_t in_progress_pages() const { return in_progress_pages_; }
  const Limits& limits() const { return limits_; }

 private:
  void EndProgress(uint32_t handle, GpadlEntry& entry);
  // Parts of Exchange.
  template <typename Archive>
  void ExchangeEntry(Archive& archive, Key key, GpadlEntry& entry, uint64_t page_limit);
  template <typename Archive>
  void ExchangePages(Archive& archive, GpadlEntry& entry, uint64_t page_limit);
  template <typename Archive>
  void ExchangeAssembly(Archive& archive, GpadlEntry& entry);

  const Limits limits_;
  Map entries_;
  std::map<uint32_t, ChannelId> in_progress_;
  uint64_t charged_bytes_ = 0;
  uint64_t charged_bytes_peak_ = 0;
  uint32_t in_progress_pages_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_GPADL_TABLE_H_
