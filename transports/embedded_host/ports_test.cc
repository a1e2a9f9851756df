// The port table and the message inbox, alone and against threads.
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "framework/base/saved_state.h"
#include "gtest/gtest.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/message_inbox.h"
#include "transports/embedded_host/port_table.h"

namespace vmbuskit {
namespace {

class PortTableTest : public ::testing::Test {
 public:
  void Ignore() {}

 protected:
  SimScheduler sim_{0};
  SimExecutor& host_ = sim_.NewExecutor(0);
  Event event_{host_, Callback::To<&PortTableTest::Ignore>(this)};
  PartitionGates gates_{2};
  PortTable ports_{gates_};
};

TEST_F(PortTableTest, FindsWhatWasAddedUnderItsIdOnly) {
  ASSERT_TRUE(ports_.AddEventPort(0x2005, &event_).ok());
  EXPECT_EQ(ports_.FindEvent(0x2005), &event_);
  EXPECT_EQ(ports_.FindEvent(0x2004), nullptr);
  EXPECT_EQ(ports_.FindEvent(0x2105), nullptr) << "another leaf";
  EXPECT_EQ(ports_.FindEvent(0x12005), nullptr) << "another middle";
  EXPECT_EQ(ports_.FindEvent(0x01002005), nullptr) << "more than 24 bits";
  EXPECT_EQ(ports_.size(), 1u);
}

TEST_F(PortTableTest, EveryIdOf24BitsCanBeUsed) {
  for (uint32_t id : {0u, 1u, 0xFFu, 0x100u, 0xFFFFu, 0x10000u, 0x800074u, 0xFFFFFFu}) {
    ASSERT_TRUE(ports_.AddEventPort(id, &event_).ok()) << id;
    EXPECT_EQ(ports_.FindEvent(id), &event_);
  }
  EXPECT_EQ(ports_.AddEventPort(0x1000000, &event_).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ports_.size(), 8u);
}

TEST_F(PortTableTest, KindsAreKeptApart) {
  ASSERT_TRUE(ports_.AddMessagePort(1).ok());
  ASSERT_TRUE(ports_.AddEventPort(2, &event_).ok());
  EXPECT_TRUE(ports_.IsMessagePort(1));
  EXPECT_EQ(ports_.FindEvent(1), nullptr);
  EXPECT_FALSE(ports_.IsMessagePort(2));
  EXPECT_FALSE(ports_.IsMessagePort(3));
}

TEST_F(PortTableTest, AnIdIsTakenUntilItIsRemoved) {
  ASSERT_TRUE(ports_.AddEventPort(5, &event_).ok());
  EXPECT_EQ(ports_.AddEventPort(5, &event_).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ports_.AddMessagePort(5).code(), absl::StatusCode::kAlreadyExists);
  ports_.Remove(5);
  ports_.Remove(5);
  ports_.Remove(0x765432);
  EXPECT_EQ(ports_.FindEvent(5), nullptr);
  EXPECT_EQ(ports_.size(), 0u);
  EXPECT_TRUE(ports_.AddMessagePort(5).ok());
}

// A guest that picks its own connection ids (guest-specified signal parameters) and never the same twice.
TEST_F(PortTableTest, IdsThatAreNoLongerUsedTakeNoMemory) {
  ASSERT_TRUE(ports_.AddMessagePort(1).ok());
  const uint32_t nodes = ports_.nodes();
  EXPECT_EQ(nodes, 2u);
  for (uint32_t id = 0x100; id <= 0xFFFFFF; id += 0x1003) {
    ASSERT_TRUE(ports_.AddEventPort(id, &event_).ok()) << id;
    EXPECT_EQ(ports_.FindEvent(id), &event_);
    ports_.Remove(id);
    EXPECT_EQ(ports_.FindEvent(id), nullptr);
    ASSERT_EQ(ports_.nodes(), nodes) << id;
  }
  EXPECT_TRUE(ports_.IsMessagePort(1));
  ASSERT_TRUE(ports_.AddEventPort(0x102, &event_).ok());
  ASSERT_TRUE(ports_.AddEventPort(0x103, &event_).ok());
  ports_.Remove(0x102);
  EXPECT_EQ(ports_.FindEvent(0x103), &event_) << "its neighbour stays";
  EXPECT_EQ(ports_.nodes(), 3u);
}

// A processor signals as fast as it can while the host makes, removes and destroys the port's target: after Remove
// nobody uses it (the sanitizers would see it).
TEST_F(PortTableTest, TargetsAreSafeToDestroyAfterRemove) {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> found = 0;
  std::thread processor([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      AccessGate::Scope inside(gates_.vp(1));
      if (Event* event = ports_.FindEvent(0x2005)) {
        found.fetch_add(event->pending() ? 0 : 1, std::memory_order_relaxed);
      }
    }
  });
  for (int i = 0; i < 2000; ++i) {
    auto target = std::make_unique<Event>(host_, Callback::To<&PortTableTest::Ignore>(this));
    ASSERT_TRUE(ports_.AddEventPort(0x2005, target.get()).ok());
    ports_.Remove(0x2005);
  }
  stop.store(true);
  processor.join();
  EXPECT_EQ(ports_.size(), 0u);
}

std::span<const std::byte> Bytes(const uint32_t& word) {
  return std::as_bytes(std::span(&word, 1));
}

TEST(MessageInbox, KeepsOrderAndContents) {
  MessageInbox inbox(4);
  EXPECT_EQ(inbox.Front(), nullptr);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(inbox.Push(10 + i, 1, Bytes(i)));
  for (uint32_t i = 0; i < 3; ++i) {
    const PostedMessage* message = inbox.Front();
    ASSERT_NE(message, nullptr);
    EXPECT_EQ(message->connection_id, 10 + i);
    ASSERT_EQ(message->payload().size(), 4u);
    EXPECT_EQ(std::memcmp(message->payload().data(), &i, 4), 0);
    inbox.Pop();
  }
  EXPECT_EQ(inbox.Front(), nullptr);
}

std::vector<std::byte> Saved(MessageInbox& inbox) {
  StateWriter writer;
  writer(inbox);
  return std::move(writer).Take();
}

// Found by partition_fuzz: the bytes behind a short message were saved with it.
TEST(MessageInbox, IsSavedWithoutWhatEarlierMessagesLeft) {
  const uint32_t word = 7;
  MessageInbox used(1);
  std::array<std::byte, kMessagePayloadMax> secret;
  secret.fill(std::byte{0x5E});
  ASSERT_TRUE(used.Push(10, 1, secret));
  used.Pop();
  ASSERT_TRUE(used.Push(10, 1, Bytes(word)));
  MessageInbox fresh(1);
  ASSERT_TRUE(fresh.Push(10, 1, Bytes(word)));
  const std::vector<std::byte> state = Saved(used);
  EXPECT_EQ(state, Saved(fresh));

  MessageInbox restored(1);
  ASSERT_TRUE(restored.Push(11, 1, secret)) << "goes";
  StateReader reader(state);
  reader(restored);
  ASSERT_EQ(reader.Finish(), absl::OkStatus());
  ASSERT_NE(restored.Front(), nullptr);
  EXPECT_EQ(restored.Front()->connection_id, 10u);
  EXPECT_EQ(std::memcmp(restored.Front()->payload().data(), &word, 4), 0);
  EXPECT_EQ(Saved(restored), state);
}

TEST(MessageInbox, IsNotRestoredFromMoreThanItHolds) {
  MessageInbox inbox(1);
  StateWriter long_message;
  long_message(uint32_t{1});  // messages
  long_message(uint32_t{10});
  long_message(uint32_t{1});
  long_message.Bytes(std::vector<std::byte>(kMessagePayloadMax + 1));
  const std::vector<std::byte> state = std::move(long_message).Take();
  StateReader reader(state);
  reader(inbox);
  EXPECT_EQ(reader.Finish().message(),
            "saved state: message bytes is 241: more than a message holds");
  EXPECT_EQ(inbox.Front(), nullptr);
}

TEST(MessageInbox, FullRefusesUntilOneWasTaken) {
  MessageInbox inbox(3);  // rounded up to 4
  for (uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(inbox.Push(1, 1, Bytes(i)));
  EXPECT_FALSE(inbox.Push(1, 1, {}));
  EXPECT_FALSE(inbox.Push(1, 1, {}));
  inbox.Pop();
  EXPECT_TRUE(inbox.Push(1, 1, {}));
  EXPECT_FALSE(inbox.Push(1, 1, {}));
}

// Two processors post, the host takes: nothing is lost or doubled, and each sender's order holds.
TEST(MessageInbox, EveryMessageOfEverySenderOnceAndInOrder) {
  constexpr uint32_t kMessages = 5000;
  MessageInbox inbox(16);
  std::vector<std::thread> processors;
  for (uint32_t sender = 0; sender < 2; ++sender) {
    processors.emplace_back([&inbox, sender] {
      for (uint32_t i = 0; i < kMessages;) {
        if (inbox.Push(sender, 1, Bytes(i))) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  uint32_t next[2] = {0, 0};
  while (next[0] + next[1] < 2 * kMessages) {
    const PostedMessage* message = inbox.Front();
    if (message == nullptr) {
      std::this_thread::yield();
      continue;
    }
    uint32_t number;
    std::memcpy(&number, message->payload().data(), sizeof number);
    EXPECT_EQ(number, next[message->connection_id]++);
    inbox.Pop();
  }
  for (std::thread& processor : processors) processor.join();
  EXPECT_EQ(inbox.Front(), nullptr);
}

}  // namespace
}  // namespace vmbuskit
