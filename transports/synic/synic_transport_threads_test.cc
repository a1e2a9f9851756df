// The transport on real threads, one per processor and one for the embedded host: connects, moves
// interrupts under traffic, disconnects, again and again. Mostly for the thread sanitizer.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "framework/base/status.h"
#include "framework/task/one_shot.h"
#include "framework/task/spawn.h"
#include "framework/task/switch_to.h"
#include "platform/linux/executor_thread.h"
#include "platform/linux/memfd_memory.h"
#include "platform/page_allocator.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/synic/synic_transport.h"

namespace vmbuskit {
namespace {

constexpr int kConnections = 4;
constexpr int kOpensEach = 5;
constexpr int kPackets = 300;

// The device: sends every packet back.
class Reflector : public Vsp {
 public:
  absl::Status OnOpen(Channel& channel, const OpenData&) override {
    channel.Start(*this);
    return absl::OkStatus();
  }
  void OnClose(Channel&) override {}
  void OnPacket(Channel& channel, const Packet& packet) override {
    EXPECT_EQ(channel.Send({.payload = packet.payload}), SendResult::kOk);
  }
};

VspClass ReflectorClass() {
  VspClass vsp_class;
  vsp_class.name = "reflector";
  vsp_class.class_id = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");
  vsp_class.default_instance_id = Guid::Parse("1c5f0a4e-2d3b-4c77-8e11-a0b1c2d3e4f5");
  vsp_class.create = [](VspContext&) -> std::unique_ptr<Vsp> {
    return std::make_unique<Reflector>();
  };
  return vsp_class;
}

// Waits for all packets to come back; on the channel's executor.
class Returns : public ChannelHandler {
 public:
  explicit Returns(Executor& executor) : all_(executor, "the packets' return") {}
  void OnPacket(Channel&, const Packet&) override {
    if (++count_ == kPackets) all_.Set();
  }
  auto All(Executor& executor) { return all_.Wait(DeadlineIn(executor)); }

 private:
  OneShot<void> all_;
  int count_ = 0;
};

class Guest : public BusListener {
 public:
  explicit Guest(SynicTransport& transport) : transport_(transport) {}

  void OnOffer(const Offer& offer) override { relid_ = offer.relid; }
  void OnAllOffersDelivered() override { offered_->Set(); }
  void OnRescind(uint32_t) override {}
  void OnConnectionLost(const absl::Status&) override {}

  Task<absl::Status> Run() {
    for (int i = 0; i < kConnections; ++i) {
      absl::Status status = co_await OneConnection();
      VMBUSKIT_CO_RETURN_IF_ERROR(status);
    }
    co_return absl::OkStatus();
  }

 private:
  Task<absl::Status> OneConnection() {
    Executor& bus = transport_.executor(0);
    OneShot<void> offered(bus, "offers");
    offered_ = &offered;
    absl::Status status = co_await transport_.Connect(*this);
    VMBUSKIT_CO_RETURN_IF_ERROR(status);
    status = co_await offered.Wait();
    VMBUSKIT_CO_RETURN_IF_ERROR(status);
    for (uint32_t i = 0; i < kOpensEach; ++i) {
      status = co_await OneChannel(i % 2);
      VMBUSKIT_CO_RETURN_IF_ERROR(status);
    }
    co_return co_await transport_.Disconnect();
  }

  Task<absl::Status> OneChannel(uint32_t vp) {
    OpenParameters parameters;
    parameters.relid = relid_;
    parameters.target_vp = vp;
    parameters.channel.name = "reflector";
    auto opened = co_await transport_.Open(std::move(parameters));
    if (!opened.ok()) co_return opened.status();
    std::unique_ptr<Channel> channel = *std::move(opened);
    Executor& executor = channel->executor();
    Returns returns(executor);
    co_await SwitchTo(executor);
    channel->Start(returns);
    absl::Status status = SendHalf(*channel);
    co_await SwitchTo(transport_.executor(0));
    if (status.ok()) status = co_await transport_.Retarget(relid_, 1 - vp);
    co_await SwitchTo(executor);
    status.Update(SendHalf(*channel));
    absl::Status returned = co_await returns.All(executor);
    status.Update(returned);
    channel->Close(absl::CancelledError("done"));
    co_await SwitchTo(transport_.executor(0));
    absl::Status closed = co_await transport_.Close(std::move(channel));
    status.Update(closed);
    co_return status;
  }

  static absl::Status SendHalf(Channel& channel) {
    const std::byte data[64] = {};
    for (int i = 0; i < kPackets / 2; ++i) {
      if (channel.Send({.payload = data}) != SendResult::kOk) {
        return absl::InternalError("the ring is too small for this test");
      }
    }
    return absl::OkStatus();
  }

  SynicTransport& transport_;
  OneShot<void>* offered_ = nullptr;
  uint32_t relid_ = 0;
};

Task<void> Report(Task<absl::Status> task, std::promise<absl::Status>* result) {
  absl::Status status = co_await task;
  result->set_value(status);
}

TEST(SynicTransportThreads, ConnectsMovesAndDisconnects) {
  std::unique_ptr<MemfdMemory> memory = *MemfdMemory::Create({.page_count = 4096});
  FirstFitPageAllocator pages(*memory, 1, 4095);
  auto host_thread = *ExecutorThread::Start({.executor = {.cpu = 100}});
  auto cpu0 = *ExecutorThread::Start({.executor = {.cpu = 0}});
  auto cpu1 = *ExecutorThread::Start({.executor = {.cpu = 1}});
  const std::vector<Executor*> processors = {&cpu0->executor(), &cpu1->executor()};

  const VspClass reflector = ReflectorClass();
  std::unique_ptr<EmbeddedHost> host;
  host_thread->Invoke([&] {
    host = std::make_unique<EmbeddedHost>(*memory, host_thread->executor(), processors,
                                          EmbeddedHost::Options{});
    ASSERT_TRUE(host->AddDevice(reflector, reflector.default_instance_id).ok());
  });
  std::promise<absl::Status> result;
  std::unique_ptr<SynicTransport> transport;
  std::unique_ptr<Guest> guest;
  cpu0->Invoke([&] {
    transport = std::make_unique<SynicTransport>(host->partition(), processors, pages,
                                                 SynicTransport::Options{});
    guest = std::make_unique<Guest>(*transport);
    Spawn(cpu0->executor(), Report(guest->Run(), &result));
  });
  const absl::Status status = result.get_future().get();
  EXPECT_TRUE(status.ok()) << status;
  cpu0->Stop();
  cpu1->Stop();
  host_thread->Stop();
  transport.reset();
  EXPECT_EQ(pages.allocated(), 0u);
  EXPECT_EQ(pages.leaked(), 0u);
  EXPECT_EQ(host->shared_pages().total(), 0u);
}

}  // namespace
}  // namespace vmbuskit
