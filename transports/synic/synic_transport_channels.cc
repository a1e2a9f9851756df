// The channels of SynicTransport: rings, opening and closing, shared buffers, moving interrupts.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "framework/base/status.h"
#include "framework/task/switch_to.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {
namespace {

// How long further tear-downs wait for a host that left the last one unanswered: many channels may be
// closed one after the other, and the unload, which has its full deadline, brings the pages back.
constexpr Duration kSilentHostPatience = std::chrono::milliseconds(100);

absl::Status WithWithheld(const absl::Status& status, uint32_t pages) {
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; ", pages,
                   " pages that the host may use are withheld until the connection ends"));
}

}  // namespace

SynicTransport::PortPointer SynicTransport::FindPort(uint32_t relid) const {
  for (const PortPointer& port : ports_) {
    if (port->relid() == relid && !port->gone && !port->closing) return port;
  }
  return nullptr;
}

// ---- GPADLs ----

Task<absl::StatusOr<uint32_t>> SynicTransport::ShareRange(uint32_t relid, GpadlRange range) {
  if (poster_.free_slots() < range.page_count() / kGpadlBodyQwords + 2) {
    co_return absl::ResourceExhaustedError(
        absl::StrCat("channel ", relid, ": too many messages wait to be posted"));
  }
  Operation operation(*this, absl::StrCat("GPADL_CREATED of channel ", relid));
  absl::StatusOr<uint32_t> handle = client_.CreateGpadl(operation.id(), relid, {&range, 1});
  if (!handle.ok()) co_return handle.status();
  shared_.Add(*handle, static_cast<uint32_t>(range.page_count()));
  absl::Status status = co_await operation.End();
  if (status.ok()) co_return *handle;
  // Refused, rescinded, unloaded: the pages are ours. No answer, or a lost connection: they may be
  // the host's.
  if (absl::IsDeadlineExceeded(status)) {
    WithholdShared(*handle);
  } else {
    shared_.Return(*handle);
  }
  co_return status;
}

Task<absl::Status> SynicTransport::TakeBack(uint32_t relid, uint32_t handle) {
  Operation operation(*this, absl::StrCat("GPADL_TORNDOWN of channel ", relid));
  absl::Status status = client_.TearDownGpadl(operation.id(), handle);
  if (status.ok()) {
    status = co_await operation.End(host_silent_ ? kSilentHostPatience : options_.deadline);
    host_silent_ = operation.timed_out();
  }
  if (status.ok()) {
    shared_.Return(handle);
  } else {
    WithholdShared(handle);
  }
  co_return status;
}

Task<absl::StatusOr<Gpadl>> SynicTransport::CreateGpadl(uint32_t relid, const PageRun& pages) {
  const uint32_t count = pages.count();
  const GpadlRange range = GpadlRange::Pages(pages.first(), count);
  co_await SwitchTo(bus());
  absl::StatusOr<uint32_t> handle = co_await ShareRange(relid, range);
  if (!handle.ok()) co_return handle.status();
  co_return Gpadl{.handle = *handle, .relid = relid, .page_count = count};
}

Task<absl::Status> SynicTransport::TearDownGpadl(Gpadl gpadl) {
  co_await SwitchTo(bus());
  co_return co_await TakeBack(gpadl.relid, gpadl.handle);
}

// ---- Opening ----

Task<absl::StatusOr<std::unique_ptr<Channel>>> SynicTransport::Open(OpenParameters parameters) {
  co_await SwitchTo(bus());
  const uint32_t relid = parameters.relid;
  const auto offer = offers_.find(relid);
  if (offer == offers_.end()) {
    co_return absl::NotFoundError(absl::StrCat("channel ", relid, " is not offered"));
  }
  if (parameters.target_vp >= vp_count()) {
    co_return absl::InvalidArgumentError(absl::StrCat("channel ", relid, ": there is no VP ",
                                                      parameters.target_vp, " of ", vp_count()));
  }
  absl::StatusOr<GuestRings> rings =
      MakeGuestRings(pages_, memory(), parameters.send_ring_bytes, parameters.receive_ring_bytes);
  if (!rings.ok()) co_return rings.status();
  auto port = std::make_shared<ChannelPort>(partition_, parameters.target_vp, offer->second,
                                            *std::move(rings), monitors_.page());
  PageRun& pages = port->rings().pages;
  absl::StatusOr<uint32_t> ring =
      co_await ShareRange(relid, GpadlRange::Pages(pages.first(), pages.count()));
  if (!ring.ok()) {
    if (!absl::IsDeadlineExceeded(ring.status())) co_return ring.status();
    const absl::Status status = WithWithheld(ring.status(), pages.count());
    Quarantine(std::move(pages));
    co_return status;
  }
  port->gpadl = *ring;
  ports_.push_back(port);
  std::unique_ptr<Channel> channel =
      port->MakeChannel(*executors_[parameters.target_vp], std::move(parameters.channel));
  // The host may use the rings and signal before its answer is read.
  co_await AddTarget(port, parameters.target_vp);
  absl::Status status = co_await OpenPort(port, {.relid = relid,
                                                 .ring_gpadl = *ring,
                                                 .target_vp = parameters.target_vp,
                                                 .downstream_page = port->rings().downstream_page,
                                                 .user_data = parameters.user_data});
  if (status.ok()) co_return std::move(channel);
  co_await DestroyChannel(port, std::move(channel));
  const absl::Status freed = co_await FreeRings(port);
  if (freed.ok()) co_return status;
  co_return absl::Status(status.code(), absl::StrCat(status.message(), "; ", freed.message()));
}

Task<absl::Status> SynicTransport::OpenPort(PortPointer port, ClientOpen request) {
  const uint32_t vp = request.target_vp;
  request.target_vp = synics_[vp]->vp_index();
  {
    Operation operation(*this, absl::StrCat("OPEN_CHANNEL_RESULT of channel ", request.relid));
    absl::Status status = client_.Open(operation.id(), request);
    if (status.ok()) status = co_await operation.End();
    port->abandoned = operation.timed_out();
    if (!status.ok()) co_return status;
  }
  co_await SwitchTo(*executors_[vp]);
  port->Deliver();
  co_await SwitchTo(bus());
  co_return absl::OkStatus();
}

Task<void> SynicTransport::AddTarget(PortPointer port, uint32_t vp) {
  port->target_vps.insert(vp);
  co_await SwitchTo(*executors_[vp]);
  if (!port->closing) synics_[vp]->SetTarget(port->relid(), port->TargetOn(*executors_[vp]));
  co_await SwitchTo(bus());
}

// ---- Closing ----

Task<void> SynicTransport::DestroyChannel(PortPointer port, std::unique_ptr<Channel> channel) {
  // A dispatch table changes on its own processor only: once we were there, no interrupt is under
  // way to the channel.
  port->closing = true;
  const std::set<uint32_t> vps = std::exchange(port->target_vps, {});
  for (uint32_t vp : vps) {
    co_await SwitchTo(*executors_[vp]);
    synics_[vp]->ClearTarget(port->relid(), port->TargetOn(*executors_[vp]));
  }
  co_await SwitchTo(channel->executor());
  channel->Close(absl::CancelledError("the transport closes the channel"));
  channel.reset();
  co_await SwitchTo(bus());
  port->channel = nullptr;
}

Task<absl::Status> SynicTransport::FreeRings(PortPointer port) {
  PageRun& pages = port->rings().pages;
  const uint32_t count = pages.count();
  absl::Status status;
  if (port->abandoned) {
    // The client undoes the open if its answer comes after all.
    WithholdShared(port->gpadl);
    status = absl::DeadlineExceededError(absl::StrCat("channel ", port->relid(), " was given up"));
  } else {
    status = co_await TakeBack(port->relid(), port->gpadl);
  }
  port->rings().Unmap();
  if (!status.ok()) {
    status = WithWithheld(status, count);
    Quarantine(std::move(pages));
  }
  std::erase(ports_, port);
  co_return status;
}

Task<absl::Status> SynicTransport::Close(std::unique_ptr<Channel> channel) {
  co_await SwitchTo(bus());
  const auto found = std::find_if(ports_.begin(), ports_.end(),
                                  [&](const auto& port) { return port->channel == channel.get(); });
  if (found == ports_.end())
    co_return absl::NotFoundError("Close: not a channel of this transport");
  PortPointer port = *found;
  co_await DestroyChannel(port, std::move(channel));
  // After the connection ended there is nobody to tell. A failure here means the same, just now.
  if (!port->gone) (void)client_.Close(port->relid());
  co_return co_await FreeRings(port);
}

// ---- Moving, releasing ----

Task<absl::Status> SynicTransport::Retarget(uint32_t relid, uint32_t vp) {
  co_await SwitchTo(bus());
  if (vp >= vp_count()) {
    co_return absl::InvalidArgumentError(
        absl::StrCat("channel ", relid, ": there is no VP ", vp, " of ", vp_count()));
  }
  PortPointer port = FindPort(relid);
  if (port == nullptr) {
    co_return absl::NotFoundError(absl::StrCat("channel ", relid, " is not open"));
  }
  // The new processor must know the channel before the host may interrupt it there. The old one
  // keeps its entry: hosts that do not answer may interrupt it for ever.
  if (!port->target_vps.contains(vp)) co_await AddTarget(port, vp);
  if (port->closing) {
    co_return absl::CancelledError(absl::StrCat("channel ", relid, " was closed meanwhile"));
  }
  Operation operation(*this, absl::StrCat("MODIFY_CHANNEL_RESPONSE of channel ", relid));
  absl::Status status = client_.Modify(operation.id(), relid, synics_[vp]->vp_index());
  if (status.ok()) status = co_await operation.End();
  co_return status;
}

void SynicTransport::Release(uint32_t relid) {
  // Whatever is refused here was released with its connection already.
  if (client_.Release(relid).ok()) offers_.erase(relid);
  RunActions();
}

std::unique_ptr<SyntheticTimer> SynicTransport::NewTimer(uint32_t vp, uint32_t index,
                                                         Callback handler) {
  if (!hypervisor_.timers) return nullptr;
  const auto mode =
      hypervisor_.direct_timers ? SyntheticTimer::Mode::kDirect : SyntheticTimer::Mode::kMessage;
  return std::make_unique<SyntheticTimer>(
      partition_, *synics_[vp],
      SyntheticTimer::Options{.mode = mode,
                              .vp = vp,
                              .index = index,
                              .vector = static_cast<uint8_t>(0xED - index),
                              .sint = options_.synic.sint},
      handler);
}

}  // namespace vmbuskit
