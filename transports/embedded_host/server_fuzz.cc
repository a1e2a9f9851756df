// A guest that posts anything, and devices that answer what was asked of them, or something else, at any time: the
// server's books balance, its limits hold, nothing is asked of a device twice or of one that is gone, every page given
// to a device is the guest's, and after a reset nothing is left. Also when the server was saved and restored on the
// way, from what it had saved or from something like it.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "framework/base/fuzzing.h"
#include "framework/base/saved_state.h"
#include "framework/observe/inspect.h"
#include "transports/embedded_host/server.h"
#include "transports/embedded_host/server_fuzz_devices.h"
#include "transports/embedded_host/state_bending.h"
#include "transports/protocol/gpadl_messages.h"
#include "transports/protocol/message_mutator.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit {
namespace {

constexpr int kRecordsMax = 128;
constexpr uint64_t kGuestPages = 1 << 16;
constexpr Guid kClass = Guid::Parse("11111111-2222-3333-4444-555555555555");

enum Operation : uint8_t {
  kConnect = kFuzzOperationMin,
  kWholeGpadl,
  kOpen,
  kPostOn,
  kDeviceAnswers,
  kAllAnswer,
  kOffer,
  kRevoke,
  kManners,
  kReset,
  kInspect,
  kSave,
  kRestore,
};

using enum FuzzField;
constexpr FuzzField kConnectFields[] = {kVersion, kFeatures};
constexpr FuzzField kGpadlFields[] = {kRelid, kHandle, kByte, kSmall};
constexpr FuzzField kOpenFields[] = {kRelid, kHandle, kSmall, kSmall};
constexpr FuzzField kPostOnFields[] = {kSmall, kDword, kDword, kTail};
constexpr FuzzField kAnswerFields[] = {kSmall, kSmall, kRelid, kHandle};
constexpr FuzzField kOfferFields[] = {kSmall, kSmall, kSmall, kWord};
constexpr FuzzField kRevokeFields[] = {kRelid};
constexpr FuzzField kMannersFields[] = {kSmall};
constexpr FuzzLayout kOperations[] = {{kConnect, kConnectFields},
                                      {kWholeGpadl, kGpadlFields},
                                      {kOpen, kOpenFields},
                                      {kPostOn, kPostOnFields},
                                      {kDeviceAnswers, kAnswerFields},
                                      {kAllAnswer, {}},
                                      {kOffer, kOfferFields},
                                      {kRevoke, kRevokeFields},
                                      {kManners, kMannersFields},
                                      {kReset, {}},
                                      {kInspect, {}},
                                      {kSave, {}},
                                      {kRestore, kRestoreFields}};

ServerOptions OptionsOf(const MessageScript& script) {
  const auto version = [](uint8_t index) {
    return kVersionsNewestFirst[index % kVersionsNewestFirst.size()];
  };
  const bool own_pages = script.Flag(0, 0);
  return {.max_version = script.Flag(0, 1) ? version(script.Option(1)) : kVersion6_0,
          .min_version = script.Flag(0, 2) ? version(script.Option(2)) : kVersion2_4,
          .features = script.Flag(0, 3) ? script.Option(3) : kServerFeatures,
          .vp_count = 4,
          .guest_page_count = kGuestPages,
          .server_parent_to_child = own_pages ? 0x20000u : 0,
          .server_child_to_parent = own_pages ? 0x21000u : 0,
          .gpadl_limit_bytes = 100 * 4096,
          .gpadl_count_max = 12,
          .gpadl_in_progress_pages_max = 64,
          .error_count_max = script.Flag(0, 4) ? 0u : 4u,
          .offer_shuffle_seed = script.Flag(0, 5) ? 7u : 0u};
}

class Fuzz {
 public:
  explicit Fuzz(MessageScript& script) : script_(script), server_(OptionsOf(script), devices_) {
    devices_.Attach(server_);
  }

  void Run() {
    // Mostly a connection with three channels is where it begins.
    OfferAll();
    if (!script_.Flag(0, 6)) Connect(kVersion6_0, script_.Option(4));
    for (int i = 0; i < kRecordsMax; ++i) {
      const std::optional<ScriptRecord> record = script_.Next();
      if (!record.has_value()) break;
      if (record->IsMessage()) {
        server_.HandleMessage(record->Message(server_.negotiated()).bytes(), kMessageConnection);
      } else {
        ScriptArguments arguments(record->bytes);
        Act(record->kind, arguments);
      }
      CheckBooks();
    }
    devices_.SetManners(/*automatic=*/true, /*accept=*/true);
    server_.Reset();
    for (int round = 0; round < 4; ++round) devices_.AnswerEverything();
    CheckBooks();
    Require(server_.state() == VmbusServer::State::kDisconnected);
    Require(server_.gpadls().count() == 0 && server_.gpadls().charged_bytes() == 0);
    Require(devices_.IsIdle());
  }

 private:
  void Act(uint8_t kind, ScriptArguments& arguments) {
    switch (kind) {
      case kConnect: {
        const auto version = arguments.Take<uint32_t>();
        return Connect(version, arguments.Take<uint32_t>());
      }
      case kWholeGpadl:
        return WholeGpadl(arguments);
      case kOpen:
        return Open(arguments);
      case kPostOn: {
        const auto connection = arguments.Take<uint8_t>();
        return server_.HandleMessage(std::as_bytes(arguments.rest()), connection);
      }
      case kDeviceAnswers:
        return DeviceAnswers(arguments);
      case kAllAnswer:
        return devices_.AnswerEverything();
      case kOffer: {
        const auto instance = arguments.Take<uint8_t>();
        const auto index = arguments.Take<uint8_t>();
        const auto monitored = arguments.Take<uint8_t>();
        return Offer(instance % 4, index % 3, (monitored & 1) != 0, arguments.Take<uint16_t>());
      }
      case kRevoke:
        return Revoke(ChannelId{arguments.Take<uint32_t>()});
      case kManners: {
        const auto manners = arguments.Take<uint8_t>();
        return devices_.SetManners((manners & 1) == 0, (manners & 2) == 0);
      }
      case kReset:
        return server_.Reset();
      case kInspect:
        return Inspect();
      case kSave:
        return (void)saved_.emplace(Save());
      case kRestore:
        return Restore(arguments);
    }
  }
  // Once: it takes longer than all the rest.
  void Inspect() {
    if (std::exchange(inspected_, true)) return;
    InspectNode node;
    server_.Inspect(node);
    Require(node.Find("gpadls") != nullptr);
  }
  struct Saved {
    std::vector<std::byte> bytes;
    FuzzDevices devices;
  };
  Saved Save() {
    Require(server_.at_rest());
    StateWriter writer;
    server_.Exchange(writer);
    return {std::move(writer).Take(), devices_.Saved()};
  }
  void Restore(ScriptArguments& arguments) {
    const bool old = (arguments.Take<uint8_t>() & 1) != 0 && saved_.has_value();
    Saved saved = old ? *saved_ : Save();
    const bool bent = BendState(saved.bytes, arguments);
    believed_ |= bent;
    StateReader reader(saved.bytes);
    server_.Exchange(reader);
    if (!reader.Finish().ok()) {
      Require(bent);
      server_.Clear();
      devices_.Restore(FuzzDevices());
      Require(server_.channels().size() == 0 && server_.gpadls().count() == 0);
      return OfferAll();
    }
    devices_.Restore(saved.devices);
    if (bent) devices_.Believe();
    Require(bent || Save().bytes == saved.bytes);
    for (const auto& [id, channel] : server_.channels().all()) {
      const absl::StatusOr<OpenRequest> open = server_.DescribeOpen(id);
      Require(open.ok() == (channel.state == ChannelState::kOpen) || believed_);
    }
    server_.Resume();
  }

  template <typename T>
  void Post(const T& message) {
    server_.HandleMessage(Emit(message, server_.negotiated()).bytes(), kMessageConnectionLegacy);
  }
  void Connect(uint32_t version, uint32_t features) {
    const Contact contact{.version = version,
                          .features = features,
                          .parent_to_child = 0x11000,
                          .child_to_parent = 0x12000};
    server_.HandleMessage(EmitContact(contact).bytes(), ContactConnectionId(version));
    Post(RequestOffersMessage{});
  }
  void WholeGpadl(ScriptArguments& arguments) {
    const auto relid = arguments.Take<uint32_t>();
    const auto handle = arguments.Take<uint32_t>();
    const uint32_t pages = 1 + arguments.Take<uint8_t>() % 64;
    const auto spare = arguments.Take<uint8_t>();
    const GpadlRange ranges[] = {GpadlRange::Pages(0x100, pages),
                                 {.byte_count = 5000, .byte_offset = 4000, .first_pfn = 0x300}};
    auto messages =
        GpadlMessages::Create(relid, handle, std::span(ranges).first(spare == 7 ? 2 : 1));
    MessageBuffer message;
    // The rest may come later, or never.
    const int count = spare == 6 ? 1 : 8;
    for (int i = 0; messages.ok() && i < count && messages->Next(message); ++i) {
      server_.HandleMessage(message.bytes(), kMessageConnection);
    }
  }

  // As a driver does it, on a ring of its own; or on one that is there.
  void Open(ScriptArguments& arguments) {
    const auto relid = arguments.Take<uint32_t>();
    const auto handle = arguments.Take<uint32_t>();
    const auto manner = arguments.Take<uint8_t>();
    if ((manner & 1) == 0) {
      const GpadlRange ring = GpadlRange::Pages(0x200, 8);
      auto messages = GpadlMessages::Create(relid, handle, {&ring, 1});
      MessageBuffer message;
      if (messages.ok() && messages->Next(message)) {
        server_.HandleMessage(message.bytes(), kMessageConnection);
      }
    }
    const uint32_t vp = arguments.Take<uint8_t>();
    if ((manner & 2) != 0) {
      return Post(OpenReservedChannelMessage{
          .relid = relid, .target_vp = vp, .ring_gpadl = handle, .downstream_page = 4});
    }
    Post(OpenChannelMessage{.relid = relid,
                            .open_id = relid,
                            .ring_gpadl = handle,
                            .target_vp = vp == 7 ? kNoTargetVp : vp,
                            .downstream_page = 4,
                            .connection_id = (manner & 4) == 0 ? 0x2000 + relid : 0x2000,
                            .event_flag = static_cast<uint16_t>(relid)});
  }

  void DeviceAnswers(ScriptArguments& arguments) {
    const auto kind = arguments.Take<uint8_t>();
    const bool ok = (arguments.Take<uint8_t>() & 1) == 0;
    const ChannelId id{arguments.Take<uint32_t>()};
    const auto handle = arguments.Take<uint32_t>();
    switch (kind % 6) {
      case 0:
        return devices_.AnswerSetUp(ok);
      case 1:
        return devices_.AnswerOpen(id, ok);
      case 2:
        return devices_.AnswerClose(id);
      case 3:
        return devices_.AnswerGpadl(id, handle, ok);
      case 4:
        return devices_.AnswerTearDown(id, handle);
      default:
        return devices_.AnswerRetarget(id, ok);
    }
  }
  void OfferAll() {
    for (uint8_t i = 0; i < 3; ++i) Offer(i, 0, i == 0, 0);
  }
  void Offer(uint8_t instance, uint16_t index, bool monitored, uint16_t flags) {
    Guid instance_id = kClass;
    instance_id.bytes[15] = instance;
    const auto id = server_.Offer({.class_id = kClass,
                                   .instance_id = instance_id,
                                   .flags = flags,
                                   .subchannel_index = index,
                                   .monitored = monitored});
    if (id.ok()) devices_.Add(*id);
  }
  void Revoke(ChannelId id) {
    const std::vector<ChannelId> subchannels = server_.Subchannels(id);
    // The devices let go before the server hears of it.
    for (ChannelId sub : subchannels) devices_.Remove(sub);
    devices_.Remove(id);
    (void)server_.Revoke(id);
    for (ChannelId sub : subchannels) Require(!server_.Revoke(sub).ok());
  }

  void CheckBooks() {
    const GpadlTable& gpadls = server_.gpadls();
    uint64_t bytes = 0;
    uint64_t missing = 0;
    for (const auto& [key, entry] : gpadls.all()) {
      Require(server_.channels().all().contains(key.first));
      bytes += entry.charged_bytes;
      if (entry.assembly.has_value()) missing += entry.assembly->qwords_needed();
      Require(GpadlStateName(entry.state) != "?");
      const bool shown = entry.state == GpadlState::kAccepted;
      Require((server_.FindGpadl(key.first, key.second) != nullptr) == shown);
    }
    Require(bytes == gpadls.charged_bytes() && bytes <= gpadls.limits().bytes_max);
    Require(gpadls.charged_bytes() <= gpadls.charged_bytes_peak());
    Require(gpadls.count() <= gpadls.limits().count_max);
    Require(missing == gpadls.in_progress_pages() &&
            missing <= gpadls.limits().in_progress_pages_max);
    Require((server_.negotiated().version != 0) ==
            (server_.state() == VmbusServer::State::kConnected));
    Require(server_.errors().last().size() <= 4);
    Require(server_.target().vp < 4 && server_.target().sint == kVmbusSint);
    Require(server_.counters().messages_in >= server_.counters().contacts || believed_);
    Require(!server_.paused() || server_.state() == VmbusServer::State::kConnected);
    for (const auto& [id, channel] : server_.channels().all()) {
      Require(ChannelStateName(channel.state) != "?");
      const bool known = channel.relid != 0;
      Require(!known || channel.state != ChannelState::kClientReleased);
      Require(channel.monitor_id == kNoMonitor || known);
    }
  }

  MessageScript& script_;
  FuzzDevices devices_;
  VmbusServer server_;
  bool inspected_ = false;
  std::optional<Saved> saved_;
  bool believed_ = false;  // a state that was not its own
};

}  // namespace
}  // namespace vmbuskit

VMBUSKIT_MESSAGE_MUTATOR(.direction = vmbuskit::Direction::kGuestToHost,
                         .operations = vmbuskit::kOperations)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmbuskit::MessageScript script({data, size});
  vmbuskit::Fuzz(script).Run();
  return 0;
}
