// A guest driver that talks: it asks its host when it starts, shares a buffer, opens sub-channels,
// and sends requests and packets whenever it is told to. What it was told and what came of it
// stands in its log.
//
//   ChatterLog log;
//   UseChatterLog(&log);                        // of chatters made from now on
//   bus.RegisterClasses({&ChatterClass()});
//   for (Chatter* chatter : log.alive) chatter->Ask(3);       // on its executor
//   Require(log.asked == log.ended);            // when all of them are gone
//
// Thread safety: the simulation's thread. Lifetime: a log outlives its chatters.
#ifndef VMBUSKIT_TESTS_FUZZ_CHATTER_H_
#define VMBUSKIT_TESTS_FUZZ_CHATTER_H_

#include <array>
#include <cstdint>
#include <vector>

#include "framework/bus/device.h"
#include "framework/bus/simple_device.h"
#include "framework/task/gate.h"

namespace vmbuskit {

class Chatter;

inline constexpr Guid kChatterClassId = Guid::Parse("63686174-7465-4072-8000-766d6275736b");
inline constexpr Guid kDudClassId = Guid::Parse("64756464-7564-4064-8000-766d6275736b");

struct ChatterLog {
  // What those that start do.
  uint32_t shares_bytes = 0;
  uint32_t subchannels = 0;
  bool calls = true;

  // What happened.
  uint64_t asked = 0;
  uint64_t ended = 0;
  std::vector<Chatter*> alive{};
};
void UseChatterLog(ChatterLog* log);

class Chatter final : public SimpleDevice {
 public:
  explicit Chatter(DeviceContext& context);
  ~Chatter() override;

  // Up to `count` requests, as many as are not outstanding.
  void Ask(uint32_t count);
  // `count` packets of `bytes`, or until the ring is full.
  void Say(uint32_t count, uint32_t bytes);
  void Abandon();
  // Ends its channel, as a driver does whose host talks nonsense.
  void Hang();
  Executor& executor() { return context().executor(); }
  // What a driver should not do, or does seldom: opens again, opens oddly, waits for space. `inside`
  // keeps it alive until it has seen what comes of it.
  Gate::Holder Enter() { return gate().Enter(); }
  Task<absl::Status> Blunder(Gate::Holder inside, uint32_t kind, uint32_t value);

 private:
  class Question final : public Request {
   public:
    void OnEnd(RequestEnd end, const Packet* completion) override;
    ChatterLog* log = nullptr;
    Chatter* asker = nullptr;
  };

  Task<absl::Status> Negotiate(Channel& channel) override;
  Task<absl::Status> OpenSubchannels();
  void AskFromAnswer();
  Task<absl::Status> OpenAgain(uint32_t kind, uint32_t value);
  void OnPacket(Channel& channel, const Packet& packet) override;
  void OnWritable(Channel& channel) override;
  void OnSubchannelOffered(uint16_t index) override { last_offered_ = index; }

  ChatterLog& log_;
  uint16_t last_offered_ = 0;
  uint32_t owed_ = 0;  // packets that did not fit
  std::array<Question, 6> questions_;
};

const DeviceClass& ChatterClass();
// Whose factory makes nothing.
const DeviceClass& DudClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_CHATTER_H_
