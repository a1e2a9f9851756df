#include "tests/ring_signals/explorer.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/ring_signals/reactions.h"

namespace ring_signals {
namespace {

struct Key {
  uint64_t low, high;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  size_t operator()(const Key& key) const { return key.low; }
};

// `bytes` is padded to a multiple of 8.
Key HashOf(std::string& bytes) {
  bytes.append((8 - bytes.size() % 8) % 8, '\0');
  Key key{0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F};
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    key.low = (key.low ^ word) * 0x9FB21C651E98DF25;
    key.low ^= key.low >> 32;
    key.high = (key.high + word) * 0xD6E8FEB86659FD93;
    key.high ^= key.high >> 29;
  }
  return key;
}

// What was found out about a state once all that may follow was seen.
struct Known {
  bool open = true;  // still on the path
  uint8_t signals = 0;
  uint8_t needless = 0;
};

struct State {
  std::array<int, kThreads> node;
  SharedMemory memory;
};

struct Frame {
  State state;
  Known* known;
  int thread = 0;  // the next alternative
  uint32_t choice = 0;
  bool moved = false;  // there was an alternative
  // How it was entered.
  int by = 0;
  Step step{};
  uint32_t answer = 0;
  uint8_t signals = 0, needless = 0;
};

class Explorer {
 public:
  Explorer(Subject& subject, const Scenario& scenario, MemoryModel model, uint64_t states_max)
      : subject_(subject),
        scenario_(scenario),
        states_max_(states_max),
        model_(model),
        code_(subject) {}

  Result Run() {
    if (Begin()) {
      while (!path_.empty() && result_.finding == Finding::kNone) Advance();
    }
    result_.states = known_.size();
    result_.reactions = code_.nodes();
    return std::move(result_);
  }

 private:
  bool Begin() {
    std::array<uint32_t, kWords> start;
    for (int word = 0; word < kWords; ++word) {
      start[word] = subject_.Control(word / kWordsPerRing)[word % kWordsPerRing];
    }
    Frame first{.state = {{}, SharedMemory(model_, start)}, .known = nullptr};
    for (int thread = 0; thread < kThreads; ++thread) {
      const Reaction reaction = code_.Start(thread);
      if (!Enter(first, thread, reaction)) return false;
    }
    Push(std::move(first));
    return true;
  }

  // Takes the next alternative of the last state on the path, or leaves that state.
  void Advance() {
    Frame& top = path_.back();
    for (; top.thread < kThreads; ++top.thread, top.choice = 0) {
      const int other = 1 - top.thread;
      // A choice concerns nobody else: it need not be tried before and after the other one's steps.
      if (StepOf(top, top.thread).ask != Ask::kChoose && StepOf(top, other).ask == Ask::kChoose) {
        continue;
      }
      if (top.choice < Alternatives(top, top.thread)) {
        top.moved = true;
        return Take(top, top.thread, top.choice++);
      }
    }
    if (!top.moved) return Rest(top);
    Leave();
  }

  const Step& StepOf(const Frame& frame, int thread) const {
    return code_.step(frame.state.node[thread]);
  }

  uint32_t Alternatives(const Frame& frame, int thread) const {
    const Step& step = StepOf(frame, thread);
    const SharedMemory& memory = frame.state.memory;
    switch (step.ask) {
      case Ask::kLoad:
        if (WriterOf(step.word) == thread) return 1;
        return memory.stores(step.word) - memory.FirstVisible(step.word, step.order);
      case Ask::kStore:
      case Ask::kSignal:
      case Ask::kPoll:
        return 1;
      case Ask::kChoose:
        return step.value;
      case Ask::kWait:
        return memory.Signalled(thread) ? 1 : 0;
      case Ask::kFinish:
        return 0;
    }
    return 0;
  }

  void Take(const Frame& from, int thread, uint32_t choice) {
    ++result_.transitions;
    const Step step = StepOf(from, thread);
    Frame next{.state = from.state, .known = nullptr, .by = thread, .step = step};
    SharedMemory& memory = next.state.memory;
    switch (step.ask) {
      case Ask::kLoad: {
        const int index = memory.FirstVisible(step.word, step.order) + static_cast<int>(choice);
        next.answer = memory.Load(thread, step.word, index, step.order);
        break;
      }
      case Ask::kStore:
        if (WriterOf(step.word) != thread) return Found(Finding::kForeignWord, next);
        if (!memory.Store(thread, step.word, step.value, step.order)) {
          return Found(Finding::kTooLarge, next);
        }
        break;
      case Ask::kChoose:
        next.answer = choice;
        break;
      case Ask::kSignal:
        memory.Signal(thread);
        next.signals = 1;
        break;
      case Ask::kPoll:
        next.answer = memory.Signalled(thread);
        if (next.answer != 0) memory.WakeUp(thread);
        break;
      case Ask::kWait:
        memory.WakeUp(thread);
        break;
      case Ask::kFinish:
        break;
    }
    const Reaction& reaction = code_.Answer(from.state.node[thread], next.answer);
    if (Enter(next, thread, reaction)) Push(std::move(next));
  }

  // False: what the thread did on its way to the next question must not be.
  bool Enter(Frame& frame, int thread, const Reaction& reaction) {
    frame.state.node[thread] = reaction.node;
    SharedMemory& memory = frame.state.memory;
    for (const Note& note : reaction.notes) {
      switch (note.kind) {
        case Note::kAppended:
          if (Overwrites(memory, thread, note.ring)) return Found(Finding::kTorn, frame), false;
          memory.Do(thread, note.ring);
          break;
        case Note::kTouched:
          if (memory.handed_over(thread, note.ring) <= memory.done(thread, note.ring)) {
            return Found(Finding::kTorn, frame), false;
          }
          break;
        case Note::kRead:
          memory.Do(thread, note.ring);
          break;
        case Note::kNeedless:
          ++frame.needless;
          break;
        case Note::kBroken:
          why_ = note.what;
          return Found(Finding::kBroken, frame), false;
      }
    }
    return true;
  }

  // The packet being appended needs the bytes of one that is not surely read.
  bool Overwrites(const SharedMemory& memory, int thread, int ring) const {
    const std::vector<uint32_t>& packets = scenario_.packets[ring];
    const int unread = memory.handed_over(thread, ring), end = memory.done(thread, ring) + 1;
    return std::accumulate(packets.begin() + unread, packets.begin() + end, 0u) >= kRingBytes;
  }

  void Push(Frame&& frame) {
    key_.clear();
    frame.state.memory.AppendTo(key_);
    key_.append(reinterpret_cast<const char*>(frame.state.node.data()), sizeof frame.state.node);
    const auto [entry, is_new] = known_.try_emplace(HashOf(key_));
    frame.known = &entry->second;
    if (!is_new) {
      if (entry->second.open) return Found(Finding::kEndless, frame);
      return Account(*frame.known, frame);
    }
    if (known_.size() > states_max_) return Found(Finding::kTooLarge, frame);
    path_.push_back(std::move(frame));
  }

  void Leave() {
    const Frame done = std::move(path_.back());
    path_.pop_back();
    done.known->open = false;
    Account(*done.known, done);
  }

  // What follows `frame` counts for the state that it was entered from.
  void Account(const Known& known, const Frame& frame) {
    const uint8_t signals = known.signals + frame.signals;
    const uint8_t needless = known.needless + frame.needless;
    if (path_.empty()) {
      result_.signals_max = signals;
      result_.needless_max = needless;
      return;
    }
    Known& before = *path_.back().known;
    before.signals = std::max(before.signals, signals);
    before.needless = std::max(before.needless, needless);
  }

  // Nothing moves any more.
  void Rest(const Frame& frame) {
    const SharedMemory& memory = frame.state.memory;
    bool left = false;
    for (int ring = 0; ring < kThreads; ++ring) {
      const int first = ring * kWordsPerRing;
      const uint32_t write = memory.Latest(first + kWriteIndex);
      const uint32_t read = memory.Latest(first + kReadIndex);
      const uint32_t readable = (write - read + kRingBytes) % kRingBytes;
      const uint32_t pending = memory.Latest(first + kPendingSendSz);
      const bool waits = StepOf(frame, ring).ask == Ask::kWait;
      if (readable != 0) return Found(Finding::kLostDataSignal, frame);
      if (waits && pending != 0 && kRingBytes - readable > pending) {
        return Found(Finding::kLostSpaceSignal, frame);
      }
      left =
          left || memory.done(ring, ring) != memory.done(1 - ring, ring) ||
          (waits && static_cast<size_t>(memory.done(ring, ring)) < scenario_.packets[ring].size());
    }
    if (left) return Found(Finding::kStuck, frame);
    Leave();
  }

  void Found(Finding finding, const Frame& last) {
    result_.finding = finding;
    for (size_t i = 1; i < path_.size(); ++i) AddToTrace(path_[i]);
    AddToTrace(last);
    if (finding == Finding::kBroken) result_.trace += why_ + "\n";
  }

  void AddToTrace(const Frame& frame) {
    static constexpr const char* kNames[] = {"write_index", "read_index", "interrupt_mask",
                                             "pending_send_sz"};
    static constexpr const char* kOrders[] = {"relaxed", "consume", "acquire",
                                              "release", "acq_rel", "seq_cst"};
    const Step& step = frame.step;
    const char* const name = kNames[step.word % kWordsPerRing];
    const char* const order = kOrders[static_cast<int>(step.order)];
    char line[120] = "";
    switch (step.ask) {
      case Ask::kLoad:
        std::snprintf(line, sizeof line, "loads ring %d %s: %u (%s)", step.word / kWordsPerRing,
                      name, frame.answer, order);
        break;
      case Ask::kStore:
        std::snprintf(line, sizeof line, "stores ring %d %s = %u (%s)", step.word / kWordsPerRing,
                      name, step.value, order);
        break;
      case Ask::kChoose:
        std::snprintf(line, sizeof line, "chooses %u of %u", frame.answer, step.value);
        break;
      case Ask::kSignal:
        std::snprintf(line, sizeof line, "signals");
        break;
      case Ask::kWait:
        std::snprintf(line, sizeof line, "wakes up");
        break;
      case Ask::kPoll:
        std::snprintf(line, sizeof line, frame.answer != 0 ? "takes the signal" : "has no signal");
        break;
      case Ask::kFinish:
        return;
    }
    result_.trace += "thread " + std::to_string(frame.by) + " " + line + "\n";
  }

  Subject& subject_;
  const Scenario& scenario_;
  const uint64_t states_max_;
  const MemoryModel model_;
  Reactions code_;
  std::unordered_map<Key, Known, KeyHash> known_;
  std::vector<Frame> path_;
  std::string key_;
  std::string why_;
  Result result_;
};

}  // namespace

const char* Name(Finding finding) {
  switch (finding) {
    case Finding::kNone:
      return "nothing";
    case Finding::kLostDataSignal:
      return "both sleep with data readable";
    case Finding::kLostSpaceSignal:
      return "both sleep with the asked space free";
    case Finding::kStuck:
      return "both sleep with packets left";
    case Finding::kTorn:
      return "data race in the ring";
    case Finding::kBroken:
      return "wrong packet";
    case Finding::kForeignWord:
      return "store into the peer's word";
    case Finding::kEndless:
      return "endless loop";
    case Finding::kTooLarge:
      return "too large to explore";
  }
  return "?";
}

Result Explore(const Variant& variant, const Scenario& scenario, MemoryModel model,
               uint64_t states_max) {
  const std::unique_ptr<Subject> subject = variant.make(scenario);
  return Explorer(*subject, scenario, model, states_max).Run();
}

}  // namespace ring_signals
