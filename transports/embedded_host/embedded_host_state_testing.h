// For tests of save and restore: a host with devices that count, and a RawGuestTest's guest, which must not notice.
//
//   TEST_F(EmbeddedHostStateTest, ...) { Add(kFirst); Cycle(); ... }
//
// Thread safety: one thread, the test's.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_STATE_TESTING_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_STATE_TESTING_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "framework/base/saved_state.h"
#include "gtest/gtest.h"
#include "transports/embedded_host/raw_guest_testing.h"

namespace vmbuskit {

// Sends back what comes in, with a number that only it knows: lost unless it is saved.
class CountingVsp : public Vsp {
 public:
  explicit CountingVsp(VspContext& context) : context_(context) {}

  absl::Status OnOpen(Channel& channel, const OpenData&) override {
    if (context_.OfferSubchannels(wanted_subchannels) < wanted_subchannels) {
      return absl::InternalError("sub-channels");
    }
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel&) override {
    ++closes;
    if (on_close != nullptr) on_close();
  }
  void OnGpadlTornDown(uint32_t handle) override { torn_down.push_back(handle); }
  absl::Status Save(StateWriter& state) override {
    state(count_);
    return save_result;
  }
  absl::Status Restore(StateReader& state) override {
    state(count_);
    return state.status();
  }
  absl::Status OnReopen(Channel& channel, const OpenData& data) override {
    if (data.user_data[0] != std::byte{9}) return absl::InternalError("another guest's data");
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnPacket(Channel& channel, const Packet& packet) override {
    if (on_packet != nullptr) on_packet();
    std::string text(reinterpret_cast<const char*>(packet.payload.data()), packet.payload.size());
    text += std::to_string(++count_);
    EXPECT_EQ(channel.Send({.payload = AsBytes(text)}), SendResult::kOk);
  }
  void Inspect(InspectNode& node) const override { node.Set("count", count_); }

  static inline uint32_t wanted_subchannels = 0;
  static inline absl::Status save_result;
  static inline std::function<void()> on_packet;
  static inline std::function<void()> on_close;
  int closes = 0;
  std::vector<uint32_t> torn_down;

 private:
  VspContext& context_;
  uint64_t count_ = 0;
};

inline VspClass CountingClass(const char* name, const char* id, bool monitored) {
  return {.name = name,
          .class_id = *Guid::FromString(id),
          .default_instance_id = *Guid::FromString(id),
          .monitored = monitored,
          .create = [](VspContext& context) -> std::unique_ptr<Vsp> {
            return std::make_unique<CountingVsp>(context);
          }};
}
inline const VspClass kFirst = CountingClass("first", "5a1c6f3e-7d2b-4c11-9e0f-0123456789ab", true);
inline const VspClass kSecond =
    CountingClass("second", "6a1c6f3e-7d2b-4c11-9e0f-0123456789ab", false);

class EmbeddedHostStateTest : public RawGuestTest {
 protected:
  EmbeddedHostStateTest() {
    CountingVsp::wanted_subchannels = 0;
    CountingVsp::save_result = absl::OkStatus();
    CountingVsp::on_packet = nullptr;
    CountingVsp::on_close = nullptr;
  }

  DeviceId Add(const VspClass& vsp_class) {
    absl::StatusOr<DeviceId> id = host_->AddDevice(vsp_class, vsp_class.default_instance_id);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  std::string Json() {
    InspectNode node;
    host_->Inspect(node);
    return node.ToJson();
  }
  std::vector<std::byte> Save() {
    absl::StatusOr<std::vector<std::byte>> bytes = host_->Save();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return *std::move(bytes);
  }
  // The host goes away and comes back as it was.
  void Cycle() {
    const std::string before = Json();
    ASSERT_EQ(host_->Restore(Save()), absl::OkStatus());
    ASSERT_EQ(Json(), before);
  }
  // Before the host saw the message, before it is at rest, and after.
  template <typename T>
  void PostThroughCycles(const T& message) {
    Cycle();
    ASSERT_EQ(TryPost(Emit(message, negotiated_), kMessageConnection), HypercallStatus::kSuccess);
    Cycle();
    Run();
    Cycle();
  }
  OpenChannelMessage OpenData() {
    OpenChannelMessage open;
    open.user_data[0] = std::byte{9};
    return open;
  }
  void Say(RawGuestChannel& rings, const std::string& text, uint32_t flag) {
    ASSERT_EQ(rings.channel().Send({.payload = AsBytes(text)}), SendResult::kOk);
    Exchange(rings, flag);
  }

  RawGuestChannel rings_{partition(), cpu0_, {40, 41, 42, 43, 44, 45}};
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_EMBEDDED_HOST_STATE_TESTING_H_
