// How the bus reaches the host: the control path of one VMBus connection. transports/synic implements it over a
// Partition, transports/uio over the Linux kernel's.
//
// Thread safety: everything on the bus executor (that of VP 0) unless said otherwise.
// Every Task here ends with a reply, its deadline, or the revocation of the channel (design section 3).
#ifndef VMBUSKIT_FRAMEWORK_BUS_TRANSPORT_H_
#define VMBUSKIT_FRAMEWORK_BUS_TRANSPORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/bus/offer.h"
#include "framework/channel/channel.h"
#include "framework/task/task.h"
#include "platform/executor.h"
#include "platform/memory.h"

namespace vmbuskit {

class BusListener {
 public:
  virtual ~BusListener() = default;
  virtual void OnOffer(const Offer& offer) = 0;
  virtual void OnAllOffersDelivered() = 0;
  // The host took the channel back: nothing is to be expected on it any more. The listener lets go of everything
  // of it, then calls BusTransport::Release as the last word about `relid`.
  virtual void OnRescind(uint32_t relid) = 0;
  // The connection ended on its own (a host that broke the protocol). Every relid counts as rescinded.
  virtual void OnConnectionLost(const absl::Status& reason) = 0;
};

struct OpenParameters {
  // Not an aggregate: g++ 12 copies an aggregate that is brace-initialised inside a co_await bit by bit, strings
  // included. Fill in a variable and pass that.
  OpenParameters() = default;

  uint32_t relid = 0;
  uint32_t send_ring_bytes =
      64 * 1024;  // data bytes, a multiple of 4096; the control page comes on top
  uint32_t receive_ring_bytes = 64 * 1024;  // the same
  uint32_t target_vp = 0;
  std::array<std::byte, 120> user_data{};
  // The channel's executor is that of `target_vp`; name and limits are the driver's, rings are filled in.
  Channel::Options channel;
};

// Guest pages that the host may use, by handle.
struct Gpadl {
  uint32_t handle = 0;
  uint32_t relid = 0;
  uint32_t page_count = 0;
};

class BusTransport {
 public:
  virtual ~BusTransport() = default;

  // Negotiates newest to oldest, then asks for offers, which come through `listener` until Disconnect.
  virtual Task<absl::Status> Connect(BusListener& listener) = 0;
  // Negotiated version word (major << 16 | minor); 0 while not connected.
  virtual uint32_t version() const = 0;

  virtual uint32_t vp_count() const = 0;
  virtual Executor& executor(uint32_t vp) = 0;
  virtual PageAllocator& pages() = 0;
  virtual GuestMemory& memory() = 0;

  // Ring memory, GPADL, OPEN. The channel belongs to the executor of `target_vp`; deliver packets with
  // Channel::Start there.
  virtual Task<absl::StatusOr<std::unique_ptr<Channel>>> Open(OpenParameters parameters) = 0;
  // CLOSE, tear-down, and the rings' pages go back. The channel must be Closed (Channel::Close on its executor)
  // before; it is destroyed here. Pages that the host may still use are quarantined, never freed.
  virtual Task<absl::Status> Close(std::unique_ptr<Channel> channel) = 0;

  // An error with the code DeadlineExceeded means that the host may have the pages: Quarantine them.
  // After any other error they are the guest's alone.
  virtual Task<absl::StatusOr<Gpadl>> CreateGpadl(uint32_t relid, const PageRun& pages) = 0;
  // After this ends with success the pages are the guest's alone again; after an error Quarantine
  // them.
  virtual Task<absl::Status> TearDownGpadl(Gpadl gpadl) = 0;
  // Keeps pages that the host may still use until the connection ended with UNLOAD_RESPONSE; without
  // one they are leaked (protocol 02 section 5.4, rules 3 and 4).
  virtual void Quarantine(PageRun pages) = 0;
  // (Pages of runs that somebody else owns: PageAllocator::Withhold; the transport calls BeginWithholding and
  // EndWithholding.)
  // Moves the channel's interrupts to `vp` (MODIFY_CHANNEL, version 4.1 and later; Unimplemented below). The channel
  // itself stays on the executor that it was opened on, with its driver; `vp` wakes it across. To move the work as
  // well, its driver closes the channel and opens it there.
  virtual Task<absl::Status> Retarget(uint32_t relid, uint32_t vp) = 0;

  // Gives a rescinded relid back; everything of it must be closed and torn down.
  virtual void Release(uint32_t relid) = 0;

  // UNLOAD and its answer; every page given to the host is the guest's again. The listener must have closed its
  // channels; those it did not are taken back.
  virtual Task<absl::Status> Disconnect() = 0;
  // The crash path: no waiting on anything but the host's slots; takes back every page. Any executor.
  virtual absl::Status CrashDisconnect() = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_BUS_TRANSPORT_H_
