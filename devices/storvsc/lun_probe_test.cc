#include "devices/storvsc/lun_probe.h"

#include "framework/base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseReportLuns, ReadsTheVector) {
  EXPECT_THAT(ParseReportLuns(FromHex("00 00 00 10 00 00 00 00  00 00 00 00 00 00 00 00 "
                                      "00 03 00 00 00 00 00 00")),
              ElementsAre(0, 3));
}

TEST(ParseReportLuns, BelievesNoLengthBeyondWhatCame) {
  EXPECT_THAT(ParseReportLuns(FromHex("FF FF FF FF 00 00 00 00  00 01 00 00 00 00 00 00 00 02")),
              ElementsAre(1));
  EXPECT_THAT(ParseReportLuns(FromHex("00 00 00 08 00 00 00")), IsEmpty());
  EXPECT_THAT(ParseReportLuns({}), IsEmpty());
  EXPECT_THAT(ParseReportLuns(FromHex("00 00 00 08 00 00 00 00  00 01 00 00 00 00 00 00 "
                                      "00 02 00 00 00 00 00 00")),
              ElementsAre(1))
      << "nor beyond what it says";
}

TEST(ParseReportLuns, TakesEachLunOnceAndNoOther) {
  EXPECT_THAT(ParseReportLuns(FromHex("00 00 00 28 00 00 00 00  00 01 00 00 00 00 00 00 "
                                      "00 01 00 00 00 00 00 00  01 00 00 00 00 00 00 00 "
                                      "00 05 00 01 00 00 00 00  00 FF 00 00 00 00 00 00")),
              ElementsAre(1, 255));
}

TEST(ParseMediumEvent, TellsPresentAbsentAndNew) {
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 04 7E 00 02 00 00")),
            (MediumEvent{MediumState::kPresent, false}));
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 04 7E 02 02 00 00")),
            (MediumEvent{MediumState::kPresent, true}));
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 04 7E 03 01 00 00")),
            (MediumEvent{MediumState::kAbsent, false}));
}

TEST(ParseMediumEvent, OtherClassesAndShortAnswersSayNothing) {
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 02 7E 00 02 00 00")), MediumEvent());
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 84 7E 00 02 00 00")), MediumEvent()) << "no event";
  EXPECT_EQ(ParseMediumEvent(FromHex("00 02 00 7E 00 02 00 00")), MediumEvent());
  EXPECT_EQ(ParseMediumEvent(FromHex("00 06 04 7E 00 02 00")), MediumEvent());
  EXPECT_EQ(ParseMediumEvent({}), MediumEvent());
}

}  // namespace
}  // namespace vmbuskit
