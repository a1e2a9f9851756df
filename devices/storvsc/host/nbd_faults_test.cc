// Servers that are silent, leave, come back as others, or forget.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/storvsc/host/nbd_disk.h"
#include "devices/storvsc/host/nbd_fake_server.h"
#include "gtest/gtest.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using Read = FakeNbdServer::Read;

constexpr NbdDeadlines kShort = {.handshake = milliseconds(10000),
                                 .answer = milliseconds(10000),
                                 .operation = milliseconds(500),
                                 .pause = milliseconds(10)};

struct TestRequest final : BlockRequest {
  void OnDone(BlockResult with) override { last = with; }
  std::optional<BlockResult> last;
};

// Somebody else on the executor, who wants a turn every 10 ms.
struct Others {
  explicit Others(Executor& executor)
      : poller(executor, Callback::To<&Others::OnTurn>(this), milliseconds(10)) {
    poller.Start();
  }
  void OnTurn() { ++turns; }

  Poller poller;
  size_t turns = 0;
};

class NbdFaultsTest : public testing::Test {
 protected:
  NbdFaultsTest() : executor_(*LinuxExecutor::Create({})) {
    std::string folder = "/tmp/nbd_faults_testXXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~NbdFaultsTest() override {
    queue_.reset();
    server_.reset();
    rmdir(folder_.c_str());
  }
  void Serve(const FakeNbdServer::Options& options) {
    server_.reset();
    server_ = std::make_unique<FakeNbdServer>(folder_ + "/s", options);
  }
  void Open(const NbdDeadlines& deadlines = kShort) {
    queue_.reset();
    disk_ = *NbdDisk::Open("nbd+unix:///?socket=" + folder_ + "/s", {.deadlines = deadlines});
    queue_ = disk_->OpenQueue(*executor_);
    ASSERT_NE(queue_, nullptr);
  }
  BlockResult Do(BlockOperation operation, bool stable = false) {
    TestRequest request;
    const BlockSegment segment = {memory_.data(), 512};
    request.operation = operation;
    request.force_unit_access = stable;
    if (operation != BlockOperation::kFlush) {
      request.bytes = 512;
      request.segments = std::span(&segment, 1);
    }
    queue_->Submit(request);
    while (!request.last) executor_->RunOnce(/*may_sleep=*/true);
    return *request.last;
  }

  std::unique_ptr<LinuxExecutor> executor_;
  std::string folder_;
  std::vector<std::byte> memory_ = std::vector<std::byte>(512);
  std::unique_ptr<FakeNbdServer> server_;
  std::shared_ptr<NbdDisk> disk_;
  std::unique_ptr<BlockQueue> queue_;
};

// 60 s for a command, and 30 s for its first reset (storvsc_controller.h). One looks every `pause`.
TEST(NbdDeadlinesTest, EndAnOperationBeforeItsGuestResetsTwice) {
  const NbdDeadlines deadlines;
  const Duration guest = std::chrono::seconds(60 + 30);
  EXPECT_LT(deadlines.answer + deadlines.operation + 3 * deadlines.pause, guest);
  EXPECT_LT(deadlines.whole + 3 * deadlines.pause, guest);
  EXPECT_LT(deadlines.handshake, deadlines.operation) << "more than one attempt";
}

// All of the process: threads of an earlier test's connections may close theirs meanwhile.
std::vector<int> OpenSockets() {
  std::vector<int> open;
  for (int fd = 0; fd < 256; ++fd) {
    struct stat what = {};
    if (fstat(fd, &what) == 0 && S_ISSOCK(what.st_mode)) open.push_back(fd);
  }
  return open;
}

// What this program was started with is not its own affair.
const std::vector<int> kInherited = OpenSockets();

TEST_F(NbdFaultsTest, ProgramsThatTheHostStartsDoNotKeepItsConnections) {
  Serve({});
  Open();
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  std::vector<int> sockets = OpenSockets();
  std::erase_if(sockets, [](int fd) { return std::ranges::count(kInherited, fd) != 0; });
  EXPECT_GE(sockets.size(), 2u) << "libnbd's and a copy";
  for (const int fd : sockets) {
    const int flags = fcntl(fd, F_GETFD);
    EXPECT_TRUE(flags < 0 || (flags & FD_CLOEXEC) != 0) << fd;  // < 0: closed meanwhile
  }
}

TEST_F(NbdFaultsTest, AServerThatAlwaysShutsDownIsNotAskedForEver) {
  Serve({.read = Read::kShutDown});
  Open();
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk) << "others go on";
}

TEST_F(NbdFaultsTest, ARequestThatBreaksEveryConnectionEnds) {
  Serve({.read = Read::kHangUp});
  Open();
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, ASilentServerIsLeft) {
  Serve({.read = Read::kSilent});
  NbdDeadlines deadlines = kShort;
  deadlines.answer = milliseconds(100);
  Open(deadlines);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
}

TEST_F(NbdFaultsTest, ARequestThatEveryServerIsSilentAboutEnds) {
  Serve({.read = Read::kSilent});
  Open({.handshake = std::chrono::seconds(10),
        .answer = milliseconds(100),
        .operation = std::chrono::hours(1),
        .whole = milliseconds(500),
        .pause = milliseconds(10)});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, RequestsThatWaitedForASlotEndWithThoseThatTimedOut) {
  Serve({.read = Read::kSilent});
  NbdDeadlines deadlines = kShort;
  deadlines.answer = milliseconds(100);
  Open(deadlines);
  std::vector<TestRequest> requests(disk_->info().queue_depth + 2);
  const BlockSegment segment = {memory_.data(), 512};
  for (TestRequest& request : requests) {
    request.bytes = 512;
    request.segments = std::span(&segment, 1);
    queue_->Submit(request);
  }
  while (!requests.front().last) executor_->RunOnce(/*may_sleep=*/true);
  Serve({});
  for (TestRequest& request : requests) {
    while (!request.last) executor_->RunOnce(/*may_sleep=*/true);
    EXPECT_EQ(request.last, BlockResult::kTimedOut);
  }
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, ASilentHandshakeIsGivenUp) {
  Serve({});
  NbdDeadlines deadlines = kShort;
  deadlines.handshake = milliseconds(100);
  deadlines.operation = std::chrono::seconds(50);
  Open(deadlines);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  Serve({.silent = 2});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
}

// A server that takes long over a write: the connection is given up, and the write sent again. What it had must not
// come over what is written later.
TEST_F(NbdFaultsTest, AWriteThatIsSentAgainDoesNotComeOverALaterOne) {
  Serve({.hold_write = true});
  NbdDeadlines deadlines = kShort;
  deadlines.answer = milliseconds(100);
  deadlines.operation = std::chrono::seconds(20);
  Open(deadlines);
  const std::vector<std::byte> newer(512, std::byte{'B'});
  std::vector<std::byte> older(512, std::byte{'A'});
  const BlockSegment segment = {older.data(), 512};
  TestRequest slow;
  slow.operation = BlockOperation::kWrite;
  slow.bytes = 512;
  slow.segments = std::span(&segment, 1);
  queue_->Submit(slow);
  while (disk_->reconnects() == 0) executor_->RunOnce(/*may_sleep=*/true);
  EXPECT_TRUE(server_->holds());
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk) << "reads go on";
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk) << "after what would be sent by now";
  EXPECT_FALSE(slow.last) << "over the new connection";
  if (!slow.last) server_->Release();
  while (!slow.last) executor_->RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(slow.last, BlockResult::kOk);
  memory_ = newer;
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk);
  if (server_->holds()) server_->Release();
  while (server_->holds()) executor_->RunOnce();
  memory_.assign(512, std::byte{0});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  EXPECT_EQ(memory_, newer);
}

TEST_F(NbdFaultsTest, NothingIsWrittenWhileAServerMayStillHaveAWrite) {
  Serve({.hold_write = true});
  NbdDeadlines deadlines = kShort;
  deadlines.answer = milliseconds(100);
  deadlines.operation = milliseconds(200);
  Open(deadlines);
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kTimedOut);
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kTimedOut);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  queue_.reset();
  queue_ = disk_->OpenQueue(*executor_);
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kTimedOut) << "also of the next queue";
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk);
  server_->Release();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, AHandshakeWithoutEndStopsNobodyElse) {
  Serve({});
  NbdDeadlines deadlines = kShort;
  deadlines.handshake = milliseconds(100);
  Open(deadlines);
  Serve({.flood = true});
  Others others(*executor_);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
  EXPECT_GE(others.turns, 10u);
  Serve({});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, AnAnswerWithoutEndStopsNobodyElse) {
  Serve({.endless_read = true});
  NbdDeadlines deadlines = kShort;
  deadlines.answer = milliseconds(300);
  Open(deadlines);
  Others others(*executor_);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kTimedOut);
  EXPECT_GE(others.turns, 10u);
}

TEST_F(NbdFaultsTest, AServerThatComesBackWithAnotherDiskIsNotUsed) {
  Serve({.fua = true});
  Open();
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  Serve({.bytes = 2 << 20, .fua = true});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kGone);
  Serve({.fua = false});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kGone);
  Serve({.fua = true});
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
}

TEST_F(NbdFaultsTest, FlushesAfterARestartTellOfWritesThatWereNotFlushed) {
  Serve({.fua = true});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kWrite, /*stable=*/true), BlockResult::kOk);
  Serve({.fua = true});
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk) << "all was stable";

  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  Serve({.fua = true});
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError) << "for good";
  EXPECT_EQ(Do(BlockOperation::kWrite, /*stable=*/true), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk);
  Open();
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk) << "the operator opened it anew";
}

// The result of the first may have gone nowhere: a channel that closes ends what was under way with an abort, and its
// guest sends the flush again over the next.
TEST_F(NbdFaultsTest, AFlushOverTheNextQueueTellsAgain) {
  Serve({});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  Serve({});
  TestRequest unheard;
  unheard.operation = BlockOperation::kFlush;
  queue_->Submit(unheard);
  while (!unheard.last) executor_->RunOnce(/*may_sleep=*/true);
  queue_.reset();
  queue_ = disk_->OpenQueue(*executor_);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError);
}

TEST_F(NbdFaultsTest, FlushesAtTheSameTimeAllTellOfALoss) {
  Serve({});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  Serve({});
  TestRequest flushes[2];
  for (TestRequest& flush : flushes) {
    flush.operation = BlockOperation::kFlush;
    queue_->Submit(flush);
  }
  for (TestRequest& flush : flushes) {
    while (!flush.last) executor_->RunOnce(/*may_sleep=*/true);
    EXPECT_EQ(flush.last, BlockResult::kMediumError);
  }
}

TEST_F(NbdFaultsTest, AFlushThatTheServerCouldNotCarryOutIsNotForgotten) {
  Serve({.flush = Read::kErrorOnce});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError);
}

TEST_F(NbdFaultsTest, AStableWriteMadeOfAFlushTellsOfTheLoss) {
  Serve({});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  Serve({});
  EXPECT_EQ(Do(BlockOperation::kWrite, /*stable=*/true), BlockResult::kMediumError);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError);
}

TEST_F(NbdFaultsTest, WritesThatNoFlushCoveredAreFlushedBeforeTheLastConnectionIsLeft) {
  for (const Read fault : {Read::kHangUp, Read::kShutDown, Read::kSilent}) {
    Serve({.flush = fault, .fua = true});
    NbdDeadlines deadlines = kShort;
    if (fault == Read::kSilent) deadlines.leave = milliseconds(100);
    Open(deadlines);
    EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
    queue_.reset();
    Serve({.fua = true});
    queue_ = disk_->OpenQueue(*executor_);
    EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError) << "that flush failed";
    queue_.reset();

    Open();
    EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
    queue_.reset();
    queue_ = disk_->OpenQueue(*executor_);
    EXPECT_EQ(Do(BlockOperation::kRead), BlockResult::kOk) << "comes after that flush";
    EXPECT_EQ(server_->flushes(), 1u);
    queue_.reset();
    Serve({.fua = true});
    queue_ = disk_->OpenQueue(*executor_);
    EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kOk) << "it was stable";
    queue_.reset();
  }
}

TEST_F(NbdFaultsTest, TheFlushOfALastConnectionStopsNobodyElse) {
  Serve({.flush = Read::kSilent});
  NbdDeadlines deadlines = kShort;
  deadlines.leave = std::chrono::hours(1);
  Open(deadlines);
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  queue_.reset();  // not an hour
  Serve({});
  queue_ = disk_->OpenQueue(*executor_);
  EXPECT_EQ(Do(BlockOperation::kFlush), BlockResult::kMediumError) << "that flush failed";
}

TEST_F(NbdFaultsTest, WhoLetsGoOfTheDiskWaitsForThatFlush) {
  Serve({});
  Open();
  EXPECT_EQ(Do(BlockOperation::kWrite), BlockResult::kOk);
  queue_.reset();
  disk_.reset();
  EXPECT_EQ(server_->flushes(), 1u);
}

}  // namespace
}  // namespace vmbuskit
