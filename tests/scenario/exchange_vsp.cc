// The host's end of the exchange class.
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/channel/payload.h"
#include "tests/scenario/exchange.h"
#include "tests/scenario/exchange_hello.h"

namespace vmbuskit {
namespace {

class ExchangeVsp final : public Vsp {
 public:
  ExchangeVsp(VspContext& context, ExchangeBoard& board, uint32_t device)
      : context_(context), board_(board), device_(device) {}

  absl::Status OnOpen(Channel& channel, const OpenData& data) override {
    auto lane =
        board_.NewLane(/*guest=*/false, device_, data.subchannel_index, context_.executor());
    suspended_.erase(data.subchannel_index);
    lane->context = this;
    lane->on_hello = [](void* self, const Packet& packet) {
      return static_cast<ExchangeVsp*>(self)->OnHello(packet);
    };
    lane->Attach(channel);
    channel.Start(*lane);
    lane->set_talkative();
    // Traffic before the guest knows that the channel is open.
    if (board_.faults().random().OneIn(2)) lane->StartRound(1);
    lanes_[&channel] = std::move(lane);
    return absl::OkStatus();
  }
  void OnClose(Channel& channel) override {
    // The channel's requests end after this; their lane must be there.
    const auto found = lanes_.find(&channel);
    if (found == lanes_.end()) return;
    if (!found->second->suspended()) {
      found->second->Detach();
      closed_.push_back(std::move(found->second));
    }
    lanes_.erase(found);
  }

  // A lane is what an exchange's back end would be: it lives on while the host around it is saved and made anew.
  absl::Status Save(StateWriter&) override {
    for (auto& [channel, lane] : lanes_) {
      lane->Suspend();
      suspended_[lane->index()] = lane;
    }
    return absl::OkStatus();
  }
  absl::Status Restore(StateReader&) override {
    for (auto& [handle, shared] : std::exchange(shared_, {})) {
      MapShared({.header = {}, .gpadl = handle, .shared_bytes = shared.shared_bytes});
      if (!shared_.contains(handle)) {
        board_.faults().Report(absl::InternalError(
            absl::StrCat("host ", device_, ": a GPADL was lost when the host was saved")));
      }
    }
    return absl::OkStatus();
  }
  absl::Status OnReopen(Channel& channel, const OpenData& data) override {
    const auto found = suspended_.find(data.subchannel_index);
    if (found == suspended_.end()) {
      board_.faults().Report(absl::InternalError(absl::StrCat(
          "host ", device_, ".", data.subchannel_index, ": opened by the restore alone")));
      return absl::OkStatus();
    }
    const std::shared_ptr<Lane> lane = std::move(found->second);
    suspended_.erase(found);
    lanes_[&channel] = lane;
    lane->Resume(channel);
    channel.Start(*lane);
    return absl::OkStatus();
  }
  void OnGpadlTornDown(uint32_t handle) override { shared_.erase(handle); }

  // Never called: lanes take the packets.
  void OnPacket(Channel&, const Packet&) override {}

 private:
  struct Shared {
    Mapping mapping;
    uint32_t shared_bytes = 0;
  };

  // How many sub-channels there are.
  uint64_t OnHello(const Packet& packet) {
    const auto hello = ReadAs<ExchangeHello>(packet.payload);
    if (!hello) return 0;
    if (hello->gpadl != 0) MapShared(*hello);
    const uint32_t wanted = board_.plan(device_).subchannels;
    return wanted == 0 ? 0 : context_.OfferSubchannels(wanted);
  }

  void MapShared(const ExchangeHello& hello) {
    absl::StatusOr<Mapping> mapped = context_.MapGpadl(hello.gpadl);
    if (!mapped.ok()) return;  // taken back before the hello was read
    const bool whole = mapped->bytes().size() >= hello.shared_bytes &&
                       IsShared(mapped->bytes().first(hello.shared_bytes), hello.gpadl);
    if (!whole && !board_.harmed(device_)) {
      board_.faults().Report(absl::InternalError(
          absl::StrCat("host ", device_, ": the shared buffer is not what the guest wrote")));
    }
    shared_.insert_or_assign(hello.gpadl, Shared{*std::move(mapped), hello.shared_bytes});
  }

  VspContext& context_;
  ExchangeBoard& board_;
  const uint32_t device_;
  std::map<Channel*, std::shared_ptr<Lane>> lanes_;
  std::vector<std::shared_ptr<Lane>> closed_;
  std::map<uint16_t, std::shared_ptr<Lane>> suspended_;  // by sub-channel index
  std::map<uint32_t, Shared> shared_;                    // by GPADL handle
};

constexpr VspClass VspClassWith(bool monitored) {
  return {.name = "exchange",
          .class_id = kExchangeClassId,
          .default_instance_id = kExchangeClassId,
          .monitored = monitored};
}
constexpr VspClass kVspClass = VspClassWith(false);
constexpr VspClass kMonitoredVspClass = VspClassWith(true);

}  // namespace

std::unique_ptr<Vsp> ExchangeBoard::MakeVsp(VspContext& context, uint32_t device) {
  return std::make_unique<ExchangeVsp>(context, *this, device);
}

const VspClass& ExchangeVspClass(bool monitored) {
  return monitored ? kMonitoredVspClass : kVspClass;
}

}  // namespace vmbuskit
