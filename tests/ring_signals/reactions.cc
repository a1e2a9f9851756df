#include "tests/ring_signals/reactions.h"

#include <cassert>
#include <cstring>

#include "tests/ring_signals/word.h"

namespace ring_signals {
namespace {

constexpr int kQuietTurnsMax = 64;  // turns in a row without a question: a loop that nothing ends

}  // namespace

Reactions* Reactions::current_ = nullptr;

Reactions::Reactions(Subject& subject) : subject_(subject) {
  for (int thread = 0; thread < kThreads; ++thread) first_.push_back(Remember(thread));
  assert(current_ == nullptr);
  current_ = this;
}

Reactions::~Reactions() { current_ = nullptr; }

const Reaction& Reactions::Answer(int node, uint32_t answer) {
  Node& from = nodes_[node];
  const auto known = from.next.find(answer);
  if (known != from.next.end()) return known->second;
  std::vector<uint32_t> answers = from.answers;
  answers.push_back(answer);
  return from.next[answer] = Run(from.thread, from.turn, std::move(answers));
}

Reaction Reactions::Run(int thread, int turn, std::vector<uint32_t> answers) {
  Recall(thread, turn);
  answers_ = std::move(answers);
  notes_.clear();
  int quiet = 0;
  while (TurnEnds(thread)) {
    answers_.clear();
    turn = Remember(thread);
    if (++quiet == kQuietTurnsMax) {
      AddNote({.kind = Note::kBroken, .what = "turns for ever without looking at shared memory"});
      question_ = {.ask = Ask::kFinish};
      break;
    }
  }
  const auto id = static_cast<int>(nodes_.size());
  if (answers_.empty()) {
    const auto [start, is_new] = turn_starts_.try_emplace({thread, turn}, id);
    if (!is_new) return {start->second, std::move(notes_)};
  }
  nodes_.push_back({thread, turn, answers_, question_, {}});
  return {id, std::move(notes_)};
}

// False: it stopped at a question without an answer.
bool Reactions::TurnEnds(int thread) {
  answered_ = 0;
  if (setjmp(leave_) != 0) return false;
  subject_.Turn(thread);
  return true;
}

uint32_t Reactions::Question(const Step& step) {
  if (answered_ < answers_.size()) return answers_[answered_++];
  question_ = step;
  std::longjmp(leave_, 1);
}

void Reactions::AddNote(const Note& note) {
  if (answered_ == answers_.size())
    notes_.push_back(note);  // else it is known from an earlier replay
}

int Reactions::Remember(int thread) {
  std::string bytes;
  for (const std::span<std::byte> region : subject_.Regions(thread)) {
    bytes.append(reinterpret_cast<const char*>(region.data()), region.size());
  }
  const auto [entry, is_new] =
      turn_ids_.try_emplace(std::move(bytes), static_cast<int>(turns_.size()));
  if (is_new) turns_.push_back(entry->first);
  return entry->second;
}

void Reactions::Recall(int thread, int turn) {
  const char* from = turns_[turn].data();
  for (const std::span<std::byte> region : subject_.Regions(thread)) {
    std::memcpy(region.data(), from, region.size());
    from += region.size();
  }
}

int Reactions::WordAt(const uint32_t* word) const {
  for (int ring = 0; ring < kThreads; ++ring) {
    const uint32_t* const control = subject_.Control(ring);
    if (word >= control && word < control + kWordsPerRing) {
      return ring * kWordsPerRing + static_cast<int>(word - control);
    }
  }
  return -1;
}

int Reactions::RingAt(const void* data) const {
  for (int ring = 0; ring < kThreads; ++ring) {
    const auto* const control = reinterpret_cast<const std::byte*>(subject_.Control(ring));
    if (data >= control && data < control + 4096 + 2 * kRingBytes) return ring;
  }
  return 0;
}

// ---- What the code under test sees. Without a Reactions (construction) words are plain memory.

uint32_t LoadWord(uint32_t& word, std::memory_order order) {
  Reactions* const reactions = Reactions::current();
  const int index = reactions == nullptr ? -1 : reactions->WordAt(&word);
  if (index < 0) return word;
  return reactions->Question(
      {.ask = Ask::kLoad, .word = static_cast<uint8_t>(index), .order = order});
}

void StoreWord(uint32_t& word, uint32_t value, std::memory_order order) {
  Reactions* const reactions = Reactions::current();
  const int index = reactions == nullptr ? -1 : reactions->WordAt(&word);
  if (index < 0) {
    word = value;
    return;
  }
  reactions->Question({Ask::kStore, static_cast<uint8_t>(index), order, value});
}

uint32_t FetchOrWord(uint32_t& word, uint32_t value) {
  const uint32_t before = word;
  word |= value;
  return before;
}

uint64_t LoadDescriptor(uint64_t& word) {
  if (Reactions* const reactions = Reactions::current()) {
    reactions->AddNote(
        {.kind = Note::kTouched, .ring = static_cast<uint8_t>(reactions->RingAt(&word))});
  }
  return word;
}

uint32_t Choose(uint32_t count) {
  return count == 1 ? 0 : Reactions::current()->Question({.ask = Ask::kChoose, .value = count});
}
void SignalPeer() { Reactions::current()->Question({.ask = Ask::kSignal}); }
void Wait() { Reactions::current()->Question({.ask = Ask::kWait}); }
bool Poll() { return Reactions::current()->Question({.ask = Ask::kPoll}) != 0; }
void Finish() { Reactions::current()->Question({.ask = Ask::kFinish}); }

void NoteAppended(int ring) {
  Reactions::current()->AddNote({.kind = Note::kAppended, .ring = static_cast<uint8_t>(ring)});
}
void NoteRead(int ring) {
  Reactions::current()->AddNote({.kind = Note::kRead, .ring = static_cast<uint8_t>(ring)});
}
void NoteNeedless() { Reactions::current()->AddNote({.kind = Note::kNeedless}); }
void NoteBroken(const char* what) {
  Reactions::current()->AddNote({.kind = Note::kBroken, .what = what});
}

std::vector<Variant>& Variants() {
  static std::vector<Variant>& variants = *new std::vector<Variant>;
  return variants;
}

}  // namespace ring_signals
