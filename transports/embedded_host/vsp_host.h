// One device of the embedded host: its VSP, the channels that are offered for it and what the guest opened and
// shared on them. Source: protocol 02 sections 4.2, 5.2 to 5.4 and 15 (steps 11 to 16).
//
//   VspHost device(echo_class, instance_id, services);
//   VMBUSKIT_RETURN_IF_ERROR(device.Start(create));         // makes the VSP, offers the primary channel
//   device.OpenChannel(id, request);                        // as the VMBus server's actions ask
//   device.Shutdown();                                      // everything closed, unmapped and rescinded
//
// Thread safety: the host executor. Not to be shut down from inside a call to its VSP.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_HOST_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_HOST_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/base/guid.h"
#include "framework/observe/inspect.h"
#include "transports/embedded_host/embedded_partition.h"
#include "transports/embedded_host/host_channel.h"
#include "transports/embedded_host/mapped_pages.h"
#include "transports/embedded_host/server.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

class VspHost;

// What the devices of one host share.
struct VspHostServices {
  EmbeddedPartition& partition;
  VmbusServer& server;
  MappedPages& mapped;
  std::map<ChannelId, VspHost*>& routes;  // kept up to date by the devices
  Event& shut_down;                       // a device that could not be shut down at once may be now
};

class VspHost final : public VspContext {
 public:
  using Factory = absl::FunctionRef<std::unique_ptr<Vsp>(VspContext& context)>;

  VspHost(const VspClass& vsp_class, const Guid& instance_id, const VspHostServices& services);
  ~VspHost() override;

  // Makes the VSP, with the class's function or with `create`, and offers the primary channel.
  absl::Status Start();
  absl::Status Start(Factory create);
  // Stops the device: sub-channels first, every ring and GPADL let go of, then RESCIND. False: back ends still use the
  // guest's memory (Vsp::HoldsMemory), the guest hears nothing yet, and it has to be called again when the services'
  // `shut_down` is signalled. By force: RESCIND anyway, for a host that ends.
  bool Shutdown(bool by_force = false);

  Vsp& vsp() { return *vsp_; }
  const Guid& instance_id() const { return instance_id_; }

  // ---- VspContext.
  Executor& executor() override { return services_.partition.host_executor(); }
  GuestMemory& guest_memory() override { return services_.partition.memory(); }
  absl::StatusOr<Mapping> MapGpadl(uint32_t handle) override;
  uint32_t OfferSubchannels(uint32_t count) override;
  uint64_t ReferenceTime() override { return services_.partition.ReferenceTime(); }
  void OnMemoryReleased() override { released_.Signal(); }

  // ---- For the server's actions; `id` is one of this device's.
  bool OpenChannel(ChannelId id, const OpenRequest& request);
  // False: not yet, the server hears of it from here.
  bool CloseChannel(ChannelId id);
  void TearDownGpadl(uint32_t handle);
  bool Retarget(ChannelId id, uint32_t vp);

  // ---- Save and restore, between two turns.
  // Whether no call to the VSP runs.
  bool at_rest() const;
  // What the VSP says. At rest.
  absl::Status Save(StateWriter& state);
  // Forgets every channel without a word to server, guest or requests, and makes the VSP anew (unless it was made by
  // a function of the caller's: that one gets OnClose and OnGpadlTornDown; or is shut down, and stays for its back
  // ends). Error: no VSP was made. At rest.
  absl::Status Drop();
  // Takes over what was saved, after Drop: the server's channels of this device are its own again, with the rings
  // mapped anew. Error: the state is corrupt, or this machine cannot hold it; Drop then.
  absl::Status Restore(StateReader& state);
  // Whether back ends use the guest's memory. A device that is shut down and holds some leads the channels of the
  // restored server that are its own to their end: after Drop, primary first. False: it has no primary.
  bool holds() const;
  bool Adopt(ChannelId id, const ServerChannel& channel);
  // After Drop, for a device that the saved state does not know.
  absl::Status OfferAnew() { return Offer(0); }
  bool made() const { return vsp_ != nullptr; }
  bool offered() const { return !channels_.empty(); }
  const Guid& class_id() const { return class_.class_id; }
  bool IsOf(const Guid& class_id, const Guid& instance_id) const {
    return class_id == class_.class_id && instance_id == instance_id_;
  }

  void Inspect(InspectNode& node) const;

 private:
  struct Reopened;

  // While channels come and go in here, calls to the VSP may run.
  class Inside {
   public:
    explicit Inside(int& calls) : calls_(calls) { ++calls_; }
    ~Inside() { --calls_; }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    int& calls_;
  };

  // A channel that is offered.
  struct Offered {
    uint16_t subchannel_index = 0;
    std::unique_ptr<HostChannel> open;  // null while closed
    bool reopening = false;             // after a restore, until the VSP took it
  };

  absl::Status Offer(uint16_t subchannel_index);
  void CloseOpen(Offered& offered);
  // The VSP lets go of what the guest shared on the channel.
  void ForgetGpadls(ChannelId id);
  // Closes all, and revokes those whose memory nobody uses; true when none is left.
  bool RevokeSubchannels(bool by_force = false);
  bool Holds(const Offered& offered) const;
  bool FinishClose(ChannelId id);
  void OnReleased();
  absl::StatusOr<std::unique_ptr<HostChannel>> MakeHostChannel(const OpenRequest& request);
  // Parts of Restore.
  absl::Status RestoreChannel(StateReader& state, std::vector<Reopened>& reopened);
  absl::Status Reopen(StateReader& state, ChannelId id, Offered& offered,
                      std::vector<Reopened>& reopened);
  std::string ChannelName(uint16_t subchannel_index) const;

  const VspClass& class_;
  const Guid instance_id_;
  const VspHostServices services_;
  std::unique_ptr<Vsp> vsp_;
  bool made_by_class_ = false;
  ChannelId primary_{};
  std::map<ChannelId, Offered> channels_;
  std::set<ChannelId> closing_;  // the server waits to hear that they are closed
  bool shutting_down_ = false;
  Event released_;
  uint64_t opens_refused_ = 0;
  int calls_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_VSP_HOST_H_
