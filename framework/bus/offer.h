// An offered channel as the bus sees it: what OFFER_CHANNEL said, validated by the transport.
//
//   void OnOffer(const Offer& offer) { if (offer.subchannel_index == 0) Match(offer.class_id); }
//
// Thread safety: a plain value. Source: protocol 02 section 4.1.
#ifndef VMBUSKIT_FRAMEWORK_BUS_OFFER_H_
#define VMBUSKIT_FRAMEWORK_BUS_OFFER_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "framework/base/guid.h"

namespace vmbuskit {

struct Offer {
  Guid class_id = {};
  Guid instance_id = {};
  uint16_t flags = 0;
  uint16_t subchannel_index = 0;  // 0: primary
  uint32_t relid = 0;             // 1 .. 2047
  uint32_t connection_id = 0;
  bool monitor_allocated = false;
  uint8_t monitor_id = 255;
  uint16_t mmio_megabytes = 0;
  std::array<std::byte, 120> user_defined{};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_OFFER_H_
