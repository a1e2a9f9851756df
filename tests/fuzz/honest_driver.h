// The guest's end of one honest echo channel of an EmbeddedHost, beside whatever a hostile guest
// does elsewhere: the host must go on serving it.
//
//   HonestDriver driver(partition, cpu0, {12, 13, 14, 15, 16, 17});
//   ... GPADL over driver.pages(), OPEN ...
//   driver.Begin(connection_id);                    // asks for the newest version
//   driver.channel().OnSignal();                    // when its event flag was set
//
// Thread safety: the simulation's thread. Lifetime: gone before its partition.
#ifndef VMBUSKIT_TESTS_FUZZ_HONEST_DRIVER_H_
#define VMBUSKIT_TESTS_FUZZ_HONEST_DRIVER_H_

#include <utility>
#include <vector>

#include "devices/echo/protocol.h"
#include "framework/channel/payload.h"
#include "framework/task/deadline.h"
#include "transports/embedded_host/raw_guest_channel.h"

namespace vmbuskit {

class HonestDriver final : public RawGuestChannel, private Request {
 public:
  using RawGuestChannel::RawGuestChannel;
  ~HonestDriver() override {
    if (begun_) Stop();
  }

  void Begin(uint32_t connection_id) {
    Start(connection_id);
    begun_ = true;
    const echo::Negotiate message{.version = echo::kVersions[0], .accepted = 0};
    (void)channel().SendRequest({.payload = BytesOf(message)}, *this,
                                DeadlineIn(channel().executor()));
  }
  bool begun() const { return begun_; }
  bool accepted() const { return accepted_; }
  uint64_t echoes() const { return echoes_; }

 private:
  void OnEnd(RequestEnd end, const Packet* completion) override {
    if (end != RequestEnd::kCompleted) return;
    const auto answer = completion->PayloadAs<echo::Negotiate>();
    accepted_ = answer.has_value() && answer->accepted == 1;
  }
  void OnPacket(Channel& channel, const Packet& packet) override {
    ++echoes_;
    (void)channel.Complete(packet.transaction_id, packet.payload);
  }

  bool begun_ = false;
  bool accepted_ = false;
  uint64_t echoes_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_HONEST_DRIVER_H_
