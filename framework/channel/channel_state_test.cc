// A host's end of a channel that is dropped and made again from its saved state, over rings that the guest goes on
// using.
#include <memory>
#include <string>
#include <vector>

#include "framework/base/saved_state.h"
#include "framework/channel/channel_pair.h"
#include "framework/channel/recording.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;

class ChannelStateTest : public ::testing::Test {
 protected:
  ChannelStateTest() : pair_({.up_bytes = 4096, .down_bytes = 4096, .with_host = false}) {
    pair_.guest().Start(guest_);
    MakeHost();
    host_->Start(handler_);
  }
  ~ChannelStateTest() override {
    pair_.DestroyGuest();
    host_->Close(absl::CancelledError("test ends"));
  }

  void MakeHost() {
    host_ = std::make_unique<Channel>(pair_.host_executor(),
                                      Channel::Options{.name = "host end",
                                                       .incoming = pair_.up(),
                                                       .outgoing = pair_.down(),
                                                       .signal_peer = pair_.to_guest().raise(),
                                                       .max_requests = 4,
                                                       .guest_end = false});
    pair_.to_host().Connect(host_.get());
  }
  std::vector<std::byte> Save() {
    StateWriter writer;
    host_->Exchange(writer);
    return std::move(writer).Take();
  }
  absl::Status Restore(const std::vector<std::byte>& bytes) {
    host_->Vanish();
    MakeHost();
    StateReader reader(bytes);
    host_->Exchange(reader);
    return reader.Finish();
  }
  std::string Json() {
    InspectNode node;
    host_->Inspect(node);
    return node.ToJson();
  }
  Instant In(Duration time) { return pair_.sim().Now() + time; }
  uint64_t GuestAnswers(uint64_t id) {
    EXPECT_EQ(pair_.guest().Complete(id, TextBytes("answer..")), SendResult::kOk);
    EXPECT_TRUE(pair_.Run());
    return id;
  }

  RecordingHandler guest_;
  RecordingHandler handler_;
  ChannelPair pair_;
  std::unique_ptr<Channel> host_;
};

TEST_F(ChannelStateTest, ARequestUnderWayEndsOnceAfterTheRestore) {
  RecordingRequest old_request;
  ASSERT_EQ(host_->SendRequest({.payload = TextBytes("question")}, old_request, In(seconds(9))),
            SendResult::kOk);
  ASSERT_TRUE(pair_.Run());
  const uint64_t id = host_->RequestId(old_request);
  EXPECT_EQ(id, 1u);
  ASSERT_EQ(Restore(Save()), absl::OkStatus());
  EXPECT_TRUE(old_request.ends.empty()) << "what is dropped does not end";
  EXPECT_FALSE(old_request.outstanding());

  RecordingRequest request;
  EXPECT_FALSE(host_->ResumeRequest(id + 1, request));
  EXPECT_TRUE(host_->ResumeRequest(id, request));
  EXPECT_FALSE(host_->ResumeRequest(id, old_request)) << "resumed already";
  host_->Start(handler_);
  GuestAnswers(id);
  EXPECT_EQ(request.ends, std::vector{RequestEnd::kCompleted});
  EXPECT_EQ(request.reply, "answer..");
  EXPECT_FALSE(host_->closed());
  EXPECT_EQ(host_->RequestId(request), 0u);
}

TEST_F(ChannelStateTest, AResumedRequestKeepsWhatWasLeftOfItsTime) {
  RecordingRequest old_request;
  ASSERT_EQ(host_->SendRequest({}, old_request, In(seconds(9))), SendResult::kOk);
  ASSERT_TRUE(pair_.RunFor(seconds(4)));
  const std::vector<std::byte> bytes = Save();
  ASSERT_TRUE(pair_.RunFor(seconds(3)));  // the host stands still
  ASSERT_EQ(Restore(bytes), absl::OkStatus());
  RecordingRequest request;
  ASSERT_TRUE(host_->ResumeRequest(1, request));
  ASSERT_TRUE(pair_.RunFor(seconds(5) - std::chrono::nanoseconds(1)));
  EXPECT_TRUE(request.ends.empty());
  ASSERT_TRUE(pair_.RunFor(std::chrono::milliseconds(2)));
  EXPECT_EQ(request.ends, std::vector{RequestEnd::kDeadline});
}

TEST_F(ChannelStateTest, TheLateAnswerToARequestThatNobodyResumedIsIgnored) {
  RecordingRequest request;
  ASSERT_EQ(host_->SendRequest({}, request, In(seconds(9))), SendResult::kOk);
  ASSERT_EQ(Restore(Save()), absl::OkStatus());
  ASSERT_EQ(Restore(Save()), absl::OkStatus()) << "nor is it resumed the second time";
  host_->Start(handler_);
  EXPECT_EQ(host_->requests().abandoned(), 1u);
  GuestAnswers(1);
  EXPECT_FALSE(host_->closed()) << host_->reason();
  EXPECT_EQ(host_->requests().counters().late_answers, 1u);
  GuestAnswers(1);
  EXPECT_TRUE(host_->closed()) << "the second answer is one too many, as ever";
}

TEST_F(ChannelStateTest, IdsRestAsLongAsTheyWouldHave) {
  RecordingRequest requests[4];
  for (RecordingRequest& request : requests) {
    ASSERT_EQ(host_->SendRequest({}, request, In(seconds(9))), SendResult::kOk);
  }
  for (const uint64_t id : {3, 1, 4}) GuestAnswers(id);
  ASSERT_EQ(Restore(Save()), absl::OkStatus());
  std::vector<uint64_t> ids;
  for (RecordingRequest* request : {&requests[0], &requests[2], &requests[3]}) {
    ASSERT_EQ(host_->SendRequest({}, *request, In(seconds(9))), SendResult::kOk);
    ids.push_back(host_->RequestId(*request));
  }
  EXPECT_EQ(ids, (std::vector<uint64_t>{3, 1, 4}));
  host_->Vanish();  // before the requests go
}

TEST_F(ChannelStateTest, PacketsOfBothWaysAreNeitherLostNorRepeated) {
  ASSERT_EQ(pair_.guest().Send({.payload = TextBytes("first...")}), SendResult::kOk);
  ASSERT_TRUE(pair_.Run());
  ASSERT_EQ(pair_.guest().Send({.payload = TextBytes("second..")}), SendResult::kOk);
  ASSERT_EQ(host_->Send({.payload = TextBytes("to guest")}), SendResult::kOk);
  const std::vector<std::byte> bytes = Save();
  host_->Vanish();
  ASSERT_EQ(pair_.guest().Send({.payload = TextBytes("third...")}), SendResult::kOk);
  ASSERT_EQ(Restore(bytes), absl::OkStatus());
  host_->Start(handler_);
  ASSERT_TRUE(pair_.Run());
  ASSERT_EQ(handler_.packets.size(), 3u);
  EXPECT_EQ(handler_.packets[1].payload, "second..");
  EXPECT_EQ(handler_.packets[2].payload, "third...");
  ASSERT_EQ(guest_.packets.size(), 1u);
  EXPECT_EQ(host_->counters().packets_in, 3u);
  EXPECT_EQ(host_->counters().packets_out, 1u);
}

TEST_F(ChannelStateTest, AWaitForSpaceGoesOn) {
  const std::string big(1000, 'x');
  pair_.DestroyGuest();  // nobody reads
  while (host_->Send({.payload = TextBytes(big)}) == SendResult::kOk) continue;
  const std::string before = Json();
  ASSERT_EQ(Restore(Save()), absl::OkStatus());
  EXPECT_EQ(Json().find("\"waits_for_space\": true") != std::string::npos, true) << Json();
  host_->Start(handler_);
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(handler_.writable, 0u);
  RingReader reader(pair_.down(), {});
  Packet packet;
  while (reader.Next(packet) == ReadResult::kPacket) continue;
  EXPECT_TRUE(reader.Commit()) << "the host asked again for a signal";
  host_->wake().Signal();
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(handler_.writable, 1u);
}

TEST_F(ChannelStateTest, AnEndedChannelStaysEndedWithItsReason) {
  host_->Close(absl::DataLossError("the guest lied"));
  const std::string before = Json();
  ASSERT_EQ(Restore(Save()), absl::OkStatus());
  EXPECT_EQ(Json(), before);
  EXPECT_EQ(host_->reason(), absl::DataLossError("the guest lied"));
  host_->Start(handler_);
  ASSERT_TRUE(pair_.Run());
  EXPECT_EQ(handler_.closed.size(), 1u) << "told before the save";
  EXPECT_EQ(host_->Send({}), SendResult::kClosed);
}

TEST_F(ChannelStateTest, NoCorruptByteDoesHarm) {
  RecordingRequest requests[3];
  for (RecordingRequest& request : requests) {
    ASSERT_EQ(host_->SendRequest({}, request, In(seconds(9))), SendResult::kOk);
  }
  GuestAnswers(2);
  const std::vector<std::byte> bytes = Save();
  int refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const int flip : {1, 0x80, 0xFF}) {
      std::vector<std::byte> bad = bytes;
      bad[at] ^= static_cast<std::byte>(flip);
      refused += !Restore(bad).ok();
      RecordingRequest request;
      for (const uint64_t id : {1, 2, 3, 4}) (void)host_->ResumeRequest(id, request);
      (void)host_->SendRequest({}, requests[1], In(seconds(1)));
      host_->Vanish();
    }
    std::vector<std::byte> part(bytes.begin(), bytes.begin() + at);
    EXPECT_FALSE(Restore(part).ok());
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace vmbuskit
