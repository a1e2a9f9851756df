#include "framework/base/guid.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;

constexpr Guid kScsi = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");

TEST(Guid, FirstThreeGroupsAreLittleEndianOnTheWire) {
  // Protocol 02, vector 13.3: the class GUID of a SCSI offer.
  EXPECT_THAT(kScsi.bytes, ElementsAre(0xd9, 0x63, 0x61, 0xba, 0xa1, 0x04, 0x29, 0x4d, 0xb6, 0x05,
                                       0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f));
}

TEST(Guid, VsockPortIsTheFirstGroup) {
  // Protocol 02, vector 13.10: port 5000.
  constexpr Guid kPort = Guid::Parse("00001388-facb-11e6-bd58-64006a7986d3");
  EXPECT_THAT(kPort.bytes, ElementsAre(0x88, 0x13, 0x00, 0x00, 0xcb, 0xfa, 0xe6, 0x11, 0xbd, 0x58,
                                       0x64, 0x00, 0x6a, 0x79, 0x86, 0xd3));
}

TEST(Guid, TextComesBackInLowerCaseWithoutBraces) {
  EXPECT_EQ(kScsi.ToString(), "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
  const auto braces = Guid::FromString("{BA6163D9-04A1-4D29-B605-72E2FFB1DC7F}");
  ASSERT_TRUE(braces.has_value());
  EXPECT_EQ(*braces, kScsi);
  EXPECT_EQ(Guid{}.ToString(), "00000000-0000-0000-0000-000000000000");
}

TEST(Guid, MalformedTextIsRefused) {
  for (const char* text : {
           "", "ba6163d9",
           "ba6163d9-04a1-4d29-b605-72e2ffb1dc7",      // a digit short
           "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f0",    // a digit too many
           "ba6163d9-04a1-4d29-b605-72e2ffb1dc7g",     // not a digit
           "ba6163d904a1-4d29-b605-72e2ffb1dc7f--",    // dashes elsewhere
           "{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f",    // one brace
           "(ba6163d9-04a1-4d29-b605-72e2ffb1dc7f)",   // other brackets
           "{{a6163d9-04a1-4d29-b605-72e2ffb1dc7f}}",  // brace inside
       }) {
    EXPECT_FALSE(Guid::FromString(text).has_value()) << text;
  }
}

TEST(Guid, ComparesByBytesAndOrders) {
  const Guid other = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc80");
  EXPECT_NE(kScsi, other);
  EXPECT_LT(kScsi, other);
  EXPECT_EQ((std::set<Guid>{kScsi, other, kScsi}.size()), 2u);
}

// The smallest thing that AbslHashValue can combine into.
struct FakeHashState {
  uint64_t sum = 0;
  static FakeHashState combine(FakeHashState state, uint64_t low, uint64_t high) {
    state.sum += low * 3 + high * 5;
    return state;
  }
};

TEST(Guid, HashTakesInBothHalves) {
  auto hash = [](const Guid& guid) { return AbslHashValue(FakeHashState(), guid).sum; };
  Guid low = kScsi;
  low.bytes[0] ^= 1;
  Guid high = kScsi;
  high.bytes[15] ^= 1;
  EXPECT_NE(hash(kScsi), hash(low));
  EXPECT_NE(hash(kScsi), hash(high));
  EXPECT_EQ(hash(kScsi), hash(Guid(kScsi)));
}

}  // namespace
}  // namespace vmbuskit
