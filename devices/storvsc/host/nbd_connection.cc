#include "devices/storvsc/host/nbd_connection.h"

#include <fcntl.h>
#include <libnbd.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "devices/storvsc/host/nbd_leave.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kHole = 1, kZero = 2;  // of base:allocation

// A server that does all that `was` told. The size stays: the disk's users know it.
bool DoesAll(const NbdFacts& is, const NbdFacts& was) {
  const auto kept = [](bool now, bool before) { return now || !before; };
  return is.bytes == was.bytes && is.block_bytes_min <= was.block_bytes_min &&
         is.transfer_bytes_max >= was.transfer_bytes_max && kept(was.read_only, is.read_only) &&
         (was.flush || !is.flush) && kept(is.flush, was.flush) && kept(is.fua, was.fua) &&
         kept(is.trim, was.trim) && kept(is.zero, was.zero) && kept(is.status, was.status) &&
         kept(is.multi_conn, was.multi_conn);
}

bool ChangesData(const NbdOperation& operation) {
  return operation.kind == BlockOperation::kWrite ||
         operation.kind == BlockOperation::kWriteZeroes ||
         operation.kind == BlockOperation::kDiscard;
}

// Adds what the server says of the range to the request's extents, as far as these reach.
int TakeExtents(void* context, const char* name, uint64_t, uint32_t* entries, size_t count, int*) {
  BlockRequest& request = *static_cast<BlockRequest*>(context);
  if (absl::string_view(name) != kNbdAllocation) return 0;
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

NbdConnection::NbdConnection(std::string uri, const NbdFacts& facts, const NbdDeadlines& deadlines,
                             std::shared_ptr<NbdWrites> writes, LinuxExecutor& executor)
    : uri_(std::move(uri)),
      facts_(facts),
      deadlines_(deadlines),
      writes_(std::move(writes)),
      executor_(executor),
      report_(executor, Callback::To<&NbdConnection::Report>(this)),
      tick_(executor, Callback::To<&NbdConnection::OnTick>(this)) {
  Connect();
}

NbdConnection::~NbdConnection() {
  assert(waiting_.empty() && sent_.empty() && ended_.empty());
  LeaveAsTheLast();
  Disconnect();
}

void NbdConnection::SetReady(bool ready) {
  if (ready && !ready_) ++writes_->ready;
  if (!ready && ready_) --writes_->ready;
  ready_ = ready;
}

void NbdConnection::LeaveAsTheLast() {
  if (!ready_) return;
  ready_ = false;
  if (--writes_->ready > 0 || !facts_.flush) return;
  const uint64_t ended = writes_->ended.load();
  if (ended <= writes_->flushed.load()) return;
  watch_.reset();
  LeaveNbd(std::move(handle_), writes_, ended, deadlines_.leave);
}

void NbdConnection::Connect() {
  broken_ = false;
  connect_began_ = executor_.Now();
  tick_.Arm(connect_began_ + deadlines_.pause);
  dial_.emplace(
      uri_, [writes = writes_] { writes->WaitUntilLeft(); }, executor_,
      Callback::To<&NbdConnection::OnDialed>(this));
}

void NbdConnection::OnDialed() {
  absl::StatusOr<NbdDialed> session = dial_->Take();
  dial_.reset();
  if (!session.ok()) return Retry();
  other_ = !DoesAll(session->facts, facts_);
  if (other_) return Retry();
  handle_ = std::move(session->handle);
  socket_ = fcntl(nbd_aio_get_fd(handle_.get()), F_DUPFD_CLOEXEC, 0);
  if (socket_ < 0) return Retry();
  watch_.emplace(executor_, socket_, Callback::To<&NbdConnection::OnReady>(this));
  SetReady(true);
  SendWaiting();
  Advance();
}

void NbdConnection::SendWaiting() {
  Operations waiting;
  waiting.swap(waiting_);
  while (!waiting.empty()) {
    NbdOperation& operation = waiting.front();
    waiting.pop_front();
    Send(operation);
  }
}

void NbdConnection::Disconnect() {
  watch_.reset();
  if (socket_ >= 0) close(std::exchange(socket_, -1));
  SetReady(false);
  handle_.reset();
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
  if (operation.kind == BlockOperation::kFlush && writes_->lost.load()) return End(operation, EIO);
  const bool changes = ChangesData(operation);
  if (changes && !writes_->MayWrite()) {
    if (!tick_.armed()) tick_.Arm(executor_.Now() + deadlines_.pause);
    return Wait(operation);
  }
  operation.error_ = 0;
  operation.sent_at_ = executor_.Now();
  operation.covers_ = writes_->ended.load();
  if (!tick_.armed()) tick_.Arm(operation.sent_at_ + deadlines_.pause);
  sent_.push_back(operation);
  if (changes) ++unanswered_;
  if (Command(operation) >= 0) return;
  // Never sent; the library says so by the error, not by the callback.
  sent_.erase(sent_.iterator_to(operation));
  if (changes) --unanswered_;
  const bool dead = nbd_aio_is_dead(handle_.get()) == 1 || nbd_aio_is_closed(handle_.get()) == 1;
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
      return nbd_aio_pread(handle_.get(), operation.data, operation.bytes, operation.offset, done,
                           0);
    case BlockOperation::kWrite:
      return nbd_aio_pwrite(handle_.get(), operation.data, operation.bytes, operation.offset, done,
                            fua);
    case BlockOperation::kFlush:
      return nbd_aio_flush(handle_.get(), done, 0);
    case BlockOperation::kDiscard:
      return nbd_aio_trim(handle_.get(), operation.bytes, operation.offset, done, fua);
    case BlockOperation::kWriteZeroes:
      return nbd_aio_zero(handle_.get(), operation.bytes, operation.offset, done,
                          fua | (operation.may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
    case BlockOperation::kStatus:
      operation.status_of->extent_count = 0;
      return nbd_aio_block_status(
          handle_.get(), operation.bytes, operation.offset,
          {.callback = &TakeExtents, .user_data = operation.status_of, .free = nullptr}, done, 0);
  }
  return -1;
}

// From inside libnbd: only notes. 1: the command is retired.
int NbdConnection::Completed(void* context, int* error) {
  NbdOperation& operation = *static_cast<NbdOperation*>(context);
  NbdConnection& connection = *operation.connection_;
  connection.sent_.erase(connection.sent_.iterator_to(operation));
  if (*error != ENOTCONN && ChangesData(operation)) --connection.unanswered_;
  const bool writes =
      operation.kind == BlockOperation::kWrite || operation.kind == BlockOperation::kWriteZeroes;
  if (*error == 0 && writes && !operation.force_unit_access) ++connection.writes_->ended;
  if (operation.kind == BlockOperation::kFlush) connection.NoteFlush(operation, *error);
  connection.End(operation, *error);
  return 1;
}

// A server has it from its storage that bytes are lost, and may be told so once only.
void NbdConnection::NoteFlush(const NbdOperation& flush, int& error) {
  if (error == ENOTCONN || error == ESHUTDOWN) return;  // it is sent again
  if (error != 0) writes_->lost.store(true);
  if (error == 0) writes_->NoteFlushed(flush.covers_);
  if (error == 0 && writes_->lost.load()) error = EIO;
}

void NbdConnection::OnReady() {
  const uint32_t ready = watch_->ready();
  const auto wants = [this](unsigned direction) {
    return (nbd_aio_get_direction(handle_.get()) & direction) != 0;
  };
  if ((ready & FdWatch::kReadable) != 0 && wants(LIBNBD_AIO_DIRECTION_READ))
    (void)nbd_aio_notify_read(handle_.get());
  if ((ready & FdWatch::kWritable) != 0 && wants(LIBNBD_AIO_DIRECTION_WRITE))
    (void)nbd_aio_notify_write(handle_.get());
  Advance();
}

// The library may be in another state now.
void NbdConnection::Advance() {
  if (nbd_aio_is_dead(handle_.get()) == 1 || nbd_aio_is_closed(handle_.get()) == 1) return Retry();
  if (!broken_) Watch();
}

void NbdConnection::Watch() {
  const unsigned direction = nbd_aio_get_direction(handle_.get());
  const uint32_t interest =
      ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? FdWatch::kReadable : 0) |
      ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? FdWatch::kWritable : 0);
  if (!watch_->Start(interest).ok()) Retry();
}

void NbdConnection::BeginDrain() {
  if (std::exchange(unanswered_, 0) == 0) return;
  writes_->BeginDoubt();
  Drain(std::exchange(socket_, -1));
}

// Of connections of the disk that are no more.
void NbdConnection::AdoptDrains() {
  for (int socket = writes_->TakeSocket(); socket >= 0; socket = writes_->TakeSocket())
    Drain(socket);
}

void NbdConnection::Drain(int socket) {
  drains_.emplace_back(*writes_, socket, deadlines_.operation / 2, executor_,
                       Callback::To<&NbdConnection::OnDrained>(this));
}

void NbdConnection::OnDrained() {
  drains_.remove_if([](const NbdDrain& drain) { return drain.ended(); });
  if (!ready_) return;
  SendWaiting();
  Advance();
}

// The connection is of no use: another one in a moment.
void NbdConnection::Retry() {
  watch_.reset();
  BeginDrain();
  if (ready_ && facts_.flush && writes_->ended.load() > writes_->flushed.load()) {
    writes_->lost.store(true);  // first: a flush of another connection looks at both
    writes_->flushed.store(writes_->ended.load());
  }
  SetReady(false);
  broken_ = true;
  if (!tick_.armed()) tick_.Arm(executor_.Now() + deadlines_.pause);
}

// While there is something to wait for.
void NbdConnection::OnTick() {
  const Instant now = executor_.Now();
  const auto too_long = [this](const NbdOperation& one) { return TookTooLong(one); };
  const bool silent =
      ready_ && !sent_.empty() &&
      (now - sent_.front().sent_at_ > deadlines_.answer || std::ranges::any_of(sent_, too_long));
  if (silent) Retry();
  // One dial at a time: a resolver that does not answer would not answer another thread either.
  if (dial_ && now - connect_began_ > deadlines_.handshake) dial_->GiveUp();
  if (broken_) {
    Disconnect();
    writes_->reconnects.fetch_add(1, std::memory_order_relaxed);
    Connect();
  }
  if (!writes_->MayWrite()) AdoptDrains();
  if (ready_ && !waiting_.empty() && writes_->MayWrite()) {
    SendWaiting();
    Advance();
  }
  EndTooOld();
  if (!tick_.armed() && (!ready_ || !sent_.empty() || !waiting_.empty()))
    tick_.Arm(now + deadlines_.pause);
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
