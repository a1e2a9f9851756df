#include "transports/protocol/offer.h"

#include "framework/base/status.h"

namespace vmbuskit {

uint16_t MaskOfferFlags(uint16_t flags, Negotiated negotiated) {
  const uint32_t features = negotiated.version >= kVersion6_0 ? negotiated.features : 0;
  uint16_t mask = 0xFFFF;
  if ((features & kFeatureConfidentialChannels) == 0) {
    mask &= static_cast<uint16_t>(~(kOfferConfidentialRing | kOfferConfidentialMemory));
  }
  if ((features & kFeatureGpaPinning) == 0) mask &= static_cast<uint16_t>(~kOfferPinnedMemory);
  return flags & mask;
}

absl::StatusOr<OfferChannelMessage> ParseOffer(const CheckedMessage& message,
                                               Negotiated negotiated) {
  auto offer = message.As<OfferChannelMessage>();
  if (offer.relid < kRelidMin || offer.relid > kRelidMax) {
    return Violation(message.row().name, "relid", offer.relid, "1 to 2047");
  }
  offer.flags = MaskOfferFlags(offer.flags, negotiated);
  offer.monitor_allocated &= 1;
  offer.dedicated_interrupt &= 1;
  if (offer.monitor_allocated == 0) {
    offer.monitor_id = kNoMonitor;
  } else if (offer.monitor_id >= kMonitorCount) {
    return Violation(message.row().name, "monitor_id", offer.monitor_id, "below 128");
  }
  if (negotiated.version < kVersion1_1) {
    offer.dedicated_interrupt = 0;
    offer.connection_id = kEventConnectionLegacy;
  }
  return offer;
}

}  // namespace vmbuskit
