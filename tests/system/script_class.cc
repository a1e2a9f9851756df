#include "tests/system/script_class.h"

#include <algorithm>
#include <array>

#include "framework/channel/call.h"
#include "framework/channel/payload.h"

namespace vmbuskit {
namespace {

ScriptPlan* plan_in_use = nullptr;

// Sends numbered packets of changing size whenever there is room.
class Pump {
 public:
  Pump(uint32_t count, bool* in_order, uint32_t* received)
      : count_(count), in_order_(in_order), received_(received) {}

  void Run(Channel& channel) {
    for (; next_ < count_; ++next_) {
      std::array<uint64_t, 12> data{};
      data[0] = next_;
      const size_t words = 1 + next_ % data.size();
      const SendResult result =
          channel.Send({.payload = std::as_bytes(std::span(data)).first(words * 8)});
      if (result != SendResult::kOk) return;
    }
  }
  void Take(const Packet& packet) {
    const auto number = ReadAs<uint64_t>(packet.payload);
    if (!number || *number != *received_) *in_order_ = false;
    ++*received_;
  }
  template <typename Archive>
  void Exchange(Archive& archive) {
    archive(next_);
  }

 private:
  const uint32_t count_;
  uint32_t next_ = 0;
  bool* const in_order_;
  uint32_t* const received_;
};

class ScriptDevice final : public Device, public ChannelHandler {
 public:
  explicit ScriptDevice(DeviceContext& context)
      : context_(context),
        plan_(*plan_in_use),
        pump_(plan_.guest_sends, &plan_.in_order, &plan_.guest_received) {}
  ~ScriptDevice() override { plan_.journal.push_back("destroyed"); }

  Task<absl::Status> Start() override {
    absl::StatusOr<Channel*> opened = co_await context_.OpenChannel();
    if (!opened.ok()) co_return opened.status();
    (*opened)->Start(*this);
    if (plan_.shares_bytes != 0) {
      absl::StatusOr<DeviceContext::SharedBuffer> shared =
          co_await context_.ShareBuffer(plan_.shares_bytes);
      if (!shared.ok()) co_return shared.status();
    }
    if (plan_.call_in_start) {
      uint64_t answer = 0;
      const uint64_t question = 42;
      absl::StatusOr<uint32_t> bytes = co_await Call(**opened, {.payload = BytesOf(question)},
                                                     WritableBytesOf(answer), plan_.call_deadline);
      plan_.call_result = bytes.status();
      if (!bytes.ok()) co_return bytes.status();
    }
    absl::Status subchannels = co_await OpenSubchannels();
    if (subchannels.ok()) pump_.Run(**opened);
    co_return subchannels;
  }

  Task<void> PrepareStop(StopReason reason) override {
    constexpr const char* kNames[] = {"shutdown", "rescinded", "failed"};
    plan_.journal.push_back(std::string("stop ") + kNames[static_cast<int>(reason)]);
    co_return;
  }
  void Stop() override {}
  void OnSubchannelRescinded(uint16_t index) override {
    plan_.journal.push_back("sub " + std::to_string(index) + " rescinded");
  }
  std::string NegotiatedVersions() const override { return "1"; }

 private:
  Task<absl::Status> OpenSubchannels() {
    if (plan_.wants_subchannels == 0) co_return absl::OkStatus();
    const uint32_t offered =
        co_await context_.WaitForSubchannels(plan_.wants_subchannels, std::chrono::seconds(10));
    for (uint16_t index = 1; index <= offered; ++index) {
      absl::StatusOr<Channel*> opened = co_await context_.OpenSubchannel(index);
      if (!opened.ok()) co_return opened.status();
    }
    co_return absl::OkStatus();
  }

  void OnPacket(Channel&, const Packet& packet) override { pump_.Take(packet); }
  void OnWritable(Channel& channel) override { pump_.Run(channel); }

  DeviceContext& context_;
  ScriptPlan& plan_;
  Pump pump_;
};

class ScriptVsp final : public Vsp {
 public:
  explicit ScriptVsp(VspContext& context)
      : context_(context),
        plan_(*plan_in_use),
        pump_(plan_.host_sends, &plan_.in_order, &plan_.host_received) {}

  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    if (plan_.host_refuses_open) return absl::PermissionDeniedError("the plan says so");
    channel.Start(*this);
    if (data.subchannel_index != 0) return absl::OkStatus();
    if (plan_.host_sends_in_open) {
      const uint64_t zero = 0;
      (void)channel.Send({.payload = BytesOf(zero)});
    }
    if (plan_.wants_subchannels != 0) (void)context_.OfferSubchannels(plan_.wants_subchannels);
    pump_.Run(channel);
    return absl::OkStatus();
  }
  void OnClose(Channel&) override {}
  absl::Status Save(StateWriter& state) override {
    state(pump_);
    return absl::OkStatus();
  }
  absl::Status Restore(StateReader& state) override {
    state(pump_);
    return state.status();
  }
  absl::Status OnReopen(Channel& channel, const OpenData&) override {
    channel.Start(*this);
    return absl::OkStatus();
  }

 private:
  void OnPacket(Channel& channel, const Packet& packet) override {
    if (!packet.completion_requested) return pump_.Take(packet);
    if (plan_.host_answers) (void)channel.Complete(packet.transaction_id, packet.payload);
  }
  void OnWritable(Channel& channel) override { pump_.Run(channel); }

  VspContext& context_;
  ScriptPlan& plan_;
  Pump pump_;
};

// Rings of 17 pages each: their GPADL needs a body behind its header.
constexpr DeviceClass kClass = {
    .name = "script",
    .class_ids = std::span(&kScriptClassId, 1),
    .speed = DeviceSpeed::kFast,
    .send_ring_bytes = 64 * 1024,
    .receive_ring_bytes = 64 * 1024,
    .create = [](DeviceContext& context) -> std::unique_ptr<Device> {
      return std::make_unique<ScriptDevice>(context);
    },
};

constexpr VspClass kVspClass = {
    .name = "script",
    .class_id = kScriptClassId,
    .default_instance_id = kScriptClassId,
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return std::make_unique<ScriptVsp>(context);
    },
};

}  // namespace

void UseScriptPlan(ScriptPlan* plan) { plan_in_use = plan; }
const DeviceClass& ScriptClass() { return kClass; }
const VspClass& ScriptVspClass() { return kVspClass; }

}  // namespace vmbuskit
