// Model check of the signalling protocol (protocol 02 sections 7.3 to 7.6) as RingWriter and
// RingReader follow it: every interleaving of a producer and a consumer that sleep, step by step of
// shared memory. No state may exist in which both sleep with work left. Then the same with one step
// left out or out of order: each must be caught, which shows that the model sees what it should and
// that no step is superfluous.
#include <cstdint>
#include <deque>
#include <set>
#include <tuple>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

enum class Mutation {
  kNone,
  kUnmaskWithoutRecheck,   // consumer sleeps right after mask = 0
  kRequestWithoutRecheck,  // producer sleeps right after storing pending_send_sz
  kDecideBeforePublish,    // producer's loads pass its store of write_index: no full fence
  kPendingBeforeCommit,    // consumer's load passes its store of read_index: no full fence
  kRecheckBeforeUnmask,    // consumer's load passes its store of interrupt_mask: no full fence
  kSleepBeforeCommit,      // consumer unmasks and re-checks without having stored read_index
  kStrictCrossing,         // old_free < pending instead of <=
};

constexpr int kCapacity = 4;  // ring size in units; at most kCapacity - 1 are used
constexpr int kMessages = 5;  // of kSize units each
constexpr int kSize = 1;

enum Producer {
  kFill,
  kDecideEarly,
  kStoreWrite,
  kLoadMask,
  kLoadRead,
  kAsk,
  kCheckSpace,
  kPSleep,
  kPDone
};
enum Consumer {
  kMask,
  kRead,
  kLoadPendingEarly,
  kStoreRead,
  kLoadPending,
  kCrossing,
  kCheckEarly,
  kUnmask,
  kRecheck,
  kCSleep
};

// Indices count up and do not wrap; what is compared is the same.
struct State {
  // Shared memory.
  int write = 0, read = 0, mask = 1, pending = 0;
  // Wake-ups on their way.
  bool producer_signalled = false, consumer_signalled = false;
  // The producer's private state.
  int p = kFill, appended = 0, published = 0, mask_seen = 0, read_seen = 0;
  // The consumer's.
  int c = kMask, consumed = 0, committed = 0, known = 0, pending_seen = 0, freed = 0;

  auto Key() const {
    return std::tie(write, read, mask, pending, producer_signalled, consumer_signalled, p, appended,
                    published, mask_seen, read_seen, c, consumed, committed, known, pending_seen,
                    freed);
  }
  bool operator<(const State& other) const { return Key() < other.Key(); }
};

class Model {
 public:
  explicit Model(Mutation mutation) : mutation_(mutation) {}

  // True when no reachable state is a deadlock with messages left.
  bool Live() {
    Visit(State());
    while (!queue_.empty()) {
      const State state = queue_.front();
      queue_.pop_front();
      const size_t before = steps_;
      StepProducer(state);
      StepConsumer(state);
      if (steps_ == before && state.consumed < kMessages * kSize) return false;
    }
    return true;
  }
  size_t states() const { return seen_.size(); }

 private:
  bool Is(Mutation mutation) const { return mutation_ == mutation; }
  void Visit(const State& state) {
    ++steps_;
    if (seen_.insert(state).second) queue_.push_back(state);
  }
  static bool Fits(const State& s) { return kCapacity - (s.appended - s.read_seen) > kSize; }
  static void ClearRequest(State& s) { s.pending = 0; }

  // Appends and publishes as it likes: a batch of any length, then one decision.
  void StepProducer(State s) {
    switch (s.p) {
      case kFill: {
        const bool left = s.appended < kMessages * kSize;
        if (s.appended > s.published) {  // publish now
          State publish = s;
          publish.p = Is(Mutation::kDecideBeforePublish) ? kDecideEarly : kStoreWrite;
          Visit(publish);
        } else if (!left) {
          s.p = kPDone;
          return Visit(s);
        }
        if (!left) return;
        s.read_seen = s.read;
        if (Fits(s)) {
          ClearRequest(s);
          s.appended += kSize;
          return Visit(s);
        }
        if (s.appended > s.published) return;  // publishes what it has before it waits
        s.p = kAsk;
        return Visit(s);
      }
      case kDecideEarly:
        s.mask_seen = s.mask;
        s.read_seen = s.read;
        s.p = kStoreWrite;
        return Visit(s);
      case kStoreWrite:
        s.write = s.appended;
        if (Is(Mutation::kDecideBeforePublish)) return Decide(s);
        s.p = kLoadMask;
        return Visit(s);
      case kLoadMask:
        s.mask_seen = s.mask;
        s.p = kLoadRead;
        return Visit(s);
      case kLoadRead:
        s.read_seen = s.read;
        return Decide(s);
      case kAsk:
        s.pending = kSize;
        s.p = Is(Mutation::kRequestWithoutRecheck) ? kPSleep : kCheckSpace;
        return Visit(s);
      case kCheckSpace:
        s.read_seen = s.read;
        s.p = Fits(s) ? kFill : kPSleep;
        if (Fits(s)) ClearRequest(s);
        return Visit(s);
      case kPSleep:
        if (!s.producer_signalled) return;
        s.producer_signalled = false;
        s.p = kFill;
        return Visit(s);
    }
  }

  void Decide(State s) {
    if (s.mask_seen == 0 && s.read_seen == s.published) s.consumer_signalled = true;
    s.published = s.appended;
    s.p = kFill;
    Visit(s);
  }

  // Reads one message at a time and commits when it likes, at the latest when it finds nothing
  // more.
  void StepConsumer(State s) {
    switch (s.c) {
      case kMask:
        s.mask = 1;
        s.c = kRead;
        return Visit(s);
      case kRead:
        return Read(s);
      case kLoadPendingEarly:
        s.pending_seen = s.pending;
        s.c = kStoreRead;
        return Visit(s);
      case kStoreRead:
        s.read = s.consumed;
        s.freed = s.consumed - s.committed;
        s.committed = s.consumed;
        s.c = Is(Mutation::kPendingBeforeCommit) ? kCrossing : kLoadPending;
        return Visit(s);
      case kLoadPending:
        s.pending_seen = s.pending;
        s.c = s.pending_seen == 0 ? kRead : kCrossing;
        return Visit(s);
      case kCrossing:
        return Cross(s);
      case kCheckEarly:
        s.known = s.write;
        s.c = kUnmask;
        return Visit(s);
      case kUnmask:
        s.mask = 0;
        s.c = Is(Mutation::kUnmaskWithoutRecheck) ? kCSleep : kRecheck;
        return Visit(s);
      case kRecheck:
        if (!Is(Mutation::kRecheckBeforeUnmask)) s.known = s.write;
        s.c = s.known > s.consumed ? kMask : kCSleep;
        return Visit(s);
      case kCSleep:
        if (!s.consumer_signalled) return;
        s.consumer_signalled = false;
        s.c = kMask;
        return Visit(s);
    }
  }

  void Read(State s) {
    if (s.consumed > s.committed) {
      State commit = s;
      commit.c = Is(Mutation::kPendingBeforeCommit) ? kLoadPendingEarly : kStoreRead;
      if (!Is(Mutation::kSleepBeforeCommit)) Visit(commit);
    }
    if (s.known == s.consumed) s.known = s.write;
    if (s.known > s.consumed) {
      s.consumed += kSize;
      return Visit(s);
    }
    if (s.consumed == s.committed || Is(Mutation::kSleepBeforeCommit)) {
      s.c = Is(Mutation::kRecheckBeforeUnmask) ? kCheckEarly : kUnmask;
      Visit(s);
    }
  }

  void Cross(State s) {
    s.known = s.write;
    const int new_free = kCapacity - (s.known - s.consumed);
    const int old_free = new_free - s.freed;
    const bool below =
        Is(Mutation::kStrictCrossing) ? old_free < s.pending_seen : old_free <= s.pending_seen;
    if (s.pending_seen != 0 && below && new_free > s.pending_seen) s.producer_signalled = true;
    s.c = kRead;
    Visit(s);
  }

  const Mutation mutation_;
  std::set<State> seen_;
  std::deque<State> queue_;
  size_t steps_ = 0;
};

TEST(RingSignalModel, NoInterleavingLosesAWakeUp) {
  Model model(Mutation::kNone);
  EXPECT_TRUE(model.Live());
  EXPECT_GT(model.states(), 1000u) << "the model must have gone somewhere";
}

TEST(RingSignalModel, EveryStepIsNeeded) {
  for (const Mutation mutation :
       {Mutation::kUnmaskWithoutRecheck, Mutation::kRequestWithoutRecheck,
        Mutation::kDecideBeforePublish, Mutation::kPendingBeforeCommit,
        Mutation::kRecheckBeforeUnmask, Mutation::kSleepBeforeCommit, Mutation::kStrictCrossing}) {
    EXPECT_FALSE(Model(mutation).Live()) << static_cast<int>(mutation);
  }
}

}  // namespace
}  // namespace vmbuskit
