// Both sides of an integration component on one channel, and before either of them a peer that says what it likes: a
// guest's device against a lying host, a host's service against a lying guest, and the two of them together. Requests
// reach the device only after a negotiation, answers the service only while it is ready; what either sends is right.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "devices/util/ic/host/ic_vsp.h"
#include "devices/util/ic/ic_device.h"
#include "framework/base/fuzzing.h"
#include "framework/base/saved_state.h"
#include "framework/channel/ring_testing.h"
#include "platform/sim/scheduler.h"
#include "transports/embedded_host/testing/fake_vsp_context.h"

namespace vmbuskit::ic {
namespace {

constexpr uint32_t kRingBytes = 4096;
constexpr uint32_t kMessageBytes = 512;
constexpr Version kFrameworks[] = {{3, 0}, {1, 0}};
constexpr Version kMessages[] = {{4, 0}, {3, 0}, {1, 0}};
constexpr Version kFrameworksUp[] = {{1, 0}, {3, 0}};
constexpr Version kMessagesUp[] = {{1, 0}, {3, 0}, {5, 0}};
constexpr VersionLists kGuestLists = {kFrameworks, kMessages};
constexpr VersionLists kHostLists = {kFrameworksUp, kMessagesUp};
constexpr IcDevice::Service kDeviceService = {MessageType::kShutdown, kGuestLists, 8,
                                              kMessageBytes};
constexpr IcVsp::Service kVspService = {MessageType::kShutdown, kHostLists, kMessageBytes};

// The device's channels are the fuzzer's, so only Fail is ever called.
class FakeDeviceContext final : public DeviceContext {
 public:
  explicit FakeDeviceContext(Executor& executor) : executor_(executor) {}

  Executor& executor() override { return executor_; }
  const Offer& offer() const override { return offer_; }
  uint32_t bus_version() const override { return 0; }
  uint32_t cpu_count() const override { return 1; }
  Task<absl::StatusOr<Channel*>> OpenChannel(OpenParameters) override { return {}; }
  Task<absl::StatusOr<Channel*>> OpenChannel() override { return {}; }
  Task<uint32_t> WaitForSubchannels(uint32_t, Duration) override { return {}; }
  Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t) override { return {}; }
  Task<absl::StatusOr<Channel*>> OpenSubchannel(uint16_t, OpenParameters) override { return {}; }
  Task<absl::StatusOr<SharedBuffer>> ShareBuffer(uint32_t) override { return {}; }
  Task<absl::Status> CloseChannels() override { return {}; }
  GuestMemory& memory() override { std::abort(); }
  PageAllocator& pages() override { std::abort(); }

 private:
  Executor& executor_;
  const Offer offer_{};
};

class FuzzedDevice final : public IcDevice {
 public:
  FuzzedDevice(DeviceContext& context, FuzzedDataProvider& input)
      : IcDevice(context, kDeviceService), input_(input) {}

  const std::optional<Agreed>& versions() const { return agreed(); }
  uint64_t requests = 0;

 private:
  uint32_t OnRequest(Message& message) override {
    Require(agreed().has_value() && message.body.size() >= kDeviceService.body_bytes_min);
    Require(message.body.size() == message.header.body_bytes);
    ++requests;
    if (input_.ConsumeBool()) message.header.body_bytes /= 2;
    std::memset(message.body.data(), 0x5A, message.body.size());
    return input_.ConsumeBool() ? kStatusOk : kStatusNotSupported;
  }
  void OnNegotiated(const Agreed& now) override { Require(agreed() == now); }

  FuzzedDataProvider& input_;
};

class FuzzedVsp final : public IcVsp {
 public:
  explicit FuzzedVsp(VspContext& context) : IcVsp(context, kVspService) {}

  void Ask(std::span<const std::byte> body) {
    const bool sent = SendRequest(body);
    Require(!sent || ready());
    asked += sent;
  }
  bool is_ready() const { return ready_; }
  const std::optional<Agreed>& versions() const { return agreed_; }
  uint64_t asked = 0;
  uint64_t replies = 0;

 private:
  void OnReady(const Agreed& agreed) override {
    Require(!std::exchange(ready_, true) && ready());
    agreed_ = agreed;
    const auto offered = [](std::span<const Version> versions, Version version) {
      return std::ranges::find(versions, version) != versions.end();
    };
    Require(offered(kHostLists.framework, agreed.framework));
    Require(offered(kHostLists.message, agreed.message));
  }
  void OnReply(const Message& message) override {
    Require(ready_ && message.header.message_type == kVspService.type);
    Require(message.body.size() <= kMessageBytes);
    ++replies;
  }
  void OnUnavailable() override {
    ready_ = false;
    agreed_.reset();
  }

  bool ready_ = false;
  std::optional<Agreed> agreed_;
};

class Fuzz final : public ChannelHandler {
 public:
  Fuzz(FuzzedDataProvider& input, TestRing& up, TestRing& down)
      : input_(input), up_(up), down_(down) {
    for (TestRing* ring : {&up, &down}) {
      std::memset(ring->memory().control, 0, sizeof(RingControl));
    }
    const uint32_t who = Below(3);
    with_device_ = who != 1;
    with_vsp_ = who != 0;
  }

  void Run() {
    Open();
    for (int step = 0; step < 40 && input_.remaining_bytes() > 0; ++step) {
      {
        const SimTurn turn = sim_.Enter(executor_);
        Act();
      }
      if (Below(4) != 0) Settle();
    }
    Settle();
    CloseBoth();
    Require(!vsp_->is_ready() && OfferUserDefined()[0] == std::byte{kPipeModeMessage});
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }

  void Open() {
    const SimTurn turn = sim_.Enter(executor_);
    guest_.emplace(executor_, Channel::Options{.name = "guest end",
                                               .incoming = down_.memory(),
                                               .outgoing = up_.memory(),
                                               .signal_peer = Callback::To<&Fuzz::SignalHost>(this),
                                               .answer_bytes = with_device_ ? kMessageBytes : 0});
    MakeHost();
    // The liar first: a host that finds its guest's words in the ring already is not spared.
    if (!with_device_) guest_->Start(*this);
    if (!with_vsp_) host_->Start(*this);
    if (with_device_) guest_->Start(device_);
    if (with_vsp_) Require(vsp_->OnOpen(*host_, vsp_context_.open_data()).ok());
  }
  void MakeHost() {
    host_.emplace(executor_, Channel::Options{.name = "host end",
                                              .incoming = up_.memory(),
                                              .outgoing = down_.memory(),
                                              .signal_peer = Callback::To<&Fuzz::SignalGuest>(this),
                                              .guest_end = false});
  }
  void CloseBoth() {
    const SimTurn turn = sim_.Enter(executor_);
    if (with_vsp_) vsp_->OnClose(*host_);
    host_->Close(absl::CancelledError("the end"));
    guest_->Close(absl::CancelledError("the end"));
    host_.reset();
    guest_.reset();
    for (TestRing* ring : {&up_, &down_}) {
      std::memset(ring->memory().control, 0, sizeof(RingControl));
    }
  }
  void SignalHost() { host_->wake().Signal(); }
  void SignalGuest() { guest_->wake().Signal(); }

  void Act() {
    switch (Below(9)) {
      case 0:
        if (with_vsp_) vsp_->Renegotiate();
        return;
      case 1: {
        static const std::vector<std::byte> bytes = Pattern(kMessageBytes - kBodyOffset);
        const auto body = std::span(bytes).first(Below(static_cast<uint32_t>(bytes.size() + 1)));
        for (uint32_t count = 1 + Below(16); with_vsp_ && count > 0; --count) vsp_->Ask(body);
        if (with_vsp_ && Below(2) == 0) vsp_->Renegotiate();  // also when the ring is full
        return;
      }
      case 2:
        if (with_vsp_ && Below(4) == 0) {
          // Closed and opened again, as when the guest binds another driver.
          CloseBoth();
          Open();
        }
        return;
      case 3:
        return Looks();
      case 4:
        if (with_vsp_ && Below(4) == 0) SavedAndRestored();
        return;
      default:
        return Lies();
    }
  }
  // The service goes on in another host, on the same rings; a state that was tampered with is refused, or does no harm.
  void SavedAndRestored() {
    StateWriter writer;
    Require(vsp_->Save(writer).ok());
    std::vector<std::byte> state = std::move(writer).Take();
    if (!with_device_ && Below(2) == 0) {
      state[Below(static_cast<uint32_t>(state.size()))] = static_cast<std::byte>(Below(256));
      state.resize(state.size() - Below(4));
    }
    const uint64_t asked = vsp_->asked;
    host_->Close(absl::CancelledError("the host goes away"));
    MakeHost();
    vsp_.emplace(vsp_context_);
    vsp_->asked = asked;
    StateReader reader(state);
    const bool restored = vsp_->Restore(reader).ok();
    Require(restored == reader.ok());
    if (restored) Require(vsp_->OnReopen(*host_, vsp_context_.open_data()).ok());
    if (!restored) Require(vsp_->OnOpen(*host_, vsp_context_.open_data()).ok());
  }
  void Looks() {
    InspectNode node;
    device_.Inspect(node.Child("device"));
    vsp_->Inspect(node.Child("vsp"));
    Require(device_.NegotiatedVersions().empty() != device_.versions().has_value());
  }

  // A message that is right for one of the services, but for what the input makes wrong.
  void Lies() {
    if (with_device_ && with_vsp_) return;
    std::vector<std::byte> bytes(kBodyOffset + 8 + Below(Below(16) == 0 ? 600 : 64));
    const auto put = [&]<typename T>(size_t offset, T value) {
      if (offset + sizeof value <= bytes.size()) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
      }
    };
    const MessageType types[] = {MessageType::kNegotiate, MessageType::kShutdown,
                                 MessageType::kKvp};
    Header header = {};
    header.framework = header.message = {3, 0};
    header.message_type = types[Below(3)];
    header.body_bytes = static_cast<uint16_t>(bytes.size() - kBodyOffset);
    header.flags = with_device_ ? kRequestFlags : kResponseFlags;
    if (header.message_type == MessageType::kNegotiate) {
      const NegotiateBody counts = {static_cast<uint16_t>(with_device_ ? Below(4) : 1),
                                    static_cast<uint16_t>(with_device_ ? Below(4) : 1), 0};
      put(kBodyOffset, counts);
      for (size_t at = kBodyOffset + sizeof counts; at < bytes.size(); at += sizeof(Version)) {
        put(at, Version{static_cast<uint16_t>(Below(6)), 0});
      }
    }
    (void)FinishMessage(bytes, header);
    for (uint32_t wrong = Below(4) == 0 ? 1 + Below(3) : 0; wrong > 0; --wrong) {
      put(Below(static_cast<uint32_t>(bytes.size())), static_cast<uint8_t>(Below(256)));
    }
    bytes.resize(bytes.size() - (Below(16) == 0 ? Below(static_cast<uint32_t>(bytes.size())) : 0));
    Channel& liar = with_device_ ? *host_ : *guest_;
    lies_ += liar.Send({.transaction_id = Below(4), .payload = bytes}) == SendResult::kOk;
  }

  // What the honest side says to the liar.
  void OnPacket(Channel&, const Packet& packet) override {
    std::vector<std::byte> bytes(packet.payload.begin(), packet.payload.end());
    const absl::StatusOr<Message> message = ParseMessage(bytes);
    Require(message.ok());
    if (with_device_) {
      Require(message->header.flags == kResponseFlags && ++answers_ <= lies_);
      return;
    }
    Require(message->header.flags == kRequestFlags && message->header.transaction_id == 0);
    Require(message->header.message_type == MessageType::kNegotiate || vsp_->asked > 0);
  }

  void Settle() {
    Require(sim_.RunUntilIdle().ok());
    if (!with_device_ || !with_vsp_) return;
    // Two honest sides come to an agreement, and each request is answered.
    Require(!guest_->closed() && !host_->closed());
    Require(vsp_->is_ready() && device_.versions() == vsp_->versions());
  }

  FuzzedDataProvider& input_;
  TestRing& up_;
  TestRing& down_;
  SimScheduler sim_{0, {.steps_max = 10000, .post_capacity = 1}};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  FakeDeviceContext device_context_{executor_};
  FakeVspContext vsp_context_{executor_};
  FuzzedDevice device_{device_context_, input_};
  std::optional<FuzzedVsp> vsp_{std::in_place, vsp_context_};
  std::optional<Channel> guest_;
  std::optional<Channel> host_;
  bool with_device_ = false;
  bool with_vsp_ = false;
  uint64_t lies_ = 0;
  uint64_t answers_ = 0;
};

}  // namespace
}  // namespace vmbuskit::ic

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmbuskit;
  static TestRing up(ic::kRingBytes);
  static TestRing down(ic::kRingBytes);
  FuzzedDataProvider input(data, size);
  ic::Fuzz(input, up, down).Run();
  return 0;
}
