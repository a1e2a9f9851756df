// For tests and fuzzers: a VSP that does what a packet's first byte says (1: offers sub-channels,
// 2: maps a GPADL, 3: lets its owner do something meanwhile), sends everything back, and requires
// of its host that every call comes in its order: no packet but on an open channel, every open
// closed, every GPADL torn down before the end.
//
//   absl::StatusOr<DeviceId> id = host.AddDevice(kStrictVspClass, instance);
//
// Thread safety: the host executor. Errors: a requirement that does not hold ends the program.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STRICT_VSP_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STRICT_VSP_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "framework/base/fuzzing.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

class StrictVsp : public Vsp {
 public:
  using Meanwhile = std::function<void()>;

  explicit StrictVsp(VspContext& context, Meanwhile meanwhile = nullptr)
      : context_(context), meanwhile_(std::move(meanwhile)) {}
  ~StrictVsp() override { Require(restored_host || (open_.empty() && mapped_.empty())); }

  // A host that restores a state drops its VSPs as they are.
  static inline bool restored_host = false;

  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    if (data.user_data[0] == std::byte{0xFF}) return absl::UnavailableError("asked to refuse");
    Require(open_.insert(&channel).second);
    if (data.user_data[0] == std::byte{0xFE}) DoMeanwhile();
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel& channel) override {
    Require(channel.closed());
    Require(open_.erase(&channel) == 1);
    DoMeanwhile();
  }
  void OnGpadlTornDown(uint32_t handle) override {
    mapped_.erase(handle);
    DoMeanwhile();
  }
  void OnPacket(Channel& channel, const Packet& packet) override {
    Require(open_.contains(&channel));
    const auto word = packet.PayloadAs<uint64_t>().value_or(0);
    const auto handle = static_cast<uint32_t>(word >> 8);
    if ((word & 0xFF) == 1) (void)context_.OfferSubchannels(handle % 4);
    if ((word & 0xFF) == 2) {
      absl::StatusOr<Mapping> mapping = context_.MapGpadl(handle);
      if (mapping.ok()) mapped_[handle] = std::move(*mapping);
    }
    if ((word & 0xFF) == 3) DoMeanwhile();
    if (packet.completion_requested) {
      (void)channel.Complete(packet.transaction_id, packet.payload);
    } else {
      (void)channel.Send({.payload = packet.payload});
    }
  }

 private:
  void DoMeanwhile() {
    if (meanwhile_ != nullptr) meanwhile_();
  }

  VspContext& context_;
  const Meanwhile meanwhile_;
  std::set<Channel*> open_;
  std::map<uint32_t, Mapping> mapped_;
};

inline const VspClass kStrictVspClass{
    .name = "strict",
    .class_id = Guid::Parse("5a1c6f3e-7d2b-4c11-9e0f-0123456789ab"),
    .default_instance_id = Guid::Parse("11111111-2222-3333-4444-555555555555"),
    .monitored = true,
    .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
      return std::make_unique<StrictVsp>(context);
    },
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STRICT_VSP_H_
