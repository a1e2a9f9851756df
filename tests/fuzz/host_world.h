// A whole embedded host in virtual time, for a fuzzer that plays its guest: four devices (echo
// twice, heartbeat, one that shares memory), and beside what is attacked one honest echo driver. At
// its end it checks that the host let go of everything.
//
//   HostWorld world(memory, {.guarded = true});
//   world.Post(CloseChannelMessage{.relid = 3});
//   world.Settle();                             // ends: nobody may wake himself for ever
//   world.Finish(HostWorld::Ending::kUnload);
//
// Thread safety: the simulation's thread. Lifetime: the memory outlives it and may serve one world
// after the other. Errors: a requirement that does not hold ends the program.
#ifndef VMBUSKIT_TESTS_FUZZ_HOST_WORLD_H_
#define VMBUSKIT_TESTS_FUZZ_HOST_WORLD_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "framework/base/fuzzing.h"
#include "platform/linux/memfd_memory.h"
#include "platform/sim/scheduler.h"
#include "tests/fuzz/honest_driver.h"
#include "tests/fuzz/raw_rings.h"
#include "transports/embedded_host/embedded_host.h"
#include "transports/embedded_host/raw_guest.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

class HostWorld : public RawGuest {
 public:
  // What lies where besides a RawGuest's own. From kHostilePage on everything is the attacker's.
  static constexpr uint64_t kPages = 256;
  static constexpr Pfn kHonestPage = 12;
  static constexpr Pfn kHostilePage = 24;
  static constexpr uint32_t kHonestRelid = 3;  // offers come ordered by class, then by instance
  static constexpr uint32_t kHonestGpadl = 0xE1;

  struct Options {
    bool guarded = true;
    uint32_t version = kVersion5_3;
    uint32_t features = 0;
    uint64_t seed = 0;
    bool late_messages = false;  // they come a turn of the host later
    bool own_devices = false;    // the one that shares memory is made by a function of ours
    EmbeddedHost::Options host{};
  };
  enum class Ending { kUnload, kCrash, kCrashAndAgain };

  HostWorld(MemfdMemory& memory, const Options& options);
  ~HostWorld();

  EmbeddedHost& host() { return *host_; }
  Partition& partition() override { return host_->partition(); }
  SimScheduler& sim() { return sim_; }
  SimExecutor& host_cpu() { return host_cpu_; }
  MemfdMemory& memory() { return memory_; }

  HypercallStatus PostBytes(std::span<const std::byte> message, uint32_t connection_id,
                            uint32_t type = kMessageTypeVmbus);
  template <typename T>
  HypercallStatus Post(const T& message) {
    return PostBytes(Emit(message, negotiated_).bytes(), kMessageConnection);
  }
  // Takes the message out of a processor's slot; false when there is none.
  bool Fetch(uint32_t vp) { return FetchSlot(vp).has_value(); }
  void HoldMessages(bool hold) { held_ = hold; }

  // One of the devices besides the honest one: there, or gone when it was there.
  void ToggleDevice(uint32_t number);
  // What an owner does wrong is refused, and changes nothing.
  void Blunder();

  // Saves the host and restores it from the same bytes at once: the guest must not notice.
  void SaveAndRestore();
  void Save();
  // One change of the last saved bytes, for RestoreBent: `where` one of the parts, at whose first
  // byte the bend's offset counts; with `splice` bytes go or come in the middle, not at the end.
  enum class Part { kAll, kServer, kHeader };
  struct StateBend {
    Part part = Part::kAll;
    bool splice = false;
    Bend bend{};
  };
  void Prepare(const StateBend& bend);
  // From the last saved bytes with what was prepared, and a checksum that fits (unless it is the
  // header that is bent): whatever comes of it.
  void RestoreBent();
  // A new connection, as after a boot.
  void Boot();

  // Until nothing moves.
  void Settle() { Require(sim_.RunUntilIdle().ok()); }
  // A guest that programs its timers for every instant gets no further in time.
  void Pass(Duration time) { (void)sim_.RunFor(time); }

  void Finish(Ending ending);

 private:
  static constexpr uint32_t kDevices = 4;
  static constexpr size_t kBendsMax = 4;

  class LateOutbox;

  absl::StatusOr<DeviceId> AddDevice(uint32_t number);
  void SaveFromInside();
  void Connect();
  void ConnectHandlers() { ConnectInterrupts({&interrupt0_, &interrupt1_}); }
  void StartHonest();
  void StopHonest();
  void CheckHonest();
  void Explain();
  void OnInterrupt(uint32_t vp);
  void OnInterrupt0() { OnInterrupt(0); }
  void OnInterrupt1() { OnInterrupt(1); }
  void CheckNothingHeld();
  Event& interrupt(uint32_t vp) { return vp == 0 ? interrupt0_ : interrupt1_; }

  const Options options_;
  SimScheduler sim_;
  SimExecutor& host_cpu_;
  SimExecutor& cpu0_;
  SimExecutor& cpu1_;
  MemfdMemory& memory_;
  Event interrupt0_;
  Event interrupt1_;
  Negotiated negotiated_;
  bool held_ = false;
  bool reserved_ = false;  // a channel may have been opened that outlives the connection
  std::vector<std::byte> saved_;
  size_t server_at_ = 0;  // where in the body of saved_ the partition ends
  std::vector<StateBend> bends_;
  std::unique_ptr<LateOutbox> outbox_;
  std::unique_ptr<EmbeddedHost> host_;
  std::unique_ptr<HonestDriver> honest_;
  std::array<std::optional<DeviceId>, kDevices> devices_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_HOST_WORLD_H_
