// A host that says anything at any time, and a driver whose commands come in between: every command that started ends
// exactly once, none that was given up ends at all, what is posted obeys the message table, offers and rescinds come
// in pairs, and the limits hold.
#include <algorithm>
#include <array>
#include <bitset>
#include <vector>

#include "framework/base/fuzzing.h"
#include "transports/protocol/message_mutator.h"
#include "transports/protocol/message_script.h"
#include "transports/synic/client.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kGpadlsMax = 6;
constexpr int kRecordsMax = 128;
constexpr size_t kAskedMax = 64;

enum Operation : uint8_t {
  kConnect = kFuzzOperationMin,
  kCreateGpadl,
  kTearDownGpadl,
  kOpen,
  kClose,
  kModify,
  kRelease,
  kUnload,
  kGiveUp,
  kPostFailed,
  kContactRefused,
  kAnswer,
};

using enum FuzzField;
constexpr FuzzField kConnectFields[] = {kSmall, kVp};
constexpr FuzzField kCreateFields[] = {kRelid, kDword, kDword, kPage};
constexpr FuzzField kHandleFields[] = {kHandle};
constexpr FuzzField kOpenFields[] = {kRelid, kHandle, kSmall};
constexpr FuzzField kRelidFields[] = {kRelid};
constexpr FuzzField kModifyFields[] = {kRelid, kVp};
constexpr FuzzField kIndexFields[] = {kSmall};
constexpr FuzzField kAnswerFields[] = {kSmall, kStatus, kFeatures};
constexpr FuzzLayout kOperations[] = {
    {kConnect, kConnectFields},      {kCreateGpadl, kCreateFields},
    {kTearDownGpadl, kHandleFields}, {kOpen, kOpenFields},
    {kClose, kRelidFields},          {kModify, kModifyFields},
    {kRelease, kRelidFields},        {kUnload, {}},
    {kGiveUp, kIndexFields},         {kPostFailed, {}},
    {kContactRefused, {}},           {kAnswer, kAnswerFields}};

class Fuzz {
 public:
  explicit Fuzz(MessageScript& input)
      : input_(input),
        client_({.version_max = Version(input.Option(0)),
                 .version_min = input.Flag(2, 0) ? Version(input.Option(3)) : kVersion2_4,
                 .features = input.Option(1),
                 .isolated = input.Flag(2, 1),
                 .gpadls_max = kGpadlsMax,
                 .first_gpadl = input.Flag(2, 2) ? 0xFFFFFFFE : 1}) {}

  void Run() {
    if (!input_.Flag(2, 3)) Settle();
    for (int i = 0; i < kRecordsMax; ++i) {
      const std::optional<ScriptRecord> record = input_.Next();
      if (!record.has_value()) break;
      if (record->IsMessage()) {
        Say(record->Message(negotiated_).bytes());
      } else {
        ScriptArguments arguments(record->bytes);
        Command(record->kind, arguments);
      }
      Drain();
      Check();
    }
    client_.OnPostFailed(absl::UnavailableError("the end"));
    Drain();
    Check();
    Require(running_.empty() && client_.state() == VmbusClient::State::kDisconnected);
    Require(client_.channel_count() == 0 && offered_.none());
  }

 private:
  static uint32_t Version(uint8_t index) {
    return kVersionsNewestFirst[index % kVersionsNewestFirst.size()];
  }

  // A connection with three channels, where most begins.
  void Settle() {
    Started(client_.Connect(++last_operation_, {}));
    Drain();
    Answer(0, kStatusSuccess, 0);
    Drain();
    for (uint8_t i = 1; i <= 3; ++i) {
      OfferChannelMessage offer{.relid = i, .connection_id = 0x2000u + i};
      offer.class_id.bytes[0] = offer.instance_id.bytes[0] = i;
      Say(Emit(offer, negotiated_).bytes());
    }
    Drain();
    Check();
  }

  void Started(const absl::Status& status) {
    if (status.ok()) running_.push_back(last_operation_);
  }
  void Command(uint8_t kind, ScriptArguments& arguments) {
    const OperationId operation = ++last_operation_;
    switch (kind) {
      case kConnect:
        return Connect(operation, arguments);
      case kCreateGpadl:
        return CreateGpadl(operation, arguments);
      case kTearDownGpadl:
        return Started(client_.TearDownGpadl(operation, arguments.Take<uint32_t>()));
      case kOpen: {
        const auto relid = arguments.Take<uint32_t>();
        const auto ring = arguments.Take<uint32_t>();
        const auto page = arguments.Take<uint8_t>();
        return Started(
            client_.Open(operation, {.relid = relid, .ring_gpadl = ring, .downstream_page = page}));
      }
      case kClose:
        return (void)client_.Close(arguments.Take<uint32_t>());
      case kModify: {
        const auto relid = arguments.Take<uint32_t>();
        return Started(client_.Modify(operation, relid, arguments.Take<uint32_t>()));
      }
      case kRelease:
        return Release(arguments.Take<uint32_t>());
      case kUnload:
        return Started(client_.Unload(operation));
      case kGiveUp:
        return GiveUp(arguments.Take<uint8_t>());
      case kPostFailed:
        return client_.OnPostFailed(absl::UnavailableError("fuzzed"));
      case kContactRefused:
        return client_.OnContactRefused();
      case kAnswer: {
        const auto index = arguments.Take<uint8_t>();
        const auto status = arguments.Take<uint32_t>();
        return Answer(index, status, arguments.Take<uint32_t>());
      }
    }
  }
  void Connect(OperationId operation, ScriptArguments& arguments) {
    const auto pages = arguments.Take<uint8_t>();
    Started(client_.Connect(operation,
                            {.parent_to_child = (pages & 1u) * 0x1000,
                             .child_to_parent = (pages >> 1 & 1u) * 0x2000,
                             .interrupt_page = 0x3000},
                            arguments.Take<uint32_t>()));
  }
  void CreateGpadl(OperationId operation, ScriptArguments& arguments) {
    const auto relid = arguments.Take<uint32_t>();
    // Few pages mostly: posting them is what takes the time.
    const auto count = arguments.Take<uint32_t>();
    const GpadlRange range{.byte_count = count % 8 == 7 ? count : count % 64 * 4096,
                           .byte_offset = arguments.Take<uint32_t>() & 0x1FFF,
                           .first_pfn = arguments.Take<uint32_t>()};
    Started(client_.CreateGpadl(operation, relid, {&range, 1}).status());
  }
  void Release(uint32_t relid) {
    const bool was_rescinded = client_.IsRescinded(relid);
    Require(!client_.Release(relid).ok() || was_rescinded);
  }
  void GiveUp(uint8_t index) {
    client_.GiveUp(kNoOperation);
    if (running_.empty()) return;
    const auto it = running_.begin() + index % running_.size();
    client_.GiveUp(*it);
    running_.erase(it);
  }

  void Say(std::span<const std::byte> bytes) { client_.OnMessage(bytes); }
  template <typename T>
  void SayIt(const T& message) {
    Say(Emit(message, negotiated_).bytes());
  }
  // What a host answers to one of the last questions, the latest being number 0.
  void Answer(size_t index, uint32_t status, uint32_t features) {
    if (index >= asked_.size()) return;
    const Asked& asked = asked_[asked_.size() - 1 - index];
    switch (asked.type) {
      case MessageType::kInitiateContact: {
        const VersionReply reply{.supported = status < 0x80000000,
                                 .state = static_cast<ConnectionState>(status & 3),
                                 .selected_version = asked.words[0],
                                 .message_connection_id = 1,
                                 .features = features & input_.Option(1),
                                 .parent_to_child = 0x3000,
                                 .child_to_parent = 0x4000};
        return Say(EmitVersionResponse(reply, asked.words[0]).bytes());
      }
      case MessageType::kGpadlHeader:
        return SayIt(GpadlCreatedMessage{
            .relid = asked.words[0], .gpadl = asked.words[1], .status = status});
      case MessageType::kGpadlTeardown:
        return SayIt(GpadlTorndownMessage{.gpadl = asked.words[1]});
      case MessageType::kOpenChannel:
        return SayIt(OpenChannelResultMessage{
            .relid = asked.words[0], .open_id = asked.words[1], .status = status});
      case MessageType::kModifyChannel:
        return SayIt(ModifyChannelResponseMessage{.relid = asked.words[0], .status = status});
      case MessageType::kUnload:
        return SayIt(UnloadResponseMessage{});
      default:
        return;
    }
  }

  void Drain() {
    while (std::optional<ClientAction> action = client_.TakeAction()) {
      if (const auto* post = std::get_if<PostAction>(&*action)) Posted(*post);
      if (const auto* offer = std::get_if<OfferAction>(&*action)) Offered(offer->offer.relid);
      if (const auto* rescind = std::get_if<RescindAction>(&*action)) {
        Require(offered_[rescind->relid] && !rescinded_[rescind->relid]);
        rescinded_.set(rescind->relid);
      }
      if (const auto* finished = std::get_if<FinishedAction>(&*action)) {
        Require(std::erase(running_, finished->operation) == 1);
      }
    }
    negotiated_ = {.version = client_.version(), .features = client_.features()};
  }
  void Offered(uint32_t relid) {
    Require(relid >= kRelidMin && relid <= kRelidMax && !offered_[relid]);
    offered_.set(relid);
  }
  void Posted(const PostAction& post) {
    // A connection made in this very step has not been noted yet.
    const Negotiated now{.version = client_.version(), .features = client_.features()};
    const Negotiated spoken = now.version != 0 ? now : negotiated_;
    const std::span<const std::byte> bytes = post.message.bytes();
    const auto message = CheckMessage(Direction::kGuestToHost, spoken, bytes);
    Require(message.ok());
    Require(post.contact == (message->type() == MessageType::kInitiateContact));
    Require(post.contact || (post.connection_id != 0 && post.connection_id <= kConnectionIdMask));
    Asked asked{.type = message->type()};
    if (bytes.size() >= 16) std::memcpy(asked.words.data(), bytes.data() + 8, 8);
    if (asked.type != MessageType::kGpadlBody) asked_.push_back(asked);
    if (asked_.size() > kAskedMax) asked_.erase(asked_.begin());
    if (asked.type == MessageType::kRelidReleased) {
      const uint32_t relid = message->As<RelidReleasedMessage>().relid;
      Require(offered_[relid] && rescinded_[relid]);
      offered_.reset(relid);
      rescinded_.reset(relid);
    }
  }
  void Check() {
    Require(client_.gpadl_count() <= kGpadlsMax);
    Require((client_.version() != 0) == (client_.state() == VmbusClient::State::kConnected ||
                                         client_.state() == VmbusClient::State::kUnloading));
    if (client_.channel_count() == 0) {
      offered_.reset();
      rescinded_.reset();
    }
    // While unloading nothing is said any more, not that a relid was released either.
    Require(client_.channel_count() == offered_.count() ||
            client_.state() == VmbusClient::State::kUnloading);
    Require(client_.counters().violations >= client_.counters().malformed);
    Require(client_.counters().violations == 0 || !client_.last_violation().ok());
  }

  struct Asked {
    MessageType type{};
    std::array<uint32_t, 2> words{};
  };

  MessageScript& input_;
  VmbusClient client_;
  Negotiated negotiated_;
  std::vector<OperationId> running_;
  OperationId last_operation_ = 0;
  std::vector<Asked> asked_;
  std::bitset<kRelidMax + 1> offered_;
  std::bitset<kRelidMax + 1> rescinded_;
};

}  // namespace
}  // namespace vmbuskit

VMBUSKIT_MESSAGE_MUTATOR(.direction = vmbuskit::Direction::kHostToGuest,
                         .operations = vmbuskit::kOperations)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmbuskit::MessageScript input({data, size});
  vmbuskit::Fuzz(input).Run();
  return 0;
}
