#include "framework/bus/fake_transport.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/task/one_shot.h"
#include "framework/task/sleep.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {

struct FakeTransport::Link {
  Link(Executor& guest, Executor& host) : to_guest(guest), to_host(host) {}

  PageRun pages;
  Mapping up_mapping;
  Mapping down_mapping;
  SignalLine to_guest;
  SignalLine to_host;
  Channel* guest = nullptr;
  std::unique_ptr<Channel> host;
};

FakeTransport::FakeTransport(SimScheduler& sim, const Options& options)
    : options_(options),
      executors_([&] {
        std::vector<Executor*> executors;
        for (uint32_t vp = 0; vp < options.vp_count; ++vp) {
          executors.push_back(&sim.NewExecutor(vp));
        }
        return executors;
      }()),
      host_executor_(sim.NewExecutor(options.vp_count)),
      memory_(MemfdMemory::Create({.page_count = options.page_count}).value()),
      pages_(*memory_, 0, options.page_count),
      tasks_(*executors_.front(), "fake host") {}

FakeTransport::~FakeTransport() = default;

void FakeTransport::Script(FakeOperation operation, FakeAnswer answer, uint32_t relid) {
  script_.push_back({operation, answer, relid});
}

FakeAnswer FakeTransport::TakeAnswer(FakeOperation operation, uint32_t relid) {
  const auto found = std::find_if(script_.begin(), script_.end(), [&](const Scripted& scripted) {
    return scripted.operation == operation && (scripted.relid == 0 || scripted.relid == relid);
  });
  if (found == script_.end()) return FakeAnswer::kSucceed;
  const FakeAnswer answer = found->answer;
  script_.erase(found);
  return answer;
}

vmbuskit::Offer FakeTransport::MakeOffer(uint32_t relid, const Guid& class_id,
                                         const Guid& instance_id, uint16_t subchannel_index) {
  vmbuskit::Offer offer;
  offer.class_id = class_id;
  offer.instance_id = instance_id;
  offer.subchannel_index = subchannel_index;
  offer.relid = relid;
  offer.connection_id = 0x10000 + relid;
  return offer;
}

void FakeTransport::Offer(const vmbuskit::Offer& offer) {
  Enqueue({Action::Kind::kOffer, offer, offer.relid, {}});
}
void FakeTransport::AllOffersDelivered() { Enqueue({Action::Kind::kAllDelivered, {}, 0, {}}); }
void FakeTransport::Rescind(uint32_t relid) { Enqueue({Action::Kind::kRescind, {}, relid, {}}); }
void FakeTransport::LoseConnection(const absl::Status& reason) {
  Enqueue({Action::Kind::kLost, {}, 0, reason});
}

// What the host says before the guest connected waits.
void FakeTransport::Enqueue(Action action) {
  actions_.push_back(std::move(action));
  if (!connected_ || std::exchange(pumping_, true)) return;
  tasks_.Spawn(Pump());
}

Task<void> FakeTransport::Pump() {
  while (!actions_.empty() && listener_ != nullptr) {
    const Action action = std::move(actions_.front());
    actions_.pop_front();
    switch (action.kind) {
      case Action::Kind::kOffer:
        // A relid that the guest holds stays what it was, whatever a lying host says.
        if (OfferedPtr& channel = channels_[action.relid]; channel == nullptr) {
          channel = std::make_shared<Offered>();
          channel->offer = action.offer;
        }
        listener_->OnOffer(action.offer);
        break;
      case Action::Kind::kAllDelivered:
        listener_->OnAllOffersDelivered();
        break;
      case Action::Kind::kRescind:
        co_await DoRescind(action.relid);
        break;
      case Action::Kind::kLost:
        for (auto& [relid, channel] : channels_) {
          channel->rescinded = true;
          channel->waits.Cancel(action.reason);
        }
        listener_->OnConnectionLost(action.reason);
        break;
    }
    co_await NextTurn(executor(0));
  }
  pumping_ = false;
}

// The host's device stops first, then the guest hears of it.
Task<void> FakeTransport::DoRescind(uint32_t relid) {
  const auto found = channels_.find(relid);
  if (found == channels_.end()) {
    if (listener_ != nullptr) listener_->OnRescind(relid);  // a host that says it twice
    co_return;
  }
  const OfferedPtr channel = found->second;
  if (std::exchange(channel->rescinded, true)) co_return;
  co_await SwitchTo(host_executor_);
  if (channel->link != nullptr && channel->link->host != nullptr) {
    channel->link->host->Close(absl::UnavailableError("the host rescinds"));
  }
  co_await SwitchTo(executor(0));
  channel->waits.Cancel(absl::UnavailableError(absl::StrCat("channel ", relid, " was rescinded")));
  if (listener_ != nullptr) listener_->OnRescind(relid);
}

Task<absl::Status> FakeTransport::Answer(FakeOperation operation, std::string name,
                                         OfferedPtr channel) {
  if (channel != nullptr) ++channel->operations;
  absl::Status status = co_await GiveAnswer(operation, std::move(name), channel);
  if (channel != nullptr) --channel->operations;
  co_return status;
}

// One operation: how it ends for the guest. Revocation ends it with the scope's status.
Task<absl::Status> FakeTransport::GiveAnswer(FakeOperation operation, std::string name,
                                             OfferedPtr channel) {
  const uint32_t relid = channel != nullptr ? channel->offer.relid : 0;
  log_.push_back(name);
  const FakeAnswer answer = TakeAnswer(operation, relid);
  if (answer == FakeAnswer::kRescind && channel != nullptr) tasks_.Spawn(DoRescind(relid));
  if (answer == FakeAnswer::kRescindThenSucceed && channel != nullptr) {
    co_await DoRescind(relid);
    co_await SleepUntil(executor(0), executor(0).Now() + options_.answer_delay);
    co_return absl::OkStatus();
  }
  const bool answered = answer != FakeAnswer::kNever && answer != FakeAnswer::kRescind;
  OneShot<void> revoked(executor(0), name, channel != nullptr ? &channel->waits : nullptr);
  absl::Status status = co_await revoked.Wait(
      executor(0).Now() + (answered ? options_.answer_delay : options_.reply_deadline));
  if (!absl::IsDeadlineExceeded(status)) co_return status;
  if (!answered) co_return status;
  if (answer == FakeAnswer::kFail) co_return absl::InternalError(name + ": the host refuses");
  if (answer == FakeAnswer::kSucceedThenRescind && channel != nullptr) {
    tasks_.Spawn(DoRescind(relid));
  }
  co_return absl::OkStatus();
}

FakeTransport::OfferedPtr FakeTransport::Find(const std::string& name, uint32_t relid) {
  const auto found = channels_.find(relid);
  if (found != channels_.end()) return found->second;
  Error(name + ": the relid is not the guest's");
  return nullptr;
}

Task<absl::Status> FakeTransport::Connect(BusListener& listener) {
  absl::Status status = co_await Answer(FakeOperation::kConnect, "connect", nullptr);
  if (!status.ok()) co_return status;
  pages_.BeginWithholding();
  listener_ = &listener;
  connected_ = true;
  if (!actions_.empty() && !std::exchange(pumping_, true)) tasks_.Spawn(Pump());
  co_return absl::OkStatus();
}

Task<absl::StatusOr<std::unique_ptr<Channel>>> FakeTransport::Open(OpenParameters parameters) {
  const std::string name = absl::StrCat("open ", parameters.relid);
  const OfferedPtr channel = Find(name, parameters.relid);
  if (channel == nullptr) co_return absl::NotFoundError(name);
  if (channel->link != nullptr) Error(name + ": it is open already");
  absl::Status status = co_await Answer(FakeOperation::kOpen, name, channel);
  if (!status.ok()) co_return status;
  std::unique_ptr<Channel> guest = Connect(*channel, std::move(parameters));
  co_return guest;
}

std::unique_ptr<Channel> FakeTransport::Connect(Offered& channel, OpenParameters parameters) {
  channel.vp = parameters.target_vp;
  Executor& guest_executor = executor(parameters.target_vp);
  channel.link = std::make_unique<Link>(guest_executor, host_executor_);
  Link& link = *channel.link;
  const auto up_pages = static_cast<uint32_t>(1 + parameters.send_ring_bytes / kPageSize);
  const auto down_pages = static_cast<uint32_t>(1 + parameters.receive_ring_bytes / kPageSize);
  link.pages = pages_.Allocate(up_pages + down_pages).value();
  const RingMemory up = MapRing(link.pages.first(), parameters.send_ring_bytes, link.up_mapping);
  const RingMemory down =
      MapRing(link.pages.first() + up_pages, parameters.receive_ring_bytes, link.down_mapping);

  Channel::Options host = parameters.channel;
  host.name = absl::StrCat("host of ", parameters.channel.name);
  host.incoming = up;
  host.outgoing = down;
  host.signal_peer = link.to_guest.raise();
  host.guest_end = false;
  link.host = std::make_unique<Channel>(host_executor_, host);
  link.to_host.Connect(link.host.get());
  if (on_open) on_open(parameters, *link.host);
  const auto handler = hosts_.find(channel.offer.instance_id);
  if (handler != hosts_.end()) link.host->Start(*handler->second);

  parameters.channel.incoming = down;
  parameters.channel.outgoing = up;
  parameters.channel.signal_peer = link.to_host.raise();
  auto guest = std::make_unique<Channel>(guest_executor, std::move(parameters.channel));
  link.guest = guest.get();
  link.to_guest.Connect(link.guest);
  return guest;
}

RingMemory FakeTransport::MapRing(Pfn control, uint32_t data_bytes, Mapping& mapping) {
  std::vector<Pfn> pages = {control};
  const uint64_t data_pages = data_bytes / kPageSize;
  for (uint64_t i = 0; i < 2 * data_pages; ++i) pages.push_back(control + 1 + i % data_pages);
  mapping = memory_->Map(pages).value();
  return {mapping.bytes().data(), mapping.bytes().data() + kPageSize, data_bytes};
}

Task<absl::Status> FakeTransport::Close(std::unique_ptr<Channel> channel) {
  const auto found = std::find_if(channels_.begin(), channels_.end(), [&](const auto& entry) {
    return entry.second->link != nullptr && entry.second->link->guest == channel.get();
  });
  if (found == channels_.end()) {
    Error("close of a channel that was not opened here");
    co_return absl::NotFoundError("close");
  }
  const OfferedPtr offered = found->second;
  const std::string name = absl::StrCat("close ", offered->offer.relid);
  if (!channel->closed()) Error(name + ": its Channel is not closed");
  absl::Status status = co_await Answer(FakeOperation::kClose, name, offered);
  if (offered->rescinded) status = absl::OkStatus();
  // Without an answer the host may still use the rings.
  if (!status.ok()) offered->link->pages.Leak();
  Executor& guest_executor = channel->executor();
  co_await SwitchTo(guest_executor);
  offered->link->to_guest.Connect(nullptr);
  channel.reset();
  co_await SwitchTo(host_executor_);
  offered->link->to_host.Connect(nullptr);
  offered->link->host->Close(absl::CancelledError("the guest closed it"));
  offered->link->host.reset();
  co_await SwitchTo(executor(0));
  offered->link.reset();
  co_return status;
}

Task<absl::StatusOr<Gpadl>> FakeTransport::CreateGpadl(uint32_t relid, const PageRun& pages) {
  const std::string name = absl::StrCat("gpadl ", relid);
  const uint32_t page_count = pages.count();
  const OfferedPtr channel = Find(name, relid);
  if (channel == nullptr) co_return absl::NotFoundError(name);
  absl::Status status = co_await Answer(FakeOperation::kCreateGpadl, name, channel);
  if (!status.ok()) co_return status;
  const Gpadl gpadl{next_gpadl_++, relid, page_count};
  gpadls_[gpadl.handle] = relid;
  co_return gpadl;
}

Task<absl::Status> FakeTransport::TearDownGpadl(Gpadl gpadl) {
  const std::string name = absl::StrCat("tear down ", gpadl.relid);
  if (!gpadls_.contains(gpadl.handle)) Error(name + ": no such GPADL");
  const OfferedPtr channel = Find(name, gpadl.relid);
  if (channel == nullptr) co_return absl::NotFoundError(name);
  absl::Status status = co_await Answer(FakeOperation::kTearDownGpadl, name, channel);
  gpadls_.erase(gpadl.handle);
  co_return channel->rescinded ? absl::OkStatus() : status;
}

Task<absl::Status> FakeTransport::Retarget(uint32_t relid, uint32_t vp) {
  const std::string name = absl::StrCat("retarget ", relid, " to ", vp);
  if (options_.version < 0x00040001) co_return absl::UnimplementedError(name);
  const OfferedPtr channel = Find(name, relid);
  if (channel == nullptr || channel->link == nullptr) co_return absl::NotFoundError(name);
  absl::Status status = co_await Answer(FakeOperation::kRetarget, name, channel);
  if (status.ok()) channel->vp = vp;
  co_return status;
}

void FakeTransport::Release(uint32_t relid) {
  const std::string name = absl::StrCat("release ", relid);
  log_.push_back(name);
  const OfferedPtr channel = Find(name, relid);
  if (channel == nullptr) return;
  if (!channel->rescinded) Error(name + ": it was not rescinded");
  if (channel->link != nullptr) Error(name + ": it is still open");
  if (channel->operations != 0) Error(name + ": an operation on it is in progress");
  for (const auto& [handle, owner] : gpadls_) {
    if (owner == relid) Error(name + ": it still has GPADLs");
  }
  channels_.erase(relid);
}

Task<absl::Status> FakeTransport::Disconnect() {
  if (open_channels() != 0) Error("disconnect: channels are still open");
  absl::Status status = co_await Answer(FakeOperation::kDisconnect, "disconnect", nullptr);
  pages_.EndWithholding(/*host_let_go=*/status.ok());
  if (status.ok()) (void)CrashDisconnect();
  co_return status;
}

absl::Status FakeTransport::CrashDisconnect() {
  connected_ = false;
  listener_ = nullptr;
  gpadls_.clear();
  channels_.clear();
  actions_.clear();
  return absl::OkStatus();
}

Channel* FakeTransport::host(uint32_t relid) {
  const auto found = channels_.find(relid);
  if (found == channels_.end() || found->second->link == nullptr) return nullptr;
  return found->second->link->host.get();
}

SignalLine* FakeTransport::to_guest(uint32_t relid) {
  const auto found = channels_.find(relid);
  if (found == channels_.end() || found->second->link == nullptr) return nullptr;
  return &found->second->link->to_guest;
}

uint32_t FakeTransport::open_channels() const {
  return static_cast<uint32_t>(
      std::count_if(channels_.begin(), channels_.end(),
                    [](const auto& entry) { return entry.second->link != nullptr; }));
}

}  // namespace vmbuskit
