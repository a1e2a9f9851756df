// The guest's GPADLs as the client sees them: handles, and what each waits for. Source: protocol 02
// sections 5.1 and 5.4.
//
//   absl::StatusOr<uint32_t> handle = gpadls.Create(operation, relid, {&range, 1});
//   gpadls.OnCreated(message);              // finishes the operation
//   gpadls.TearDown(operation2, *handle);   // finishes at once when the channel was rescinded
//
// A handle is unique over the life of the client and never 0; handles in use are skipped when the
// counter wraps. A GPADL whose creation or tear-down was given up (deadline) is undone as soon as a
// late answer allows it; its pages stay lost all the same.
//
// Thread safety: the client's executor. Errors: commands return why they did not start; an answer
// that fits nothing is counted and changes nothing.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_GPADLS_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_GPADLS_H_

#include <cstdint>
#include <map>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transports/protocol/gpadl_messages.h"
#include "transports/synic/client_link.h"

namespace vmbuskit {

class ClientGpadls {
 public:
  static constexpr uint32_t kFirstHandle = 0xE1E10;  // Linux's; any would do

  ClientGpadls(ClientLink& link, uint32_t count_max, uint32_t first_handle)
      : link_(link), count_max_(count_max), next_handle_(first_handle) {}

  // Posts header and bodies back to back. The channel must be offered and not rescinded (the
  // caller's check).
  absl::StatusOr<uint32_t> Create(OperationId operation, uint32_t relid,
                                  std::span<const GpadlRange> ranges);
  // Finishes `operation` with success once the pages are the guest's alone.
  absl::Status TearDown(OperationId operation, uint32_t handle);

  void OnCreated(const GpadlCreatedMessage& message);
  void OnTorndown(const GpadlTorndownMessage& message);
  // RESCIND says that the host is done with all memory of `relid`: waiters wake, nothing more is
  // asked of the host.
  void OnRescind(uint32_t relid);
  // The connection ended. After an UNLOAD_RESPONSE every page is the guest's again, else none is.
  void OnConnectionEnd(const absl::Status& reason, bool pages_returned);

  // The operation's deadline passed; false when it is none of these.
  bool GiveUp(OperationId operation);
  // Undoes a GPADL that nobody will tear down (the ring of an open that was given up): `now`, or
  // when the host answered the open.
  void Abandon(uint32_t handle, bool now);

  // GPADLs of `relid` that keep it from being released.
  uint32_t HeldBy(uint32_t relid) const;
  // Whose `handle` is; 0 when there is none, or its connection has ended.
  uint32_t RelidOf(uint32_t handle) const;
  bool IsCreated(uint32_t handle) const;
  size_t size() const { return gpadls_.size(); }

 private:
  enum class State {
    kCreating,
    kCreated,
    kTearingDown,
    kReturned,        // the host let go without a TORNDOWN; the owner does not know yet
    kLost,            // the connection ended without UNLOAD_RESPONSE: the host may hold the pages
    kOrphanCreating,  // given up before the answer
    kOrphanCreated,   // given up with its channel's open
    kOrphanTearingDown,
  };
  struct Gpadl {
    State state = State::kCreating;
    uint32_t relid = 0;
    OperationId operation = kNoOperation;
  };

  uint32_t NextHandle();
  void PostTeardown(uint32_t handle, Gpadl& gpadl, State state);

  ClientLink& link_;
  const uint32_t count_max_;
  uint32_t next_handle_;
  // Ordered: what ends together ends in the same order in every run.
  std::map<uint32_t, Gpadl> gpadls_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_GPADLS_H_
