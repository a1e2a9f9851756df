// A VMBus host for tests of SynicTransport: answers every control message as the reference says,
// except where the test tells it to lie, to be late or to say nothing.
//
//   FakeHost host(partition);
//   host.version_max = kVersion5_2;
//   host.silent.insert(MessageType::kOpenChannel);        // no OPEN_CHANNEL_RESULT
//   host.before[MessageType::kOpenChannel] = [&] { host.Rescind(5); };
//
// Thread safety: none. For tests only.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_FAKE_HOST_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_FAKE_HOST_H_

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "transports/protocol/contact.h"
#include "transports/protocol/messages.h"
#include "transports/synic/fake_partition.h"

namespace vmbuskit {

class FakeHost {
 public:
  explicit FakeHost(FakePartition& partition) : partition_(partition) {
    partition.on_post = [this](uint32_t connection, std::span<const std::byte> message) {
      return OnPost(connection, message);
    };
  }

  void Say(std::span<const std::byte> message) {
    if (bend == nullptr) return partition_.Queue(message_vp, message);
    std::vector<std::byte> bent(message.begin(), message.end());
    bend(bent);
    partition_.Queue(message_vp, bent);
  }
  template <typename Message>
  void Say(const Message& message, size_t bytes = sizeof(Message)) {
    Say(std::as_bytes(std::span(&message, 1)).first(bytes));
  }
  void Offer(uint32_t relid, uint16_t subchannel_index = 0) {
    Say(OfferChannelMessage{.class_id = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"),
                            .instance_id = Guid::Parse("1c5f0a4e-2d3b-4c77-8e11-a0b1c2d3e4f5"),
                            .subchannel_index = subchannel_index,
                            .relid = relid,
                            .monitor_id = monitor_id,
                            .monitor_allocated = monitor_id < 128,
                            .connection_id = 0x2000 + relid});
  }
  void Rescind(uint32_t relid) { Say(RescindMessage{.relid = relid}); }

  template <typename Message>
  static Message As(std::span<const std::byte> bytes) {
    Message message{};
    std::memcpy(static_cast<void*>(&message), bytes.data(), std::min(bytes.size(), sizeof message));
    return message;
  }
  // How often the guest said it.
  size_t Count(MessageType type) const {
    size_t count = 0;
    for (const auto& message : received) count += As<MessageHeader>(message).type == type;
    return count;
  }
  MessageType Last() const { return As<MessageHeader>(received.back()).type; }
  template <typename Message>
  Message LastOf() const {
    for (auto message = received.rbegin(); message != received.rend(); ++message) {
      if (As<MessageHeader>(*message).type == Message::kType) return As<Message>(*message);
    }
    return {};
  }

  // The correct answer to what the guest said, once more or at last.
  void Answer(std::span<const std::byte> message) {
    Answer(As<MessageHeader>(message).type, message);
  }

  uint32_t version_max = kVersion5_3;
  uint32_t features = 0;  // of those that the guest asks for
  uint32_t message_vp = 0;
  uint8_t monitor_id = kNoMonitor;
  uint32_t status = 0;  // of every CREATED, RESULT and RESPONSE
  std::vector<uint32_t> offers = {5};
  std::set<MessageType> silent;
  std::map<MessageType, std::function<void()>> before;
  std::function<void(std::vector<std::byte>& message)> bend;  // changes what is said
  std::vector<std::vector<std::byte>> received;
  uint32_t accepted = 0;  // GPADLs

 private:
  HypercallStatus OnPost(uint32_t connection, std::span<const std::byte> bytes) {
    if (connection == kMessageConnection && version_max < kVersion5_0) {
      return HypercallStatus::kInvalidConnectionId;
    }
    received.emplace_back(bytes.begin(), bytes.end());
    const MessageType type = As<MessageHeader>(bytes).type;
    if (auto hook = before.find(type); hook != before.end()) hook->second();
    if (!silent.contains(type)) Answer(type, bytes);
    return HypercallStatus::kSuccess;
  }

  void Answer(MessageType type, std::span<const std::byte> bytes) {
    switch (type) {
      case MessageType::kInitiateContact:
        return AnswerContact(As<InitiateContactMessage>(bytes));
      case MessageType::kRequestOffers:
        for (uint32_t relid : offers) Offer(relid);
        return Say(AllOffersDeliveredMessage{});
      case MessageType::kGpadlHeader: {
        const auto header = As<GpadlHeaderMessage>(bytes);
        gpadl_ = {.relid = header.relid, .gpadl = header.gpadl, .status = status};
        missing_ = header.range_bytes - static_cast<int>(bytes.size() - 20);
        return AnswerGpadl();
      }
      case MessageType::kGpadlBody:
        missing_ -= static_cast<int>(bytes.size()) - 16;
        return AnswerGpadl();
      case MessageType::kOpenChannel: {
        const auto open = As<OpenChannelMessage>(bytes);
        return Say(OpenChannelResultMessage{
            .relid = open.relid, .open_id = open.open_id, .status = status});
      }
      case MessageType::kGpadlTeardown:
        accepted -= 1;
        return Say(GpadlTorndownMessage{.gpadl = As<GpadlTeardownMessage>(bytes).gpadl});
      case MessageType::kModifyChannel:
        if (version_max < kVersion5_3) return;
        return Say(ModifyChannelResponseMessage{.relid = As<ModifyChannelMessage>(bytes).relid,
                                                .status = status});
      case MessageType::kUnload:
        accepted = 0;
        return Say(UnloadResponseMessage{});
      default:
        return;
    }
  }
  void AnswerContact(const InitiateContactMessage& contact) {
    uint32_t granted = contact.features & features;
    if (contact.child_to_parent == 0) granted &= ~kFeatureServerMonitorPages;
    const VersionReply reply{.supported = contact.version <= version_max,
                             .selected_version = contact.version,
                             .message_connection_id = 1,
                             .features = granted,
                             .parent_to_child = contact.parent_to_child,
                             .child_to_parent = contact.child_to_parent};
    Say(EmitVersionResponse(reply, contact.version).bytes());
  }
  void AnswerGpadl() {
    if (missing_ > 0) return;
    accepted += status == 0;
    Say(gpadl_);
  }

  FakePartition& partition_;
  GpadlCreatedMessage gpadl_;
  int missing_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_FAKE_HOST_H_
