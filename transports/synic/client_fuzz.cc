// A host that says anything at any time, and a driver whose commands come in between: every command that started ends
// exactly once, none that was given up ends at all, and the limits hold.
#include <array>
#include <set>
#include <vector>

#include "framework/base/fuzzing.h"
#include "transports/synic/client.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kGpadlsMax = 6;

class Fuzz {
 public:
  explicit Fuzz(FuzzedDataProvider& input)
      : input_(input),
        client_({.version_max = kVersionsNewestFirst[Below(kVersionsNewestFirst.size())],
                 .features = Below(256),
                 .isolated = Below(8) == 0,
                 .gpadls_max = kGpadlsMax}) {}

  void Run() {
    if (Below(8) != 0) Settle();
    for (int step = 0; step < 200 && input_.remaining_bytes() > 0; ++step) {
      Below(2) == 0 ? Command() : HostSays();
      Drain();
      Require(client_.channel_count() <= kRelidMax && client_.gpadl_count() <= kGpadlsMax);
    }
    client_.OnPostFailed(absl::UnavailableError("the end"));
    Drain();
    Require(running_.empty());
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  uint32_t Relid() { return Below(32) == 0 ? input_.ConsumeIntegral<uint32_t>() : Below(6); }
  uint32_t Handle() { return ClientGpadls::kFirstHandle + Below(16); }
  // Word `index` behind the header of the client's last message of that type: mostly what it asked for.
  uint32_t Asked(MessageType type, int index, uint32_t other) {
    return Below(4) == 0 ? other : asked_[static_cast<size_t>(type)][index];
  }
  uint32_t Status() { return Below(4) == 0 ? kStatusUnsuccessful : kStatusSuccess; }

  void Started(OperationId operation, const absl::Status& status) {
    if (status.ok()) running_.insert(operation);
  }
  void Command() {
    const OperationId operation = ++last_operation_;
    switch (Below(10)) {
      case 0:
        return Started(operation, client_.Connect(operation, {.parent_to_child = 0x1000,
                                                              .child_to_parent = 0x2000}));
      case 1: {
        const GpadlRange range = GpadlRange::Pages(Below(64), Below(70));
        return Started(operation, client_.CreateGpadl(operation, Relid(), {&range, 1}).status());
      }
      case 2:
        return Started(operation, client_.TearDownGpadl(operation, Handle()));
      case 3:
      case 4:
        return Started(operation, client_.Open(operation, {.relid = Relid(),
                                                           .ring_gpadl = Handle(),
                                                           .downstream_page = 2}));
      case 5:
        return (void)client_.Close(Relid());
      case 6:
        return Started(operation, client_.Modify(operation, Relid(), Below(4)));
      case 7:
        return (void)client_.Release(Relid());
      case 8:
        return Below(8) == 0 ? Started(operation, client_.Unload(operation)) : GiveUp();
      default:
        if (Below(8) == 0) return client_.OnPostFailed(absl::UnavailableError("fuzzed"));
        if (Below(2) == 0) client_.OnContactRefused();
    }
  }
  void GiveUp() {
    if (running_.empty()) return;
    const auto it = std::next(running_.begin(), Below(static_cast<uint32_t>(running_.size())));
    client_.GiveUp(*it);
    running_.erase(it);
  }

  template <typename T>
  void Say(const T& message) {
    client_.OnMessage(std::as_bytes(std::span(&message, 1)));
  }
  void HostSays() {
    using enum MessageType;
    switch (Below(10)) {
      case 0:
        return SayVersion(Below(8) != 0, Below(256));
      case 1:
      case 2:
        return SayOffer();
      case 3:
        return Say(RescindMessage{.relid = Relid()});
      case 4:
        return Say(OpenChannelResultMessage{.relid = Asked(kOpenChannel, 0, Relid()),
                                            .open_id = Asked(kOpenChannel, 1, Below(4)),
                                            .status = Status()});
      case 5:
        return Say(GpadlCreatedMessage{.relid = Asked(kGpadlHeader, 0, Relid()),
                                       .gpadl = Asked(kGpadlHeader, 1, Handle()),
                                       .status = Status()});
      case 6:
        return Say(GpadlTorndownMessage{.gpadl = Asked(kGpadlTeardown, 1, Handle())});
      case 7:
        return Say(ModifyChannelResponseMessage{.relid = Asked(kModifyChannel, 0, Relid()),
                                                .status = Status()});
      case 8:
        return Below(2) == 0 ? Say(UnloadResponseMessage{}) : Say(AllOffersDeliveredMessage{});
      default: {
        const uint32_t words[] = {Below(kMessageTypeCount + 2), 0, Relid(), Handle()};
        MessageBuffer message;
        message.Append(std::as_bytes(std::span(words)));
        const auto rest = input_.ConsumeBytes<std::byte>(Below(225));
        message.Append(rest);
        client_.OnMessage(message.bytes().first(message.size() - Below(17)));
      }
    }
  }
  void SayVersion(bool supported, uint32_t features) {
    const uint32_t proposed = asked_[static_cast<size_t>(MessageType::kInitiateContact)][0];
    const VersionReply reply{.supported = supported,
                             .selected_version = proposed,
                             .message_connection_id = 1,
                             .features = features,
                             .parent_to_child = 0x3000,
                             .child_to_parent = 0x4000};
    client_.OnMessage(EmitVersionResponse(reply, proposed).bytes());
  }
  // A connection with three channels, where most begins.
  void Settle() {
    const OperationId operation = ++last_operation_;
    Started(operation, client_.Connect(operation, {}));
    Drain();
    SayVersion(true, 0);
    for (uint8_t i = 1; i <= 3; ++i) {
      OfferChannelMessage offer{.relid = i};
      offer.class_id.bytes[0] = offer.instance_id.bytes[0] = i;
      Say(offer);
    }
    Drain();
  }
  void SayOffer() {
    OfferChannelMessage offer{.flags = static_cast<uint16_t>(Below(0x10000)),
                              .subchannel_index = static_cast<uint16_t>(Below(3)),
                              .relid = Relid(),
                              .monitor_id = static_cast<uint8_t>(Below(140)),
                              .monitor_allocated = static_cast<uint8_t>(Below(2)),
                              .connection_id = Below(0x4000)};
    offer.class_id.bytes[0] = offer.instance_id.bytes[0] = static_cast<uint8_t>(1 + Below(3));
    Say(offer);
  }

  void Drain() {
    while (std::optional<ClientAction> action = client_.TakeAction()) {
      if (const auto* post = std::get_if<PostAction>(&*action)) Posted(post->message.bytes());
      if (const auto* finished = std::get_if<FinishedAction>(&*action)) {
        Require(running_.erase(finished->operation) == 1);
      }
    }
  }
  void Posted(std::span<const std::byte> bytes) {
    uint32_t words[4] = {};
    std::memcpy(words, bytes.data(), std::min(sizeof words, bytes.size()));
    const MessageRow* row = FindMessage(words[0]);
    Require(row != nullptr && row->direction == Direction::kGuestToHost);
    asked_[words[0]] = {words[2], words[3]};
  }

  FuzzedDataProvider& input_;
  VmbusClient client_;
  std::set<OperationId> running_;
  OperationId last_operation_ = 0;
  std::array<std::array<uint32_t, 2>, kMessageTypeCount + 1> asked_{};
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  vmbuskit::Fuzz(input).Run();
  return 0;
}
