#include "transports/protocol/message_layouts.h"

#include <array>

#include "transports/protocol/message_table.h"

namespace vmbuskit {
namespace {

using enum FuzzField;

constexpr FuzzField kOffer[] = {kGuid, kGuid,  kGuid, kWord,  kWord, kUserData, kWord,
                                kWord, kRelid, kByte, kSmall, kWord, kDword};
constexpr FuzzField kOneRelid[] = {kRelid};
constexpr FuzzField kOpen[] = {kRelid, kOpenId,   kHandle, kVp,   kSmall, kByte,
                               kWord,  kUserData, kDword,  kWord, kWord};
constexpr FuzzField kOpenResult[] = {kRelid, kOpenId, kStatus};
constexpr FuzzField kHeader[] = {kRelid, kHandle, kWord, kWord, kTail};
constexpr FuzzField kBody[] = {kDword, kHandle, kTail};
constexpr FuzzField kCreated[] = {kRelid, kHandle, kStatus};
constexpr FuzzField kTeardown[] = {kRelid, kHandle};
constexpr FuzzField kTorndown[] = {kHandle};
constexpr FuzzField kContact[] = {kVersion,  kVp,  kSmall, kSmall, kWord,
                                  kFeatures, kGpa, kGpa,   kGuid};
constexpr FuzzField kVersionReply[] = {kSmall,    kSmall, kWord, kVersion,
                                       kFeatures, kDword, kGpa,  kGpa};
constexpr FuzzField kOpenReserved[] = {kRelid, kVp, kVp, kHandle, kSmall, kByte, kWord};
constexpr FuzzField kCloseReserved[] = {kRelid, kVp, kVp};
constexpr FuzzField kTlConnect[] = {kGuid, kGuid, kGuid};
constexpr FuzzField kTlResult[] = {kGuid, kGuid, kStatus};
constexpr FuzzField kModify[] = {kRelid, kVp};
constexpr FuzzField kModified[] = {kRelid, kStatus};
constexpr FuzzField kPages[] = {kGpa, kGpa};
constexpr FuzzField kState[] = {kSmall};

// In the order of the message table, from number 1 on.
constexpr std::array<FuzzLayout, kMessageTypeCount> kLayouts = {{
    {1, kOffer},
    {2, kOneRelid},
    {3, {}},
    {4, {}},
    {5, kOpen},
    {6, kOpenResult},
    {7, kOneRelid},
    {8, kHeader},
    {9, kBody},
    {10, kCreated},
    {11, kTeardown},
    {12, kTorndown},
    {13, kOneRelid},
    {14, kContact},
    {15, kVersionReply},
    {16, {}},
    {17, {}},
    {18, kOpenReserved},
    {19, kCloseReserved},
    {20, kOneRelid},
    {21, kTlConnect},
    {22, kModify},
    {23, kTlResult},
    {24, kModified},
    {25, kPages},
    {26, kState},
    {27, {}},
    {28, {}},
    {29, {}},
}};

}  // namespace

size_t SizeOf(FuzzField field) {
  switch (field) {
    case kByte:
    case kSmall:
      return 1;
    case kWord:
      return 2;
    case kQword:
    case kGpa:
      return 8;
    case kGuid:
      return 16;
    case kUserData:
      return 120;
    case kTail:
      return 0;
    default:
      return 4;
  }
}

const FuzzLayout* LayoutOf(uint32_t message_type) {
  return message_type >= 1 && message_type <= kLayouts.size() ? &kLayouts[message_type - 1]
                                                              : nullptr;
}

}  // namespace vmbuskit
