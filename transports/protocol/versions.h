// Versions, feature flags, limits and status codes of the VMBus control path. (Connection ids are
// hypervisor.h's.)
//
//   for (uint32_t version : kVersionsNewestFirst) { ... propose it ... }
//   std::string text = VersionText(kVersion5_2);   // "5.2"
//
// A version word is major << 16 | minor. Thread safety: constants.
// Source: protocol 02 sections 1, 3.1, 3.2, 5.1 and protocol 01 section 4.5.
#ifndef VMBUSKIT_TRANSPORTS_PROTOCOL_VERSIONS_H_
#define VMBUSKIT_TRANSPORTS_PROTOCOL_VERSIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

inline constexpr uint32_t kVersion0_13 = 0x0000000D;  // WS2008; only gates, never negotiated here
inline constexpr uint32_t kVersion1_1 = 0x00010001;   // Windows 7; the same
inline constexpr uint32_t kVersion2_4 = 0x00020004;   // Windows 8
inline constexpr uint32_t kVersion3_0 = 0x00030000;   // Windows 8.1
inline constexpr uint32_t kVersion4_0 = 0x00040000;   // Windows 10 1607, WS2016
inline constexpr uint32_t kVersion4_1 = 0x00040001;   // Windows 10 1709
inline constexpr uint32_t kVersion5_0 = 0x00050000;
inline constexpr uint32_t kVersion5_1 = 0x00050001;  // Windows 10 1803
inline constexpr uint32_t kVersion5_2 = 0x00050002;  // WS2019
inline constexpr uint32_t kVersion5_3 = 0x00050003;  // WS2022
inline constexpr uint32_t kVersion6_0 = 0x00060000;

// What this project negotiates, in the order a guest proposes.
inline constexpr std::array<uint32_t, 9> kVersionsNewestFirst = {
    kVersion6_0, kVersion5_3, kVersion5_2, kVersion5_1, kVersion5_0,
    kVersion4_1, kVersion4_0, kVersion3_0, kVersion2_4};

constexpr bool IsKnownVersion(uint32_t version) {
  for (uint32_t known : kVersionsNewestFirst) {
    if (known == version) return true;
  }
  return false;
}

// "5.2", for logs and inspect trees.
std::string VersionText(uint32_t version);

// Feature flags of version 6.0.
inline constexpr uint32_t kFeatureGuestSignalParameters = 0x01;
inline constexpr uint32_t kFeatureInterruptRedirection = 0x02;
inline constexpr uint32_t kFeatureModifyConnection = 0x04;
inline constexpr uint32_t kFeatureClientId = 0x08;
inline constexpr uint32_t kFeatureConfidentialChannels = 0x10;
inline constexpr uint32_t kFeaturePauseResume = 0x20;
inline constexpr uint32_t kFeatureServerMonitorPages = 0x40;
inline constexpr uint32_t kFeatureGpaPinning = 0x80;
// With either of these OPEN_CHANNEL carries its tail.
inline constexpr uint32_t kFeaturesLongOpen =
    kFeatureGuestSignalParameters | kFeatureInterruptRedirection;

// The id that OFFER_CHANNEL announces for a channel's event port; opaque to guests.
constexpr uint32_t EventConnectionId(uint32_t relid, uint32_t sint) { return relid | sint << 12; }

// Status words of GPADL_CREATED, OPEN_CHANNEL_RESULT, MODIFY_CHANNEL_RESPONSE, TL_CONNECT_RESULT.
// Real hosts' failure codes are not established: any nonzero value is a failure.
inline constexpr uint32_t kStatusSuccess = 0;
inline constexpr uint32_t kStatusUnsuccessful = 0x8000FFFF;
inline constexpr uint32_t kStatusConnectionRefused = 0xC0000236;

// connection_state of VERSION_RESPONSE and MODIFY_CONNECTION_RESPONSE.
enum class ConnectionState : uint8_t {
  kSuccessful = 0,
  kFailedLowResources = 1,
  kFailedUnknown = 2,
};

// Relids and event flags: 0 is the legacy "look at the interrupt page" flag.
inline constexpr uint32_t kRelidMin = 1;
inline constexpr uint32_t kRelidMax = 2047;
inline constexpr uint32_t kNoTargetVp = 0xFFFFFFFF;  // OPEN_CHANNEL: no host-to-guest interrupts
inline constexpr uint8_t kNoMonitor = 255;

// Flags of OFFER_CHANNEL. The first three mean this only with the feature in the comment; old hosts
// set them with older meanings.
inline constexpr uint16_t kOfferEnumerateInterface = 0x0001;
inline constexpr uint16_t kOfferConfidentialRing = 0x0002;    // kFeatureConfidentialChannels
inline constexpr uint16_t kOfferConfidentialMemory = 0x0004;  // kFeatureConfidentialChannels
inline constexpr uint16_t kOfferPinnedMemory = 0x0008;        // kFeatureGpaPinning
inline constexpr uint16_t kOfferNamedPipe = 0x0010;
inline constexpr uint16_t kOfferLoopback = 0x0100;
inline constexpr uint16_t kOfferParent = 0x0200;
inline constexpr uint16_t kOfferMonitored = 0x0400;
inline constexpr uint16_t kOfferHvSocket = 0x2000;

inline constexpr size_t kMessageBytesMax = 240;  // of one control message

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_PROTOCOL_VERSIONS_H_
