// A guest that posts anything and devices that answer anything, in any order: whatever happens, the books balance.
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "platform/random.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

// Checks every action against what the host could know, and answers some of them, some time.
class CheckingActions : public ServerActions {
 public:
  CheckingActions(Random& random) : random_(random) {}

  VmbusServer* server = nullptr;
  std::set<ChannelId> living;
  std::set<ChannelId> opening, closing, open;
  std::set<std::pair<ChannelId, uint32_t>> creating, dropping, accepted;
  std::set<ChannelId> retargeting;
  bool set_up = false;
  bool setting_up = false;
  uint64_t actions = 0;

  void PostMessage(MessageTarget target, std::span<const std::byte> bytes) override {
    ++actions;
    EXPECT_LT(target.vp, 4u);
    EXPECT_LT(target.sint, 16u);
    const auto header = CheckedMessage(kMessageTable[0], bytes).As<UnloadMessage>().header;
    const MessageRow* row = FindMessage(static_cast<uint32_t>(header.type));
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->direction, Direction::kHostToGuest);
    EXPECT_GE(bytes.size(), row->bytes);
    if (row->type == MessageType::kOfferChannel) {
      EXPECT_EQ(bytes.size(), 196u);
    }
  }
  void SetUpConnection(const ConnectionSetup&) override {
    ++actions;
    EXPECT_FALSE(setting_up);
    setting_up = true;
  }
  void TearDownConnection() override {
    ++actions;
    EXPECT_TRUE(set_up);
    EXPECT_FALSE(setting_up);
    set_up = false;
  }
  void OpenChannel(ChannelId id, const OpenRequest& request) override {
    ++actions;
    EXPECT_TRUE(living.contains(id));
    EXPECT_FALSE(open.contains(id));
    EXPECT_TRUE(accepted.contains({id, request.ring_gpadl}));
    EXPECT_GE(request.ring->pfns.size(), request.downstream_page + 2u);
    EXPECT_TRUE(opening.insert(id).second);
  }
  void CloseChannel(ChannelId id) override {
    ++actions;
    EXPECT_TRUE(open.contains(id));
    EXPECT_TRUE(closing.insert(id).second);
  }
  void CreateGpadl(ChannelId id, const GpadlInfo& gpadl) override {
    ++actions;
    EXPECT_TRUE(living.contains(id));
    EXPECT_FALSE(accepted.contains({id, gpadl.handle}));
    EXPECT_TRUE(creating.insert({id, gpadl.handle}).second);
  }
  void TearDownGpadl(ChannelId id, uint32_t handle) override {
    ++actions;
    EXPECT_TRUE(accepted.contains({id, handle}));
    EXPECT_TRUE(dropping.insert({id, handle}).second);
  }
  void Retarget(ChannelId id, uint32_t vp) override {
    ++actions;
    EXPECT_LT(vp, 4u);
    EXPECT_TRUE(open.contains(id));
    EXPECT_TRUE(retargeting.insert(id).second);
  }

  // One device answers one thing; false when nobody owes an answer.
  bool AnswerOne() {
    const bool ok = !random_.OneIn(5);
    if (setting_up && random_.OneIn(2)) {
      setting_up = false;
      set_up = set_up || ok;
      server->OnConnectionSetUp(ok);
    } else if (!opening.empty()) {
      const ChannelId id = Take(opening);
      if (ok) open.insert(id);
      server->OnOpenCompleted(id, ok);
    } else if (!creating.empty()) {
      const auto key = Take(creating);
      if (ok) accepted.insert(key);
      server->OnGpadlCreated(key.first, key.second, ok);
    } else if (!retargeting.empty() && random_.OneIn(2)) {
      server->OnRetargeted(Take(retargeting), ok);
    } else if (!closing.empty()) {
      const ChannelId id = Take(closing);
      open.erase(id);
      retargeting.erase(id);
      server->OnCloseCompleted(id);
    } else if (!dropping.empty()) {
      const auto key = Take(dropping);
      accepted.erase(key);
      server->OnGpadlReleased(key.first, key.second);
    } else {
      return setting_up || !retargeting.empty();
    }
    return true;
  }

  void Forget(ChannelId id) {
    living.erase(id);
    opening.erase(id);
    closing.erase(id);
    open.erase(id);
    retargeting.erase(id);
    for (auto* keys : {&creating, &dropping, &accepted}) {
      std::erase_if(*keys, [id](const auto& key) { return key.first == id; });
    }
  }

 private:
  template <typename T>
  T Take(std::set<T>& from) {
    auto it = from.begin();
    std::advance(it, random_.Below(from.size()));
    const T value = *it;
    from.erase(it);
    return value;
  }

  Random& random_;
};

class Chaos {
 public:
  explicit Chaos(uint64_t seed) : random_(seed), actions_(random_), server_(Options(), actions_) {
    actions_.server = &server_;
  }

  void Run(int messages) {
    for (int i = 0; i < messages && !::testing::Test::HasFailure(); ++i) {
      PostRandom();
      // Devices are quick for a while, then slow for a while.
      if (i / 128 % 2 == 0 || random_.OneIn(6)) actions_.AnswerOne();
      if (random_.OneIn(16)) ChangeDevices();
      if (random_.OneIn(64)) Check();
      for (const auto& [id, channel] : server_.channels().all()) ++seen[channel.state];
    }
    Check();
    server_.Reset();
    for (int i = 0; i < 100'000 && actions_.AnswerOne(); ++i) {
    }
    EXPECT_EQ(server_.state(), VmbusServer::State::kDisconnected);
    EXPECT_EQ(server_.gpadls().count(), 0u);
    EXPECT_EQ(server_.gpadls().charged_bytes(), 0u);
    EXPECT_EQ(server_.gpadls().in_progress_pages(), 0u);
    EXPECT_FALSE(actions_.set_up);
    EXPECT_TRUE(actions_.open.empty());
    EXPECT_TRUE(actions_.accepted.empty());
  }

  const VmbusServer& server() const { return server_; }
  uint64_t actions() const { return actions_.actions; }
  std::map<ChannelState, uint64_t> seen;

 private:
  static ServerOptions Options() {
    return {.vp_count = 4,
            .guest_page_count = 1 << 16,
            .gpadl_limit_bytes = 300 * 4096,
            .gpadl_count_max = 40,
            .gpadl_in_progress_pages_max = 500};
  }

  uint32_t Relid() { return static_cast<uint32_t>(random_.Below(12)); }
  // Mostly one of the channel's own, so that opens and tear-downs hit.
  uint32_t Handle(uint32_t relid) {
    return static_cast<uint32_t>(random_.OneIn(8) ? random_.Below(24)
                                                  : 2 * relid + random_.Below(2));
  }
  void Post(const MessageBuffer& message) { server_.HandleMessage(message.bytes(), 1); }
  template <typename T>
  void PostMessage(const T& message) {
    Post(Emit(message, server_.negotiated()));
  }

  // Mostly sensible, so that deep states are reached; the rest is noise.
  void PostRandom() {
    const uint64_t dice = random_.Below(100);
    const uint32_t relid = Relid();
    if (server_.state() == VmbusServer::State::kDisconnected && dice < 60) return Contact();
    if (dice < 1 && random_.OneIn(4)) return Contact();
    if (dice < 2) {
      return random_.OneIn(16) ? PostMessage(UnloadMessage{}) : PostMessage(ResumeMessage{});
    }
    if (dice < 6) return PostMessage(RequestOffersMessage{});
    if (dice < 30) return Gpadl(relid);
    if (dice < 40) {
      return PostMessage(GpadlTeardownMessage{.relid = relid, .gpadl = 1 + Handle(relid)});
    }
    if (dice < 62) return Open(relid);
    if (dice < 72) return PostMessage(CloseChannelMessage{.relid = relid});
    if (dice < 77) return PostMessage(RelidReleasedMessage{.relid = relid});
    if (dice < 82) {
      return PostMessage(ModifyChannelMessage{
          .relid = relid, .target_vp = static_cast<uint32_t>(random_.Below(5))});
    }
    if (dice < 85) {
      return PostMessage(CloseReservedChannelMessage{
          .relid = relid, .target_vp = static_cast<uint32_t>(random_.Below(5)), .target_sint = 2});
    }
    if (dice < 86) {
      return PostMessage(ModifyConnectionMessage{.parent_to_child = random_.Below(3) * 4096,
                                                 .child_to_parent = random_.Below(3) * 4096});
    }
    Noise();
  }

  void Contact() {
    vmbuskit::Contact contact{
        .version = kVersionsNewestFirst[random_.Below(kVersionsNewestFirst.size())],
        .target_vp = static_cast<uint32_t>(random_.Below(5)),
        .features = static_cast<uint32_t>(random_.Below(256))};
    if (random_.OneIn(2)) contact.parent_to_child = contact.child_to_parent = 0x3000;
    server_.HandleMessage(EmitContact(contact).bytes(), ContactConnectionId(contact.version));
  }

  void Gpadl(uint32_t relid) {
    const GpadlRange range =
        GpadlRange::Pages(random_.Below(1 << 16), 4 + static_cast<uint32_t>(random_.Below(40)));
    auto messages = GpadlMessages::Create(relid, 1 + Handle(relid), {&range, 1});
    MessageBuffer message;
    while (messages->Next(message)) {
      if (!random_.OneIn(30)) Post(message);
    }
  }

  void Open(uint32_t relid) {
    const uint32_t downstream = 2 + static_cast<uint32_t>(random_.OneIn(6) ? random_.Below(12) : 0);
    const uint32_t ring = 1 + Handle(relid);
    if (random_.OneIn(6)) {
      return PostMessage(OpenReservedChannelMessage{
          .relid = relid, .ring_gpadl = ring, .downstream_page = downstream});
    }
    PostMessage(OpenChannelMessage{.relid = relid,
                                   .ring_gpadl = ring,
                                   .target_vp = static_cast<uint32_t>(random_.Below(5)),
                                   .downstream_page = downstream,
                                   .connection_id = 0x2000 + relid,
                                   .event_flag = static_cast<uint16_t>(relid)});
  }

  void Noise() {
    std::array<std::byte, 256> bytes{};
    for (auto& byte : bytes)
      byte = static_cast<std::byte>(random_.OneIn(3) ? random_.Below(256) : 0);
    bytes[0] = static_cast<std::byte>(random_.Below(32));
    if (bytes[0] == std::byte{14} && !random_.OneIn(4)) bytes[0] = std::byte{9};
    if (!random_.OneIn(8)) bytes[1] = bytes[2] = bytes[3] = std::byte{0};
    if (random_.OneIn(2)) {
      bytes[8] = static_cast<std::byte>(Relid());
      bytes[9] = bytes[10] = bytes[11] = std::byte{0};
      bytes[12] = static_cast<std::byte>(Handle(Relid()));
      bytes[13] = bytes[14] = bytes[15] = std::byte{0};
    }
    server_.HandleMessage(std::span(bytes).first(random_.Below(bytes.size())),
                          static_cast<uint32_t>(random_.Below(6)));
  }

  void ChangeDevices() {
    if (!actions_.living.empty() && random_.OneIn(3)) {
      auto it = actions_.living.begin();
      std::advance(it, random_.Below(actions_.living.size()));
      const ChannelId id = *it;
      std::vector<ChannelId> gone = server_.Subchannels(id);
      gone.push_back(id);
      for (ChannelId one : gone) actions_.Forget(one);
      EXPECT_TRUE(server_.Revoke(id).ok());
      return;
    }
    if (actions_.living.size() >= 10) return;
    OfferParameters offer{.class_id = kTestClass,
                          .instance_id = TestInstance(static_cast<uint8_t>(random_.Below(6))),
                          .subchannel_index = static_cast<uint16_t>(random_.Below(3)),
                          .monitored = true};
    const auto id = server_.Offer(offer);
    if (id.ok()) actions_.living.insert(*id);
  }

  void Check() {
    std::set<uint32_t> relids;
    std::set<uint8_t> monitors;
    for (const auto& [id, channel] : server_.channels().all()) {
      EXPECT_EQ(channel.id, id);
      EXPECT_EQ(actions_.living.contains(id), !channel.IsRevoked());
      if (channel.relid != 0) {
        EXPECT_LE(channel.relid, kRelidMax);
        EXPECT_TRUE(relids.insert(channel.relid).second) << "relid " << channel.relid << " twice";
      }
      if (channel.monitor_id != kNoMonitor) {
        EXPECT_TRUE(monitors.insert(channel.monitor_id).second);
      }
      if (channel.IsRevoked()) {
        EXPECT_NE(channel.relid, 0u) << "held for nothing";
      }
    }
    uint64_t bytes = 0;
    uint32_t in_progress = 0;
    for (const auto& [key, entry] : server_.gpadls().all()) {
      EXPECT_TRUE(server_.channels().all().contains(key.first)) << "a GPADL without a channel";
      bytes += entry.charged_bytes;
      if (entry.assembly.has_value()) in_progress += entry.assembly->qwords_needed();
    }
    EXPECT_EQ(bytes, server_.gpadls().charged_bytes());
    EXPECT_EQ(in_progress, server_.gpadls().in_progress_pages());
    EXPECT_LE(bytes, server_.gpadls().limits().bytes_max);
    EXPECT_LE(in_progress, server_.gpadls().limits().in_progress_pages_max);
    EXPECT_LE(server_.gpadls().count(), server_.gpadls().limits().count_max);
    EXPECT_LE(server_.errors().last().size(), 64u);
    EXPECT_EQ(server_.negotiated().version != 0, server_.state() == VmbusServer::State::kConnected);
  }

  Random random_;
  CheckingActions actions_;
  VmbusServer server_;
};

TEST(ServerRandom, TheBooksBalanceWhateverComes) {
  std::map<ChannelState, uint64_t> seen;
  uint64_t messages = 0;
  uint64_t actions = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Chaos chaos(seed);
    chaos.Run(10'000);
    for (const auto& [state, count] : chaos.seen) seen[state] += count;
    messages += chaos.server().counters().messages_in;
    actions += chaos.actions();
    if (HasFailure()) return;
  }
  EXPECT_GE(messages, 200'000u);
  EXPECT_GT(actions, 20'000u);
  for (int i = 0; i <= static_cast<int>(ChannelState::kReoffered); ++i) {
    const auto state = static_cast<ChannelState>(i);
    EXPECT_GT(seen[state], 50u) << "hardly ever " << ChannelStateName(state);
  }
}

TEST(ServerRandom, TheSameSeedIsTheSameRun) {
  Chaos first(42);
  Chaos second(42);
  first.Run(3'000);
  second.Run(3'000);
  EXPECT_EQ(first.actions(), second.actions());
  EXPECT_EQ(first.server().counters().messages_out, second.server().counters().messages_out);
  EXPECT_EQ(first.server().errors().last(), second.server().errors().last());
}

}  // namespace
}  // namespace vmbuskit
