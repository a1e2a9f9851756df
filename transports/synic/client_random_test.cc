// A host that says anything at any time, and a guest that does everything it may: what must hold
// whatever happens.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <map>
#include <set>

#include "platform/random.h"
#include "transports/synic/client_testing.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kRelids = 6;  // few, so that things collide

class RandomLife {
 public:
  explicit RandomLife(uint64_t seed) : random_(seed), host_({.features = 0xFF}) {
    host_.Connect({.features = static_cast<uint32_t>(random_.Below(4))});
  }

  void Step() {
    if (random_.OneIn(2)) {
      HostSpeaks();
    } else {
      GuestActs();
    }
    Check();
  }

  void End() {
    host_.client.OnPostFailed(absl::UnavailableError("the end"));
    Check();
    EXPECT_EQ(open_operations_.size(), 0u) << "an operation never ended";
    EXPECT_EQ(host_.client.channel_count(), 0u);
    EXPECT_FALSE(host_.twice_finished);
  }

  int opens() const { return opens_; }

 private:
  using Question = std::array<uint32_t, 4>;  // type, padding, relid, and what follows

  uint32_t Relid() { return static_cast<uint32_t>(random_.Below(kRelids + 1)); }
  uint32_t Handle() { return 0xE1E10 + static_cast<uint32_t>(random_.Below(next_ + 1)); }
  uint32_t HandleOf(uint32_t relid) { return random_.OneIn(4) ? Handle() : last_handle_[relid]; }
  uint32_t Status() { return random_.OneIn(4) ? static_cast<uint32_t>(random_.Next()) : 0; }

  void HostSpeaks() {
    if (random_.OneIn(2)) return AnswerWell();
    switch (random_.Below(8)) {
      case 0:
        return host_.Say(ScriptedHost::OfferOf(Relid(), static_cast<uint16_t>(random_.Below(2)),
                                               ScriptedHost::Instance(random_.Below(4))));
      case 1:
        return host_.Say(RescindMessage{.relid = Relid()});
      case 2:
        return host_.Say(OpenChannelResultMessage{
            .relid = Relid(),
            .open_id = Relid() | static_cast<uint32_t>(random_.Below(3)) << 16,
            .status = Status()});
      case 3:
      case 4:
        return host_.Say(
            GpadlCreatedMessage{.relid = Relid(), .gpadl = Handle(), .status = Status()});
      case 5:
        return host_.Say(GpadlTorndownMessage{.gpadl = Handle()});
      case 6:
        return host_.Say(ModifyChannelResponseMessage{.relid = Relid(), .status = Status()});
      default: {
        std::vector<std::byte> noise(random_.Below(250));
        for (std::byte& byte : noise) byte = static_cast<std::byte>(random_.Next());
        if (!noise.empty()) noise[0] = static_cast<std::byte>(random_.Below(31));
        for (size_t i = 1; i < std::min<size_t>(noise.size(), 4); ++i) noise[i] = {};
        // UNLOAD_RESPONSE and the like included: nobody asked.
        return host_.Say(noise);
      }
    }
  }

  // One of the guest's last questions, as the reference says.
  void AnswerWell() {
    if (questions_.empty()) return;
    const size_t which = random_.Below(questions_.size());
    const Question question = questions_[which];
    questions_.erase(questions_.begin() + static_cast<ptrdiff_t>(which));
    switch (static_cast<MessageType>(question[0])) {
      case MessageType::kGpadlHeader:
        return host_.Say(GpadlCreatedMessage{.relid = question[2], .gpadl = question[3]});
      case MessageType::kGpadlTeardown:
        return host_.Say(GpadlTorndownMessage{.gpadl = question[3]});
      case MessageType::kOpenChannel:
        ++opens_;
        return host_.Say(OpenChannelResultMessage{.relid = question[2], .open_id = question[3]});
      case MessageType::kModifyChannel:
        return host_.Say(ModifyChannelResponseMessage{.relid = question[2]});
      default:
        return;
    }
  }

  void GuestActs() {
    const OperationId operation = 1000 + operation_++;
    const uint32_t relid = Relid();
    absl::Status started = absl::InternalError("no operation");
    switch (random_.Below(7)) {
      case 0: {
        const GpadlRange range = GpadlRange::Pages(1, 1 + static_cast<uint32_t>(random_.Below(60)));
        absl::StatusOr<uint32_t> handle = host_.client.CreateGpadl(operation, relid, {&range, 1});
        started = handle.status();
        if (handle.ok()) {
          EXPECT_EQ(*handle, 0xE1E10 + next_++);  // never one that was used before
          last_handle_[relid] = *handle;
        }
        break;
      }
      case 1:
        started = host_.client.TearDownGpadl(operation, HandleOf(relid));
        break;
      case 2:
        started = host_.client.Open(operation, {.relid = relid, .ring_gpadl = HandleOf(relid)});
        break;
      case 3:
        (void)host_.client.Close(relid);
        break;
      case 4:
        started = host_.client.Modify(operation, relid, 0);
        break;
      case 5:
        (void)host_.client.Release(relid);
        break;
      default:
        if (!open_operations_.empty()) {
          host_.client.GiveUp(*open_operations_.begin());
          open_operations_.erase(open_operations_.begin());
        }
    }
    if (started.ok()) open_operations_.insert(operation);
  }

  void Check() {
    host_.Drain();
    for (const auto& [operation, status] : host_.results) {
      EXPECT_EQ(open_operations_.erase(operation), 1u) << operation << " ended unasked: " << status;
    }
    host_.results.clear();
    EXPECT_LE(host_.client.channel_count(), kRelids);
    // RELID_RELEASED is the last word: nothing names a relid that is not held.
    for (const Offer& offer : std::exchange(host_.offers, {})) {
      EXPECT_TRUE(held_.insert(offer.relid).second) << "offered twice: " << offer.relid;
    }
    for (const PostAction& post : std::exchange(host_.posts, {})) {
      Question words = {};
      const auto bytes = post.message.bytes();
      std::memcpy(words.data(), bytes.data(), std::min(bytes.size(), sizeof words));
      const auto type = static_cast<MessageType>(words[0]);
      if (type == MessageType::kGpadlBody) continue;  // names no channel
      EXPECT_TRUE(held_.contains(words[2])) << MessageName(words[0]) << " about " << words[2];
      if (type == MessageType::kRelidReleased) held_.erase(words[2]);
      questions_.push_back(words);
      if (questions_.size() > 8) questions_.pop_front();
    }
    for (uint32_t relid : host_.TakeRescinds()) EXPECT_TRUE(held_.contains(relid));
  }

  Random random_;
  ScriptedHost host_;
  OperationId operation_ = 0;
  uint32_t next_ = 0;
  int opens_ = 0;
  std::map<uint32_t, uint32_t> last_handle_;  // by relid
  std::deque<Question> questions_;
  std::set<OperationId> open_operations_;
  std::set<uint32_t> held_;
};

TEST(ClientRandom, NothingEndsTwiceAndReleasedIsTheLastWord) {
  int opens = 0;
  for (uint64_t seed = 1; seed <= 200 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomLife life(seed);
    for (int step = 0; step < 1000 && !testing::Test::HasFailure(); ++step) life.Step();
    life.End();
    opens += life.opens();
  }
  EXPECT_GT(opens, 300);  // it does get somewhere
}

}  // namespace
}  // namespace vmbuskit
