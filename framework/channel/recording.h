// For tests: a handler and a request that write down what happens to them.
//
//   RecordingHandler guest;
//   pair.guest().Start(guest);
//   pair.Run();
//   EXPECT_EQ(guest.packets.at(0).payload, "hello vmbus");
//
// Both count, so "exactly once" can be asserted. Thread safety: the executor of the channel.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_RECORDING_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_RECORDING_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "framework/channel/channel.h"

namespace vmbuskit {

inline std::string PayloadText(const Packet& packet) {
  return std::string(reinterpret_cast<const char*>(packet.payload.data()), packet.payload.size());
}

inline std::span<const std::byte> TextBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

class RecordingHandler : public ChannelHandler {
 public:
  struct Record {
    PacketType type;
    bool completion_requested;
    uint64_t transaction_id;
    std::string payload;  // as it came: padded with zeros to a multiple of 8
  };

  void OnPacket(Channel& channel, const Packet& packet) override {
    ++packet_count;
    if (keep_packets) {
      packets.push_back(
          {packet.type, packet.completion_requested, packet.transaction_id, PayloadText(packet)});
    }
    if (on_packet) on_packet(channel, packet);
  }
  void OnDrained(Channel& channel) override {
    ++drained;
    if (on_drained) on_drained(channel);
  }
  void OnWritable(Channel& channel) override {
    ++writable;
    if (on_writable) on_writable(channel);
  }
  void OnClosed(Channel& channel, const absl::Status& reason) override {
    closed.push_back(reason);
    if (on_closed) on_closed(channel);
  }

  // What to do besides.
  std::function<void(Channel&, const Packet&)> on_packet;
  std::function<void(Channel&)> on_drained;
  std::function<void(Channel&)> on_writable;
  std::function<void(Channel&)> on_closed;
  bool keep_packets = true;

  uint64_t packet_count = 0;
  std::vector<Record> packets;
  uint32_t drained = 0;
  uint32_t writable = 0;
  std::vector<absl::Status> closed;
};

class RecordingRequest : public Request {
 public:
  void OnEnd(RequestEnd end, const Packet* completion) override {
    ends.push_back(end);
    if (completion != nullptr) reply = PayloadText(*completion);
    if (on_end) on_end(end);
  }

  std::function<void(RequestEnd)> on_end;
  std::vector<RequestEnd> ends;
  std::string reply;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_RECORDING_H_
