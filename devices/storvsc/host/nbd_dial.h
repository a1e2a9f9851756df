// One attempt to reach an NBD server: its name, the connection, the handshake. On a thread of its own, because libnbd
// blocks in getaddrinfo, and stays in a handshake while the server has something to say, which need not end.
//
//   NbdDial dial(uri, [] {}, executor, Callback::To<&Disk::OnDialed>(this));      // at once
//   ... too late: dial.GiveUp(); it ends soon, but not before a resolver answers
//   ... OnDialed: absl::StatusOr<NbdDialed> session = dial.Take();         // connected, and what the server told
//
// Thread safety: the executor's; Ask: any thread, which waits. Lifetime: a dial may go at any time, and waits for
// nobody: its thread then ends by itself, and closes what it has.
// Errors: Unavailable, DeadlineExceeded and the like name the URI.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DIAL_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DIAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "platform/executor.h"

struct nbd_handle;

namespace vmbuskit {

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

// The meta context that tells what is allocated.
extern const char kNbdAllocation[];

struct NbdClose {
  void operator()(nbd_handle* handle) const;
};
using NbdHandle = std::unique_ptr<nbd_handle, NbdClose>;

struct NbdDialed {
  NbdHandle handle;
  NbdFacts facts;
};

class NbdDial {
 public:
  // What the server tells; for at most `deadline`.
  static absl::StatusOr<NbdFacts> Ask(const std::string& uri, Duration deadline);

  // The thread calls `first`, which may block for a while and owns what it touches. `ended` is called when there is
  // something to take.
  NbdDial(const std::string& uri, std::function<void()> first, Executor& executor, Callback ended);
  ~NbdDial();
  NbdDial(const NbdDial&) = delete;
  NbdDial& operator=(const NbdDial&) = delete;

  void GiveUp();
  absl::StatusOr<NbdDialed> Take();

 private:
  class Attempt;

  const std::shared_ptr<Attempt> attempt_;
  Event ended_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_DIAL_H_
