#include "devices/storvsc/export/nbd_transmission.h"

#include <gtest/gtest.h>

#include "devices/storvsc/export/nbd_testing.h"
#include "platform/allocation_counter.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

using Simple = Replies::Simple;
using Seen = TestDisk::Seen;

std::string PatternOf(size_t bytes, char first = 'a') {
  std::string text(bytes, ' ');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>(first + i % 23);
  return text;
}

class NbdTransmissionTest : public testing::Test {
 protected:
  void SetUp() override { Open(false); }
  void TearDown() override {
    if (!transmission_.has_value()) return;
    disk_->hold = false;
    while (!disk_->held.empty()) disk_->Carry();
    Run();
    while (!disk_->held.empty()) disk_->Carry();
    Run();
  }

  // `structured`: with block status.
  void Open(bool structured, const NbdLimits& limits = {}, NbdExportOptions options = {}) {
    transmission_.reset();
    const NbdAgreement agreement{.info = DescribeNbdExport(*disk_, options),
                                 .structured_replies = structured,
                                 .base_allocation = structured};
    transmission_.emplace(disk_, executor_, agreement, limits,
                          Callback::To<&NbdTransmissionTest::OnProgress>(this));
    ASSERT_TRUE(transmission_->usable());
  }

  void OnProgress() { ++progress_; }
  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  size_t Receive(const Wire& wire) { return transmission_->Receive(wire.bytes()); }

  // Everything that is to be sent.
  std::vector<std::byte> Drain() {
    std::vector<std::byte> sent;
    std::array<std::span<const std::byte>, 3> parts;
    while (const size_t count = transmission_->Unsent(parts)) {
      size_t bytes = 0;
      for (const auto part : std::span(parts).first(count)) {
        sent.insert(sent.end(), part.begin(), part.end());
        bytes += part.size();
      }
      transmission_->Sent(bytes);
    }
    return sent;
  }

  // The one simple reply to one request.
  Simple Ask(const Wire& wire) {
    EXPECT_EQ(Receive(wire), wire.bytes().size());
    Run();
    const std::vector<std::byte> sent = Drain();
    Replies replies(sent);
    const Simple reply = replies.TakeSimple();
    EXPECT_EQ(replies.remaining(), 0u);
    return reply;
  }

  Replies::Structured AskStructured(const Wire& wire) {
    EXPECT_EQ(Receive(wire), wire.bytes().size());
    Run();
    const std::vector<std::byte> sent = Drain();
    Replies replies(sent);
    const auto reply = replies.TakeStructured();
    EXPECT_EQ(replies.remaining(), 0u);
    return reply;
  }

  SimScheduler sim_{0};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  std::shared_ptr<TestDisk> disk_ = std::make_shared<TestDisk>(64 << 20);
  std::optional<NbdTransmission> transmission_;
  int progress_ = 0;
};

TEST_F(NbdTransmissionTest, WhatIsWrittenIsReadBack) {
  const std::string data = PatternOf(1024);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 7, 4096, 1024).Text(data)), (Simple{0, 7}));
  Receive(Wire().Request(nbd::kCmdRead, 8, 4096 + 512, 512));
  Run();
  const auto sent = Drain();
  Replies replies(sent);
  EXPECT_EQ(replies.TakeSimple(), (Simple{0, 8}));
  EXPECT_EQ(replies.TakeText(512), data.substr(512));
  EXPECT_EQ(replies.remaining(), 0u);
  EXPECT_EQ(progress_, 2);
}

TEST_F(NbdTransmissionTest, StructuredReadsSayTheirOffset) {
  Open(true);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 1, 512, 512).Text(PatternOf(512))), (Simple{0, 1}));
  const auto reply = AskStructured(Wire().Request(nbd::kCmdRead, 2, 512, 512, nbd::kFlagDf));
  EXPECT_EQ(reply.flags, nbd::kReplyFlagDone);
  EXPECT_EQ(reply.type, nbd::kReplyOffsetData);
  EXPECT_EQ(reply.cookie, 2u);
  EXPECT_EQ(reply.payload, std::string("\0\0\0\0\0\0\2\0", 8) + PatternOf(512));
}

TEST_F(NbdTransmissionTest, LargeRequestsGoThroughSeveralChunks) {
  const std::string data = PatternOf(3 * NbdBufferPool::kChunkBytes + 512);
  const auto bytes = static_cast<uint32_t>(data.size());
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 1, 512, bytes).Text(data)), (Simple{0, 1}));
  Receive(Wire().Request(nbd::kCmdRead, 2, 512, bytes));
  Run();
  const auto sent = Drain();
  Replies replies(sent);
  replies.TakeSimple();
  EXPECT_TRUE(replies.TakeText(bytes) == data);
}

TEST_F(NbdTransmissionTest, PayloadGoesStraightToItsBuffer) {
  const Wire header = Wire().Request(nbd::kCmdWrite, 1, 0, 100 * 1024);
  EXPECT_EQ(Receive(header), header.bytes().size());
  std::array<std::span<std::byte>, 4> targets;
  ASSERT_EQ(transmission_->PayloadTargets(targets), 2u);
  EXPECT_EQ(targets[0].size(), 64u * 1024);
  EXPECT_EQ(targets[1].size(), 36u * 1024);
  std::memset(targets[0].data(), 'x', targets[0].size());
  transmission_->PayloadReceived(64 * 1024);
  ASSERT_EQ(transmission_->PayloadTargets(targets), 1u);
  std::memset(targets[0].data(), 'y', targets[0].size());
  transmission_->PayloadReceived(36 * 1024);
  EXPECT_EQ(transmission_->PayloadTargets(targets), 0u);
  EXPECT_EQ(transmission_->Receive({}), 0u);  // submits
  Run();
  std::array<std::byte, 2> edge;
  disk_->ram().Peek(64 * 1024 - 1, edge);
  EXPECT_EQ(edge[0], std::byte{'x'});
  EXPECT_EQ(edge[1], std::byte{'y'});
}

TEST_F(NbdTransmissionTest, AnswersComeInTheOrderOfTheDisk) {
  disk_->hold = true;
  Receive(Wire().Request(nbd::kCmdFlush, 1, 0, 0).Request(nbd::kCmdTrim, 2, 0, 512));
  ASSERT_EQ(disk_->held.size(), 2u);
  std::swap(disk_->held[0], disk_->held[1]);
  disk_->Carry();
  disk_->Carry();
  Run();
  const auto sent = Drain();
  Replies replies(sent);
  EXPECT_EQ(replies.TakeSimple(), (Simple{0, 2}));
  EXPECT_EQ(replies.TakeSimple(), (Simple{0, 1}));
}

TEST_F(NbdTransmissionTest, EveryCommandReachesTheDiskAsItself) {
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdFlush, 1, 0, 0)).error, 0u);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdTrim, 1, 512, 1 << 20)).error, 0u);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWriteZeroes, 1, 0, 4096)).error, 0u);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWriteZeroes, 1, 0, 4096, nbd::kFlagNoHole)).error, 0u);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdCache, 1, 0, 4096)).error, 0u);
  EXPECT_EQ(disk_->seen,
            (std::vector<Seen>{{BlockOperation::kFlush, 0, 0, false, true},
                               {BlockOperation::kDiscard, 512, 1 << 20, false, true},
                               {BlockOperation::kWriteZeroes, 0, 4096, false, true},
                               {BlockOperation::kWriteZeroes, 0, 4096, false, false}}));
}

TEST_F(NbdTransmissionTest, FuaIsTheDisksOwnWhereItHasOne) {
  disk_->mutable_info().volatile_cache = true;
  Open(false);
  const Wire wire = Wire().Request(nbd::kCmdWrite, 1, 0, 512, nbd::kFlagFua).Text(PatternOf(512));
  EXPECT_EQ(Ask(wire), (Simple{0, 1}));
  EXPECT_EQ(disk_->seen, (std::vector<Seen>{{BlockOperation::kWrite, 0, 512, true, true}}));
}

TEST_F(NbdTransmissionTest, FuaIsAFlushWhereTheDiskHasNone) {
  disk_->mutable_info().volatile_cache = true;
  disk_->mutable_info().force_unit_access = false;
  Open(false);
  disk_->hold = true;
  Receive(Wire().Request(nbd::kCmdWriteZeroes, 1, 0, 512, nbd::kFlagFua));
  ASSERT_EQ(disk_->held.size(), 1u);
  disk_->Carry();
  Run();
  EXPECT_TRUE(Drain().empty());  // not before the flush
  ASSERT_EQ(disk_->held.size(), 1u);
  EXPECT_EQ(disk_->seen.back(), (Seen{BlockOperation::kFlush, 0, 0, false, true}));
  disk_->End(BlockResult::kMediumError);
  Run();
  const auto sent = Drain();
  EXPECT_EQ(Replies(sent).TakeSimple(), (Simple{nbd::kEIo, 1}));
}

TEST_F(NbdTransmissionTest, FuaOfATrimIsAFlushOnlyBehindACache) {
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdTrim, 1, 0, 512, nbd::kFlagFua)), (Simple{0, 1}));
  EXPECT_EQ(disk_->seen.size(), 1u);
  disk_->mutable_info().volatile_cache = true;
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdTrim, 2, 0, 512, nbd::kFlagFua)), (Simple{0, 2}));
  ASSERT_EQ(disk_->seen.size(), 3u);
  EXPECT_EQ(disk_->seen[2].operation, BlockOperation::kFlush);
}

TEST_F(NbdTransmissionTest, RefusedWritesAreAnsweredBehindTheirData) {
  Open(false, {}, {.name = {}, .read_only = true});
  const std::string data = PatternOf(512);
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 1, 0, 512).Text(data)), (Simple{nbd::kEPerm, 1}));
  // Half of the data: no answer yet, and what follows is still in step.
  Receive(Wire().Request(nbd::kCmdWrite, 2, 0, 512).Text(data.substr(256)));
  EXPECT_TRUE(Drain().empty());
  std::array<std::span<std::byte>, 2> targets;
  EXPECT_EQ(transmission_->PayloadTargets(targets), 0u);
  EXPECT_EQ(Ask(Wire().Text(data.substr(256))), (Simple{nbd::kEPerm, 2}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdFlush, 3, 0, 0)), (Simple{0, 3}));
  EXPECT_EQ(disk_->seen.size(), 1u);
}

TEST_F(NbdTransmissionTest, LiesAreAnsweredWithErrors) {
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdRead, 1, 64 << 20, 512)), (Simple{nbd::kEInval, 1}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdRead, 2, 1, 512)), (Simple{nbd::kEInval, 2}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdRead, 3, 0, 48 << 20)), (Simple{nbd::kEInval, 3}));
  EXPECT_EQ(Ask(Wire().Request(4711, 4, 0, 0)), (Simple{nbd::kEInval, 4}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdBlockStatus, 5, 0, 512)), (Simple{nbd::kEInval, 5}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 6, 64 << 20, 0)), (Simple{0, 6}));
  EXPECT_TRUE(disk_->seen.empty());
  EXPECT_TRUE(transmission_->error().ok());
}

TEST_F(NbdTransmissionTest, NothingToMoveIsDoneAtOnce) {
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdRead, 1, 0, 0)), (Simple{0, 1}));
  Open(true);
  const auto reply = AskStructured(Wire().Request(nbd::kCmdRead, 2, 0, 0));
  EXPECT_EQ(reply.type, nbd::kReplyNone);
  EXPECT_EQ(reply.flags, nbd::kReplyFlagDone);
  EXPECT_TRUE(disk_->seen.empty());
}

TEST_F(NbdTransmissionTest, StructuredErrorsSayWhy) {
  Open(true);
  const auto reply = AskStructured(Wire().Request(nbd::kCmdRead, 9, 64 << 20, 512));
  EXPECT_EQ(reply.type, nbd::kReplyError);
  EXPECT_EQ(reply.cookie, 9u);
  EXPECT_EQ(reply.payload.substr(0, 6), std::string("\0\0\0\x16\0\x22", 6));
  EXPECT_EQ(reply.payload.substr(6), "command, flags, range or alignment");
}

TEST_F(NbdTransmissionTest, BlockStatusTellsDataFromHoles) {
  Open(true);
  ASSERT_TRUE(disk_->ram().Poke(64 * 1024, std::as_bytes(std::span("data"))));
  const auto reply = AskStructured(Wire().Request(nbd::kCmdBlockStatus, 1, 0, 1 << 20));
  EXPECT_EQ(reply.type, nbd::kReplyBlockStatus);
  Replies payload(std::as_bytes(std::span(reply.payload)));
  EXPECT_EQ(payload.Take<nbd::Be32>(), NbdHandshake::kBaseAllocationId);
  const uint32_t expected[3][2] = {{64 << 10, 3}, {64 << 10, 0}, {(1 << 20) - (128 << 10), 3}};
  for (const auto& extent : expected) {
    const auto descriptor = payload.Take<nbd::StatusDescriptor>();
    EXPECT_EQ(descriptor.bytes, extent[0]);
    EXPECT_EQ(descriptor.flags, extent[1]);
  }
  EXPECT_EQ(payload.remaining(), 0u);
}

TEST_F(NbdTransmissionTest, BlockStatusOfOneExtentStaysInTheRequest) {
  Open(true);
  const auto reply =
      AskStructured(Wire().Request(nbd::kCmdBlockStatus, 1, 512, 1024, nbd::kFlagReqOne));
  EXPECT_EQ(reply.payload, std::string("\0\0\0\1\0\0\4\0\0\0\0\3", 12));
}

TEST_F(NbdTransmissionTest, ADiskThatKnowsNothingIsAllData) {
  disk_->mutable_info().status = false;
  Open(true);
  const auto reply = AskStructured(Wire().Request(nbd::kCmdBlockStatus, 1, 0, 1024));
  EXPECT_EQ(reply.payload, std::string("\0\0\0\1\0\0\4\0\0\0\0\0", 12));
  EXPECT_TRUE(disk_->seen.empty());
}

TEST_F(NbdTransmissionTest, AFastZeroThatTheDiskCannotDoIsNotSupported) {
  disk_->hold = true;
  for (const uint16_t flags : {uint16_t{nbd::kFlagFastZero}, uint16_t{0}}) {
    Receive(Wire().Request(nbd::kCmdWriteZeroes, flags, 0, 512, flags));
    disk_->End(BlockResult::kNotSupported);
    Run();
    const auto sent = Drain();
    EXPECT_EQ(Replies(sent).TakeSimple().error, flags != 0 ? nbd::kENotSup : nbd::kEInval);
  }
}

TEST_F(NbdTransmissionTest, WrongMagicEndsTheConnection) {
  EXPECT_EQ(Receive(Wire().Text("this is not a request magic!!")), 29u);
  EXPECT_EQ(transmission_->error().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(transmission_->finished());
}

TEST_F(NbdTransmissionTest, AWriteOfAbsurdLengthEndsTheConnection) {
  Receive(Wire().Request(nbd::kCmdWrite, 1, 0, (32 << 20) + 1));
  EXPECT_EQ(transmission_->error().message(), "NBD request: bytes of a write is 33554433");
}

TEST_F(NbdTransmissionTest, DisconnectWaitsForWhatIsInFlight) {
  disk_->hold = true;
  const Wire wire =
      Wire().Request(nbd::kCmdFlush, 1, 0, 0).Request(nbd::kCmdDisc, 2, 0, 0).Text("x");
  EXPECT_EQ(Receive(wire), wire.bytes().size());  // what follows is dropped
  EXPECT_TRUE(transmission_->stopping());
  EXPECT_FALSE(transmission_->finished());
  disk_->Carry();
  Run();
  EXPECT_FALSE(transmission_->finished());
  EXPECT_EQ(Drain().size(), sizeof(nbd::SimpleReply));
  EXPECT_TRUE(transmission_->finished());
  EXPECT_TRUE(transmission_->error().ok());
}

TEST_F(NbdTransmissionTest, ADiskThatIsGoneEndsTheConnectionBehindItsAnswers) {
  disk_->hold = true;
  Receive(Wire().Request(nbd::kCmdRead, 1, 0, 512).Request(nbd::kCmdRead, 2, 0, 512));
  disk_->End(BlockResult::kGone);
  Run();
  EXPECT_TRUE(transmission_->stopping());
  const Wire more = Wire().Request(nbd::kCmdRead, 3, 0, 512);
  EXPECT_EQ(Receive(more), more.bytes().size());
  disk_->End(BlockResult::kLost);
  Run();
  const auto sent = Drain();
  Replies replies(sent);
  EXPECT_EQ(replies.TakeSimple(), (Simple{nbd::kEShutdown, 1}));
  EXPECT_EQ(replies.TakeSimple(), (Simple{nbd::kEShutdown, 2}));
  EXPECT_EQ(replies.remaining(), 0u);
  EXPECT_TRUE(transmission_->finished());
}

TEST_F(NbdTransmissionTest, NoMoreRequestsThanTheLimitAreInFlight) {
  Open(false, {.requests_max = 2});
  disk_->hold = true;
  Wire wire;
  for (uint64_t i = 0; i < 3; ++i) wire.Request(nbd::kCmdFlush, i, 0, 0);
  EXPECT_EQ(Receive(wire), 2 * sizeof(nbd::Request));
  EXPECT_TRUE(transmission_->blocked());
  EXPECT_EQ(transmission_->in_flight(), 2u);
  disk_->Carry();
  Run();
  EXPECT_TRUE(transmission_->blocked());  // until the answer is sent
  Drain();
  EXPECT_FALSE(transmission_->blocked());
  EXPECT_EQ(Receive(Wire().Request(nbd::kCmdFlush, 2, 0, 0)), sizeof(nbd::Request));
  EXPECT_EQ(transmission_->in_flight(), 2u);
}

TEST_F(NbdTransmissionTest, BuffersAreWaitedFor) {
  Open(false, {.buffer_bytes_max = 2 * NbdBufferPool::kChunkBytes},
       {.payload_bytes_max = 128 << 10});
  disk_->hold = true;
  const Wire wire = Wire()
                        .Request(nbd::kCmdRead, 1, 0, 128 << 10)
                        .Request(nbd::kCmdRead, 2, 0, 512)
                        .Request(nbd::kCmdRead, 3, 0, 512);
  EXPECT_EQ(Receive(wire), 2 * sizeof(nbd::Request));
  EXPECT_TRUE(transmission_->blocked());
  EXPECT_EQ(transmission_->in_flight(), 1u);
  EXPECT_EQ(transmission_->Receive({}), 0u);
  EXPECT_TRUE(transmission_->blocked());
  disk_->Carry();
  Run();
  EXPECT_EQ(Drain().size(), sizeof(nbd::SimpleReply) + (128 << 10));
  EXPECT_EQ(transmission_->Receive({}), 0u);  // the one that waited begins
  EXPECT_FALSE(transmission_->blocked());
  EXPECT_EQ(transmission_->in_flight(), 1u);
}

TEST_F(NbdTransmissionTest, WithoutAnyMemoryRequestsFail) {
  disk_->buffers_left = 0;
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdRead, 1, 0, 512)), (Simple{nbd::kENoMem, 1}));
  EXPECT_EQ(Ask(Wire().Request(nbd::kCmdWrite, 2, 0, 512).Text(PatternOf(512))),
            (Simple{nbd::kENoMem, 2}));
}

TEST_F(NbdTransmissionTest, StopAnswersWhatIsInFlightAndTakesNothingMore) {
  disk_->hold = true;
  Receive(Wire().Request(nbd::kCmdFlush, 1, 0, 0));
  transmission_->Stop();
  EXPECT_FALSE(transmission_->finished());
  disk_->Carry();
  Run();
  EXPECT_EQ(Drain().size(), sizeof(nbd::SimpleReply));
  EXPECT_TRUE(transmission_->finished());
}

TEST_F(NbdTransmissionTest, PartsOfAnswersCanBeSentByteByByte) {
  Receive(Wire().Request(nbd::kCmdRead, 1, 0, 512).Request(nbd::kCmdFlush, 2, 0, 0));
  Run();
  size_t bytes = 0;
  std::array<std::span<const std::byte>, 1> part;
  while (transmission_->Unsent(part) == 1) {
    transmission_->Sent(1);
    ++bytes;
  }
  EXPECT_EQ(bytes, 2 * sizeof(nbd::SimpleReply) + 512);
}

TEST_F(NbdTransmissionTest, WarmRequestsAllocateNothing) {
  disk_->seen.reserve(100);
  const Wire wire = Wire()
                        .Request(nbd::kCmdWrite, 1, 0, 512)
                        .Text(PatternOf(512))
                        .Request(nbd::kCmdRead, 2, 0, 512);
  std::array<std::span<const std::byte>, 8> parts;
  uint64_t before = 0;
  for (int round = 0; round < 80; ++round) {
    // Every slot has had a turn as a write and as a read by then.
    if (round == 70) before = ThreadAllocations();
    transmission_->Receive(wire.bytes());
    while (transmission_->in_flight() > 0) Run();
    while (transmission_->Unsent(parts) > 0) transmission_->Sent(parts[0].size());
    disk_->seen.clear();
  }
  EXPECT_EQ(ThreadAllocations() - before, 0u);
}

TEST_F(NbdTransmissionTest, ADiskWithoutAQueueIsNotUsable) {
  disk_->refuses_queues = true;
  transmission_.reset();
  transmission_.emplace(disk_, executor_, NbdAgreement{}, NbdLimits{}, Callback());
  EXPECT_FALSE(transmission_->usable());
}

}  // namespace
}  // namespace vmbuskit
