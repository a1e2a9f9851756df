// What a Fibre Channel controller's host says about its ports. Source: protocol 10 section 3.3.
//
//   const FcPort port = ActivePort(data);          // of FCHBA_DATA
//   node.Set("port_name", WwnText(port.port));
//
// Thread safety: pure functions.
#ifndef VMBUSKIT_DEVICES_STORVSC_FC_HBA_H_
#define VMBUSKIT_DEVICES_STORVSC_FC_HBA_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "devices/storvsc/protocol.h"
#include "devices/storvsc/scsi.h"

namespace vmbuskit {

struct FcPort {
  uint64_t port = 0;  // world-wide names
  uint64_t node = 0;
  friend bool operator==(const FcPort&, const FcPort&) = default;
};

inline FcPort ActivePort(const storvsc::FcHbaData& data) {
  const bool primary = data.primary_active != 0;
  return {.port = scsi::ReadBig64((primary ? data.primary_port : data.secondary_port).data()),
          .node = scsi::ReadBig64((primary ? data.primary_node : data.secondary_node).data())};
}

// "50:06:0b:00:00:c2:62:00"
inline std::string WwnText(uint64_t name) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    text += absl::StrFormat("%s%02x", text.empty() ? "" : ":", name >> shift & 0xFF);
  }
  return text;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_FC_HBA_H_
