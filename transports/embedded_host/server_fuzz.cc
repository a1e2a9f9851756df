// A guest that posts anything, and devices that answer what was asked of them, or something else, at any time:
// the server's books balance, its limits hold, and after a reset nothing is left.
#include "framework/base/fuzzing.h"
#include "transports/embedded_host/server_testing.h"

namespace vmbuskit {
namespace {

class Fuzz {
 public:
  explicit Fuzz(FuzzedDataProvider& input) : input_(input) {}

  void Run() {
    // Mostly a connection with three channels is where it begins.
    for (uint8_t i = 0; i < 3; ++i) world_.Offer(i);
    if (Below(8) != 0) {
      world_.Connect(kVersionsNewestFirst[Below(kVersionsNewestFirst.size())], Below(256));
    }
    for (int step = 0; step < 200 && input_.remaining_bytes() > 0; ++step) {
      world_.actions.automatic = Below(4) != 0;
      world_.actions.accept = Below(8) != 0;
      const uint32_t dice = Below(16);
      dice < 11 ? GuestActs(dice) : dice < 14 ? DeviceAnswers() : DevicesChange();
      world_.Take();
      CheckBooks();
    }
    world_.actions.automatic = true;
    world_.server.Reset();
    for (int round = 0; round < 4; ++round) AnswerEverything();
    Require(world_.server.state() == VmbusServer::State::kDisconnected);
    Require(world_.server.gpadls().count() == 0 && world_.server.gpadls().charged_bytes() == 0);
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  // Mostly one of a few, so that messages meet.
  uint32_t Relid() { return Below(32) == 0 ? input_.ConsumeIntegral<uint32_t>() : Below(6); }
  uint32_t Handle() { return Below(32) == 0 ? input_.ConsumeIntegral<uint32_t>() : 1 + Below(6); }

  void GuestActs(uint32_t dice) {
    switch (dice) {
      case 0:
        return Contact();
      case 1:
        return world_.Post(RequestOffersMessage{});
      case 2:
        return world_.Gpadl(Relid(), 1 + Below(6), 1 + Below(60));
      case 3: {
        const uint32_t handle = 1 + Below(6);
        return Below(2) == 0 ? world_.GpadlHeader(Relid(), handle) : world_.GpadlBody(handle);
      }
      case 4:
        return world_.TearDown(Relid(), Handle());
      case 5:
        return world_.Open(Relid(), Handle(), Below(6));
      case 6:
        return Below(2) == 0 ? world_.OpenReserved(Relid(), Handle())
                             : world_.CloseReserved(Relid());
      case 7:
        return world_.Close(Relid());
      case 8:
        return Below(2) == 0 ? world_.Release(Relid()) : world_.Modify(Relid(), Below(6));
      case 9:
        return ConnectionMessage();
      default:
        return AnyMessage();
    }
  }
  void Contact() {
    if (world_.server.state() == VmbusServer::State::kConnected && Below(4) != 0) return;
    vmbuskit::Contact contact{.version = kVersionsNewestFirst[Below(kVersionsNewestFirst.size())],
                              .target_vp = Below(5),
                              .features = Below(256)};
    if (Below(2) != 0) contact.parent_to_child = contact.child_to_parent = 0x3000;
    world_.PostContact(contact);
  }
  void ConnectionMessage() {
    switch (Below(4)) {
      case 0:
        return world_.Post(UnloadMessage{});
      case 1:
        return world_.Post(PauseMessage{});
      case 2:
        return world_.Post(ResumeMessage{});
      default:
        world_.Post(ModifyConnectionMessage{.parent_to_child = Below(3) * 4096,
                                            .child_to_parent = Below(3) * 4096});
    }
  }
  // A type of the table, numbers that may exist, and then whatever comes.
  void AnyMessage() {
    const uint32_t words[] = {Below(kMessageTypeCount + 2), 0, Relid(), Handle()};
    MessageBuffer message;
    message.Append(std::as_bytes(std::span(words)));
    const auto rest = input_.ConsumeBytes<std::byte>(Below(225));
    message.Append(rest);
    world_.PostBytes(message.bytes().first(message.size() - Below(17)), Below(6));
  }

  void DeviceAnswers() {
    const ChannelId id{1 + Below(8)};
    const uint32_t handle = Handle();
    const bool ok = world_.actions.accept;
    switch (Below(7)) {
      case 0:
        return world_.server.OnConnectionSetUp(ok);
      case 1:
        return world_.server.OnOpenCompleted(id, ok);
      case 2:
        return world_.server.OnCloseCompleted(id);
      case 3:
        return world_.server.OnGpadlCreated(id, handle, ok);
      case 4:
        return world_.server.OnGpadlReleased(id, handle);
      case 5:
        return world_.server.OnRetargeted(id, ok);
      default:
        return AnswerEverything();
    }
  }
  void AnswerEverything() {
    VmbusServer& server = world_.server;
    server.OnConnectionSetUp(true);
    std::vector<ChannelId> ids;
    for (const auto& [id, channel] : server.channels().all()) ids.push_back(id);
    for (ChannelId id : ids) {
      server.OnOpenCompleted(id, true);
      server.OnCloseCompleted(id);
      server.OnRetargeted(id, true);
      for (uint32_t handle : server.gpadls().HandlesOf(id)) {
        server.OnGpadlCreated(id, handle, true);
        server.OnGpadlReleased(id, handle);
      }
    }
  }
  void DevicesChange() {
    const auto instance = static_cast<uint8_t>(Below(3));
    if (Below(3) == 0) return (void)world_.server.Revoke(ChannelId{1 + Below(8)});
    (void)world_.TryOffer(instance, static_cast<uint16_t>(Below(3)), Below(2) != 0);
  }

  void CheckBooks() {
    const GpadlTable& gpadls = world_.server.gpadls();
    uint64_t bytes = 0;
    for (const auto& [key, entry] : gpadls.all()) {
      Require(world_.server.channels().all().contains(key.first));
      bytes += entry.charged_bytes;
    }
    Require(bytes == gpadls.charged_bytes() && bytes <= gpadls.limits().bytes_max);
    Require(gpadls.count() <= gpadls.limits().count_max);
    Require(gpadls.in_progress_pages() <= gpadls.limits().in_progress_pages_max);
    Require((world_.server.negotiated().version != 0) ==
            (world_.server.state() == VmbusServer::State::kConnected));
  }

  FuzzedDataProvider& input_;
  World world_{{.vp_count = 4,
                .guest_page_count = 1 << 16,
                .gpadl_limit_bytes = 100 * 4096,
                .gpadl_count_max = 12,
                .gpadl_in_progress_pages_max = 64}};
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  vmbuskit::Fuzz(input).Run();
  return 0;
}
