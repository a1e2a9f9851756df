// A request of the guest as a saved host carries it: as its packet, to be carried out again, or as its answer.
//
//   std::vector<StorvspSavedRequest> requests = lane.SaveRequests();
//   for (StorvspSavedRequest& request : requests) request.Exchange(writer);      // or a StateReader, which checks
//   lane.RestoreRequests(requests);
//
// Errors: what a reader refuses stands in its status.
// Thread safety: plain values.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SAVED_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SAVED_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "devices/storvsc/protocol.h"
#include "framework/base/saved_state.h"
#include "platform/memory.h"

namespace vmbuskit {

struct StorvspSavedRequest {
  static constexpr uint64_t kPagesMax = uint64_t{1} << 16;

  bool done = false;
  uint64_t transaction_id = 0;
  uint32_t bytes = 0;  // of the packet
  std::array<std::byte, storvsc::kPacketBytes> packet = {};
  uint32_t page_offset = 0;
  std::vector<Pfn> pages = {};

  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(done);
    archive(transaction_id);
    archive.AtMost("packet bytes", bytes, packet.size());
    archive(packet);
    if constexpr (Archive::kLoading) CheckAnswer(archive);
    archive.AtMost("page offset", page_offset, kPageSize - 1);
    pages.resize(archive.Count("pages", pages.size(), kPagesMax));
    for (Pfn& page : pages) archive(page);
  }

 private:
  // It goes to the guest as it stands.
  template <typename Archive>
  void CheckAnswer(Archive& archive) const {
    uint32_t operation = 0;
    std::memcpy(&operation, packet.data(), sizeof operation);
    if (done && operation != storvsc::kCompleteIo) {
      archive.Fail("operation of an answer", operation, "not COMPLETE_IO");
    }
  }
};

using StorvspSavedRequests = std::map<uint16_t, std::vector<StorvspSavedRequest>>;  // by channel

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_STORVSP_SAVED_H_
