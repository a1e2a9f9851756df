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
    found->second->Detach();
    closed_.push_back(std::move(found->second));
    lanes_.erase(found);
  }
  void OnGpadlTornDown(uint32_t handle) override { shared_.erase(handle); }

  // Never called: lanes take the packets.
  void OnPacket(Channel&, const Packet&) override {}

 private:
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
    shared_.insert_or_assign(hello.gpadl, *std::move(mapped));
  }

  VspContext& context_;
  ExchangeBoard& board_;
  const uint32_t device_;
  std::map<Channel*, std::shared_ptr<Lane>> lanes_;
  std::vector<std::shared_ptr<Lane>> closed_;
  std::map<uint32_t, Mapping> shared_;
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
