// A guest and a host around a VmbusServer, for its tests: the guest's messages as calls, everything that comes out
// as lines of text in order.
//
//   World world;
//   world.Connect(kVersion5_2);
//   const ChannelId id = world.Offer(7);
//   EXPECT_THAT(world.Take(), ElementsAre("OFFER relid=1 index=0"));
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_TESTING_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_TESTING_H_

#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "framework/base/guid.h"
#include "framework/base/string_view.h"
#include "transports/embedded_host/server.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {

inline constexpr Guid kTestClass = Guid::Parse("11111111-2222-3333-4444-555555555555");

inline Guid TestInstance(uint8_t number) {
  Guid guid = Guid::Parse("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
  guid.bytes[15] = number;
  return guid;
}

inline std::string Hex(uint32_t value) { return absl::StrCat("0x", absl::Hex(value)); }

// Answers every request at once, from inside the action, unless told to wait.
class FakeActions : public ServerActions {
 public:
  VmbusServer* server = nullptr;
  bool automatic = true;
  bool accept = true;  // what automatic answers say
  // A primary and a sub-channel that its closing takes back.
  std::pair<ChannelId, ChannelId> taken_back_by_close{};
  std::vector<std::string> lines;
  OpenRequest last_open;
  ConnectionSetup last_setup;
  std::vector<std::byte> last_message;

  void PostMessage(MessageTarget target, std::span<const std::byte> bytes) override {
    last_message.assign(bytes.begin(), bytes.end());
    std::string line = Describe(bytes);
    if (target != MessageTarget{}) absl::StrAppend(&line, " @", target.vp, "/", target.sint);
    lines.push_back(std::move(line));
  }
  void SetUpConnection(const ConnectionSetup& setup) override {
    last_setup = setup;
    lines.push_back("set up");
    if (automatic) server->OnConnectionSetUp(accept);
  }
  void TearDownConnection() override { lines.push_back("tear down"); }
  void OpenChannel(ChannelId id, const OpenRequest& request) override {
    last_open = request;
    lines.push_back(absl::StrCat("open ", Number(id)));
    if (automatic) server->OnOpenCompleted(id, accept);
  }
  void CloseChannel(ChannelId id) override {
    lines.push_back(absl::StrCat("close ", Number(id)));
    if (id == taken_back_by_close.first) (void)server->Revoke(taken_back_by_close.second);
    if (automatic) server->OnCloseCompleted(id);
  }
  void CreateGpadl(ChannelId id, const GpadlInfo& gpadl) override {
    lines.push_back(absl::StrCat("create ", Number(id), "/", gpadl.handle));
    if (automatic) server->OnGpadlCreated(id, gpadl.handle, accept);
  }
  void TearDownGpadl(ChannelId id, uint32_t handle) override {
    lines.push_back(absl::StrCat("drop ", Number(id), "/", handle));
    if (automatic) server->OnGpadlReleased(id, handle);
  }
  void Retarget(ChannelId id, uint32_t vp) override {
    lines.push_back(absl::StrCat("retarget ", Number(id), " vp=", vp));
    if (automatic) server->OnRetargeted(id, accept);
  }

  static uint32_t Number(ChannelId id) { return static_cast<uint32_t>(id); }

 private:
  template <typename T>
  static T As(std::span<const std::byte> bytes) {
    return CheckedMessage(RowOf(T::kType), bytes).As<T>();
  }

  static std::string Describe(std::span<const std::byte> bytes) {
    const auto header = As<UnloadMessage>(bytes).header;
    switch (header.type) {
      case MessageType::kOfferChannel: {
        const auto m = As<OfferChannelMessage>(bytes);
        return absl::StrCat("OFFER relid=", m.relid, " index=", m.subchannel_index,
                            m.monitor_allocated ? absl::StrCat(" monitor=", m.monitor_id) : "");
      }
      case MessageType::kRescindChannelOffer:
        return absl::StrCat("RESCIND ", As<RescindMessage>(bytes).relid);
      case MessageType::kOpenChannelResult: {
        const auto m = As<OpenChannelResultMessage>(bytes);
        return absl::StrCat("OPEN_RESULT ", m.relid, " open=", m.open_id, " ", Hex(m.status));
      }
      case MessageType::kGpadlCreated: {
        const auto m = As<GpadlCreatedMessage>(bytes);
        return absl::StrCat("CREATED ", m.relid, "/", m.gpadl, " ", Hex(m.status));
      }
      case MessageType::kGpadlTorndown:
        return absl::StrCat("TORNDOWN ", As<GpadlTorndownMessage>(bytes).gpadl);
      case MessageType::kModifyChannelResponse: {
        const auto m = As<ModifyChannelResponseMessage>(bytes);
        return absl::StrCat("MODIFIED ", m.relid, " ", Hex(m.status));
      }
      case MessageType::kVersionResponse: {
        const auto m = As<VersionResponseMessage>(bytes);
        return absl::StrCat("VERSION_RESPONSE ", m.supported, " state=", m.connection_state,
                            " word=", Hex(m.version_or_connection_id), " size=", bytes.size());
      }
      case MessageType::kModifyConnectionResponse:
        return absl::StrCat("CONNECTION_MODIFIED state=",
                            As<ModifyConnectionResponseMessage>(bytes).connection_state);
      case MessageType::kCloseReservedChannelResponse:
        return absl::StrCat("RESERVED_CLOSED ", As<CloseReservedResponseMessage>(bytes).relid);
      default:
        return MessageName(static_cast<uint32_t>(header.type));
    }
  }
};

struct World {
  explicit World(ServerOptions options = {.vp_count = 4, .guest_page_count = 1 << 20})
      : server(options, actions) {
    actions.server = &server;
  }

  // ---- The guest.
  void PostBytes(std::span<const std::byte> bytes, uint32_t connection_id = 1) {
    server.HandleMessage(bytes, connection_id);
  }
  template <typename T>
  void Post(const T& message) {
    PostBytes(Emit(message, server.negotiated()).bytes());
  }
  void PostContact(const Contact& contact) {
    PostBytes(EmitContact(contact).bytes(), ContactConnectionId(contact.version));
  }
  // Contact and offers, with monitor pages; what came out is forgotten.
  void Connect(uint32_t version, uint32_t features = 0) {
    PostContact({.version = version,
                 .features = features,
                 .parent_to_child = 0x11000,
                 .child_to_parent = 0x12000});
    Post(RequestOffersMessage{});
    Take();
  }
  void Gpadl(uint32_t relid, uint32_t handle, uint32_t pages = 8) {
    const GpadlRange range = GpadlRange::Pages(0x100, pages);
    auto messages = GpadlMessages::Create(relid, handle, {&range, 1});
    MessageBuffer message;
    while (messages->Next(message)) PostBytes(message.bytes());
  }
  // Only the header of a GPADL of 30 pages; Body is the rest.
  void GpadlHeader(uint32_t relid, uint32_t handle) { PostPart(relid, handle, 0); }
  void GpadlBody(uint32_t handle) { PostPart(0, handle, 1); }
  void TearDown(uint32_t relid, uint32_t handle) {
    Post(GpadlTeardownMessage{.relid = relid, .gpadl = handle});
  }
  void Open(uint32_t relid, uint32_t ring, uint32_t vp = 1) {
    Post(OpenChannelMessage{.relid = relid,
                            .open_id = 100 + relid,
                            .ring_gpadl = ring,
                            .target_vp = vp,
                            .downstream_page = 4});
  }
  void OpenReserved(uint32_t relid, uint32_t ring) {
    Post(OpenReservedChannelMessage{.relid = relid,
                                    .target_vp = 3,
                                    .target_sint = 7,
                                    .ring_gpadl = ring,
                                    .downstream_page = 4});
  }
  void CloseReserved(uint32_t relid) {
    Post(CloseReservedChannelMessage{.relid = relid, .target_vp = 2, .target_sint = 5});
  }
  void Close(uint32_t relid) { Post(CloseChannelMessage{.relid = relid}); }
  void Release(uint32_t relid) { Post(RelidReleasedMessage{.relid = relid}); }
  void Modify(uint32_t relid, uint32_t vp) {
    Post(ModifyChannelMessage{.relid = relid, .target_vp = vp});
  }

  // ---- The host.
  ChannelId Offer(uint8_t instance, uint16_t index = 0, bool monitored = false) {
    const auto id = TryOffer(instance, index, monitored);
    return id.ok() ? *id : ChannelId{};
  }
  absl::StatusOr<ChannelId> TryOffer(uint8_t instance, uint16_t index = 0, bool monitored = false) {
    return server.Offer({.class_id = kTestClass,
                         .instance_id = TestInstance(instance),
                         .subchannel_index = index,
                         .monitored = monitored});
  }
  ChannelState StateOf(ChannelId id) const { return server.channels().all().at(id).state; }

  // What came out since the last call.
  std::vector<std::string> Take() { return std::exchange(actions.lines, {}); }
  // The last error, and that there was exactly one more since the last call; "" when there was none.
  std::string TakeError() {
    const uint64_t fresh =
        server.errors().count() - std::exchange(errors_seen, server.errors().count());
    if (fresh == 0) return "";
    if (fresh > 1) return absl::StrCat(fresh, " errors");
    return server.errors().last().back();
  }

  FakeActions actions;
  VmbusServer server;
  uint64_t errors_seen = 0;

 private:
  void PostPart(uint32_t relid, uint32_t handle, int part) {
    const GpadlRange range = GpadlRange::Pages(0x100, 30);
    auto messages = GpadlMessages::Create(relid, handle, {&range, 1});
    MessageBuffer message;
    for (int i = 0; i <= part; ++i) messages->Next(message);
    PostBytes(message.bytes());
  }
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_TESTING_H_
