#include "tests/scenario/exchange_lane.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

constexpr Duration kQuestionDeadline = std::chrono::seconds(30);
constexpr Duration kBetweenBursts = std::chrono::milliseconds(20);
constexpr uint64_t kAnswerMark = 0x5bd1e9955bd1e995;

}  // namespace

Lane::Lane(ExchangeShared& shared, Executor& executor, std::string name, uint16_t index,
           uint64_t seed, const bool& harmed)
    : shared_(shared),
      executor_(executor),
      name_(std::move(name)),
      index_(index),
      harmed_(harmed),
      random_(seed),
      owed_due_(executor, Callback::To<&Lane::Flush>(this)),
      next_burst_(executor, Callback::To<&Lane::Pump>(this)) {
  for (Question& question : questions_) question.lane = this;
}

Lane::~Lane() {
  Detach();
  if (figures_.accepted != figures_.completed + figures_.deadlines + figures_.closed) {
    shared_.faults.Report(absl::InternalError(
        absl::StrCat(name_, ": ", figures_.accepted, " questions accepted, ", figures_.completed,
                     " completed, ", figures_.deadlines, " late, ", figures_.closed, " closed")));
  }
}

void Lane::Attach(Channel& channel) { channel_ = &channel; }

void Lane::TakeFigures() {
  const ChannelCounters& counters = channel_->counters();
  shared_.packets += counters.packets_out;
  shared_.signals += counters.signals_sent;
  shared_.wakeups += counters.wakeups;
  shared_.empty_wakeups += counters.empty_wakeups;
}

void Lane::Suspend() {
  if (channel_ == nullptr) return;
  for (Question& question : questions_) {
    question.saved_id = question.outstanding() ? channel_->RequestId(question) : 0;
  }
  channel_ = nullptr;  // its counters go on in the one that is restored
  suspended_ = true;
  next_burst_.Disarm();
  owed_due_.Disarm();
}

void Lane::Resume(Channel& channel) {
  suspended_ = false;
  channel_ = &channel;
  for (Question& question : questions_) {
    if (question.saved_id == 0) continue;
    if (!channel.ResumeRequest(question.saved_id, question)) {
      Wrong("a question was lost when the host was saved");
    }
  }
  owed_due_.Arm(executor_.Now());
  if (bursts_left_ != 0 || burst_left_ != 0) next_burst_.Arm(executor_.Now());
}

void Lane::Detach() {
  if (channel_ == nullptr && !suspended_) return;
  if (channel_ != nullptr) TakeFigures();
  channel_ = nullptr;
  // What a host that was saved and never came back had asked.
  if (std::exchange(suspended_, false)) {
    for (Question& question : questions_) {
      if (!std::exchange(question.accepted, false)) continue;
      ++figures_.closed;
      ++shared_.ended;
    }
  }
  bursts_left_ = burst_left_ = 0;
  next_burst_.Disarm();
  owed_due_.Disarm();
  owed_.clear();
  figures_.answers_due = 0;
}

void Lane::StartRound(uint32_t bursts) {
  if (channel_ == nullptr || !talkative_) return;
  bursts_left_ += bursts;
  if (!next_burst_.armed() && burst_left_ == 0) next_burst_.Arm(executor_.Now());
}

bool Lane::idle() const {
  return bursts_left_ == 0 && burst_left_ == 0 && owed_.empty() &&
         figures_.accepted == figures_.completed + figures_.deadlines + figures_.closed;
}

std::span<const std::byte> Lane::DataOf(uint64_t token, uint32_t bytes) {
  for (uint32_t i = 0; i < (bytes + 7) / 8; ++i) data_[i] = token + i;
  return std::as_bytes(std::span(data_)).first(bytes);
}

// Sends until the burst is over or the ring is full.
void Lane::Pump() {
  if (channel_ == nullptr) return;
  if (burst_left_ == 0 && bursts_left_ != 0) {
    --bursts_left_;
    burst_left_ = static_cast<uint32_t>(1 + random_.Below(random_.OneIn(8) ? 200 : 12));
  }
  {
    Channel::Batch batch(*channel_);
    while (burst_left_ != 0 && (random_.OneIn(3) ? SendNote() : SendQuestion())) --burst_left_;
  }
  if (channel_ == nullptr || burst_left_ != 0 || bursts_left_ == 0 || next_burst_.armed()) return;
  next_burst_.Arm(executor_.Now() + DrawUpTo(random_, kBetweenBursts));
}

bool Lane::SendNote() {
  const uint64_t token = random_.Next();
  const auto bytes = static_cast<uint32_t>(random_.Below(kDataMax + 1));
  const ExchangeHeader header{ExchangeHeader::kNote, bytes, figures_.sent, token};
  const SendResult result =
      channel_->Send({.payload = BytesOf(header), .payload_tail = DataOf(token, bytes)});
  if (result == SendResult::kOk) ++figures_.sent;
  return result == SendResult::kOk;
}

bool Lane::SendQuestion() {
  const auto free = std::ranges::find_if(questions_, [](auto& q) { return !q.outstanding(); });
  if (free == questions_.end()) return false;
  const uint64_t token = random_.Next();
  const auto bytes = static_cast<uint32_t>(random_.Below(kDataMax / 4));
  const ExchangeHeader header{ExchangeHeader::kQuestion, bytes, figures_.sent, token};
  const SendResult result =
      channel_->SendRequest({.payload = BytesOf(header), .payload_tail = DataOf(token, bytes)},
                            *free, executor_.Now() + kQuestionDeadline);
  if (result != SendResult::kOk) return false;
  ++figures_.sent;
  ++figures_.accepted;
  ++shared_.accepted;
  free->token = token;
  free->data_bytes = bytes;
  free->accepted = true;
  return true;
}

void Lane::OnQuestionEnd(Question& question, RequestEnd end, const Packet* completion) {
  if (suspended_) return;  // it goes on after the restore
  if (!std::exchange(question.accepted, false)) return Wrong("a question ended twice");
  ++shared_.ended;
  switch (end) {
    case RequestEnd::kCompleted:
      ++figures_.completed;
      CheckAnswer(question, *completion);
      break;
    case RequestEnd::kDeadline:
      ++figures_.deadlines;
      if (shared_.faults.plan().backend_silent.per_1024 == 0) {
        Wrong("a question was not answered in time");
      }
      break;
    case RequestEnd::kClosed:
      ++figures_.closed;
      return;
  }
  if (channel_ != nullptr && !channel_->closed() && burst_left_ != 0) Pump();
}

void Lane::CheckAnswer(const Question& question, const Packet& completion) {
  const auto header = ReadAs<ExchangeHeader>(completion.payload);
  if (!header) return Wrong("a short answer");
  if (header->token != (question.token ^ kAnswerMark)) return Wrong("another question's answer");
  if (header->kind == ExchangeHeader::kError) return;
  const std::span<const std::byte> data = completion.payload.subspan(sizeof *header);
  if (header->kind != ExchangeHeader::kAnswer || header->data_bytes != question.data_bytes ||
      data.size() < header->data_bytes ||
      std::memcmp(data.data(), DataOf(header->token, header->data_bytes).data(),
                  header->data_bytes) != 0) {
    Wrong("a damaged answer");
  }
}

void Lane::OnPacket(Channel&, const Packet& packet) {
  const auto header = ReadAs<ExchangeHeader>(packet.payload);
  if (!header) return Wrong("a short packet");
  if (header->sequence != figures_.received++) {
    Wrong(absl::StrCat("packet ", header->sequence, " came as number ", figures_.received - 1));
  }
  if (header->kind == ExchangeHeader::kHello) {
    if (on_hello == nullptr) return Wrong("a hello to the guest");
    owed_.push_back({.transaction_id = packet.transaction_id,
                     .token = on_hello(context, packet),
                     .hello = true,
                     .due = executor_.Now()});
    return Flush();
  }
  const std::span<const std::byte> data = packet.payload.subspan(sizeof *header);
  if (header->data_bytes > kDataMax || header->data_bytes > data.size() ||
      std::memcmp(data.data(), DataOf(header->token, header->data_bytes).data(),
                  header->data_bytes) != 0) {
    return Wrong("a damaged packet");
  }
  if (header->kind == ExchangeHeader::kQuestion && packet.completion_requested) {
    TakeQuestion(packet, *header);
  } else if (header->kind != ExchangeHeader::kNote || packet.completion_requested) {
    Wrong("a packet of no kind");
  }
}

void Lane::TakeQuestion(const Packet& packet, const ExchangeHeader& header) {
  FaultSource& faults = shared_.faults;
  const FaultPlan& plan = faults.plan();
  if (faults.Happens(plan.backend_silent)) {
    ++figures_.left_alone;
    faults.Note(name_, " never answers a question");
    return;
  }
  const Instant now = executor_.Now();
  owed_.push_back({.transaction_id = packet.transaction_id,
                   .token = header.token,
                   .data_bytes = header.data_bytes,
                   .error = faults.Happens(plan.backend_error),
                   .due = now});
  if (owed_.back().error) faults.Note(name_, " has an error for an answer");
  if (faults.Happens(plan.backend_stall)) {
    owed_.back().due = now + DrawUpTo(faults.random(), plan.backend_stall_max);
    faults.Note(name_, " answers a question late");
  }
  Flush();
}

// Answers what is due. A full ring ends it; OnWritable goes on.
void Lane::Flush() {
  if (channel_ == nullptr) return;
  const Instant now = executor_.Now();
  Instant next = kInfiniteFuture;
  std::deque<Owed> later;
  bool full = false;
  {
    Channel::Batch batch(*channel_);
    for (const Owed& owed : owed_) {
      if (full || owed.due > now) {
        if (owed.due > now) next = std::min(next, owed.due);
        later.push_back(owed);
        continue;
      }
      if (Answer(owed) != SendResult::kFull) continue;
      full = true;
      later.push_back(owed);
    }
  }
  owed_ = std::move(later);
  figures_.answers_due = owed_.size();
  owed_due_.Arm(next);
}

SendResult Lane::Answer(const Owed& owed) {
  if (owed.hello) return channel_->Complete(owed.transaction_id, BytesOf(owed.token));
  const uint64_t token = owed.token ^ kAnswerMark;
  const uint32_t bytes = owed.error ? 0 : owed.data_bytes;
  const ExchangeHeader header{owed.error ? ExchangeHeader::kError : ExchangeHeader::kAnswer, bytes,
                              0, token};
  std::array<std::byte, sizeof header + kDataMax> answer;
  std::memcpy(answer.data(), &header, sizeof header);
  std::memcpy(answer.data() + sizeof header, DataOf(token, bytes).data(), bytes);
  return channel_->Complete(owed.transaction_id, std::span(answer).first(sizeof header + bytes));
}

void Lane::OnWritable(Channel&) {
  Flush();
  if (burst_left_ != 0) Pump();
}

void Lane::OnClosed(Channel&, const absl::Status& reason) {
  if (suspended_) return;
  shared_.faults.Note(name_, " closed: ", reason.message());
  Detach();
  if (on_closed != nullptr) on_closed(context, reason);
}

void Lane::Wrong(const std::string& what) {
  if (harmed_) return;
  shared_.faults.Report(absl::InternalError(absl::StrCat(name_, ": ", what)));
}

}  // namespace vmbuskit
