// One connection to an NBD server, through libnbd, on one executor. For nbd_disk.cc.
//
//   connection.Submit(operation);        // operation.OnDone(0 or an errno), exactly once, never from inside Submit
//
// A connection that breaks is made anew, and what was under way is sent again: reads and writes may be carried out
// twice, which is right for the same storage. What waited for longer than reconnect_max ends with ETIMEDOUT.
// Thread safety: the executor's. Lifetime: destroyed with nothing outstanding, not from inside OnDone; operations and
// their bytes live until they ended.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "framework/interfaces/block_device.h"
#include "platform/executor.h"
#include "platform/linux/fd_watch.h"

struct nbd_handle;

namespace vmbuskit {

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
};

// What a server says of its export.
struct NbdFacts {
  uint64_t bytes = 0;
  uint32_t block_bytes_min = 1;
  uint32_t block_bytes_preferred = 4096;
  uint32_t transfer_bytes_max = 32 << 20;
  bool read_only = false;
  bool flush = false;
  bool fua = false;
  bool trim = false;
  bool zero = false;
  bool multi_conn = false;
  bool status = false;
  bool rotational = false;
};

class NbdConnection {
 public:
  static constexpr Duration kReconnectMax = std::chrono::seconds(60);

  // Connects, asks, and disconnects; blocks for at most `deadline`. Unavailable, DeadlineExceeded and the like name
  // the URI.
  static absl::StatusOr<NbdFacts> Ask(const std::string& uri, Duration deadline);

  NbdConnection(std::string uri, LinuxExecutor& executor);
  ~NbdConnection();

  void Submit(NbdOperation& operation);
  uint64_t reconnects() const { return reconnects_; }

 private:
  using Operations = boost::intrusive::list<NbdOperation>;

  static int Completed(void* operation, int* error);
  void Connect();
  void Disconnect();
  void OnReady();
  void Advance();
  void Watch();
  void Send(NbdOperation& operation);
  int64_t Command(NbdOperation& operation);
  void Report();
  void Retry(int error);
  void OnRetryTimer();
  void Wait(NbdOperation& operation);

  const std::string uri_;
  LinuxExecutor& executor_;
  nbd_handle* handle_ = nullptr;
  int watched_ = -1;       // libnbd's descriptor
  int watched_copy_ = -1;  // and ours of the same socket: libnbd closes its own whenever it likes
  std::optional<FdWatch> watch_;
  bool ready_ = false;
  Operations waiting_;  // for the connection
  Operations sent_;
  Operations ended_;
  Event report_;
  Timer retry_;
  std::optional<Instant> broken_since_;
  uint64_t reconnects_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_CONNECTION_H_
