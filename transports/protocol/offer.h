// OFFER_CHANNEL as a guest may believe it, and the flags that only count with a feature.
//
//   absl::StatusOr<OfferChannelMessage> offer = ParseOffer(checked, {version, features});
//   if (!offer.ok()) ignore it;
//
// Thread safety: pure functions. Errors: Violation with message, field and value.
// Source: protocol 02 section 4.1.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_OFFER_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_OFFER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "transports/protocol/message_table.h"

namespace vmbuskit {

// `flags` without those whose feature was not granted: old hosts set the bits with other meanings.
uint16_t MaskOfferFlags(uint16_t flags, Negotiated negotiated);

// Masks the flags, clears the monitor id when none is allocated, and rejects a relid or monitor id
// out of range. Whether the relid is in use and the sub-channel has a primary is the caller's to
// know.
absl::StatusOr<OfferChannelMessage> ParseOffer(const CheckedMessage& message,
                                               Negotiated negotiated);

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_OFFER_H_
