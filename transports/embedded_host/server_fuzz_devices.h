// The devices of a fuzzed VmbusServer: they answer at once or later, whatever the fuzzer says, and hold the server to
// the rules of server_actions.h: no request twice before its answer, none for a device that is gone, only pages that
// the guest has, messages that obey the message table.
//
//   FuzzDevices devices;
//   VmbusServer server(options, devices);
//   devices.Attach(server);                // before anything else
//   devices.Add(id);                       // offered
//   devices.AnswerOpen(id, /*ok=*/true);   // also unasked
//   Require(devices.IsIdle());             // nothing is open, mapped or unanswered
//
// Thread safety: none. For fuzzers only.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_FUZZ_DEVICES_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_FUZZ_DEVICES_H_

#include <algorithm>
#include <vector>

#include "framework/base/fuzzing.h"
#include "transports/embedded_host/server.h"

namespace vmbuskit {

class FuzzDevices : public ServerActions {
 public:
  void Attach(VmbusServer& server) { server_ = &server; }

  void SetManners(bool automatic, bool accept) {
    automatic_ = automatic;
    accept_ = accept;
  }
  void Add(ChannelId id) {
    // What was asked before Offer returned stays asked.
    (void)Find(id, /*make=*/true);
  }
  void Remove(ChannelId id) {
    std::erase_if(devices_, [id](const Device& device) { return device.id == id; });
    std::erase_if(gpadls_, [id](const Gpadl& gpadl) { return gpadl.id == id; });
  }
  bool IsIdle() const {
    return gpadls_.empty() && !setting_up_ && !set_up_ &&
           std::ranges::all_of(devices_, [](const Device& device) {
             return device.state == Channel::kClosed && !device.retargeting;
           });
  }

  // ---- Of a server that was saved and restored.
  // What a device that is saved with it knows: what was not answered will be asked again.
  FuzzDevices Saved() const {
    FuzzDevices saved = *this;
    saved.setting_up_ = false;
    for (Device& device : saved.devices_) {
      device.retargeting = false;
      if (device.state == Channel::kOpening) device.state = Channel::kClosed;
      if (device.state == Channel::kClosing) device.state = Channel::kOpen;
    }
    std::erase_if(saved.gpadls_, [](const Gpadl& g) { return g.state == Pages::kOffered; });
    for (Gpadl& gpadl : saved.gpadls_) gpadl.state = Pages::kMapped;
    return saved;
  }
  void Restore(const FuzzDevices& saved) {
    setting_up_ = saved.setting_up_;
    set_up_ = saved.set_up_;
    connection_unknown_ = saved.connection_unknown_;
    devices_ = saved.devices_;
    gpadls_ = saved.gpadls_;
  }
  // As a server says that they are, whose state nobody vouches for.
  void Believe() {
    Restore(FuzzDevices());
    connection_unknown_ = true;
    for (const auto& [id, channel] : server_->channels().all()) {
      if (channel.IsRevoked()) continue;
      const bool opening = channel.state == ChannelState::kOpening ||
                           channel.state == ChannelState::kOpeningClientRelease;
      const bool open = channel.HoldsRings() && !opening;
      devices_.push_back({.id = id,
                          .state = open ? Channel::kOpen : Channel::kClosed,
                          .ring = channel.open.ring_gpadl});
    }
    for (const auto& [key, entry] : server_->gpadls().all()) {
      const bool mapped =
          entry.state == GpadlState::kAccepted || entry.state == GpadlState::kTearingDown;
      if (!mapped || Find(key.first) == nullptr) continue;
      gpadls_.push_back({.id = key.first, .handle = key.second, .state = Pages::kMapped});
    }
  }

  // ---- Answers, asked for or not. What was not asked for must change nothing here.
  void AnswerSetUp(bool ok) {
    if (setting_up_ && ok) {
      set_up_ = true;
      connection_unknown_ = false;
    }
    setting_up_ = false;
    server_->OnConnectionSetUp(ok);
  }
  void AnswerOpen(ChannelId id, bool ok) {
    Device* device = Find(id);
    if (device != nullptr && device->state == Channel::kOpening) {
      device->state = ok ? Channel::kOpen : Channel::kClosed;
    }
    server_->OnOpenCompleted(id, ok);
  }
  void AnswerClose(ChannelId id) {
    Device* device = Find(id);
    if (device != nullptr && device->state == Channel::kClosing) device->state = Channel::kClosed;
    // A close ends a retarget, which nobody waits for any more.
    if (device != nullptr && device->state == Channel::kClosed) device->retargeting = false;
    server_->OnCloseCompleted(id);
  }
  void AnswerGpadl(ChannelId id, uint32_t handle, bool ok) {
    Gpadl* gpadl = FindGpadl(id, handle);
    if (gpadl != nullptr && gpadl->state == Pages::kOffered) {
      gpadl->state = Pages::kMapped;
      if (!ok) Forget(id, handle);
    }
    server_->OnGpadlCreated(id, handle, ok);
  }
  void AnswerTearDown(ChannelId id, uint32_t handle) {
    const Gpadl* gpadl = FindGpadl(id, handle);
    if (gpadl != nullptr && gpadl->state == Pages::kTearingDown) Forget(id, handle);
    server_->OnGpadlReleased(id, handle);
  }
  void AnswerRetarget(ChannelId id, bool ok) {
    Device* device = Find(id);
    if (device != nullptr) device->retargeting = false;
    server_->OnRetargeted(id, ok);
  }
  void AnswerEverything() {
    if (setting_up_) AnswerSetUp(accept_);
    // Copies, for every answer may ask for more.
    for (const Device& device : std::vector(devices_)) {
      if (device.retargeting) AnswerRetarget(device.id, accept_);
      if (device.state == Channel::kOpening) AnswerOpen(device.id, accept_);
      if (device.state == Channel::kClosing) AnswerClose(device.id);
    }
    for (const Gpadl& gpadl : std::vector(gpadls_)) {
      if (gpadl.state == Pages::kOffered) AnswerGpadl(gpadl.id, gpadl.handle, accept_);
      if (gpadl.state == Pages::kTearingDown) AnswerTearDown(gpadl.id, gpadl.handle);
    }
  }

  // ---- ServerActions.
  void PostMessage(MessageTarget target, std::span<const std::byte> bytes) override {
    Require(target.vp < 4 && target.sint < kSintCount);
    uint32_t type = 0;
    Require(bytes.size() >= sizeof type && bytes.size() <= kMessageBytesMax);
    std::memcpy(&type, bytes.data(), sizeof type);
    const MessageRow* row = FindMessage(type);
    Require(row != nullptr && row->direction == Direction::kHostToGuest &&
            bytes.size() >= row->bytes);
  }
  void SetUpConnection(const ConnectionSetup& setup) override {
    Require(!setting_up_ && setup.target.vp < 4 && setup.target.sint == kVmbusSint);
    Require(setup.parent_to_child % kPageSize == 0 && setup.child_to_parent % kPageSize == 0);
    setting_up_ = true;
    if (automatic_) AnswerSetUp(accept_);
  }
  void TearDownConnection() override {
    Require((set_up_ || connection_unknown_) && !setting_up_);
    set_up_ = connection_unknown_ = false;
  }
  void OpenChannel(ChannelId id, const OpenRequest& request) override {
    Device* device = Find(id, /*make=*/true);
    Require(device->state == Channel::kClosed);
    const Gpadl* ring = FindGpadl(id, request.ring_gpadl);
    Require(ring != nullptr && ring->state == Pages::kMapped);
    const size_t pages = request.ring->pfns.size();
    Require(request.downstream_page >= 2 && request.downstream_page + 2 <= pages);
    Require(request.target_vp == kNoTargetVp || request.target_vp < 4);
    Require(request.connection_id > kMessageConnection &&
            request.connection_id <= kConnectionIdMask);
    Require(request.event_flag < kEventFlagCount);
    device->state = Channel::kOpening;
    device->ring = request.ring_gpadl;
    if (automatic_) AnswerOpen(id, accept_);
  }
  void CloseChannel(ChannelId id) override {
    Device* device = Find(id);
    Require(device != nullptr && device->state == Channel::kOpen);
    device->state = Channel::kClosing;
    if (automatic_) AnswerClose(id);
  }
  void CreateGpadl(ChannelId id, const GpadlInfo& gpadl) override {
    (void)Find(id, /*make=*/true);
    Require(FindGpadl(id, gpadl.handle) == nullptr);
    for (Pfn pfn : gpadl.pages->pfns) Require(pfn < 1 << 16);
    gpadls_.push_back({.id = id, .handle = gpadl.handle});
    if (automatic_) AnswerGpadl(id, gpadl.handle, accept_);
  }
  void TearDownGpadl(ChannelId id, uint32_t handle) override {
    const Device* device = Find(id);
    Gpadl* gpadl = FindGpadl(id, handle);
    Require(device != nullptr && gpadl != nullptr && gpadl->state == Pages::kMapped);
    Require(device->state == Channel::kClosed || device->ring != handle);
    gpadl->state = Pages::kTearingDown;
    if (automatic_) AnswerTearDown(id, handle);
  }
  void Retarget(ChannelId id, uint32_t vp) override {
    Device* device = Find(id);
    Require(device != nullptr && !device->retargeting && vp < 4);
    device->retargeting = true;
    if (automatic_) AnswerRetarget(id, accept_);
  }

 private:
  enum class Channel { kClosed, kOpening, kOpen, kClosing };
  enum class Pages { kOffered, kMapped, kTearingDown };
  struct Device {
    ChannelId id{};
    Channel state = Channel::kClosed;
    uint32_t ring = 0;
    bool retargeting = false;
  };
  struct Gpadl {
    ChannelId id{};
    uint32_t handle = 0;
    Pages state = Pages::kOffered;
  };

  Device* Find(ChannelId id, bool make = false) {
    for (Device& device : devices_) {
      if (device.id == id) return &device;
    }
    return make ? &devices_.emplace_back(Device{.id = id}) : nullptr;
  }
  Gpadl* FindGpadl(ChannelId id, uint32_t handle) {
    for (Gpadl& gpadl : gpadls_) {
      if (gpadl.id == id && gpadl.handle == handle) return &gpadl;
    }
    return nullptr;
  }
  void Forget(ChannelId id, uint32_t handle) {
    std::erase_if(gpadls_,
                  [&](const Gpadl& gpadl) { return gpadl.id == id && gpadl.handle == handle; });
  }

  VmbusServer* server_ = nullptr;
  bool automatic_ = true;
  bool accept_ = true;
  bool setting_up_ = false;
  bool set_up_ = false;
  bool connection_unknown_ = false;  // whether set_up_
  std::vector<Device> devices_;
  std::vector<Gpadl> gpadls_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_SERVER_FUZZ_DEVICES_H_
