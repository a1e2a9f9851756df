#include "transports/synic/synic_transport.h"

#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "framework/base/status.h"
#include "framework/task/switch_to.h"

namespace vmbuskit {
namespace {

// What the connection as a whole shares, as a key of the accounting; no GPADL has it.
constexpr uint32_t kConnectionPages = 0;

VmbusClient::Options ClientOptions(const SynicTransport::Options& options) {
  VmbusClient::Options client = options.client;
  client.sint = static_cast<uint8_t>(options.synic.sint);
  return client;
}

}  // namespace

// ---- Operations ----

SynicTransport::Operation::Operation(SynicTransport& transport, std::string what)
    : transport_(transport),
      id_(transport.next_operation_++),
      ended_(transport.bus(), std::move(what)) {
  transport_.operations_[id_] = this;
}

SynicTransport::Operation::~Operation() { transport_.operations_.erase(id_); }

void SynicTransport::Operation::Finish(const absl::Status& status) {
  result_ = status;
  ended_.Set();
}

Task<absl::Status> SynicTransport::Operation::End(Duration deadline) {
  transport_.RunActions();
  auto wait = ended_.Wait(DeadlineIn(transport_.bus(), deadline));
  const absl::Status waited = co_await wait;
  // An end in the very moment of the deadline counts: the client has forgotten the operation
  // already.
  if (ended_.is_set()) co_return result_;
  timed_out_ = true;
  transport_.client_.GiveUp(id_);
  transport_.RunActions();
  co_return waited;
}

// ---- Actions and events ----

SynicTransport::SynicTransport(Partition& partition, std::vector<Executor*> executors,
                               PageAllocator& pages, const Options& options)
    : partition_(partition),
      executors_(std::move(executors)),
      pages_(pages),
      options_(options),
      hypercall_page_(partition),
      poster_(partition, 0, *executors_[0], options.poster, *this),
      client_(ClientOptions(options)) {
  SynicVp::MessageHandler& handler = *this;
  for (uint32_t vp = 0; vp < executors_.size(); ++vp) {
    synics_.push_back(
        std::make_unique<SynicVp>(partition, vp, *executors_[vp], options.synic, handler));
  }
}

SynicTransport::~SynicTransport() {
  assert(ports_.empty() && operations_.empty());
  assert(!set_up_);
}

void SynicTransport::RunActions() {
  if (running_actions_) return;  // whoever runs them takes ours as well
  running_actions_ = true;
  while (std::optional<ClientAction> action = client_.TakeAction()) Perform(*action);
  running_actions_ = false;
}

void SynicTransport::Perform(ClientAction& action) {
  if (auto* post = std::get_if<PostAction>(&action)) {
    Perform(*post);
  } else if (auto* offer = std::get_if<OfferAction>(&action)) {
    offers_[offer->offer.relid] = offer->offer;
    listener_->OnOffer(offer->offer);
  } else if (std::holds_alternative<AllOffersAction>(action)) {
    listener_->OnAllOffersDelivered();
  } else if (auto* rescind = std::get_if<RescindAction>(&action)) {
    listener_->OnRescind(rescind->relid);
  } else if (auto* finished = std::get_if<FinishedAction>(&action)) {
    auto found = operations_.find(finished->operation);
    if (found != operations_.end()) found->second->Finish(finished->status);
  } else if (auto* lost = std::get_if<ConnectionLostAction>(&action)) {
    for (auto& port : ports_) port->gone = true;
    offers_.clear();
    listener_->OnConnectionLost(lost->reason);
  }
}

void SynicTransport::Perform(const PostAction& post) {
  absl::Status posted = poster_.Post(post.connection_id, post.message, post.contact);
  if (!posted.ok()) client_.OnPostFailed(posted);
}

void SynicTransport::OnPostFailed(bool contact, HypercallStatus status) {
  if (contact && status == HypercallStatus::kInvalidConnectionId) {
    client_.OnContactRefused();
  } else {
    poster_.Clear();
    client_.OnPostFailed(absl::UnavailableError(
        absl::StrFormat("PostMessage: hypercall status 0x%x", static_cast<uint32_t>(status))));
  }
  RunActions();
}

void SynicTransport::OnVmbusMessage(uint32_t vp, std::span<const std::byte> message) {
  if (vp != 0) {
    // All messages were asked for on VP 0; one elsewhere is no answer to us.
    stray_messages_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  client_.OnMessage(message);
  RunActions();
}

// ---- Connecting ----

absl::Status SynicTransport::AllocatePages() {
  if (options_.monitor_pages) VMBUSKIT_RETURN_IF_ERROR(monitors_.Allocate(pages_));
  if (options_.client.version_min < kVersion5_0 && !options_.client.isolated) {
    absl::StatusOr<PageRun> page = pages_.Allocate(1);
    if (!page.ok()) return page.status();
    interrupt_page_ = *std::move(page);
  }
  return absl::OkStatus();
}

void SynicTransport::Quarantine(PageRun pages) {
  if (pages) pages_.Withhold(pages.first(), pages.count());
}

// The host did not let go of the pages of `key`: until the connection ends; for ever, when it ended before.
void SynicTransport::WithholdShared(uint32_t key) {
  if (set_up_) {
    shared_.Withhold(key);
  } else {
    shared_.Lose(key);
  }
}

void SynicTransport::ReleasePages() {
  const bool host_let_go = !client_.host_holds_pages();
  if (!host_let_go) shared_.LoseWithheld();
  pages_.EndWithholding(host_let_go);
  monitors_.Release(host_let_go);
  if (host_let_go) {
    interrupt_page_.Reset();
    shared_.Return(kConnectionPages);
  } else {
    interrupt_page_.Leak();
    shared_.Lose(kConnectionPages);
  }
  client_.ForgetPages();
}

Task<absl::Status> SynicTransport::SetUp() {
  absl::StatusOr<HypervisorInfo> info = DetectHypervisor(partition_);
  if (!info.ok()) co_return info.status();
  hypervisor_ = *info;
  set_up_ = true;
  pages_.BeginWithholding();
  VMBUSKIT_CO_RETURN_IF_ERROR(hypercall_page_.Enable(pages_, options_.guest_os_id));
  VMBUSKIT_CO_RETURN_IF_ERROR(poster_.Start(pages_));
  absl::Status enabled;
  for (uint32_t vp = 0; vp < executors_.size() && enabled.ok(); ++vp) {
    co_await SwitchTo(*executors_[vp]);
    enabled = synics_[vp]->Enable(pages_);
  }
  co_await SwitchTo(bus());
  VMBUSKIT_CO_RETURN_IF_ERROR(enabled);
  co_return AllocatePages();
}

Task<void> SynicTransport::TearDown() {
  if (!std::exchange(set_up_, false)) co_return;
  for (uint32_t vp = static_cast<uint32_t>(executors_.size()); vp-- > 0;) {
    co_await SwitchTo(*executors_[vp]);
    synics_[vp]->Disable();
  }
  co_await SwitchTo(bus());
  poster_.Stop();
  ReleasePages();
  hypercall_page_.Disable();
}

Task<absl::Status> SynicTransport::Connect(BusListener& listener) {
  co_await SwitchTo(bus());
  if (set_up_ || changing_) co_return absl::FailedPreconditionError("Connect: connected already");
  changing_ = true;
  listener_ = &listener;
  absl::Status status = co_await SetUp();
  if (status.ok()) {
    Operation operation(*this, "VERSION_RESPONSE");
    shared_.Add(kConnectionPages, monitors_.page_count() + interrupt_page_.count());
    status = client_.Connect(operation.id(),
                             {.parent_to_child = monitors_.parent_to_child_gpa(),
                              .child_to_parent = monitors_.child_to_parent_gpa(),
                              .interrupt_page = interrupt_page_ ? interrupt_page_.gpa() : 0},
                             synics_[0]->vp_index());
    if (status.ok()) status = co_await operation.End();
  }
  if (status.ok()) {
    monitors_.Use(memory(), client_.pages().child_to_parent);
    changing_ = false;
    co_return status;
  }
  if (client_.host_holds_pages()) {
    status =
        absl::Status(status.code(), absl::StrCat(status.message(), "; ",
                                                 monitors_.page_count() + interrupt_page_.count(),
                                                 " pages that the host may use are leaked"));
  }
  co_await TearDown();
  changing_ = false;
  co_return status;
}

// ---- Disconnecting ----

Task<void> SynicTransport::DetachPorts() {
  // By index: while we are on another processor, channels may be closed here.
  for (uint32_t vp = 0; vp < executors_.size(); ++vp) {
    std::vector<PortPointer> here;
    for (auto& port : ports_) {
      if (port->vp() == vp) here.push_back(port);
    }
    if (here.empty()) continue;
    co_await SwitchTo(*executors_[vp]);
    for (auto& port : here) port->Detach();
    co_await SwitchTo(bus());
  }
}

Task<absl::Status> SynicTransport::Disconnect() {
  co_await SwitchTo(bus());
  if (changing_) {
    co_return absl::FailedPreconditionError("Disconnect: the connection is being made or unmade");
  }
  if (!set_up_) co_return absl::OkStatus();
  changing_ = true;
  absl::Status status;
  if (client_.state() == VmbusClient::State::kConnected) {
    Operation operation(*this, "UNLOAD_RESPONSE");
    status = client_.Unload(operation.id());
    if (status.ok()) status = co_await operation.End();
  }
  for (auto& port : ports_) port->gone = true;
  offers_.clear();
  if (!client_.host_holds_pages()) {
    shared_.ReturnAll();
  } else {
    status = absl::DataLossError(absl::StrCat("the connection ended without UNLOAD_RESPONSE (",
                                              status.message(), "): ", shared_.now(),
                                              " pages that the host may use are leaked"));
  }
  co_await DetachPorts();
  co_await TearDown();
  changing_ = false;
  co_return status;
}

void SynicTransport::Inspect(InspectNode& node) const {
  node.Set("transport", "synic");
  node.Set("version", VersionText(client_.version()));
  node.Set("features", client_.features());
  node.Set("channels_offered", client_.channel_count());
  node.Set("channels_open", uint64_t{ports_.size()});
  node.Set("gpadls", uint64_t{client_.gpadl_count()});
  node.Set("pages_shared", shared_.now());
  node.Set("pages_withheld", shared_.withheld());
  node.Set("pages_lost", shared_.lost());
  InspectNode& host = node.Child("host_misbehaviour");
  const ClientCounters& counters = client_.counters();
  host.Set("violations", counters.violations);
  host.Set("last_violation", std::string(client_.last_violation().message()));
  host.Set("malformed", counters.malformed);
  host.Set("rejected_offers", counters.rejected_offers);
  host.Set("unexpected_answers", counters.unexpected_answers);
  host.Set("unknown_relids", counters.unknown_relids);
  host.Set("unhandled", counters.unhandled);
  host.Set("discarded", counters.discarded);
  InspectNode& posts = node.Child("posts");
  posts.Set("posted", poster_.counters().posted);
  posts.Set("retries", poster_.counters().retries);
  posts.Set("queued", poster_.queued());
}

}  // namespace vmbuskit
