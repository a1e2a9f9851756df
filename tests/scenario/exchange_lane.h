// One end of one channel of the exchange class, the same for guest and host: asks numbered questions, sends numbered
// notes, answers what the other end asks, at once or late, and checks every byte that comes.
//
//   Lane lane(shared, executor, "guest 7.0", seed);
//   lane.Attach(channel);           // packets may come from now on
//   lane.StartRound(3);             // three bursts of traffic, at random distances
//   if (lane.idle()) Compare(lane.figures(), peer.figures());
//
// What must hold, at any time: what the other end sends comes once, in order and whole; each question that the
// channel accepted ends once, with its own answer, by its deadline only where the plan lets back ends be silent.
//
// Thread safety: the channel's executor. Lifetime: until the channel ended.
#ifndef VMBUSKIT_TESTS_SCENARIO_EXCHANGE_LANE_H_
#define VMBUSKIT_TESTS_SCENARIO_EXCHANGE_LANE_H_

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "framework/channel/channel.h"
#include "platform/executor.h"
#include "platform/random.h"
#include "tests/scenario/fault_source.h"

namespace vmbuskit {

// What every packet of the class begins with; data follow.
struct ExchangeHeader {
  enum Kind : uint32_t { kHello = 1, kQuestion, kNote, kAnswer, kError };
  uint32_t kind = 0;
  uint32_t data_bytes = 0;
  uint64_t sequence = 0;  // of the sender's packets but completions, from 0
  uint64_t token = 0;     // the data follow from it
};
static_assert(sizeof(ExchangeHeader) == 24);

// What all lanes of one scenario share.
struct ExchangeShared {
  explicit ExchangeShared(FaultSource& faults) : faults(faults) {}

  FaultSource& faults;
  uint64_t accepted = 0;  // questions
  uint64_t ended = 0;
  uint64_t packets = 0;
  uint64_t signals = 0;
  uint64_t wakeups = 0;
  uint64_t empty_wakeups = 0;
};

class Lane final : public ChannelHandler {
 public:
  struct Figures {
    uint64_t sent = 0;  // packets but completions
    uint64_t received = 0;
    uint64_t accepted = 0;
    uint64_t completed = 0;
    uint64_t deadlines = 0;
    uint64_t closed = 0;
    uint64_t answers_due = 0;  // taken, not answered yet
    uint64_t left_alone = 0;   // questions that are never answered, as the plan says
  };

  // `harmed`: somebody else wrote into the rings, so what comes is not to be believed.
  Lane(ExchangeShared& shared, Executor& executor, std::string name, uint16_t index, uint64_t seed,
       const bool& harmed);
  ~Lane() override;

  void Attach(Channel& channel);
  // The channel goes: nothing is sent any more.
  void Detach();
  // From now on rounds make it talk; before, it answers only.
  void set_talkative() { talkative_ = true; }
  void StartRound(uint32_t bursts);
  // The host is saved: the channel goes, and nothing of the lane is lost until another one continues it.
  void Suspend();
  void Resume(Channel& channel);
  bool suspended() const { return suspended_; }
  // The number of the next packet that is sent outside of the lane (the hello).
  uint64_t TakeSequence() { return figures_.sent++; }

  bool attached() const { return channel_ != nullptr; }
  bool idle() const;
  const Figures& figures() const { return figures_; }
  const Channel* channel() const { return channel_; }
  Executor& executor() const { return executor_; }
  const std::string& name() const { return name_; }
  uint16_t index() const { return index_; }  // of the sub-channel; 0: primary
  // Told of a hello; what it says is the answer.
  uint64_t (*on_hello)(void* context, const Packet& packet) = nullptr;
  void (*on_closed)(void* context, const absl::Status& reason) = nullptr;
  void* context = nullptr;

  void OnPacket(Channel& channel, const Packet& packet) override;
  void OnWritable(Channel& channel) override;
  void OnClosed(Channel& channel, const absl::Status& reason) override;

 private:
  struct Question final : Request {
    void OnEnd(RequestEnd end, const Packet* completion) override {
      lane->OnQuestionEnd(*this, end, completion);
    }
    Lane* lane = nullptr;
    uint64_t token = 0;
    uint32_t data_bytes = 0;
    bool accepted = false;  // and not ended yet
    uint64_t saved_id = 0;
  };
  struct Owed {
    uint64_t transaction_id = 0;
    uint64_t token = 0;
    uint32_t data_bytes = 0;
    bool error = false;
    bool hello = false;  // answered with the token alone
    Instant due{};
  };
  static constexpr size_t kQuestions = 24;  // more than request slots
  static constexpr uint32_t kDataMax = 1024;

  void Pump();
  bool SendNote();
  bool SendQuestion();
  void OnQuestionEnd(Question& question, RequestEnd end, const Packet* completion);
  void CheckAnswer(const Question& question, const Packet& completion);
  void TakeQuestion(const Packet& packet, const ExchangeHeader& header);
  void TakeFigures();
  void Flush();
  SendResult Answer(const Owed& owed);
  void Wrong(const std::string& what);
  std::span<const std::byte> DataOf(uint64_t token, uint32_t bytes);

  ExchangeShared& shared_;
  Executor& executor_;
  const std::string name_;
  const uint16_t index_;
  const bool& harmed_;
  Random random_;
  Channel* channel_ = nullptr;
  bool talkative_ = false;
  bool suspended_ = false;
  Figures figures_;
  std::array<Question, kQuestions> questions_;
  std::deque<Owed> owed_;
  Timer owed_due_;
  Timer next_burst_;
  uint32_t bursts_left_ = 0;
  uint32_t burst_left_ = 0;
  std::array<uint64_t, kDataMax / 8> data_{};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_EXCHANGE_LANE_H_
