// What a model check runs: two threads of real code over one or two rings, and what that code may ask the checker.
//
//   class OneWay : public Subject {
//     void Turn(int thread) override {
//       if (writer.Append(packet) == kOk) NoteAppended(0);
//       if (writer.Publish()) SignalPeer();              // shared words are asked for through word.h
//     }
//   };
//
// A turn is replayed from its start whenever the checker needs its next step: it must depend on nothing but its
// regions and the answers that it gets, and it is left by longjmp, so nothing in it may need a destructor.
// Thread safety: one thread. Lifetime: regions stay at their addresses as long as the subject.
#ifndef VMBUSKIT_TESTS_RING_SIGNALS_SUBJECT_H_
#define VMBUSKIT_TESTS_RING_SIGNALS_SUBJECT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ring_signals {

inline constexpr uint32_t kRingBytes = 4096;  // the smallest legal ring
inline constexpr int kThreads = 2;

// What the threads do. Ring r carries packets from thread r to the other one.
struct Scenario {
  std::string name;
  std::array<std::vector<uint32_t>, kThreads>
      packets{};                // bytes on the ring of each; ring 1 may be unused
  uint32_t longest_batch = 2;   // packets appended before a Publish: 1 to this many
  uint32_t ask_bytes_min = 0;   // space is asked for in at least this many bytes
  uint32_t longest_commit = 2;  // packets read before a Commit: 1 to this many
  bool may_stop = true;         // the producer may send any number of the packets
  uint32_t start_index = 0;
  uint32_t drain_budget = 1024;  // Channel: packets read in one turn
};

class Subject {
 public:
  virtual ~Subject() = default;
  // All private memory of a thread's code, in an order that does not change.
  virtual std::span<const std::span<std::byte>> Regions(int thread) = 0;
  // The control page of ring `ring`.
  virtual uint32_t* Control(int ring) = 0;
  // One turn of the thread's loop. Between turns the regions are all that a thread remembers.
  virtual void Turn(int thread) = 0;
};

// ---- For Turn. Each of these may not return.

// 0 to `count` - 1: every one is tried.
uint32_t Choose(uint32_t count);
void SignalPeer();
// Until the peer has signalled since the last Wait.
void Wait();
// True when the peer has signalled since the last Wait or Poll.
bool Poll();
// Nothing more to do, whatever happens.
void Finish();

// The next packet of the ring's list stands in the ring; was read.
void NoteAppended(int ring);
void NoteRead(int ring);
// This wake-up found nothing to do.
void NoteNeedless();
// The code under test broke a promise.
void NoteBroken(const char* what);

// ---- The code under test, once for each variant: the real one, and each mutant.

struct Variant {
  const char* name;  // "real" or the mutant's
  std::unique_ptr<Subject> (*make)(const Scenario& scenario);
};
std::vector<Variant>& Variants();
struct RegisterVariant {
  explicit RegisterVariant(const Variant& variant) { Variants().push_back(variant); }
};

}  // namespace ring_signals

#endif  // VMBUSKIT_TESTS_RING_SIGNALS_SUBJECT_H_
