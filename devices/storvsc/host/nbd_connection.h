// One connection to an NBD server, through libnbd, on one executor. For nbd_disk.cc.
//
//   connection.Submit(operation);        // operation.OnDone(0 or an errno), exactly once, never from inside Submit
//
// It is made by nbd_dial.h: the executor only sees what is connected and has shaken hands, and goes on meanwhile. From
// then on libnbd takes one answer (or chunk of one) at a time, and returns: whatever a server sends, others get their
// turns.
// A connection that breaks is made anew, and what was under way is sent again. Reads are at once. Writes, zeroes and
// discards (all of the disk) wait until the broken connection's server hangs up or is gone, because it may carry out
// what it had over what came later (nbd_drain.h, also what that cannot know): a write that was sent again has been
// carried out for the last time when it is answered. A server that says that it shuts down is left, too.
// Deadlines (NbdDeadlines): a handshake that takes too long, and an operation without an answer for too long, break the
// connection. An operation that broke with a connection, or waited for one, `operation` ago ends with ETIMEDOUT when it
// next waits; or with ESTALE when the server that is there now has another disk, or does less than the first told.
// Whatever happened to it, an operation ends `whole` after Submit. All that, also `answer` and `operation` together, is
// well under 90 s: a guest resets after 60 s, and again 30 s later (storvsc_controller.h); after 120 s it would give up
// the whole controller with all its disks.
// What a server had acknowledged but not flushed may be lost with it (NbdWrites), and so it is when its flush fails:
// from then on every flush ends with EIO, on whichever connection of the disk, as long as NbdWrites lives. Who
// hears of one failed flush may not be who wrote, and may not be there any more to hear.
// With no connection nobody would notice, so the end of the last one flushes what was not (nbd_leave.h: for at most
// `leave`, while the executor goes on, and before a next connection); when that fails it counts as lost.
// Thread safety: the executor's. Lifetime: destroyed with nothing outstanding, not from inside OnDone; operations and
// their bytes live until they ended.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_

#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "devices/storvsc/host/nbd_dial.h"
#include "devices/storvsc/host/nbd_drain.h"
#include "devices/storvsc/host/nbd_writes.h"
#include "framework/interfaces/block_device.h"
#include "platform/executor.h"
#include "platform/linux/fd_watch.h"

namespace vmbuskit {

struct NbdDeadlines {
  Duration handshake = std::chrono::seconds(10);
  Duration answer = std::chrono::seconds(45);
  Duration operation = std::chrono::seconds(30);
  Duration whole = std::chrono::seconds(80);
  Duration leave = std::chrono::seconds(5);
  Duration pause = std::chrono::seconds(1);  // before another connection; how often one looks
};

class NbdOperation : public boost::intrusive::list_base_hook<> {
 public:
  virtual ~NbdOperation() = default;
  virtual void OnDone(int error) = 0;

  BlockOperation kind = BlockOperation::kRead;
  bool force_unit_access = false;
  bool may_unmap = true;
  std::byte* data = nullptr;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  BlockRequest* status_of = nullptr;  // kStatus: whose extents

 private:
  friend class NbdConnection;
  class NbdConnection* connection_ = nullptr;
  int error_ = 0;
  uint64_t covers_ = 0;  // kFlush: the writes that had ended
  Instant submitted_at_{};
  Instant sent_at_{};
  std::optional<Instant> broken_since_;
};

class NbdConnection {
 public:
  // `facts` is what NbdDial::Ask told.
  NbdConnection(std::string uri, const NbdFacts& facts, const NbdDeadlines& deadlines,
                std::shared_ptr<NbdWrites> writes, LinuxExecutor& executor);
  ~NbdConnection();

  void Submit(NbdOperation& operation);

 private:
  using Operations = boost::intrusive::list<NbdOperation>;

  static int Completed(void* operation, int* error);
  void Connect();
  void OnDialed();
  void Disconnect();
  void LeaveAsTheLast();
  void SetReady(bool ready);
  void OnReady();
  void Advance();
  void SendWaiting();
  void Watch();
  void BeginDrain();
  void AdoptDrains();
  void OnDrained();
  void Drain(int socket);
  void Send(NbdOperation& operation);
  int64_t Command(NbdOperation& operation);
  void NoteFlush(const NbdOperation& flush, int& error);
  void Report();
  void Retry();
  void OnTick();
  bool TookTooLong(const NbdOperation& operation) const;
  void EndTooOld();
  void Wait(NbdOperation& operation);
  void End(NbdOperation& operation, int error);

  const std::string uri_;
  const NbdFacts facts_;
  const NbdDeadlines deadlines_;
  const std::shared_ptr<NbdWrites> writes_;
  LinuxExecutor& executor_;
  std::optional<NbdDial> dial_;
  NbdHandle handle_;
  int socket_ = -1;  // a copy of libnbd's, which closes its own whenever it likes
  std::optional<FdWatch> watch_;
  size_t unanswered_ = 0;       // writes, over this connection
  std::list<NbdDrain> drains_;  // of connections before
  bool ready_ = false;
  bool broken_ = false;  // another one at the next tick
  bool other_ = false;   // the last server had another disk
  Instant connect_began_{};
  Operations waiting_;  // for the connection, or to be allowed to write
  Operations sent_;
  Operations ended_;
  Event report_;
  Timer tick_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_
