// GPADLs as stories, and a hostile guest's messages one by one (protocol 02 sections 2, 5.1 and 5.4).
#include <array>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Connected, with relids 1 and 2.
struct Story : World {
  explicit Story(ServerOptions options = {.guest_page_count = 1 << 20}) : World(options) {
    Offer(1);
    Offer(2);
    Connect(kVersion5_3);
  }
};

TEST(ServerGpadl, CreateAndTearDown) {
  Story story;
  story.Gpadl(1, 0xE1E10, 2);
  EXPECT_THAT(story.Take(), ElementsAre("create 1/925200", "CREATED 1/925200 0x0"));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 8192u);
  story.TearDown(1, 0xE1E10);
  EXPECT_THAT(story.Take(), ElementsAre("drop 1/925200", "TORNDOWN 925200"));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 0u);
}

TEST(ServerGpadl, BodiesAreFoundByHandle) {
  Story story;
  story.GpadlHeader(1, 10);
  story.GpadlHeader(2, 20);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.gpadls().in_progress_pages(), 62u);
  story.GpadlBody(20);
  story.GpadlBody(10);
  EXPECT_THAT(story.Take(),
              ElementsAre("create 2/20", "CREATED 2/20 0x0", "create 1/10", "CREATED 1/10 0x0"));
  EXPECT_EQ(story.server.FindGpadl(ChannelId{1}, 10)->pfns.size(), 30u);
  story.GpadlBody(10);
  EXPECT_EQ(story.TakeError(), "GPADL_BODY: gpadl is 10: no header came before");
  EXPECT_THAT(story.Take(), IsEmpty());
}

TEST(ServerGpadl, TheLargestOneHas8190Pages) {
  Story story;
  story.Gpadl(1, 10, 8190);
  EXPECT_THAT(story.Take(), ElementsAre("create 1/10", "CREATED 1/10 0x0"));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), (32u << 20) - 8192);
}

TEST(ServerGpadl, RefusedByTheDevice) {
  Story story;
  story.actions.accept = false;
  story.Gpadl(1, 10);
  EXPECT_THAT(story.Take(), ElementsAre("create 1/10", "CREATED 1/10 0x8000ffff"));
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 0u);
  EXPECT_EQ(story.server.FindGpadl(ChannelId{1}, 10), nullptr);
}

TEST(ServerGpadl, ADuplicateHandleFailsAndHarmsNotTheFirst) {
  Story story;
  story.Gpadl(1, 10);
  story.GpadlHeader(1, 11);
  story.Take();
  story.Gpadl(1, 10);
  story.GpadlHeader(2, 11);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/10 0x8000ffff", "CREATED 2/11 0x8000ffff"));
  story.GpadlBody(11);
  EXPECT_THAT(story.Take(), ElementsAre("create 1/11", "CREATED 1/11 0x0"));
  EXPECT_NE(story.server.FindGpadl(ChannelId{1}, 10), nullptr);
  story.Gpadl(2, 10);
  EXPECT_THAT(story.Take(), ElementsAre("create 2/10", "CREATED 2/10 0x0"))
      << "complete ones are per channel";
}

TEST(ServerGpadl, BadHeadersAreAnsweredWithFailure) {
  Story story;
  story.Gpadl(9, 10);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 9/10 0x8000ffff"));
  EXPECT_EQ(story.TakeError(), "GPADL_HEADER: relid is 9: not offered");
  GpadlHeaderMessage header{.relid = 1, .gpadl = 0, .range_bytes = 16, .range_count = 1};
  story.Post(header);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/0 0x8000ffff"));
  EXPECT_EQ(story.TakeError(), "GPADL_HEADER: gpadl is 0: never 0");
  header = {.relid = 1, .gpadl = 5, .range_bytes = 16, .range_count = 2};
  story.Post(header);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/5 0x8000ffff"));
  EXPECT_EQ(story.TakeError(), "GPADL: range_bytes is 16: at least 16 a range");
}

TEST(ServerGpadl, BadRangesAreAnsweredWhenTheyAreComplete) {
  Story story({.guest_page_count = 0x110});
  story.Gpadl(1, 10, 17);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/10 0x8000ffff"));
  EXPECT_EQ(story.TakeError(), "GPADL range: page number is 272: beyond memory");
  story.GpadlHeader(1, 20);
  EXPECT_THAT(story.Take(), IsEmpty());
  story.GpadlBody(20);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 1/20 0x8000ffff"));
  EXPECT_EQ(story.server.gpadls().count(), 0u);
  EXPECT_EQ(story.server.gpadls().in_progress_pages(), 0u);
}

TEST(ServerGpadl, PaddedTo240BytesAsUefiDoes) {
  Story story;
  const GpadlRange range = GpadlRange::Pages(0x100, 30);
  auto messages = GpadlMessages::Create(1, 10, {&range, 1});
  MessageBuffer message;
  while (messages->Next(message)) {
    std::array<std::byte, 240> padded{};
    padded.fill(std::byte{0xEE});
    std::copy(message.bytes().begin(), message.bytes().end(), padded.begin());
    story.PostBytes(padded);
  }
  EXPECT_THAT(story.Take(), ElementsAre("create 1/10", "CREATED 1/10 0x0"));
  EXPECT_EQ(story.server.FindGpadl(ChannelId{1}, 10)->pfns.back(), 0x11Du);
}

TEST(ServerGpadl, TheHostsLimitIsHitAndFreedAgain) {
  Story story({.gpadl_limit_bytes = 20 * 4096});
  story.Gpadl(1, 10, 12);
  story.Take();
  story.Gpadl(2, 20, 9);
  EXPECT_THAT(story.Take(), ElementsAre("CREATED 2/20 0x8000ffff"));
  EXPECT_EQ(story.TakeError(), "GPADL 20: 36864 bytes with 49152 of 81920 in use");
  EXPECT_EQ(story.server.counters().gpadls_over_limit, 1u);
  story.TearDown(1, 10);
  story.Take();
  story.Gpadl(2, 20, 20);
  EXPECT_THAT(story.Take(), ElementsAre("create 2/20", "CREATED 2/20 0x0"));
  story.Connect(kVersion5_3);
  EXPECT_EQ(story.server.gpadls().charged_bytes(), 0u);
  EXPECT_EQ(story.server.gpadls().charged_bytes_peak(), 20u * 4096);
}

TEST(ServerGpadl, MemoryHeldForAHostileGuestIsBounded) {
  Story story({.gpadl_count_max = 100, .gpadl_in_progress_pages_max = 1000});
  for (uint32_t handle = 1; handle < 1000; ++handle) story.GpadlHeader(1, handle);
  EXPECT_EQ(story.server.gpadls().count(), 1000u / 31);
  story.Release(1);
  EXPECT_EQ(story.server.gpadls().count(), 0u);
  for (uint32_t handle = 1; handle < 1000; ++handle) story.Gpadl(2, handle, 1);
  EXPECT_EQ(story.server.gpadls().count(), 100u);
  EXPECT_EQ(story.server.errors().last().size(), 64u);
}

TEST(ServerGpadl, TearDownIsLegalForAcceptedOnesOnly) {
  Story story;
  story.TearDown(1, 10);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 10: not a GPADL of this channel");
  story.actions.automatic = false;
  story.GpadlHeader(1, 10);
  story.TearDown(1, 10);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 10: it is InProgress");
  story.GpadlBody(10);
  story.TearDown(1, 10);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 10: it is Offered");
  story.server.OnGpadlCreated(ChannelId{1}, 10, true);
  story.TearDown(2, 10);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 10: not a GPADL of this channel");
  story.TearDown(1, 10);
  story.TearDown(1, 10);
  EXPECT_EQ(story.TakeError(), "GPADL_TEARDOWN: gpadl is 10: it is TearingDown");
  EXPECT_THAT(story.Take(), ElementsAre("create 1/10", "CREATED 1/10 0x0", "drop 1/10"));
}

TEST(ServerGpadl, BuffersOfAnOpenChannelComeAndGo) {
  Story story;
  story.Gpadl(1, 10);
  story.Open(1, 10, 0);
  story.Take();
  story.Gpadl(1, 11);
  story.TearDown(1, 11);
  EXPECT_THAT(story.Take(),
              ElementsAre("create 1/11", "CREATED 1/11 0x0", "drop 1/11", "TORNDOWN 11"));
}

TEST(ServerGpadl, StaleDeviceAnswersAreCountedAndIgnored) {
  Story story;
  story.Gpadl(1, 10);
  story.Take();
  story.server.OnGpadlCreated(ChannelId{1}, 10, false);
  story.server.OnGpadlReleased(ChannelId{1}, 10);
  story.server.OnGpadlCreated(ChannelId{1}, 99, true);
  story.server.OnGpadlReleased(ChannelId{99}, 10);
  story.server.OnOpenCompleted(ChannelId{1}, true);
  story.server.OnCloseCompleted(ChannelId{1});
  story.server.OnRetargeted(ChannelId{1}, true);
  story.server.OnConnectionSetUp(true);
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.counters().stale_events, 8u);
  EXPECT_NE(story.server.FindGpadl(ChannelId{1}, 10), nullptr);
}

// Every guest message, at every version, once too short.
TEST(ServerHostile, ShortMessagesDoNothing) {
  for (uint32_t version : kVersionsNewestFirst) {
    World world;
    world.Offer(1);
    world.Connect(version, kServerFeatures);
    for (const MessageRow& row : kMessageTable) {
      if (row.direction != Direction::kGuestToHost || row.type == MessageType::kInitiateContact) {
        continue;
      }
      const size_t required = RequiredBytes(row, world.server.negotiated());
      std::vector<std::byte> bytes(required - 1);
      const auto type = static_cast<uint32_t>(row.type);
      std::memcpy(bytes.data(), &type, std::min(sizeof type, bytes.size()));
      world.PostBytes(bytes);
      EXPECT_THAT(world.Take(), IsEmpty()) << row.name;
      EXPECT_NE(world.TakeError(), "") << row.name;
    }
    world.PostBytes({});
    EXPECT_EQ(world.TakeError(), "control message: size is 0: at least 8");
    EXPECT_EQ(world.server.state(), VmbusServer::State::kConnected);
  }
}

TEST(ServerHostile, HostMessagesUnknownTypesAndOverlongOnesDoNothing) {
  Story story;
  for (uint32_t type = 0; type < 40; ++type) {
    const MessageRow* row = FindMessage(type);
    std::vector<std::byte> bytes(240);
    std::memcpy(bytes.data(), &type, sizeof type);
    if (row != nullptr && row->direction == Direction::kGuestToHost) bytes.resize(241);
    story.PostBytes(bytes);
    EXPECT_THAT(story.Take(), IsEmpty()) << type;
    EXPECT_NE(story.TakeError(), "") << type;
  }
  EXPECT_EQ(story.server.state(), VmbusServer::State::kConnected);
}

TEST(ServerHostile, WithoutAConnectionOnlyTheContactCounts) {
  World world;
  world.Offer(1);
  for (const MessageRow& row : kMessageTable) {
    if (row.type == MessageType::kInitiateContact) continue;
    std::vector<std::byte> bytes(240);
    const auto type = static_cast<uint32_t>(row.type);
    std::memcpy(bytes.data(), &type, sizeof type);
    world.PostBytes(bytes);
    EXPECT_THAT(world.Take(), IsEmpty()) << row.name;
    EXPECT_NE(world.TakeError(), "") << row.name;
  }
}

TEST(ServerHostile, MessagesOfLaterVersionsDoNothing) {
  for (uint32_t version : kVersionsNewestFirst) {
    World world;
    world.Offer(1);
    world.Connect(version);
    for (const MessageRow& row : kMessageTable) {
      if (row.direction != Direction::kGuestToHost) continue;
      if (row.version <= version && row.features == 0) continue;
      std::vector<std::byte> bytes(240);
      const auto type = static_cast<uint32_t>(row.type);
      std::memcpy(bytes.data(), &type, sizeof type);
      world.PostBytes(bytes);
      EXPECT_THAT(world.Take(), IsEmpty()) << row.name << " at " << VersionText(version);
      EXPECT_NE(world.TakeError(), "");
    }
  }
}

TEST(ServerHostile, RelidsOutOfRangeAreNotOffered) {
  Story story;
  for (uint32_t relid : {0u, 3u, 2047u, 2048u, 0xFFFFFFFFu}) {
    story.Close(relid);
    story.Release(relid);
    story.Open(relid, 10);
    story.OpenReserved(relid, 10);
    story.CloseReserved(relid);
    story.TearDown(relid, 10);
  }
  EXPECT_THAT(story.Take(), IsEmpty());
  EXPECT_EQ(story.server.errors().count(), 30u);
}

}  // namespace
}  // namespace vmbuskit
