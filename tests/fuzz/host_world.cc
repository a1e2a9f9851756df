#include "tests/fuzz/host_world.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "devices/echo/host/echo_host.h"
#include "devices/util/heartbeat/host/heartbeat_host.h"
#include "framework/base/saved_state.h"
#include "transports/embedded_host/strict_vsp.h"

namespace vmbuskit {
namespace {

using std::chrono::seconds;

constexpr uint64_t kTurnsMax = 20'000;

constexpr int kFetchesMax = 1000;

const VspClass& ClassOf(uint32_t number) {
  switch (number) {
    case 0:
    case 1:
      return EchoVspClass();
    case 2:
      return HeartbeatVspClass();
    default:
      return kStrictVspClass;
  }
}

Guid InstanceOf(uint32_t number) {
  Guid guid = Guid::Parse("00000000-0000-4000-8000-0000000000f3");
  guid.bytes[0] = static_cast<uint8_t>(number);
  return guid;
}

void ApplyBend(const HostWorld::StateBend& one, std::vector<std::byte>& bytes) {
  Bend bend = one.bend;
  if (one.splice && !bytes.empty()) {
    const auto at = bytes.begin() + bend.offset % bytes.size();
    if (bend.longer > 0) bytes.insert(at, static_cast<size_t>(bend.longer), std::byte{0});
    if (bend.longer < 0) bytes.erase(at, at + std::min<ptrdiff_t>(-bend.longer, bytes.end() - at));
    bend.longer = 0;
  }
  bend.Apply(bytes, bytes.size() + 256);
}

// VSPs that cannot be made.
const VspClass kNoMaker = {
    .name = "none", .class_id = kStrictVspClass.class_id, .default_instance_id = {}};
const VspClass kVainMaker = {.name = "vain",
                             .class_id = kStrictVspClass.class_id,
                             .default_instance_id = {},
                             .create = [](VspContext&) -> std::unique_ptr<Vsp> { return nullptr; }};

}  // namespace

// The host's next turn delivers what the server sent in this one.
class HostWorld::LateOutbox final : public HostOutbox {
 public:
  LateOutbox(HostWorld& world, Executor& executor)
      : world_(world), due_(executor, Callback::To<&LateOutbox::OnDue>(this)) {}
  ~LateOutbox() override { due_.Cancel(); }

  void Take(MessageTarget target, std::span<const std::byte> message) override {
    late_.emplace_back(target, std::vector<std::byte>(message.begin(), message.end()));
    due_.Signal();
  }

 private:
  void OnDue() {
    for (const auto& [target, message] : std::exchange(late_, {})) {
      world_.host_->Deliver(target, message);
    }
  }

  HostWorld& world_;
  Event due_;
  std::vector<std::pair<MessageTarget, std::vector<std::byte>>> late_;
};

HostWorld::HostWorld(MemfdMemory& memory, const Options& options)
    : options_(options),
      sim_(options.seed, {.steps_max = kTurnsMax, .post_capacity = 64}),
      host_cpu_(sim_.NewExecutor(100)),
      cpu0_(sim_.NewExecutor(0)),
      cpu1_(sim_.NewExecutor(1)),
      memory_(memory),
      interrupt0_(cpu0_, Callback::To<&HostWorld::OnInterrupt0>(this)),
      interrupt1_(cpu1_, Callback::To<&HostWorld::OnInterrupt1>(this)) {
  StrictVsp::restored_host = false;
  std::memset(memory.Translate(0, 1)->data(), 0, kPages * kPageSize);
  outbox_ = std::make_unique<LateOutbox>(*this, host_cpu_);
  EmbeddedHost::Options host = options_.host;
  if (options_.late_messages) host.outbox = outbox_.get();
  host_ = std::make_unique<EmbeddedHost>(memory_, host_cpu_, std::vector<Executor*>{&cpu0_, &cpu1_},
                                         host);
  for (uint32_t number = 0; number < kDevices; ++number) devices_[number] = *AddDevice(number);
  Connect();
  if (options_.guarded) StartHonest();
}

HostWorld::~HostWorld() { DisconnectInterrupts(); }

void HostWorld::Boot() {
  if (options_.guarded) return;
  std::memset(At(0), 0, kPages * kPageSize);
  Connect();
}

void HostWorld::Connect() {
  ConnectHandlers();
  (void)BringUp();
  (void)PostContact({.version = options_.version,
                     .features = options_.features,
                     .parent_to_child = kParentToChild,
                     .child_to_parent = kChildToParent});
  Settle();
  negotiated_ = host_->server().negotiated();
  (void)Post(RequestOffersMessage{});
  Settle();
}

HypercallStatus HostWorld::PostBytes(std::span<const std::byte> message, uint32_t connection_id,
                                     uint32_t type) {
  const auto reserving = static_cast<uint32_t>(MessageType::kOpenReservedChannel);
  reserved_ |= message.size() >= sizeof reserving &&
               std::memcmp(message.data(), &reserving, sizeof reserving) == 0;
  return RawGuest::PostBytes(message, connection_id, type);
}

// ---- The guest's interrupt handler.

void HostWorld::OnInterrupt(uint32_t vp) {
  if (!held_) {
    for (int i = 0; i < kFetchesMax && Fetch(vp); ++i) continue;
  }
  if (vp != 0 || honest_ == nullptr || !honest_->begun()) return;
  if (TakeFlag(0, kHonestRelid)) honest_->channel().OnSignal();
}

// ---- The honest device.

void HostWorld::StartHonest() {
  honest_ = std::make_unique<HonestDriver>(
      partition(), cpu0_,
      std::vector<Pfn>{kHonestPage, kHonestPage + 1, kHonestPage + 2, kHonestPage + 3,
                       kHonestPage + 4, kHonestPage + 5});
  std::memset(At(kHonestPage * kPageSize), 0, 6 * kPageSize);
  (void)PostGpadl(kHonestRelid, kHonestGpadl, honest_->pages());
  Settle();
  const uint32_t connection = EventConnectionId(kHonestRelid, kVmbusSint);
  (void)Post(OpenChannelMessage{.relid = kHonestRelid,
                                .open_id = 1,
                                .ring_gpadl = kHonestGpadl,
                                .downstream_page = honest_->downstream_page(),
                                .connection_id = connection,
                                .event_flag = kHonestRelid});
  Settle();
  const SimTurn turn = sim_.Enter(cpu0_);
  honest_->Begin(connection);
}

void HostWorld::StopHonest() {
  if (honest_ == nullptr) return;
  const SimTurn turn = sim_.Enter(cpu0_);
  honest_.reset();
}

// What the host knows, for whoever looks into a finding.
void HostWorld::Explain() {
  InspectNode node;
  host_->Inspect(node);
  std::fprintf(stderr, "%s\n", node.ToJson().c_str());
}

// Whatever was done on the others' account, this one is served.
void HostWorld::CheckHonest() {
  // Nothing that the attacker programmed keeps the clock from moving.
  for (uint32_t timer = 0; timer < kSyntheticTimerCount; ++timer) {
    (void)partition().WriteRegister(1, kRegStimer0Config + 2 * timer, 0);
  }
  Settle();
  if (!honest_->accepted() || honest_->channel().closed()) Explain();
  Require(honest_->accepted() && !honest_->channel().closed());
  const uint64_t before = honest_->echoes();
  Require(sim_.RunFor(seconds(3)).ok());
  Require(!honest_->channel().closed() && honest_->echoes() >= before + 2);
  InspectNode node;
  host_->FindVsp(*devices_[0])->Inspect(node);
  for (const auto& [key, value] : node.values()) {
    if (key == "wrong" || key == "late") Require(std::get<uint64_t>(value) == 0);
  }
}

void HostWorld::ToggleDevice(uint32_t number) {
  if (options_.guarded) number = 1 + number % (kDevices - 1);
  std::optional<DeviceId>& device = devices_[number % kDevices];
  const SimTurn turn = sim_.Enter(host_cpu_);
  if (device) {
    Require(host_->RemoveDevice(*std::exchange(device, std::nullopt)).ok());
  } else {
    auto id = AddDevice(number % kDevices);
    Require(id.ok());
    device = *id;
  }
}

absl::StatusOr<DeviceId> HostWorld::AddDevice(uint32_t number) {
  if (!options_.own_devices || number != kDevices - 1) {
    return host_->AddDevice(ClassOf(number), InstanceOf(number));
  }
  return host_->AddDevice(ClassOf(number), InstanceOf(number), [this](VspContext& context) {
    return std::make_unique<StrictVsp>(context, [this] { SaveFromInside(); });
  });
}

// A device's call to its owner is no moment to save or restore.
void HostWorld::SaveFromInside() {
  Require(absl::IsFailedPrecondition(host_->Save().status()));
  if (!saved_.empty()) Require(absl::IsFailedPrecondition(host_->Restore(saved_)));
}

void HostWorld::Blunder() {
  const SimTurn turn = sim_.Enter(host_cpu_);
  const Guid instance = InstanceOf(kDevices);
  Require(!host_->AddDevice(kNoMaker, instance).ok());
  Require(!host_->AddDevice(kVainMaker, instance).ok());
  Require(!host_->RemoveDevice(DeviceId{0}).ok());
  for (const std::optional<DeviceId>& id : devices_) {
    if (id)
      Require(!host_->AddDevice(ClassOf(&id - devices_.data()), InstanceOf(&id - devices_.data()))
                   .ok());
  }
  Require(!host_->hypervisor().AddMessagePort(kMessageConnection, nullptr).ok());
  Require(!host_->hypervisor().AddEventPort(0x1000000, &interrupt0_).ok());
}

// ---- Save and restore.

void HostWorld::SaveAndRestore() {
  StrictVsp::restored_host = true;
  const SimTurn turn = sim_.Enter(host_cpu_);
  const absl::StatusOr<std::vector<std::byte>> bytes = host_->Save();
  Require(bytes.ok());
  const absl::Status restored = host_->Restore(*bytes);
  if (!restored.ok()) std::fprintf(stderr, "%s\n", restored.ToString().c_str());
  Require(restored.ok());
  ConnectHandlers();
}

void HostWorld::Save() {
  const SimTurn turn = sim_.Enter(host_cpu_);
  StateWriter partition;
  host_->hypervisor().Exchange(partition);
  saved_ = *host_->Save();
  server_at_ = partition.size();
}

void HostWorld::Prepare(const StateBend& bend) {
  if (bends_.size() < kBendsMax) bends_.push_back(bend);
}

void HostWorld::RestoreBent() {
  constexpr size_t kChecksumAt = 24;
  constexpr size_t kLengthAt = 32;
  constexpr size_t kBodyAt = 36;
  const std::vector<StateBend> bends = std::exchange(bends_, {});
  if (options_.guarded || saved_.size() < kBodyAt) return;
  StrictVsp::restored_host = true;
  const auto body_at = saved_.begin() + kBodyAt;
  std::vector<std::byte> header(saved_.begin(), body_at);
  std::vector<std::byte> parts[] = {{body_at, body_at + server_at_},
                                    {body_at + server_at_, saved_.end()}};
  const auto whole = [&parts] {
    std::vector<std::byte> body = parts[0];
    body.insert(body.end(), parts[1].begin(), parts[1].end());
    return body;
  };
  for (const StateBend& one : bends) {
    if (one.part == Part::kAll) {
      parts[1] = whole();
      parts[0].clear();
    }
    if (one.part != Part::kHeader) ApplyBend(one, parts[1]);
  }
  const std::vector<std::byte> body = whole();
  uint64_t sum = 0xCBF29CE484222325;
  for (const std::byte byte : body) sum = (sum ^ std::to_integer<uint8_t>(byte)) * 0x100000001B3;
  const auto length = static_cast<uint32_t>(body.size());
  std::memcpy(header.data() + kChecksumAt, &sum, sizeof sum);
  std::memcpy(header.data() + kLengthAt, &length, sizeof length);
  for (const StateBend& one : bends) {
    if (one.part == Part::kHeader) ApplyBend(one, header);
  }
  header.insert(header.end(), body.begin(), body.end());
  const SimTurn turn = sim_.Enter(host_cpu_);
  (void)host_->Restore(header);
  ConnectHandlers();
}

// ---- The end.

void HostWorld::CheckNothingHeld() {
  Require(host_->shared_pages().total() == 0);
  Require(host_->server().gpadls().count() == 0 && host_->server().gpadls().charged_bytes() == 0);
  Require(memory_.mapped_pages() == 0);
}

void HostWorld::Finish(Ending ending) {
  if (options_.guarded) CheckHonest();
  StopHonest();
  held_ = false;
  if (ending == Ending::kUnload && options_.guarded) {
    (void)Post(UnloadMessage{});
    for (uint32_t vp = 0; vp < 2; ++vp) interrupt(vp).Signal();
    Settle();
    Require(host_->server().state() == VmbusServer::State::kDisconnected);
    // Reserved channels outlive their connection (protocol 02 section 5.3).
    Require(reserved_ || host_->server().gpadls().count() == 0);
    Require(reserved_ || (memory_.mapped_pages() == 0 && host_->shared_pages().mapped == 0));
  }
  {
    const SimTurn turn = sim_.Enter(host_cpu_);
    host_->CrashGuest();
  }
  CheckNothingHeld();
  Settle();
  CheckNothingHeld();
  if (ending == Ending::kCrashAndAgain) {
    // A well-behaved guest finds a working host.
    std::memset(At(0), 0, kPages * kPageSize);
    Connect();
    Require(host_->server().state() == VmbusServer::State::kConnected);
  }
  DisconnectInterrupts();
  for (uint32_t vp = 0; vp < 2; ++vp) interrupt(vp).Cancel();
}

}  // namespace vmbuskit
