#include "devices/storvsc/host/nbd_connection.h"

#include <libnbd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

constexpr char kAllocation[] = LIBNBD_CONTEXT_BASE_ALLOCATION;
constexpr uint32_t kHole = 1, kZero = 2;  // of base:allocation

absl::Status Failure(const std::string& uri) {
  return absl::UnavailableError(absl::StrCat("disk ", uri, ": ", nbd_get_error()));
}

nbd_handle* NewHandle() {
  nbd_handle* const handle = nbd_create();
  if (handle == nullptr) return nullptr;
  (void)nbd_add_meta_context(handle, kAllocation);
  // A URI is the operator's, not a stranger's: it may name certificates and keys (tls-certificates, tls-psk-file).
  (void)nbd_set_uri_allow_local_file(handle, true);
  // What is sent is within the facts that the server told; the library need not look again.
  (void)nbd_set_strict_mode(handle, LIBNBD_STRICT_COMMANDS);
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
  facts.status = nbd_can_meta_context(handle, kAllocation) == 1;
  facts.rotational = nbd_is_rotational(handle) == 1;
  return facts;
}

// A server that does all that `was` told. The size stays: the disk's users know it.
bool DoesAll(const NbdFacts& is, const NbdFacts& was) {
  const auto kept = [](bool now, bool before) { return now || !before; };
  return is.bytes == was.bytes && is.block_bytes_min <= was.block_bytes_min &&
         is.transfer_bytes_max >= was.transfer_bytes_max && kept(was.read_only, is.read_only) &&
         (was.flush || !is.flush) && kept(is.flush, was.flush) && kept(is.fua, was.fua) &&
         kept(is.trim, was.trim) && kept(is.zero, was.zero) && kept(is.status, was.status) &&
         kept(is.multi_conn, was.multi_conn);
}

void NoteFlushed(NbdWrites& writes, uint64_t count) {
  uint64_t was = writes.flushed.load();
  while (was < count && !writes.flushed.compare_exchange_weak(was, count)) {
  }
}

// Sockets of the same number may follow one another.
bool SameFile(int one, int other) {
  struct stat a, b;
  return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

// Adds what the server says of the range to the request's extents, as far as these reach.
int TakeExtents(void* context, const char* name, uint64_t, uint32_t* entries, size_t count, int*) {
  BlockRequest& request = *static_cast<BlockRequest*>(context);
  if (absl::string_view(name) != kAllocation) return 0;
  uint64_t left = request.bytes;
  for (uint32_t i = 0; i < request.extent_count; ++i) left -= request.extents[i].bytes;
  for (size_t i = 0; i + 1 < count && request.extent_count < request.extents.size() && left > 0;
       i += 2) {
    const uint64_t bytes = std::min<uint64_t>(entries[i], left);
    if (bytes == 0) return 0;
    request.extents[request.extent_count++] = {.bytes = bytes,
                                               .allocated = (entries[i + 1] & kHole) == 0,
                                               .zero = (entries[i + 1] & kZero) != 0};
    left -= bytes;
  }
  return 0;
}

}  // namespace

absl::StatusOr<NbdFacts> NbdConnection::Ask(const std::string& uri, Duration deadline) {
  nbd_handle* const handle = NewHandle();
  if (handle == nullptr) return Failure(uri);
  const auto connected = [&]() -> absl::Status {
    if (nbd_aio_connect_uri(handle, uri.c_str()) != 0) return Failure(uri);
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (nbd_aio_is_ready(handle) != 1) {
      if (nbd_aio_is_dead(handle) == 1 || nbd_aio_is_closed(handle) == 1) return Failure(uri);
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0)
        return absl::DeadlineExceededError(absl::StrCat("disk ", uri, ": the server is silent"));
      if (nbd_poll(handle, static_cast<int>(left.count())) < 0) return Failure(uri);
    }
    return absl::OkStatus();
  }();
  absl::StatusOr<NbdFacts> facts =
      connected.ok() ? absl::StatusOr<NbdFacts>(FactsOf(handle)) : connected;
  nbd_close(handle);
  return facts;
}

NbdConnection::NbdConnection(std::string uri, const NbdFacts& facts, const NbdDeadlines& deadlines,
                             NbdWrites& writes, LinuxExecutor& executor)
    : uri_(std::move(uri)),
      facts_(facts),
      deadlines_(deadlines),
      writes_(writes),
      executor_(executor),
      report_(executor, Callback::To<&NbdConnection::Report>(this)),
      tick_(executor, Callback::To<&NbdConnection::OnTick>(this)) {
  Connect();
}

NbdConnection::~NbdConnection() {
  assert(waiting_.empty() && sent_.empty() && ended_.empty());
  FlushAsTheLast();
  Disconnect();
}

void NbdConnection::SetReady(bool ready) {
  if (ready && !ready_) ++writes_.ready;
  if (!ready && ready_) --writes_.ready;
  ready_ = ready;
}

void NbdConnection::FlushAsTheLast() {
  if (!ready_) return;
  ready_ = false;
  if (--writes_.ready > 0 || !facts_.flush) return;
  const uint64_t ended = writes_.ended.load();
  if (ended <= writes_.flushed.load()) return;
  if (!FlushNow()) writes_.lost.store(true);
  NoteFlushed(writes_, ended);
}

bool NbdConnection::FlushNow() {
  watch_.reset();
  const auto end = std::chrono::steady_clock::now() + deadlines_.leave;
  const nbd_completion_callback none = {.callback = nullptr, .user_data = nullptr, .free = nullptr};
  const int64_t cookie = nbd_aio_flush(handle_, none, 0);
  if (cookie < 0) return false;
  for (;;) {
    const int done = nbd_aio_command_completed(handle_, static_cast<uint64_t>(cookie));
    if (done != 0) return done == 1;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || nbd_poll(handle_, static_cast<int>(left.count())) < 0) return false;
  }
}

void NbdConnection::Connect() {
  broken_ = false;
  connect_began_ = executor_.Now();
  tick_.Arm(connect_began_ + deadlines_.pause);
  handle_ = NewHandle();
  if (handle_ == nullptr || nbd_aio_connect_uri(handle_, uri_.c_str()) != 0) return Retry();
  Advance();
}

void NbdConnection::Disconnect() {
  watch_.reset();
  if (watched_copy_ >= 0) close(watched_copy_);
  watched_copy_ = watched_ = -1;
  SetReady(false);
  if (handle_ != nullptr) nbd_close(std::exchange(handle_, nullptr));
  // The library forgets what it still had, and does not call back.
  while (!sent_.empty()) {
    NbdOperation& operation = sent_.front();
    sent_.pop_front();
    End(operation, ENOTCONN);
  }
}

void NbdConnection::Submit(NbdOperation& operation) {
  operation.connection_ = this;
  operation.broken_since_.reset();
  operation.submitted_at_ = executor_.Now();
  if (!ready_) return Wait(operation);
  Send(operation);
  Advance();
}

void NbdConnection::Wait(NbdOperation& operation) {
  if (!operation.broken_since_) operation.broken_since_ = executor_.Now();
  waiting_.push_back(operation);
}

void NbdConnection::Send(NbdOperation& operation) {
  if (operation.kind == BlockOperation::kFlush && writes_.lost.load()) return End(operation, EIO);
  operation.error_ = 0;
  operation.sent_at_ = executor_.Now();
  operation.covers_ = writes_.ended.load();
  if (!tick_.armed()) tick_.Arm(operation.sent_at_ + deadlines_.pause);
  sent_.push_back(operation);
  if (Command(operation) >= 0) return;
  // Never sent; the library says so by the error, not by the callback.
  sent_.erase(sent_.iterator_to(operation));
  const bool dead = nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1;
  End(operation, dead ? ENOTCONN : nbd_get_errno() != 0 ? nbd_get_errno() : EIO);
}

void NbdConnection::End(NbdOperation& operation, int error) {
  operation.error_ = error;
  ended_.push_back(operation);
  report_.Signal();
}

int64_t NbdConnection::Command(NbdOperation& operation) {
  const nbd_completion_callback done = {
      .callback = &Completed, .user_data = &operation, .free = nullptr};
  const uint32_t fua = operation.force_unit_access ? LIBNBD_CMD_FLAG_FUA : 0;
  switch (operation.kind) {
    case BlockOperation::kRead:
      return nbd_aio_pread(handle_, operation.data, operation.bytes, operation.offset, done, 0);
    case BlockOperation::kWrite:
      return nbd_aio_pwrite(handle_, operation.data, operation.bytes, operation.offset, done, fua);
    case BlockOperation::kFlush:
      return nbd_aio_flush(handle_, done, 0);
    case BlockOperation::kDiscard:
      return nbd_aio_trim(handle_, operation.bytes, operation.offset, done, fua);
    case BlockOperation::kWriteZeroes:
      return nbd_aio_zero(handle_, operation.bytes, operation.offset, done,
                          fua | (operation.may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
    case BlockOperation::kStatus:
      operation.status_of->extent_count = 0;
      return nbd_aio_block_status(
          handle_, operation.bytes, operation.offset,
          {.callback = &TakeExtents, .user_data = operation.status_of, .free = nullptr}, done, 0);
  }
  return -1;
}

// From inside libnbd: only notes. 1: the command is retired.
int NbdConnection::Completed(void* context, int* error) {
  NbdOperation& operation = *static_cast<NbdOperation*>(context);
  NbdConnection& connection = *operation.connection_;
  connection.sent_.erase(connection.sent_.iterator_to(operation));
  const bool writes =
      operation.kind == BlockOperation::kWrite || operation.kind == BlockOperation::kWriteZeroes;
  if (*error == 0 && writes && !operation.force_unit_access) ++connection.writes_.ended;
  if (operation.kind == BlockOperation::kFlush) connection.NoteFlush(operation, *error);
  connection.End(operation, *error);
  return 1;
}

// A server has it from its storage that bytes are lost, and may be told so once only.
void NbdConnection::NoteFlush(const NbdOperation& flush, int& error) {
  if (error == ENOTCONN || error == ESHUTDOWN) return;  // it is sent again
  if (error != 0) writes_.lost.store(true);
  if (error == 0) NoteFlushed(writes_, flush.covers_);
  if (error == 0 && writes_.lost.load()) error = EIO;
}

void NbdConnection::OnReady() {
  const uint32_t ready = watch_->ready();
  const auto wants = [this](unsigned direction) {
    return (nbd_aio_get_direction(handle_) & direction) != 0;
  };
  if ((ready & FdWatch::kReadable) != 0 && wants(LIBNBD_AIO_DIRECTION_READ))
    (void)nbd_aio_notify_read(handle_);
  if ((ready & FdWatch::kWritable) != 0 && wants(LIBNBD_AIO_DIRECTION_WRITE))
    (void)nbd_aio_notify_write(handle_);
  Advance();
}

// The library may be in another state now.
void NbdConnection::Advance() {
  if (nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1) return Retry();
  if (broken_) return;
  if (!ready_ && (nbd_aio_is_ready(handle_) == 1 || nbd_aio_is_processing(handle_) == 1)) {
    other_ = !DoesAll(FactsOf(handle_), facts_);
    if (other_) return Retry();
    SetReady(true);
    Operations waiting;
    waiting.swap(waiting_);
    while (!waiting.empty()) {
      NbdOperation& operation = waiting.front();
      waiting.pop_front();
      Send(operation);
    }
  }
  Watch();
}

void NbdConnection::Watch() {
  const int fd = nbd_aio_get_fd(handle_);
  if (fd != watched_ || (!ready_ && !SameFile(fd, watched_copy_))) {
    watch_.reset();
    if (watched_copy_ >= 0) close(watched_copy_);
    watched_ = fd;
    watched_copy_ = fd < 0 ? -1 : dup(fd);
    if (watched_copy_ < 0) return Retry();
    watch_.emplace(executor_, watched_copy_, Callback::To<&NbdConnection::OnReady>(this));
  }
  const unsigned direction = nbd_aio_get_direction(handle_);
  const uint32_t interest =
      ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? FdWatch::kReadable : 0) |
      ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? FdWatch::kWritable : 0);
  if (!watch_->Start(interest).ok()) Retry();
}

// The connection is of no use: another one in a moment.
void NbdConnection::Retry() {
  watch_.reset();
  if (ready_ && facts_.flush && writes_.ended.load() > writes_.flushed.load()) {
    writes_.flushed.store(writes_.ended.load());
    writes_.lost.store(true);
  }
  SetReady(false);
  broken_ = true;
  if (!tick_.armed()) tick_.Arm(executor_.Now() + deadlines_.pause);
}

// While there is something to wait for.
void NbdConnection::OnTick() {
  const Instant now = executor_.Now();
  const auto too_long = [this](const NbdOperation& one) { return TookTooLong(one); };
  const bool silent = ready_
                          ? !sent_.empty() && (now - sent_.front().sent_at_ > deadlines_.answer ||
                                               std::ranges::any_of(sent_, too_long))
                          : now - connect_began_ > deadlines_.handshake;
  if (silent && !broken_) Retry();
  if (broken_) {
    Disconnect();
    writes_.reconnects.fetch_add(1, std::memory_order_relaxed);
    Connect();
  }
  EndTooOld();
  if (!tick_.armed() && (!ready_ || !sent_.empty())) tick_.Arm(now + deadlines_.pause);
}

bool NbdConnection::TookTooLong(const NbdOperation& operation) const {
  return executor_.Now() - operation.submitted_at_ > deadlines_.whole;
}

void NbdConnection::EndTooOld() {
  const Instant now = executor_.Now();
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    NbdOperation& operation = *at;
    if (now - *operation.broken_since_ <= deadlines_.operation && !TookTooLong(operation)) {
      ++at;
      continue;
    }
    at = waiting_.erase(at);
    End(operation, other_ ? ESTALE : ETIMEDOUT);
  }
}

void NbdConnection::Report() {
  Operations ended;
  ended.swap(ended_);
  while (!ended.empty()) {
    NbdOperation& operation = ended.front();
    ended.pop_front();
    // What ended with the connection is sent again on the next one. A server that shuts down has no other use.
    const bool leaving = operation.error_ == ESHUTDOWN;
    if (leaving && ready_) Retry();
    if (!leaving && operation.error_ != ENOTCONN) {
      operation.OnDone(operation.error_);
    } else if (TookTooLong(operation) ||
               (operation.broken_since_ &&
                executor_.Now() - *operation.broken_since_ > deadlines_.operation)) {
      operation.OnDone(ETIMEDOUT);
    } else if (ready_) {
      if (!operation.broken_since_) operation.broken_since_ = executor_.Now();
      Send(operation);
      Advance();
    } else {
      Wait(operation);
    }
  }
}

}  // namespace vmbuskit
