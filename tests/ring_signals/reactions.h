// How a thread's code reacts: a tree of the questions it asks and of what it does with each answer, found by running
// the real code and kept, so that it runs once for each different situation, not once for each interleaving.
//
//   Reactions reactions(subject);
//   Reaction start = reactions.Start(thread);                       // start.node asks reactions.step(start.node)
//   const Reaction& next = reactions.Answer(start.node, answer);    // what it did then, and where it stands
//
// A situation is the thread's private memory at the start of its turn, byte for byte, and the answers since.
// Thread safety: one thread, one at a time in a process. Lifetime: the subject's.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_REACTIONS_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_REACTIONS_H_

#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/ring_signals/subject.h"

namespace ring_signals {

enum class Ask : uint8_t { kLoad, kStore, kChoose, kSignal, kWait, kPoll, kFinish };

struct Step {
  Ask ask = Ask::kFinish;
  uint8_t word = 0;  // ring * kWordsPerRing + WordName
  std::memory_order order = std::memory_order_relaxed;
  uint32_t value = 0;  // kStore: what; kChoose: how many
};

struct Note {
  enum Kind : uint8_t { kAppended, kTouched, kRead, kNeedless, kBroken } kind;
  uint8_t ring = 0;
  const char* what = nullptr;
};

struct Reaction {
  int node = 0;
  std::vector<Note> notes;
};

class Reactions {
 public:
  explicit Reactions(Subject& subject);
  ~Reactions();
  Reactions(const Reactions&) = delete;
  Reactions& operator=(const Reactions&) = delete;

  Reaction Start(int thread) { return Run(thread, first_[thread], {}); }
  const Reaction& Answer(int node, uint32_t answer);
  const Step& step(int node) const { return nodes_[node].step; }
  size_t nodes() const { return nodes_.size(); }

  // For word.h and subject.h.
  static Reactions* current() { return current_; }
  uint32_t Question(const Step& step);
  void AddNote(const Note& note);
  // The word's number; negative when it is not one of the four.
  int WordAt(const uint32_t* word) const;
  int RingAt(const void* data) const;

 private:
  struct Node {
    int thread;
    int turn;  // index of the private memory at its start
    std::vector<uint32_t> answers;
    Step step;
    std::map<uint32_t, Reaction> next;
  };

  Reaction Run(int thread, int turn, std::vector<uint32_t> answers);
  bool TurnEnds(int thread);
  int Remember(int thread);
  void Recall(int thread, int turn);

  static Reactions* current_;
  Subject& subject_;
  std::vector<int> first_;
  std::deque<Node> nodes_;
  std::deque<std::string> turns_;
  std::unordered_map<std::string, int> turn_ids_;
  std::map<std::pair<int, int>, int> turn_starts_;  // thread, turn: its node without answers

  // The replay under way.
  std::jmp_buf leave_;
  std::vector<uint32_t> answers_;
  size_t answered_ = 0;
  Step question_;
  std::vector<Note> notes_;
};

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_REACTIONS_H_
