// Vectors of protocol 01 section 8 that are plain words and layouts.
#include "transports/protocol/hypervisor.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(HypervisorWords, MatchSection8_1) {
  EXPECT_EQ(OpenSourceGuestOsId(1, 0, 0x060100, 0), 0x8100000601000000u);
  EXPECT_EQ(PageRegister(0x12345000), 0x0000000012345001u);
  EXPECT_EQ(PageRegister(0x20000000), 0x0000000020000001u);
  EXPECT_EQ(0xF3 | kSintAutoEoi, 0x00000000000200F3u);
  EXPECT_EQ(0xF3 | kSintMasked, 0x00000000000100F3u);
  EXPECT_EQ(kSintReset, 0x0000000000010000u);
  EXPECT_EQ(kStimerEnable | kStimerAutoEnable | StimerDirectVector(0xED), 0x0000000000001ED9u);
  EXPECT_EQ(kStimerEnable | kStimerAutoEnable | StimerSint(2), 0x0000000000020009u);
  EXPECT_EQ(SimpleCall(kCallPostMessage), 0x5Cu);
  EXPECT_EQ(kCallSignalEventFast, 0x1005Du);
  EXPECT_EQ(RepCall(kCallGetVpRegisters, 1) | kControlFast, 0x100010050u);
  EXPECT_EQ(RepCall(kCallSetVpRegisters, 1) | kControlFast, 0x100010051u);
  EXPECT_EQ(SimpleCall(kCallRetargetDeviceInterrupt) | VariableHeader(3), 0x6007Eu);
  EXPECT_EQ(RepCall(kCallExtMemoryHeatHint, 3), 0x300008003u);
  EXPECT_EQ(SimpleCall(kCallMmioRead), 0x106u);
}

TEST(HypervisorWords, FieldsComeBackOut) {
  const uint64_t control = RepCall(kCallSetVpRegisters, 0xABC, 0x123) | VariableHeader(0x2A5);
  EXPECT_EQ(ControlCode(control), kCallSetVpRegisters);
  EXPECT_EQ(ControlRepCount(control), 0xABCu);
  EXPECT_EQ(ControlRepStart(control), 0x123u);
  EXPECT_EQ(ControlVariableQwords(control), 0x2A5u);
  EXPECT_FALSE(ControlIsFast(control));
  EXPECT_EQ(control & kControlReserved, 0u);
  EXPECT_EQ(StimerVectorOf(0x1ED9), 0xED);
  EXPECT_EQ(StimerSintOf(0x20009), 2);
}

TEST(HypervisorWords, ResultStatusIgnoresRepsAndReservedBits) {
  const uint64_t result = HypercallResult(HypercallStatus::kInvalidParameter, 7) | 0xABCD0000u;
  EXPECT_EQ(ResultStatus(result), HypercallStatus::kInvalidParameter);
  EXPECT_EQ(ResultReps(result), 7u);
}

TEST(HypervisorLayouts, PostMessageOfContactMatchesSection8_2) {
  PostMessageInput input{};
  input.connection_id = kMessageConnection;
  input.message_type = kMessageTypeVmbus;
  input.payload_size = 40;
  const uint32_t words[10] = {14, 0, 0x00050002, 0, 2, 0, 0x11000, 0, 0x12000, 0};
  // Offsets 8, 16, 24 and 32 of the payload: version, SINT and the two monitor pages.
  std::memcpy(input.payload.data(), words, sizeof words);
  const uint8_t expected[64] = {
      0x04, 0,    0,    0, 0, 0, 0, 0, 0x01, 0,    0,    0, 0x28, 0, 0, 0,  //
      0x0e, 0,    0,    0, 0, 0, 0, 0, 0x02, 0,    0x05, 0, 0,    0, 0, 0,  //
      0x02, 0,    0,    0, 0, 0, 0, 0, 0,    0x10, 0x01, 0, 0,    0, 0, 0,  //
      0,    0x20, 0x01, 0, 0, 0, 0, 0, 0,    0,    0,    0, 0,    0, 0, 0};
  EXPECT_EQ(std::memcmp(&input, expected, sizeof expected), 0);
}

TEST(HypervisorLayouts, SignalEventMatchesSection8_3) {
  const SignalEventInput input{.connection_id = 0x2005, .flag_number = 0, .reserved = 0};
  uint64_t word;
  std::memcpy(&word, &input, sizeof word);
  EXPECT_EQ(word, 0x0000000000002005u);
}

TEST(HypervisorLayouts, SlotOfSint2MatchesSection8_5) {
  SynicMessagePage page{};
  SynicMessage& slot = page.slot[kVmbusSint];
  slot.type = kMessageTypeVmbus;
  slot.payload_size = 12;
  slot.flags = kMessageFlagPending;
  slot.sender = 1;
  const uint32_t words[3] = {2, 0, 5};
  std::memcpy(slot.payload.data(), words, sizeof words);
  const uint8_t expected[28] = {0x01, 0, 0, 0, 0x0c, 0x01, 0, 0, 0x01, 0, 0, 0, 0, 0,
                                0,    0, 2, 0, 0,    0,    0, 0, 0,    0, 5, 0, 0, 0};
  EXPECT_EQ(std::memcmp(reinterpret_cast<const std::byte*>(&page) + 0x200, expected, 28), 0);
}

TEST(HypervisorLayouts, EventFlagBitsMatchSection8_5) {
  SynicEventFlagsPage page{};
  for (uint32_t relid : {5u, 291u, 2047u}) {
    page.flags[kVmbusSint][relid / 64] |= uint64_t{1} << relid % 64;
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(&page);
  EXPECT_EQ(bytes[0x200], 0x20);
  EXPECT_EQ(bytes[0x224], 0x08);
  EXPECT_EQ(bytes[0x2FF], 0x80);
}

TEST(HypervisorLayouts, TimerMessageMatchesSection8_5) {
  const TimerMessagePayload payload{.timer_index = 0,
                                    .reserved = 0,
                                    .expiration_time = 80063991808,
                                    .delivery_time = 80063993408};
  const uint8_t expected[24] = {0,    0, 0, 0, 0,    0,    0,    0,    0x00, 0x90, 0x2f, 0xa4,
                                0x12, 0, 0, 0, 0x40, 0x96, 0x2f, 0xa4, 0x12, 0,    0,    0};
  EXPECT_EQ(std::memcmp(&payload, expected, sizeof expected), 0);
  EXPECT_EQ(kMessageTypeTimer, 0x80000010u);
}

TEST(ReferenceTimeArithmetic, MatchesSection8_6) {
  const uint64_t scale = ReferenceTscScale(2'500'000'000);
  EXPECT_EQ(scale, 0x010624DD2F1A9FBEu);
  EXPECT_EQ(ReferenceTimeFromTsc(0x123456789ABC, scale, 0), 80063993375u);
  EXPECT_EQ(ReferenceTimeFromTsc(0x123456789ABC, scale, -123456789), 79940536586u);
  EXPECT_EQ(ReferenceTimeFromTsc(uint64_t{1} << 63, scale, 0), 36893488147419103u);
}

TEST(ReferenceTimeArithmetic, TscPageBytesMatchSection8_6) {
  ReferenceTscPage page{};
  page.sequence = 7;
  page.scale = ReferenceTscScale(2'500'000'000);
  page.offset = -123456789;
  const uint8_t expected[24] = {0x07, 0,    0,    0,    0,    0,    0,    0,
                                0xbe, 0x9f, 0x1a, 0x2f, 0xdd, 0x24, 0x06, 0x01,
                                0xeb, 0x32, 0xa4, 0xf8, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(std::memcmp(&page, expected, sizeof expected), 0);
}

}  // namespace
}  // namespace vmbuskit
