// A scripted host for tests of the sans-IO client: sends raw bytes, sorts what the client wants
// done.
//
//   ScriptedHost host({.version_max = kVersion5_2});
//   host.Connect();                                  // contact, answer, REQUEST_OFFERS
//   host.Say("02 00 00 00 00 00 00 00 05 00 00 00"); // RESCIND of relid 5
//   EXPECT_EQ(host.TakeRescinds(), std::vector<uint32_t>{5});
//
// Thread safety: none. For tests only.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_TESTING_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_TESTING_H_

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "framework/base/hex.h"
#include "transports/protocol/contact.h"
#include "transports/protocol/messages.h"
#include "transports/synic/client.h"

namespace vmbuskit {

inline constexpr Guid kTestClass = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
inline constexpr Guid kTestInstance = Guid::Parse("1c5f0a4e-2d3b-4c77-8e11-a0b1c2d3e4f5");

class ScriptedHost {
 public:
  explicit ScriptedHost(const VmbusClient::Options& options = {}) : client(options) {}

  // Sorts out what the client asks for.
  void Drain() {
    while (std::optional<ClientAction> action = client.TakeAction()) {
      if (auto* post = std::get_if<PostAction>(&*action)) {
        posts.push_back(*post);
      } else if (auto* offer = std::get_if<OfferAction>(&*action)) {
        offers.push_back(offer->offer);
      } else if (std::holds_alternative<AllOffersAction>(*action)) {
        ++all_offers;
      } else if (auto* rescind = std::get_if<RescindAction>(&*action)) {
        rescinds.push_back(rescind->relid);
      } else if (auto* finished = std::get_if<FinishedAction>(&*action)) {
        twice_finished |= results.contains(finished->operation);
        results[finished->operation] = finished->status;
      } else if (auto* lost = std::get_if<ConnectionLostAction>(&*action)) {
        losses.push_back(lost->reason);
      }
    }
  }

  void Say(std::span<const std::byte> bytes) {
    client.OnMessage(bytes);
    Drain();
  }
  void Say(std::string_view hex) { Say(FromHex(hex)); }
  template <typename Message>
    requires requires { Message::kType; }
  void Say(const Message& message) {
    Say(std::as_bytes(std::span(&message, 1)));
  }

  // The connection with version 5.3 (or the newest that the options allow), operation 1, all posts
  // forgotten.
  void Connect(const VersionReply& reply = {}) {
    EXPECT_TRUE(client.Connect(1, {.parent_to_child = 0x11000, .child_to_parent = 0x12000}).ok());
    Drain();
    VersionReply answer = reply;
    answer.supported = true;
    const uint32_t version = ProposedVersion();
    answer.selected_version = version;
    if (answer.message_connection_id == 0) answer.message_connection_id = 1;
    Say(EmitVersionResponse(answer, version).bytes());
    EXPECT_TRUE(results[1].ok());
    posts.clear();
    results.clear();
  }
  uint32_t ProposedVersion() const {
    uint32_t version = 0;
    std::memcpy(&version, posts.back().message.bytes().data() + 8, sizeof version);
    return version;
  }

  static OfferChannelMessage OfferOf(uint32_t relid, uint16_t subchannel_index = 0,
                                     Guid instance = kTestInstance) {
    return {.class_id = kTestClass,
            .instance_id = instance,
            .subchannel_index = subchannel_index,
            .relid = relid,
            .monitor_id = kNoMonitor,
            .connection_id = 0x2000 + relid};
  }
  static Guid Instance(uint16_t number) {
    Guid guid = kTestInstance;
    std::memcpy(guid.bytes.data(), &number, sizeof number);
    return guid;
  }

  // A created GPADL of two pages; its handle. Nothing of it is left in `posts` and `results`.
  uint32_t MakeGpadl(uint32_t relid) {
    const GpadlRange range = GpadlRange::Pages(0x300, 4);
    absl::StatusOr<uint32_t> handle = client.CreateGpadl(900, relid, {&range, 1});
    EXPECT_TRUE(handle.ok()) << handle.status();
    Say(GpadlCreatedMessage{.relid = relid, .gpadl = *handle});
    EXPECT_TRUE(results.contains(900) && results[900].ok());
    posts.clear();
    results.erase(900);
    return *handle;
  }
  // An open channel; the handle of its ring.
  uint32_t OpenChannel(uint32_t relid) {
    const uint32_t ring = MakeGpadl(relid);
    EXPECT_TRUE(client.Open(901, {.relid = relid, .ring_gpadl = ring, .downstream_page = 2}).ok());
    Drain();
    Say(OpenChannelResultMessage{.relid = relid, .open_id = LastOpenId()});
    EXPECT_TRUE(results.contains(901) && results[901].ok());
    posts.clear();
    results.erase(901);
    return ring;
  }
  uint32_t LastOpenId() const {
    uint32_t open_id = 0;
    std::memcpy(&open_id,
                posts.back().message.bytes().data() + offsetof(OpenChannelMessage, open_id),
                sizeof open_id);
    return open_id;
  }

  // The posted messages as hex, forgotten afterwards.
  std::vector<std::string> TakePosts() {
    Drain();
    std::vector<std::string> texts;
    for (const PostAction& post : std::exchange(posts, {})) {
      texts.push_back(ToHex(post.message.bytes()));
    }
    return texts;
  }
  std::vector<uint32_t> TakeRescinds() { return std::exchange(rescinds, {}); }
  bool Ended(OperationId operation) {
    Drain();
    return results.contains(operation);
  }
  absl::Status Result(OperationId operation) {
    Drain();
    return results.contains(operation) ? results[operation]
                                       : absl::InternalError("not finished yet");
  }

  VmbusClient client;
  std::vector<PostAction> posts;
  std::vector<Offer> offers;
  std::vector<uint32_t> rescinds;
  std::map<OperationId, absl::Status> results;
  std::vector<absl::Status> losses;
  int all_offers = 0;
  bool twice_finished = false;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_TESTING_H_
