#include "tests/system/world.h"

#include "devices/echo/echo.h"
#include "devices/util/heartbeat/heartbeat.h"
#include "tests/system/script_class.h"

namespace vmbuskit {

Guid Instance(uint32_t number) {
  Guid guid = Guid::Parse("00000000-0000-4000-8000-000000000000");
  for (int i = 0; i < 4; ++i) guid.bytes[i] = static_cast<uint8_t>(number >> 8 * i);
  return guid;
}

World::World(Options options)
    : sim(options.seed),
      host_executor(sim.NewExecutor(1000)),
      check_leaks_(options.check_leaks && !options.guest_crashes),
      guest_crashes_(options.guest_crashes) {
  std::vector<Executor*> executors;
  for (uint32_t vp = 0; vp < options.vp_count; ++vp) {
    cpus.push_back(&sim.NewExecutor(vp));
    executors.push_back(cpus.back());
  }
  auto made = MemfdMemory::Create({.page_count = options.page_count});
  EXPECT_TRUE(made.ok()) << made.status();
  memory = *std::move(made);
  // The first megabyte is not the allocator's, as in a real guest.
  pages = std::make_unique<FirstFitPageAllocator>(*memory, 256, options.page_count - 256);
  host = std::make_unique<EmbeddedHost>(*memory, host_executor, executors, options.host);
  partition = std::make_unique<WatchedPartition>(host->partition());
  options.guest.crash_pause = Callback::To<&World::PauseInCrash>(this);
  transport = std::make_unique<SynicTransport>(*partition, executors, *pages, options.guest);
  bus = std::make_unique<Bus>(*transport, options.bus);
  const DeviceClass* const classes[] = {&EchoClass(), &HeartbeatClass(), &ScriptClass()};
  EXPECT_EQ(bus->RegisterClasses(classes), absl::OkStatus());
}

World::~World() {
  partition->on_post = nullptr;
  const absl::Status stopped = Await(bus->Stop());
  if (!guest_crashes_) {
    EXPECT_EQ(stopped, absl::OkStatus());
  }
  const SimTurn turn = sim.Enter(cpu(0));
  bus.reset();
  EXPECT_EQ(transport->open_channels(), 0u);
  EXPECT_EQ(transport->shared_pages(), 0u);
  const uint64_t lost = transport->lost_pages();
  transport.reset();
  if (check_leaks_) {
    EXPECT_EQ(lost, 0u);
    EXPECT_EQ(host->shared_pages().total(), 0u);
    EXPECT_EQ(memory->mapped_pages(), 0u);
  }
  EXPECT_EQ(pages->allocated(), 0u);
  host.reset();
}

DeviceId World::Add(const VspClass& vsp_class, const Guid& instance) {
  auto id = OnHost([&](EmbeddedHost& host) { return host.AddDevice(vsp_class, instance); });
  EXPECT_TRUE(id.ok()) << id.status();
  return *id;
}

void World::Remove(DeviceId id) {
  OnHost([&](EmbeddedHost& host) { EXPECT_EQ(host.RemoveDevice(id), absl::OkStatus()); });
}

void World::RemoveSoon(DeviceId id) {
  removals_.push_back(std::make_unique<Removal>(Removal{this, id}));
  EXPECT_TRUE(host_executor.Post(Callback::To<&Removal::Run>(removals_.back().get())));
}

DeviceInfo World::Info(const Guid& instance) {
  DeviceInfo found;
  for (DeviceInfo& info : Await(bus->Describe())) {
    if (info.instance_id == instance) found = info;
    if (info.instance_id == instance && info.state != DeviceState::kGone) break;
  }
  return found;
}

std::string World::State(const Guid& instance) {
  const DeviceInfo info = Info(instance);
  return info.relid == 0 ? "(none)" : std::string(ToString(info.state));
}

uint32_t World::Count(DeviceState state) {
  uint32_t count = 0;
  for (const DeviceInfo& info : Await(bus->Describe())) count += info.state == state;
  return count;
}

InspectNode World::InspectHostDevice(DeviceId id) {
  InspectNode node;
  OnHost([&](EmbeddedHost& host) {
    Vsp* vsp = host.FindVsp(id);
    ASSERT_NE(vsp, nullptr);
    vsp->Inspect(node);
  });
  return node;
}

uint64_t World::HostNumber(DeviceId id, std::string_view name) {
  const InspectNode node = InspectHostDevice(id);
  for (const auto& [key, value] : node.values()) {
    if (key == name) return std::get<uint64_t>(value);
  }
  ADD_FAILURE() << "no number " << name;
  return 0;
}

std::string World::HostText(DeviceId id, std::string_view name) {
  const InspectNode node = InspectHostDevice(id);
  for (const auto& [key, value] : node.values()) {
    if (key == name) return std::get<std::string>(value);
  }
  return "(none)";
}

}  // namespace vmbuskit
