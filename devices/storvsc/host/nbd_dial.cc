#include "devices/storvsc/host/nbd_dial.h"

#include <fcntl.h>
#include <libnbd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "platform/linux/detached_thread.h"

namespace vmbuskit {

const char kNbdAllocation[] = LIBNBD_CONTEXT_BASE_ALLOCATION;

namespace {

constexpr int kLookMs = 1000;  // at a dial that was given up and not woken

absl::Status Failure(const std::string& uri) {
  return absl::UnavailableError(absl::StrCat("disk ", uri, ": ", nbd_get_error()));
}

NbdHandle NewHandle() {
  NbdHandle handle(nbd_create());
  if (handle == nullptr) return nullptr;
  (void)nbd_add_meta_context(handle.get(), kNbdAllocation);
  // A URI is the operator's, not a stranger's: it may name certificates and keys (tls-certificates, tls-psk-file).
  (void)nbd_set_uri_allow_local_file(handle.get(), true);
  // What is sent is within the facts that the server told; the library need not look again.
  (void)nbd_set_strict_mode(handle.get(), LIBNBD_STRICT_COMMANDS);
  return handle;
}

NbdFacts FactsOf(nbd_handle* handle) {
  const auto size = [handle](int kind, int64_t otherwise) {
    const int64_t bytes = nbd_get_block_size(handle, kind);
    return static_cast<uint32_t>(
        std::clamp<int64_t>(bytes > 0 ? bytes : otherwise, 1, std::numeric_limits<int32_t>::max()));
  };
  NbdFacts facts;
  facts.bytes = static_cast<uint64_t>(std::max<int64_t>(nbd_get_size(handle), 0));
  facts.block_bytes_min = size(LIBNBD_SIZE_MINIMUM, 1);
  facts.block_bytes_preferred = size(LIBNBD_SIZE_PREFERRED, 4096);
  facts.transfer_bytes_max = std::min<uint32_t>(size(LIBNBD_SIZE_MAXIMUM, 32 << 20), 32 << 20);
  facts.read_only = nbd_is_read_only(handle) != 0;
  facts.flush = nbd_can_flush(handle) == 1;
  facts.fua = nbd_can_fua(handle) == 1;
  facts.trim = nbd_can_trim(handle) == 1;
  facts.zero = nbd_can_zero(handle) == 1;
  facts.multi_conn = nbd_can_multi_conn(handle) == 1;
  facts.status = nbd_can_meta_context(handle, kNbdAllocation) == 1;
  facts.rotational = nbd_is_rotational(handle) == 1;
  return facts;
}

}  // namespace

void NbdClose::operator()(nbd_handle* handle) const { nbd_close(handle); }

// What the thread and the other side share.
class NbdDial::Attempt : public std::enable_shared_from_this<NbdDial::Attempt> {
 public:
  // `ended` is signalled while it is not taken back.
  Attempt(std::string uri, Event* ended)
      : uri_(std::move(uri)), ended_(ended), result_(absl::UnknownError("not ended")) {}
  ~Attempt() { ForgetSocket(); }

  void Start(std::function<void()> first) {
    absl::Status started = RunDetached([self = shared_from_this(), first = std::move(first)] {
      first();
      self->End(self->Reach());
    });
    if (!started.ok()) End(std::move(started));
  }

  // The socket wakes libnbd also from a handshake in which it would stay for ever.
  void GiveUp() {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
    if (socket_ >= 0) (void)shutdown(socket_, SHUT_RDWR);
  }
  void Leave() {
    GiveUp();
    const std::lock_guard lock(mutex_);
    ended_ = nullptr;
  }

  bool WaitFor(Duration time) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return has_ended_; });
  }
  absl::StatusOr<NbdDialed> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(result_, absl::UnknownError("taken"));
  }

 private:
  // The thread's. Unlimited in time but for GiveUp.
  absl::StatusOr<NbdDialed> Reach() {
    NbdHandle handle = NewHandle();
    if (handle == nullptr) return Failure(uri_);
    // Also returns before the handshake: the socket is known when that begins.
    if (nbd_aio_connect_uri(handle.get(), uri_.c_str()) != 0) return Failure(uri_);
    while (nbd_aio_is_ready(handle.get()) != 1) {
      if (nbd_aio_is_dead(handle.get()) == 1 || nbd_aio_is_closed(handle.get()) == 1)
        return Failure(uri_);
      const int socket = nbd_aio_get_fd(handle.get());
      if (socket < 0) return Failure(uri_);
      if (!NoteSocket(socket))
        return absl::CancelledError(absl::StrCat("disk ", uri_, ": given up"));
      if (nbd_poll(handle.get(), kLookMs) < 0) return Failure(uri_);
    }
    NbdDialed session;
    session.facts = FactsOf(handle.get());
    session.handle = std::move(handle);
    return session;
  }

  // False: nobody waits any more. A copy: libnbd closes its own whenever it likes, and goes through a name's addresses.
  bool NoteSocket(int socket) {
    const std::lock_guard lock(mutex_);
    ForgetSocket();
    socket_ = fcntl(socket, F_DUPFD_CLOEXEC, 0);
    return socket_ >= 0 && !given_up_;
  }
  void ForgetSocket() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  void End(absl::StatusOr<NbdDialed> result) {
    const std::lock_guard lock(mutex_);
    ForgetSocket();
    result_ = std::move(result);
    has_ended_ = true;
    changed_.notify_all();
    if (ended_ != nullptr) ended_->Signal();
  }

  const std::string uri_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Event* ended_;
  bool given_up_ = false;
  bool has_ended_ = false;
  int socket_ = -1;
  absl::StatusOr<NbdDialed> result_;
};

absl::StatusOr<NbdFacts> NbdDial::Ask(const std::string& uri, Duration deadline) {
  const auto attempt = std::make_shared<Attempt>(uri, nullptr);
  attempt->Start([] {});
  if (!attempt->WaitFor(deadline)) {
    attempt->GiveUp();
    return absl::DeadlineExceededError(absl::StrCat("disk ", uri, ": the server is silent"));
  }
  absl::StatusOr<NbdDialed> session = attempt->Take();
  if (!session.ok()) return session.status();
  return session->facts;
}

NbdDial::NbdDial(const std::string& uri, std::function<void()> first, Executor& executor,
                 Callback ended)
    : attempt_(std::make_shared<Attempt>(uri, &ended_)), ended_(executor, ended) {
  attempt_->Start(std::move(first));
}

NbdDial::~NbdDial() { attempt_->Leave(); }

void NbdDial::GiveUp() { attempt_->GiveUp(); }

absl::StatusOr<NbdDialed> NbdDial::Take() { return attempt_->Take(); }

}  // namespace vmbuskit
