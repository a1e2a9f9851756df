#include "devices/storvsc/export/nbd_session.h"

#include <gtest/gtest.h>

#include "devices/storvsc/export/nbd_testing.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

class NbdSessionTest : public testing::Test, public NbdSessionOwner {
 protected:
  std::optional<NbdExportInfo> Find(std::string_view name) override {
    if (!name.empty() && name != "disk") return std::nullopt;
    return DescribeNbdExport(*disk_, {.name = "disk"});
  }
  std::vector<NbdExportInfo> List() override { return {*Find("")}; }
  std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo& info) override {
    EXPECT_EQ(info.name, "disk");
    return gone_ ? nullptr : disk_;
  }
  void OnProgress() override { ++progress_; }

  void TearDown() override {
    while (!disk_->held.empty()) disk_->Carry();
    Run();
  }

  void Open(NbdTls tls = NbdTls::kNone, const NbdLimits& limits = {}) {
    session_.emplace(*this, executor_, tls, limits);
    Drain();
  }
  void OpenAndGo(const NbdLimits& limits = {}) {
    Open(NbdTls::kNone, limits);
    EXPECT_EQ(Send(Wire().Flags(3).Option(nbd::kOptGo, GoData("disk"))), 0u);
    Drain();
    ASSERT_TRUE(session_->in_transmission());
  }
  void Run() { ASSERT_TRUE(sim_.RunUntilIdle().ok()); }

  // How many bytes were not taken.
  size_t Send(std::span<const std::byte> bytes, size_t at_once = ~size_t{0}) {
    std::array<std::span<std::byte>, 4> targets;
    while (!bytes.empty()) {
      const size_t count = session_->ReadTargets(targets);
      if (count == 0) break;
      size_t read = 0;
      for (const std::span<std::byte> target : std::span(targets).first(count)) {
        const size_t part = std::min({target.size(), bytes.size(), at_once - read});
        std::memcpy(target.data(), bytes.data(), part);
        bytes = bytes.subspan(part);
        read += part;
      }
      session_->Received(read);
    }
    return bytes.size();
  }
  size_t Send(const Wire& wire, size_t at_once = ~size_t{0}) { return Send(wire.bytes(), at_once); }

  std::vector<std::byte> Drain(size_t at_once = ~size_t{0}) {
    std::vector<std::byte> sent;
    std::array<std::span<const std::byte>, 1> part;
    while (session_->Unsent(part) == 1) {
      const auto bytes = part[0].first(std::min(part[0].size(), at_once));
      sent.insert(sent.end(), bytes.begin(), bytes.end());
      session_->Sent(bytes.size());
    }
    return sent;
  }

  SimScheduler sim_{0};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  std::shared_ptr<TestDisk> disk_ = std::make_shared<TestDisk>();
  std::optional<NbdSession> session_;
  bool gone_ = false;
  int progress_ = 0;
};

TEST_F(NbdSessionTest, FromGreetingToDisconnect) {
  session_.emplace(*this, executor_, NbdTls::kNone, NbdLimits{});
  EXPECT_EQ(Drain().size(), sizeof(nbd::Greeting));
  Send(Wire().Flags(3).Option(nbd::kOptGo, GoData("disk")));
  EXPECT_TRUE(session_->in_transmission());
  EXPECT_EQ(session_->export_info().name, "disk");
  Drain();
  Send(Wire().Request(nbd::kCmdRead, 5, 0, 512));
  EXPECT_EQ(session_->in_flight(), 1u);
  Run();
  EXPECT_EQ(progress_, 1);
  EXPECT_EQ(Drain().size(), sizeof(nbd::SimpleReply) + 512);
  Send(Wire().Request(nbd::kCmdDisc, 6, 0, 0));
  EXPECT_TRUE(session_->finished());
  EXPECT_TRUE(session_->error().ok());
}

TEST_F(NbdSessionTest, PiecesOfAnySizeAreTheSame) {
  const std::string data(4096, 'd');
  const Wire wire = Wire()
                        .Flags(3)
                        .Option(nbd::kOptGo, GoData("disk"))
                        .Request(nbd::kCmdWrite, 1, 0, 4096)
                        .Text(data)
                        .Request(nbd::kCmdRead, 2, 0, 4096)
                        .Request(nbd::kCmdWrite, 3, 4096, 4096)
                        .Text(data)
                        .Request(nbd::kCmdDisc, 4, 0, 0);
  for (const size_t at_once : {1u, 3u, 28u, 29u, 1000u, 5000u, 100000u}) {
    disk_ = std::make_shared<TestDisk>();
    Open();
    EXPECT_EQ(Send(wire, at_once), 0u) << at_once;
    Run();
    const auto sent = Drain(at_once);
    EXPECT_EQ(sent.size(), 20u * 3 + 12 + 14 + 3 * 16 + 4096) << at_once;
    EXPECT_TRUE(session_->finished()) << at_once;
    std::array<std::byte, 1> last;
    disk_->ram().Peek(8191, last);
    EXPECT_EQ(last[0], std::byte{'d'}) << at_once;
  }
}

TEST_F(NbdSessionTest, AClientIsHeldBackWhileNothingCanBeTaken) {
  OpenAndGo({.requests_max = 1});
  disk_->hold = true;
  Wire wire;
  for (uint64_t i = 0; i < 3000; ++i) wire.Request(nbd::kCmdFlush, i, 0, 0);
  const size_t left = Send(wire);
  // One in flight, the rest of the first read in the staging memory, the others with the client.
  EXPECT_EQ(left, wire.bytes().size() - NbdSession::kStagingBytes);
  size_t answers = 0;
  while (!disk_->held.empty()) {
    disk_->Carry();
    Run();
    answers += Drain().size() / sizeof(nbd::SimpleReply);
  }
  EXPECT_EQ(answers, NbdSession::kStagingBytes / sizeof(nbd::Request));
  std::array<std::span<std::byte>, 2> targets;
  EXPECT_EQ(session_->ReadTargets(targets), 1u);
  EXPECT_EQ(targets[0].size(),
            NbdSession::kStagingBytes - NbdSession::kStagingBytes % sizeof(nbd::Request));
}

TEST_F(NbdSessionTest, RoomInAnEndedRequestIsUsedWithoutNewBytes) {
  OpenAndGo({.requests_max = 1, .buffer_bytes_max = 64 << 10});
  disk_->hold = true;
  Send(Wire().Request(nbd::kCmdRead, 1, 0, 512).Request(nbd::kCmdRead, 2, 0, 512));
  EXPECT_EQ(disk_->seen.size(), 1u);
  disk_->Carry();
  Run();
  Drain();
  EXPECT_EQ(disk_->seen.size(), 2u);
}

TEST_F(NbdSessionTest, TlsBeginsBehindItsAnswer) {
  Open(NbdTls::kRequired);
  Send(Wire().Flags(3).Option(nbd::kOptStartTls));
  EXPECT_FALSE(session_->wants_tls());
  std::array<std::span<std::byte>, 2> targets;
  EXPECT_EQ(session_->ReadTargets(targets), 0u);
  Drain();
  EXPECT_TRUE(session_->wants_tls());
  session_->TlsStarted();
  EXPECT_FALSE(session_->wants_tls());
  Send(Wire().Option(nbd::kOptGo, GoData("disk")));
  EXPECT_TRUE(session_->in_transmission());
}

TEST_F(NbdSessionTest, PlainBytesBehindStartTlsEndTheConnection) {
  Open(NbdTls::kOffered);
  Send(Wire().Flags(3).Option(nbd::kOptStartTls).Option(nbd::kOptGo, GoData("disk")));
  EXPECT_EQ(session_->error().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(session_->in_transmission());
}

TEST_F(NbdSessionTest, AnExportThatWentAwayEndsTheConnection) {
  gone_ = true;
  Open();
  Send(Wire().Flags(3).Option(nbd::kOptGo, GoData("disk")));
  EXPECT_EQ(session_->error().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(session_->in_flight(), 0u);
}

TEST_F(NbdSessionTest, ADiskWithoutAQueueEndsTheConnection) {
  disk_->refuses_queues = true;
  Open();
  Send(Wire().Flags(3).Option(nbd::kOptGo, GoData("disk")));
  EXPECT_EQ(session_->error().code(), absl::StatusCode::kUnavailable);
}

TEST_F(NbdSessionTest, AbortFinishesBehindItsAnswer) {
  Open();
  Send(Wire().Flags(3).Option(nbd::kOptAbort));
  EXPECT_FALSE(session_->finished());
  EXPECT_EQ(Drain().size(), sizeof(nbd::OptionReply));
  EXPECT_TRUE(session_->finished());
}

TEST_F(NbdSessionTest, StopInTheHandshakeFinishesAtOnce) {
  Open();
  session_->Stop();
  EXPECT_TRUE(session_->finished());
  EXPECT_EQ(Send(Wire().Flags(3)), 4u);
}

TEST_F(NbdSessionTest, StopInTransmissionWaitsForTheAnswers) {
  OpenAndGo();
  disk_->hold = true;
  Send(Wire().Request(nbd::kCmdFlush, 1, 0, 0));
  session_->Stop();
  EXPECT_FALSE(session_->finished());
  disk_->Carry();
  Run();
  EXPECT_EQ(Drain().size(), sizeof(nbd::SimpleReply));
  EXPECT_TRUE(session_->finished());
}

TEST_F(NbdSessionTest, ErrorsOfTheHandshakeAreTheSessions) {
  Open();
  Send(Wire().Flags(0xff));
  EXPECT_EQ(session_->error().code(), absl::StatusCode::kDataLoss);
}

TEST_F(NbdSessionTest, ErrorsOfRequestsAreTheSessions) {
  OpenAndGo();
  Send(Wire().Request(nbd::kCmdWrite, 1, 0, 0xffffffff));
  EXPECT_EQ(session_->error().code(), absl::StatusCode::kDataLoss);
  std::array<std::span<std::byte>, 2> targets;
  EXPECT_EQ(session_->ReadTargets(targets), 0u);
}

}  // namespace
}  // namespace vmbuskit
