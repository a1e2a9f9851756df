// A server that is saved while devices have not answered: the one that takes over asks them again.
#include <algorithm>
#include <cstdlib>

#include "framework/base/saved_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A connected server with one offered channel, relid 1, and an accepted ring GPADL 10, whose devices take their time;
// and the server that takes over.
struct Story {
  Story() {
    id = old.Offer(1);
    old.Connect(kVersion5_3);
    old.Gpadl(1, 10);
    old.Take();
    old.actions.automatic = false;
    now.actions.automatic = false;
  }
  void OpenIt() {
    old.Open(1, 10);
    old.server.OnOpenCompleted(id, true);
    old.Take();
  }
  std::vector<std::byte> Save() {
    EXPECT_TRUE(old.server.at_rest());
    StateWriter writer;
    old.server.Exchange(writer);
    return std::move(writer).Take();
  }
  absl::Status Restore(std::span<const std::byte> bytes) {
    StateReader reader(bytes);
    now.server.Exchange(reader);
    return reader.Finish();
  }
  void Move() {
    ASSERT_EQ(Restore(Save()), absl::OkStatus());
    InspectNode before;
    InspectNode after;
    old.server.Inspect(before);
    now.server.Inspect(after);
    EXPECT_EQ(before.ToJson(), after.ToJson());
    now.server.Resume();
  }

  ChannelId id{};
  World old;
  World now;
};

TEST(ServerState, NothingIsAskedWhenNothingIsUnderWay) {
  Story story;
  story.OpenIt();
  story.Move();
  EXPECT_THAT(story.now.Take(), IsEmpty());
  const absl::StatusOr<OpenRequest> open = story.now.server.DescribeOpen(story.id);
  ASSERT_TRUE(open.ok()) << open.status();
  EXPECT_EQ(open->ring_gpadl, 10u);
  EXPECT_EQ(open->downstream_page, 4u);
  EXPECT_EQ(open->ring->pfns.size(), 8u);
  story.now.Close(1);
  EXPECT_THAT(story.now.Take(), ElementsAre("close 1"));
  EXPECT_FALSE(story.now.server.DescribeOpen(story.id).ok());
}

TEST(ServerState, AnOpenIsAskedForAgainAndAnsweredOnce) {
  Story story;
  story.old.Open(1, 10);
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("open 1"));
  story.now.server.OnOpenCompleted(story.id, true);
  EXPECT_THAT(story.now.Take(), ElementsAre("OPEN_RESULT 1 open=101 0x0"));
}

TEST(ServerState, ACloseWithAnOpenBehindIt) {
  Story story;
  story.OpenIt();
  story.old.Close(1);
  story.old.Open(1, 10, 2);
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("close 1"));
  story.now.server.OnCloseCompleted(story.id);
  EXPECT_THAT(story.now.Take(), ElementsAre("open 1"));
}

TEST(ServerState, GpadlsInEveryState) {
  Story story;
  story.old.GpadlHeader(1, 11);  // bodies are missing
  story.old.Gpadl(1, 12);        // the device decides
  story.old.actions.automatic = true;
  story.old.Gpadl(1, 13);
  story.old.actions.automatic = false;
  story.old.TearDown(1, 13);  // the device lets go
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("create 1/12", "drop 1/13"));
  story.now.server.OnGpadlCreated(story.id, 12, true);
  story.now.server.OnGpadlReleased(story.id, 13);
  story.now.GpadlBody(11);
  EXPECT_THAT(story.now.Take(), ElementsAre("CREATED 1/12 0x0", "TORNDOWN 13", "create 1/11"));
  EXPECT_EQ(story.now.server.gpadls().charged_bytes(), (8u + 8 + 30) * 4096);
}

TEST(ServerState, ARetargetAndTheNextOne) {
  Story story;
  story.OpenIt();
  story.old.Modify(1, 3);
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("retarget 1 vp=3"));
  story.now.server.OnRetargeted(story.id, true);
  EXPECT_THAT(story.now.Take(), ElementsAre("MODIFIED 1 0x0"));
  EXPECT_EQ(story.now.server.DescribeOpen(story.id)->target_vp, 3u);
}

TEST(ServerState, AContactThatIsBeingSetUp) {
  Story story;
  story.old.PostContact({.version = kVersion5_2});
  EXPECT_THAT(story.old.Take(), ElementsAre("drop 1/10"));
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("drop 1/10"));
  story.now.server.OnGpadlReleased(story.id, 10);
  EXPECT_THAT(story.now.Take(), ElementsAre("tear down", "set up"));
}

TEST(ServerState, AnUnloadIsAnsweredWhenAllIsLetGo) {
  Story story;
  story.OpenIt();
  story.old.Post(UnloadMessage{});
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("close 1"));
  story.now.server.OnCloseCompleted(story.id);
  EXPECT_THAT(story.now.Take(), ElementsAre("drop 1/10"));
  story.now.server.OnGpadlReleased(story.id, 10);
  EXPECT_THAT(story.now.Take(), ElementsAre("tear down", "UNLOAD_RESPONSE"));
}

// Opens that cannot go on were once ended while the channels were still being looked through: what the end sets going
// took the very channel away.
TEST(ServerState, AnOpenThatCannotGoOnEndsAfterTheOthersWereAsked) {
  Story story;
  story.OpenIt();
  const ChannelId sub = story.old.Offer(1, 1);
  const ChannelId other = story.old.Offer(2);
  story.old.actions.automatic = true;
  story.old.Gpadl(2, 20);
  story.old.Gpadl(3, 30);
  story.old.Open(3, 30);
  story.old.actions.automatic = false;
  story.old.Open(2, 20);
  story.old.Post(
      UnloadMessage{});  // the sub-channel's ring goes, and with it what it was opened on
  ASSERT_EQ(story.old.StateOf(sub), ChannelState::kOpeningClientRelease);
  ASSERT_EQ(story.old.StateOf(other), ChannelState::kClosingClientRelease);
  story.now.actions.automatic = true;
  story.now.actions.taken_back_by_close = {story.id, sub};
  story.Move();
  EXPECT_THAT(story.now.Take(), ElementsAre("close 1", "close 3", "drop 1/10", "drop 3/30",
                                            "tear down", "UNLOAD_RESPONSE"));
  EXPECT_FALSE(story.now.server.channels().all().contains(sub));
}

TEST(ServerState, AReservedChannelWithoutConnection) {
  Story story;
  story.old.actions.automatic = true;
  story.old.OpenReserved(1, 10);
  story.old.Post(UnloadMessage{});
  story.old.Take();
  story.Move();
  EXPECT_THAT(story.now.Take(), IsEmpty());
  story.now.CloseReserved(1);
  EXPECT_THAT(story.now.Take(), ElementsAre("close 1"));
}

TEST(ServerState, ARevokedChannelWithItsSuccessor) {
  Story story;
  ASSERT_EQ(story.old.server.Revoke(story.id), absl::OkStatus());
  const ChannelId back = story.old.Offer(1);
  story.Move();
  EXPECT_THAT(story.now.Take(), IsEmpty());
  story.now.Release(1);
  EXPECT_THAT(story.now.Take(), ElementsAre("OFFER relid=1 index=0"));
  EXPECT_EQ(story.now.StateOf(back), ChannelState::kClosed);
  EXPECT_NE(story.now.Offer(2), back) << "no id twice";
}

// What is said of every state that differs from a good one in one byte, `value` instead of `is`; "" when it is taken.
std::vector<std::string> Verdicts(Story& story, uint8_t is, uint8_t value) {
  const std::vector<std::byte> good = story.Save();
  std::vector<std::string> verdicts;
  for (size_t at = 0; at < good.size(); ++at) {
    if (good[at] != std::byte{is}) continue;
    std::vector<std::byte> bad = good;
    bad[at] = std::byte{value};
    verdicts.emplace_back(story.Restore(bad).message());
    story.now.server.Clear();
  }
  return verdicts;
}

// The close would have completed into an open that is not there.
TEST(ServerState, ACloseWithAnOpenBehindItThatIsNotThere) {
  Story story;
  story.OpenIt();
  story.old.Close(1);
  EXPECT_THAT(Verdicts(story, static_cast<uint8_t>(ChannelState::kClosing),
                       static_cast<uint8_t>(ChannelState::kClosingReopen)),
              Contains(HasSubstr("channel is 1: an open behind a close, and nowhere else")));
}

// The first four ask something of a device that it cannot do, the last one (found by server_fuzz) of the hypervisor.
TEST(ServerState, NothingIsAskedThatNoGuestCouldCause) {
  Story story;
  story.OpenIt();
  story.old.Modify(1, 3);
  EXPECT_THAT(Verdicts(story, 3, 9), Contains(HasSubstr("retarget vp is 9: no such processor")));
  EXPECT_THAT(Verdicts(story, static_cast<uint8_t>(ChannelState::kOpen),
                       static_cast<uint8_t>(ChannelState::kClosed)),
              Contains(HasSubstr("retarget vp is 3: no such processor, or no rings")));
  story.old.Close(1);
  story.old.TearDown(1, 10);
  EXPECT_THAT(Verdicts(story, 1, 0), Contains(HasSubstr("GPADL is 10: torn down out of turn")));
  EXPECT_THAT(Verdicts(story, 0x20, 0x21), Contains(HasSubstr("monitor page is")));
  EXPECT_THAT(Verdicts(story, kVmbusSint, 3), Contains(HasSubstr("no such message slot")));
}

// Found by host_fuzz: the open failed, the retarget stayed, and what was saved then was not taken back.
TEST(ServerState, OnlyWhatWasOpenIsRetargeted) {
  Story story;
  story.OpenIt();
  story.old.Modify(1, 3);
  EXPECT_THAT(Verdicts(story, static_cast<uint8_t>(ChannelState::kOpen),
                       static_cast<uint8_t>(ChannelState::kOpening)),
              Contains(HasSubstr("retarget vp is 3: no such processor, or no rings")));
}

TEST(ServerState, AChannelIsKnownToTheGuestByItsRelid) {
  Story story;
  EXPECT_THAT(Verdicts(story, 1, 0), Contains(HasSubstr("relid is 0: of a channel")));
  // Or its monitor pages would stay mapped.
  EXPECT_THAT(Verdicts(story, 1, 0), Contains(HasSubstr("set up is 0: a connection that")));
  EXPECT_THAT(Verdicts(story, static_cast<uint8_t>(VmbusServer::State::kConnected), 3),
              Contains(HasSubstr("version is")));
}

// Found by server_fuzz: the unknown version became the connection's, and what was saved then was not taken back.
TEST(ServerState, AContactThatIsBeingSetUpHasAKnownVersionAndKnownFeatures) {
  Story story;
  story.old.actions.automatic = true;
  story.old.Post(UnloadMessage{});
  story.old.actions.automatic = false;
  story.old.PostContact({.version = kVersion5_2});
  ASSERT_EQ(story.old.server.state(), VmbusServer::State::kConnecting);
  EXPECT_THAT(Verdicts(story, kVersion5_2 & 0xFF, 0x77),
              Contains(HasSubstr("version is 327799: of a contact, and known")));
  EXPECT_THAT(Verdicts(story, 0, 0x80), Contains(HasSubstr("features is 2147483648: no more")));
}

TEST(ServerState, AHeldMessageIsOneOfAHost) {
  Story story;
  story.old.PostContact({.version = kVersion6_0, .features = kFeaturePauseResume});
  story.old.server.OnGpadlReleased(story.id, 10);
  story.old.server.OnConnectionSetUp(true);
  story.old.Post(RequestOffersMessage{});
  story.old.Take();
  story.old.Post(PauseMessage{});
  story.old.Offer(2);
  EXPECT_THAT(story.old.Take(), ElementsAre("PAUSE_RESPONSE"));
  EXPECT_THAT(Verdicts(story, static_cast<uint8_t>(MessageType::kOfferChannel),
                       static_cast<uint8_t>(MessageType::kRequestOffers)),
              Contains(HasSubstr("message type is 3: none of a host")));
}

// Where channel `nth` (0: the older one) of that instance stands in a saved state: its instance id.
std::byte* RecordOf(std::vector<std::byte>& state, uint8_t instance, int nth) {
  const Guid guid = TestInstance(instance);
  const auto* wanted = reinterpret_cast<const std::byte*>(&guid);
  auto at = state.begin();
  for (;; ++at) {
    at = std::search(at, state.end(), wanted, wanted + sizeof guid);
    if (at == state.end()) std::abort();
    if (nth-- == 0) return &*at;
  }
}
constexpr size_t kStateAt = 145;  // in a record, from there: behind the rest of the offer
constexpr size_t kRelidAt = 146;

// Its relid would stay behind when it takes over its predecessor's, and name a channel that is gone.
TEST(ServerState, ASuccessorIsNotYetTheGuests) {
  Story story;
  ASSERT_EQ(story.old.server.Revoke(story.id), absl::OkStatus());
  story.old.Offer(1);
  std::vector<std::byte> bad = story.Save();
  std::byte* const successor = RecordOf(bad, 1, 1);
  successor[kStateAt] = static_cast<std::byte>(ChannelState::kClosed);
  successor[kRelidAt] = std::byte{9};
  EXPECT_THAT(std::string(story.Restore(bad).message()), HasSubstr("successor is 2"));
}

// The predecessor's device would come back as well, and get a second successor: the first one would name it for ever.
TEST(ServerState, ASuccessorIsTheSameDevice) {
  Story story;
  ASSERT_EQ(story.old.server.Revoke(story.id), absl::OkStatus());
  story.old.Offer(1);
  std::vector<std::byte> bad = story.Save();
  RecordOf(bad, 1, 1)[15] = std::byte{7};
  EXPECT_THAT(std::string(story.Restore(bad).message()), HasSubstr("successor is 2"));
}

// What one of the two loses, for example with its primary channel, the other one would go on using.
TEST(ServerState, NoDeviceTwice) {
  Story story;
  story.old.Offer(2);
  std::vector<std::byte> bad = story.Save();
  RecordOf(bad, 2, 0)[15] = std::byte{1};
  EXPECT_THAT(std::string(story.Restore(bad).message()), HasSubstr("channel is 2"));
}

// Found by server_fuzz: the refused contact's pages were kept, and the server would not take back what it had saved.
TEST(ServerState, ARefusedContactLeavesNoPagesBehind) {
  Story story;
  story.old.actions.automatic = true;
  story.old.PostContact(
      {.version = kVersion5_2, .parent_to_child = 0x11001, .child_to_parent = 0x12000});
  EXPECT_EQ(story.old.server.state(), VmbusServer::State::kDisconnected);
  story.Move();
  EXPECT_THAT(story.now.Take(), IsEmpty());
}

// Whatever is restored, every call of the guest and of devices afterwards must be safe.
TEST(ServerState, NoForgedByteDoesHarm) {
  Story story;
  story.OpenIt();
  story.old.GpadlHeader(1, 11);
  story.old.Gpadl(1, 12);
  const ChannelId second = story.old.Offer(2);
  ASSERT_EQ(story.old.server.Revoke(second), absl::OkStatus());
  story.old.Offer(2);
  story.old.Modify(1, 3);
  const std::vector<std::byte> good = story.Save();
  story.now.actions.automatic = true;
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t value : {0, 1, 2, 3, 4, 6, 8, 9, 0x80, 0xFF}) {
      std::vector<std::byte> bad = good;
      bad[at] = static_cast<std::byte>(value);
      if (!story.Restore(bad).ok()) {
        ++refused;
        story.now.server.Clear();
      }
      story.now.server.Resume();
      for (uint32_t relid = 1; relid <= 2; ++relid) {
        story.now.GpadlBody(11);
        story.now.Open(relid, 10);
        story.now.Modify(relid, 2);
        story.now.Close(relid);
        story.now.TearDown(relid, 12);
        story.now.Release(relid);
      }
      for (uint32_t id = 1; id <= 4; ++id) (void)story.now.server.Revoke(ChannelId{id});
      story.now.server.Reset();
      story.now.Connect(kVersion5_3);
      story.now.Take();
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace vmbuskit
