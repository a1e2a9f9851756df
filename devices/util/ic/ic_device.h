// The guest side of every integration component: negotiates whenever the host asks (at any time, in any state) and
// hands requests to the service, which answers in place.
//
//   class Heartbeat final : public ic::IcDevice {
//     uint32_t OnRequest(ic::Message& message) override { ...; return ic::kStatusOk; }
//   };
//
// A request is answered from the packet callback: nothing is allocated, nothing waits. The class sets answer_bytes to
// its largest message, so that an answer always finds room. Messages that break a rule
// are dropped without an answer and counted (protocol 30 section 9); an unknown type is answered E_FAIL (rule F7).
// Thread safety: the device's executor.
#ifndef VMBUSKIT_DEVICES_UTIL_IC_IC_DEVICE_H_
#define VMBUSKIT_DEVICES_UTIL_IC_IC_DEVICE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "devices/util/ic/message.h"
#include "devices/util/ic/negotiation.h"
#include "devices/util/ic/protocol.h"
#include "framework/bus/simple_device.h"

namespace vmbuskit::ic {

class IcDevice : public SimpleDevice {
 public:
  struct Service {
    MessageType type;
    VersionLists versions;        // most preferred first
    uint16_t body_bytes_min = 0;  // shorter requests are dropped
    uint32_t message_bytes_max = kMessageBytesMax;
  };

  // `service` must outlive the device (it is a constant of the class).
  IcDevice(DeviceContext& context, const Service& service);

  std::string NegotiatedVersions() const override;
  void Inspect(InspectNode& node) const override;

 protected:
  // Answers one request: change `message.body` in place, return the status word. `message.header.body_bytes` may
  // be lowered. Called only once a version is agreed.
  virtual uint32_t OnRequest(Message& message) = 0;
  // A negotiation ended: whatever a transaction had in progress is void (rule F5).
  virtual void OnNegotiated(const Agreed& agreed) { (void)agreed; }

  const std::optional<Agreed>& agreed() const { return agreed_; }

 private:
  void OnPacket(Channel& channel, const Packet& packet) final;
  uint32_t Dispatch(Message& message);

  const Service& service_;
  std::vector<std::byte> buffer_;  // the message being answered; allocated once
  std::optional<Agreed> agreed_;
  uint64_t requests_ = 0;
  uint64_t negotiations_ = 0;
  uint64_t dropped_malformed_ = 0;
  absl::Status last_violation_;
};

}  // namespace vmbuskit::ic

#endif  // VMBUSKIT_DEVICES_UTIL_IC_IC_DEVICE_H_
