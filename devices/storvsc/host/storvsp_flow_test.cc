// What a storvsp does with time: back-pressure, resets, disks and channels that go with work under way, saved state.
#include <gmock/gmock.h>

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "devices/storvsc/host/slow_disk.h"
#include "devices/storvsc/host/storvsp.h"
#include "devices/storvsc/host/storvsp_saved.h"
#include "devices/storvsc/host/storvsp_testing.h"
#include "framework/base/saved_state.h"
#include "framework/base/string_view.h"
#include "platform/allocation_counter.h"

namespace vmbuskit {
namespace {

const std::vector<uint8_t> kRead8 = {0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0};
const std::vector<uint8_t> kReady = {0, 0, 0, 0, 0, 0};

class StorvspFlowTest : public ::testing::Test {
 protected:
  void Make(const StorvspOptions& options = {}) {
    guest_ = std::make_unique<StorvspGuest>(options);
    ASSERT_TRUE(guest_->vsp().Attach({}, disk_).ok());
    guest_->Initialize();
  }
  void OnHost(auto&& call) {
    const SimTurn turn = guest_->sim().Enter(guest_->host_executor());
    call();
  }
  void EndAll() {
    OnHost([&] { disk_->EndAll(); });
    guest_->Run();
  }
  ~StorvspFlowTest() override {
    if (guest_ != nullptr) EndAll();
  }

  std::shared_ptr<SlowDisk> disk_ = std::make_shared<SlowDisk>(RamDisk::Options{.bytes = 2u << 20});
  std::unique_ptr<StorvspGuest> guest_;
};

TEST_F(StorvspFlowTest, WithAllSlotsTakenTheRingIsNotReadAndNothingIsLost) {
  Make({.requests_max = 4});
  std::vector<RecordingRequest*> requests;
  for (int i = 0; i < 10; ++i) {
    requests.push_back(&guest_->StartScsi({.cdb = kRead8, .bytes = 4096}));
  }
  guest_->Open(1);  // another channel is not affected
  guest_->Run();
  EXPECT_EQ(disk_->waiting(), 4u);
  EXPECT_TRUE(guest_->host().reading_paused());
  EXPECT_EQ(guest_->Do({.cdb = kReady}, 1).srb_status(), storvsc::kSrbSuccess);
  OnHost([&] { disk_->End(); });
  guest_->Run();
  EXPECT_EQ(disk_->waiting(), 4u) << "one ended, one more was read";
  while (disk_->waiting() != 0) EndAll();
  for (const RecordingRequest* request : requests) {
    EXPECT_EQ(StorvspGuest::ReplyOf(*request).srb_status(), storvsc::kSrbSuccess);
  }
}

TEST_F(StorvspFlowTest, AnswersWaitForRoomInTheRing) {
  guest_ = std::make_unique<StorvspGuest>();
  ASSERT_TRUE(guest_->vsp().Attach({}, disk_).ok());
  guest_->Open(0, 4096);
  guest_->Initialize();
  std::vector<RecordingRequest*> requests;
  // More answers (88 bytes each) than the ring holds end in one turn.
  for (int i = 0; i < 120; ++i) {
    requests.push_back(&guest_->StartScsi({.cdb = kRead8, .bytes = 4096}));
    guest_->Run();
  }
  ASSERT_EQ(disk_->waiting(), 120u);
  EndAll();
  for (const RecordingRequest* request : requests) {
    ASSERT_EQ(StorvspGuest::ReplyOf(*request).transferred(), 4096u);
  }
}

TEST_F(StorvspFlowTest, AnswersThatEndTogetherArePublishedTogether) {
  Make();
  for (int i = 0; i < 8; ++i) guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  const uint64_t signals = guest_->host().counters().signals_sent;
  OnHost([&] { disk_->EndAll(); });
  EXPECT_EQ(guest_->host().counters().signals_sent, signals + 1);
  guest_->Run();
}

TEST_F(StorvspFlowTest, AResetThatDoesNothingIsAnsweredAtOnce) {
  Make();
  RecordingRequest& read = guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  EXPECT_EQ(guest_->DoOperation(storvsc::kResetBus).status(), 0u);
  EXPECT_TRUE(read.ends.empty());
  EndAll();
  EXPECT_EQ(StorvspGuest::ReplyOf(read).srb_status(), storvsc::kSrbSuccess);
}

TEST_F(StorvspFlowTest, AnAbortingResetWaitsForTheBackEndAndEndsWhatCameBefore) {
  Make({.reset = StorvspOptions::Reset::kAbort});
  guest_->Open(1);
  RecordingRequest& one = guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  RecordingRequest& two = guest_->StartScsi({.cdb = kRead8, .bytes = 4096}, 1);
  guest_->Run();
  StorvspGuest::Packet64 packet{};
  packet.header.operation = storvsc::kResetLun;
  packet.body.lun = 7;
  EXPECT_EQ(guest_->DoPacket(packet).status(), 0u) << "another LUN";
  packet.body.lun = 0;
  RecordingRequest& lun = guest_->StartPacket(packet);
  RecordingRequest& bus = guest_->StartPacket(
      {.header = {.operation = storvsc::kResetBus, .flags = 1, .status = 0}, .body = {}});
  guest_->Run();
  RecordingRequest& later = guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  EXPECT_TRUE(lun.ends.empty() && bus.ends.empty());
  OnHost([&] { disk_->End(); });
  guest_->Run();
  const ScsiReply aborted = StorvspGuest::ReplyOf(one);
  EXPECT_EQ(aborted.srb_status(), storvsc::kSrbAborted | storvsc::kSrbAutosenseValid);
  EXPECT_EQ(aborted.scsi_status(), scsi::kTaskAborted);
  EXPECT_EQ(aborted.status(), storvsc::kStatusCancelled);
  EXPECT_TRUE(lun.ends.empty() && bus.ends.empty());
  OnHost([&] { disk_->End(); });
  guest_->Run();
  EXPECT_EQ(StorvspGuest::ReplyOf(two).scsi_status(), scsi::kTaskAborted);
  EXPECT_EQ(StorvspGuest::ReplyOf(lun).status(), 0u);
  EXPECT_EQ(StorvspGuest::ReplyOf(bus).status(), 0u);
  EXPECT_TRUE(StorvspGuest::ReplyOf(bus).answered);
  EXPECT_TRUE(later.ends.empty()) << "came after the resets";
  EndAll();
  EXPECT_EQ(StorvspGuest::ReplyOf(later).srb_status(), storvsc::kSrbSuccess);
}

TEST_F(StorvspFlowTest, WorkOnADiskThatIsTakenAwayEndsAsIfItWereThere) {
  Make();
  RecordingRequest& read = guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  OnHost([&] { ASSERT_TRUE(guest_->vsp().Detach({}).ok()); });
  EXPECT_EQ(guest_->Do({.cdb = kReady}).srb_status(), storvsc::kSrbInvalidLun);
  EXPECT_EQ(disk_->queues, 1);
  EndAll();
  EXPECT_EQ(StorvspGuest::ReplyOf(read).srb_status(), storvsc::kSrbSuccess);
  EXPECT_EQ(disk_->queues, 0) << "let go of with its last request";
}

TEST_F(StorvspFlowTest, ACloseHoldsTheGuestsMemoryUntilTheBackEndIsDone) {
  Make();
  guest_->Open(1);
  guest_->StartScsi({.cdb = kRead8, .bytes = 4096}, 1);
  guest_->Run();
  guest_->Close(1);
  EXPECT_TRUE(guest_->vsp().HoldsMemory(1));
  EXPECT_FALSE(guest_->vsp().HoldsMemory(0));
  EXPECT_EQ(guest_->context().memory_released, 0);
  EndAll();
  EXPECT_FALSE(guest_->vsp().HoldsMemory(1));
  EXPECT_EQ(guest_->context().memory_released, 1);
}

TEST_F(StorvspFlowTest, AControllerThatGoesWithWorkUnderWayLetsItEnd) {
  Make();
  guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  OnHost([&] { ASSERT_TRUE(guest_->vsp().Detach({}).ok()); });
  ASSERT_TRUE(guest_->vsp().Attach({}, disk_).ok());
  guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  guest_->Close();
  guest_->DestroyVsp();
  EXPECT_EQ(disk_->queues, 2);
  EndAll();
  EXPECT_EQ(disk_->queues, 0);
}

// Writes a pattern, saves while three requests are on their way, goes on with another storvsp.
TEST_F(StorvspFlowTest, WhatIsUnderWayAtASaveIsCompletedOnceByTheRestored) {
  Make();
  guest_->data(1, 0x40000)[0] = std::byte{0x77};
  RecordingRequest& write = guest_->StartScsi({.cdb = {0x2A, 0, 0, 0, 0, 5, 0, 0, 1, 0},
                                               .bytes = 512,
                                               .direction = storvsc::kDataOut,
                                               .gpa = 0x40000});
  RecordingRequest& read = guest_->StartScsi({.cdb = kRead8, .bytes = 4096, .gpa = 0x20200});
  RecordingRequest& bad = guest_->StartScsi({.cdb = {0xFF, 0, 0, 0, 0, 0}});
  guest_->Run();
  ASSERT_EQ(disk_->waiting(), 2u);
  guest_->SaveAndRestore();
  guest_->Run();
  EXPECT_TRUE(write.ends.empty());
  ASSERT_EQ(disk_->waiting(), 2u) << "not again, while the first are at the back end";
  EndAll();
  ASSERT_EQ(disk_->waiting(), 2u) << "again";
  EXPECT_TRUE(write.ends.empty()) << "those of before have no channel any more";
  EndAll();
  EXPECT_EQ(StorvspGuest::ReplyOf(write).srb_status(), storvsc::kSrbSuccess);
  EXPECT_EQ(StorvspGuest::ReplyOf(read).transferred(), 4096u);
  EXPECT_EQ(StorvspGuest::ReplyOf(bad).sense(), (scsi::Sense{5, 0x20, 0}));
  std::byte byte{};
  disk_->ram.Peek(5 * 512, std::span(&byte, 1));
  EXPECT_EQ(byte, std::byte{0x77});
  EXPECT_EQ(guest_->Do({.cdb = kReady}).srb_status(), storvsc::kSrbSuccess) << "still initialized";
}

TEST_F(StorvspFlowTest, ACutOrBentStateIsRefused) {
  Make();
  guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  StateWriter writer;
  ASSERT_TRUE(guest_->vsp().Save(writer).ok());
  const std::vector<std::byte> saved = std::move(writer).Take();
  for (size_t bytes = 0; bytes < saved.size(); ++bytes) {
    StorvspGuest other;
    ASSERT_TRUE(other.vsp().Attach({}, disk_).ok());
    StateReader reader(std::span<const std::byte>(saved).first(bytes));
    EXPECT_FALSE(other.vsp().Restore(reader).ok()) << bytes;
  }
}

// Found by storvsp_fuzz: it was sent to the guest as it stood.
TEST(StorvspFlow, ASavedAnswerThatIsNoneIsRefused) {
  const auto read_back = [](uint32_t operation) {
    StorvspSavedRequest saved = {.done = true, .bytes = storvsc::kPacketBytes};
    std::memcpy(saved.packet.data(), &operation, sizeof operation);
    StateWriter writer;
    writer(saved);
    const std::vector<std::byte> state = std::move(writer).Take();
    StateReader reader(state);
    StorvspSavedRequest restored;
    reader(restored);
    return reader.Finish();
  };
  EXPECT_TRUE(read_back(storvsc::kCompleteIo).ok());
  const absl::Status refused = read_back(storvsc::kEnumerateBus);
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  EXPECT_THAT(ToStd(refused.message()), ::testing::HasSubstr("operation of an answer"));
}

TEST_F(StorvspFlowTest, NothingIsAllocatedPerCommand) {
  Make();
  guest_->StartScsi({.cdb = kRead8, .bytes = 4096});
  guest_->Run();
  RecordingRequest& request = guest_->StartScsi({.cdb = kRead8, .bytes = 4096, .gpa = 0x20200});
  (void)request;
  const uint64_t before = ThreadAllocations();
  guest_->Run();
  EXPECT_LE(ThreadAllocations() - before, 1u) << "the test's own deque at most";
  EndAll();
}

// Found by storvsp_fuzz: requests that lay in the ring took the slots of those that were saved, which were forgotten.
TEST(StorvspFlow, WhatWasSavedIsTakenUpBeforeWhatLiesInTheRing) {
  StorvspGuest guest({.requests_max = 2});
  guest.Open(0, 4096);
  guest.Initialize();
  guest.channel().PauseReading();
  std::vector<RecordingRequest*> requests;
  for (int i = 0; i < 80; ++i) {  // the ring holds 46 answers
    requests.push_back(&guest.StartScsi({.cdb = {0, 0, 0, 0, 0, 0}}));
    if (i % 40 == 39) guest.Run();
  }
  guest.SaveAndRestore();
  guest.Run();
  guest.channel().ResumeReading();
  guest.Run();
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i]->ends, std::vector<RequestEnd>{RequestEnd::kCompleted}) << i;
  }
}

}  // namespace
}  // namespace vmbuskit
