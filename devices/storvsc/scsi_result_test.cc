// The table of protocol 10 section 5.4, line by line.
#include "devices/storvsc/scsi_result.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using storvsc::kSrbAutosenseValid;

class Answered final : public ScsiCommand {
 public:
  Answered(uint8_t srb, uint8_t scsi) {
    srb_status = srb;
    scsi_status = scsi;
  }
  Answered(uint8_t srb, const scsi::Sense& from) : Answered(srb | kSrbAutosenseValid, 2) {
    const auto fixed = scsi::FixedSense(from);
    std::copy(fixed.begin(), fixed.end(), sense.begin());
    sense_bytes = storvsc::kMaxSenseBytes;
  }
  void OnScsiDone(ScsiEnd) override {}
};

constexpr ScsiVerdict kEnds(BlockResult result) { return {.result = result}; }

TEST(ScsiResult, SuccessIsExactlyThat) {
  EXPECT_EQ(JudgeScsi(Answered(storvsc::kSrbSuccess, scsi::kGood)), kEnds(BlockResult::kOk));
  EXPECT_EQ(JudgeScsi(Answered(storvsc::kSrbSuccess | storvsc::kSrbQueueFrozen, scsi::kGood)),
            kEnds(BlockResult::kMediumError));
  EXPECT_EQ(JudgeScsi(Answered(storvsc::kSrbSuccess, scsi::kCheckCondition)),
            kEnds(BlockResult::kMediumError));
  EXPECT_EQ(JudgeScsi(Answered(storvsc::kSrbPending, scsi::kGood)),
            kEnds(BlockResult::kMediumError));
}

TEST(ScsiResult, StatusWithoutSense) {
  struct Case {
    uint8_t srb, scsi;
    ScsiVerdict verdict;
  };
  const ScsiVerdict later = {.action = ScsiAction::kRetryLater, .result = BlockResult::kTimedOut};
  const ScsiVerdict retry = {.action = ScsiAction::kRetry, .result = BlockResult::kAborted};
  const ScsiVerdict lun_gone = {.result = BlockResult::kGone, .lun_gone = true};
  for (const Case& each : {
           Case{storvsc::kSrbInvalidLun, 2, lun_gone},
           Case{storvsc::kSrbInvalidLun, scsi::kBusy, lun_gone},
           Case{storvsc::kSrbNoDevice, 0, lun_gone},
           Case{storvsc::kSrbInvalidTargetId, 0, lun_gone},
           Case{storvsc::kSrbSelectionTimeout, 2, lun_gone},
           Case{storvsc::kSrbBusy, 0, later},
           Case{storvsc::kSrbError, scsi::kBusy, later},
           Case{storvsc::kSrbError, scsi::kTaskSetFull, later},
           Case{storvsc::kSrbError, scsi::kReservationConflict, kEnds(BlockResult::kConflict)},
           Case{storvsc::kSrbAborted, scsi::kTaskAborted, retry},
           Case{storvsc::kSrbAborted, 0, retry},
           Case{storvsc::kSrbBusReset, 0, retry},
           Case{storvsc::kSrbRequestFlushed, 0, retry},
           Case{storvsc::kSrbTimeout, 0, kEnds(BlockResult::kTimedOut)},
           Case{storvsc::kSrbCommandTimeout, 0, kEnds(BlockResult::kTimedOut)},
           Case{storvsc::kSrbError, 2, kEnds(BlockResult::kMediumError)},
           Case{storvsc::kSrbInvalidRequest, 2, kEnds(BlockResult::kInvalid)},
           Case{storvsc::kSrbDataOverrun, 2, kEnds(BlockResult::kInvalid)},
           Case{storvsc::kSrbBadFunction, 0, kEnds(BlockResult::kNotSupported)},
           Case{storvsc::kSrbInternalError, 0, kEnds(BlockResult::kMediumError)},
           Case{0x3F, 0x77, kEnds(BlockResult::kMediumError)},
       }) {
    EXPECT_EQ(JudgeScsi(Answered(each.srb, each.scsi)), each.verdict)
        << int{each.srb} << " " << int{each.scsi};
  }
}

TEST(ScsiResult, SenseSaysMore) {
  struct Case {
    scsi::Sense sense;
    ScsiVerdict verdict;
  };
  const ScsiVerdict retry = {.action = ScsiAction::kRetry, .result = BlockResult::kAborted};
  const ScsiVerdict rescan = {
      .action = ScsiAction::kRetry, .result = BlockResult::kAborted, .rescan = true};
  const ScsiVerdict later = {.action = ScsiAction::kRetryLater, .result = BlockResult::kTimedOut};
  for (const Case& each : {
           Case{{1, 0x17, 0}, kEnds(BlockResult::kOk)},
           Case{{2, 0x04, 0x01}, later},
           Case{{2, 0x3A, 0x01}, kEnds(BlockResult::kMediumError)},
           Case{{3, 0x11, 0}, kEnds(BlockResult::kMediumError)},
           Case{{4, 0x44, 0}, kEnds(BlockResult::kMediumError)},
           Case{{5, 0x20, 0}, kEnds(BlockResult::kNotSupported)},
           Case{{5, 0x24, 0}, kEnds(BlockResult::kNotSupported)},
           Case{{5, 0x21, 0}, kEnds(BlockResult::kOutOfRange)},
           Case{{5, 0x26, 0}, kEnds(BlockResult::kInvalid)},
           Case{{5, 0x25, 0}, {.result = BlockResult::kGone, .lun_gone = true}},
           Case{{6, 0x2A, 0x09}, rescan},
           Case{{6, 0x3F, 0x02}, rescan},
           Case{{6, 0x29, 0x00}, retry},
           Case{{7, 0x27, 0x00}, kEnds(BlockResult::kReadOnly)},
           Case{{7, 0x27, 0x07}, kEnds(BlockResult::kNoSpace)},
           Case{{0xB, 0, 0}, retry},
           Case{{0xE, 0x1D, 0}, kEnds(BlockResult::kMediumError)},
           Case{{0, 0, 0}, kEnds(BlockResult::kMediumError)},
       }) {
    EXPECT_EQ(JudgeScsi(Answered(storvsc::kSrbError, each.sense)), each.verdict)
        << int{each.sense.key} << "/" << int{each.sense.asc} << "/" << int{each.sense.ascq};
  }
}

TEST(ScsiResult, SenseInBothFormatsAndInNone) {
  const std::vector<uint8_t> fixed = {0x70, 0, 0xF5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0x03};
  EXPECT_EQ(ParseSense(fixed), (scsi::Sense{5, 0x21, 0x03}));
  EXPECT_EQ(ParseSense(std::span(fixed).first(12)), (scsi::Sense{5, 0, 0}));
  EXPECT_EQ(ParseSense(std::span(fixed).first(2)), std::nullopt);
  EXPECT_EQ(ParseSense(std::vector<uint8_t>{0x72, 0x06, 0x2A, 0x09}), (scsi::Sense{6, 0x2A, 9}));
  EXPECT_EQ(ParseSense(std::vector<uint8_t>{0x72}), std::nullopt);
  EXPECT_EQ(ParseSense(std::vector<uint8_t>{0x12, 0x06, 0x2A, 0x09}), std::nullopt);
  EXPECT_EQ(ParseSense({}), std::nullopt);
}

}  // namespace
}  // namespace vmbuskit
