// The guest's end of the exchange class.
#include <cstring>
#include <map>

#include "absl/strings/str_cat.h"
#include "framework/channel/call.h"
#include "framework/channel/payload.h"
#include "framework/task/sleep.h"
#include "tests/scenario/exchange.h"
#include "tests/scenario/exchange_hello.h"

namespace vmbuskit {
namespace {

class ExchangeDevice final : public Device {
 public:
  explicit ExchangeDevice(DeviceContext& context)
      : context_(context),
        board_(ExchangeBoard::current()),
        device_(board_.Find(context.offer().instance_id)),
        plan_(board_.plan(device_)) {}

  Task<absl::Status> Start() override {
    OpenParameters parameters = Parameters();
    absl::StatusOr<Channel*> opened = co_await context_.OpenChannel(parameters);
    if (!opened.ok()) co_return opened.status();
    AddLane(0, **opened);
    lanes_[0]->context = this;
    lanes_[0]->on_closed = [](void* self, const absl::Status& reason) {
      static_cast<ExchangeDevice*>(self)->context_.Fail(reason);
    };
    ExchangeHello hello;
    if (plan_.shared_bytes != 0) {
      absl::StatusOr<DeviceContext::SharedBuffer> shared =
          co_await context_.ShareBuffer(plan_.shared_bytes);
      if (!shared.ok()) co_return shared.status();
      hello.gpadl = shared->gpadl.handle;
      hello.shared_bytes = static_cast<uint32_t>(shared->bytes.size());
      FillShared(shared->bytes, hello.gpadl);
    }
    hello.header = {.kind = ExchangeHeader::kHello, .sequence = lanes_[0]->TakeSequence()};
    ExchangeHelloAnswer answer;
    absl::StatusOr<uint32_t> bytes =
        co_await Call(**opened, {.payload = BytesOf(hello)}, WritableBytesOf(answer));
    if (!bytes.ok()) co_return bytes.status();
    if (*bytes != sizeof answer) co_return absl::InternalError("a short answer to the hello");
    const uint32_t offered =
        answer.subchannels == 0
            ? 0
            : co_await context_.WaitForSubchannels(answer.subchannels, std::chrono::seconds(10));
    for (uint16_t index = 1; index <= offered && index <= answer.subchannels; ++index) {
      absl::Status status = co_await OpenSubchannel(index);
      if (!status.ok()) co_return status;
    }
    lanes_[0]->set_talkative();
    lanes_[0]->StartRound(2);
    co_return absl::OkStatus();
  }

  // Half of the devices drain before they go, the others leave it to the closing of their channels.
  Task<void> PrepareStop(StopReason reason) override {
    if (reason != StopReason::kShutdown || device_ % 2 == 0) co_return;
    Executor& executor = context_.executor();
    for (int i = 0; i < 20 && lanes_.contains(0) && !lanes_[0]->idle(); ++i) {
      co_await SleepUntil(executor, executor.Now() + std::chrono::milliseconds(50));
    }
  }
  void Stop() override {}
  void OnSubchannelRescinded(uint16_t index) override { lanes_.erase(index); }
  std::string NegotiatedVersions() const override { return "1"; }

 private:
  OpenParameters Parameters() const {
    OpenParameters parameters;
    parameters.send_ring_bytes = plan_.send_ring_bytes;
    parameters.receive_ring_bytes = plan_.receive_ring_bytes;
    parameters.channel.max_requests = 16;
    return parameters;
  }

  Task<absl::Status> OpenSubchannel(uint16_t index) {
    OpenParameters parameters = Parameters();
    absl::StatusOr<Channel*> opened = co_await context_.OpenSubchannel(index, parameters);
    // Taken back meanwhile: the device goes on without it.
    if (!opened.ok()) co_return absl::OkStatus();
    AddLane(index, **opened);
    co_return absl::OkStatus();
  }

  void AddLane(uint16_t index, Channel& channel) {
    auto lane = board_.NewLane(/*guest=*/true, device_, index, channel.executor());
    lane->Attach(channel);
    channel.Start(*lane);
    if (index != 0) lane->set_talkative();  // the primary says hello first
    lanes_[index] = std::move(lane);
  }

  DeviceContext& context_;
  ExchangeBoard& board_;
  const uint32_t device_;
  const ExchangePlan& plan_;
  std::map<uint16_t, std::shared_ptr<Lane>> lanes_;
};

constexpr DeviceClass kClass = {
    .name = "exchange",
    .class_ids = std::span(&kExchangeClassId, 1),
    .speed = DeviceSpeed::kFast,
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<ExchangeDevice>(context);
    },
};

}  // namespace

const DeviceClass& ExchangeClass() { return kClass; }

}  // namespace vmbuskit
