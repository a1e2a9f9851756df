#include "tests/fuzz/chatter.h"

#include <algorithm>
#include <chrono>

#include "framework/base/fuzzing.h"
#include "framework/channel/call.h"
#include "framework/channel/payload.h"
#include "framework/task/deadline.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

constexpr std::chrono::seconds kPatience{5};

ChatterLog* log_in_use = nullptr;

constexpr DeviceClass kClass = {
    .name = "chatter",
    .class_ids = std::span(&kChatterClassId, 1),
    .speed = DeviceSpeed::kFast,
    .send_ring_bytes = 4096,
    .receive_ring_bytes = 4096,
    .max_packet_bytes = 2048,
    .max_requests = 8,
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<Chatter>(context);
    },
};

constexpr DeviceClass kDud = {
    .name = "dud",
    .class_ids = std::span(&kDudClassId, 1),
    .create = [](DeviceContext&) -> std::unique_ptr<Device> { return nullptr; },
};

}  // namespace

void UseChatterLog(ChatterLog* log) { log_in_use = log; }
const DeviceClass& ChatterClass() { return kClass; }
const DeviceClass& DudClass() { return kDud; }

void Chatter::Question::OnEnd(RequestEnd end, const Packet* completion) {
  Require((end == RequestEnd::kCompleted) == (completion != nullptr));
  Require(++log->ended <= log->asked);
  // What a driver does from there when it has more to ask; refused when the channel ends.
  if (asker != nullptr) asker->AskFromAnswer();
}

void Chatter::AskFromAnswer() {
  const uint64_t word = 9;
  if (channel() != nullptr) (void)channel()->Send({.payload = BytesOf(word)});
}

Chatter::Chatter(DeviceContext& context) : SimpleDevice(context), log_(*log_in_use) {
  for (Question& question : questions_) {
    question.log = &log_;
    question.asker = this;
  }
  log_.alive.push_back(this);
}

Chatter::~Chatter() {
  for (const Question& question : questions_) Require(!question.outstanding());
  std::erase(log_.alive, this);
}

Task<absl::Status> Chatter::Negotiate(Channel& channel) {
  if (log_.calls) {
    uint64_t answer = 0;
    const uint64_t question = 42;
    absl::StatusOr<uint32_t> bytes =
        co_await Call(channel, {.payload = BytesOf(question)}, WritableBytesOf(answer), kPatience);
    if (!bytes.ok()) co_return bytes.status();
  }
  if (log_.shares_bytes != 0) {
    absl::StatusOr<DeviceContext::SharedBuffer> shared =
        co_await context().ShareBuffer(log_.shares_bytes);
    if (!shared.ok()) co_return shared.status();
    std::ranges::fill(shared->bytes, std::byte{0x5A});
  }
  absl::Status opened = co_await OpenSubchannels();
  co_return opened;
}

Task<absl::Status> Chatter::OpenSubchannels() {
  if (log_.subchannels == 0) co_return absl::OkStatus();
  const uint32_t offered = co_await context().WaitForSubchannels(log_.subchannels, kPatience);
  for (uint16_t index = 1; index <= std::min(offered, log_.subchannels); ++index) {
    absl::StatusOr<Channel*> opened = co_await context().OpenSubchannel(index);
    if (!opened.ok()) co_return opened.status();
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Chatter::Blunder(Gate::Holder inside, uint32_t kind, uint32_t value) {
  co_await SwitchTo(executor());
  if (kind % 5 != 0) {
    absl::Status opened = co_await OpenAgain(kind, value);
    co_return opened;
  }
  if (channel() == nullptr) co_return absl::OkStatus();
  Say(400, 8 + value % 256 * 8);
  if (channel() == nullptr) co_return absl::OkStatus();
  absl::Status space = co_await channel()->Writable(DeadlineIn(executor(), kPatience));
  inside.Leave();
  co_return space;
}

Task<absl::Status> Chatter::OpenAgain(uint32_t kind, uint32_t value) {
  OpenParameters odd;
  odd.send_ring_bytes = value;
  odd.receive_ring_bytes = 4096;
  const auto index = static_cast<uint16_t>(value % 4);
  absl::StatusOr<Channel*> opened = nullptr;
  switch (kind % 5) {
    case 1:
      opened = co_await context().OpenChannel();
      break;
    case 2:
      opened = co_await context().OpenChannel(odd);
      break;
    case 3:
      opened = co_await context().OpenSubchannel(index);
      break;
    default:
      opened = co_await context().OpenSubchannel(index, odd);
  }
  co_return opened.status();
}

void Chatter::OnPacket(Channel& channel, const Packet& packet) {
  if (packet.completion_requested) (void)channel.Complete(packet.transaction_id, packet.payload);
}

void Chatter::OnWritable(Channel& channel) {
  const uint64_t word = 7;
  for (; owed_ > 0; --owed_) {
    if (channel.Send({.payload = BytesOf(word)}) != SendResult::kOk) return;
  }
}

void Chatter::Ask(uint32_t count) {
  if (channel() == nullptr) return;
  const uint64_t word = log_.asked;
  for (Question& question : questions_) {
    if (count == 0) return;
    if (question.outstanding()) continue;
    --count;
    const SendResult sent = channel()->SendRequest({.payload = BytesOf(word)}, question,
                                                   DeadlineIn(executor(), kPatience));
    if (sent == SendResult::kOk) ++log_.asked;
  }
}

void Chatter::Say(uint32_t count, uint32_t bytes) {
  if (channel() == nullptr) return;
  const std::vector<std::byte> payload(bytes, std::byte{0xC5});
  Channel::Batch batch(*channel());
  for (; count > 0; --count) {
    if (channel()->Send({.payload = payload}) != SendResult::kOk) break;
  }
  owed_ = std::min(count, 64u);
}

void Chatter::Abandon() {
  for (Question& question : questions_) {
    if (!question.outstanding() || channel() == nullptr) continue;
    channel()->AbandonRequest(question);
    ++log_.ended;
    return;
  }
}

void Chatter::Hang() {
  if (channel() != nullptr) channel()->Close(absl::DataLossError("the chatter hangs up"));
}

}  // namespace vmbuskit
