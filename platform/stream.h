// Byte streams to other programs, on an executor: connections, and the places where they come in.
//
//   absl::StatusOr<std::unique_ptr<StreamListener>> listener = streams.Listen({.unix_path = "/run/disk.sock"});
//   absl::Status started = (*listener)->Start(Callback::To<&Server::OnConnection>(this));
//   std::unique_ptr<Stream> stream = (*listener)->Accept(streams);          // null: nobody is there
//   started = stream->Start(Callback::To<&Connection::OnReady>(this));
//   StreamResult got = stream->Read(targets);                               // kLater: OnReady will be called
//
// Nothing blocks. A stream that said kLater calls its handler when the same call has a chance again, now and then also
// without need; before it said so nothing is promised.
//
// Implementation: platform/linux/linux_streams.h; TLS: platform/linux/tls_guard.h. Thread safety: all of one executor;
// a stream that was accepted for the Streams of another executor is given to that one before anything is done with it.
// Lifetime: listeners and streams end before their Streams; a handler may destroy what called it.
// Units: bytes. Errors: the system's, naming the address or the call.
#ifndef VMBUSKIT_PLATFORM_STREAM_H_
#define VMBUSKIT_PLATFORM_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "platform/callback.h"
#include "platform/executor.h"

namespace vmbuskit {

enum class StreamState : uint8_t {
  kOk,      // some bytes were moved
  kLater,   // none can be now
  kEnd,     // of a read: the peer sends nothing more
  kFailed,  // for good; error() says why
};

struct StreamResult {
  StreamState state = StreamState::kOk;
  size_t bytes = 0;  // 0 unless kOk
  friend bool operator==(const StreamResult&, const StreamResult&) = default;
};

class Stream {
 public:
  static constexpr size_t kPartsMax = 64;  // of one call; more are not looked at

  virtual ~Stream() = default;

  virtual absl::Status Start(Callback on_ready) = 0;
  virtual StreamResult Read(std::span<const std::span<std::byte>> into) = 0;
  // After kLater the next write begins with the same bytes.
  virtual StreamResult Write(std::span<const std::span<const std::byte>> from) = 0;
  // Tells the peer that nothing more comes, as far as that can be done at once.
  virtual void CloseOutput() = 0;
  virtual absl::Status error() const = 0;
};

// Where to listen: a path, or else a host and a port.
struct StreamAddress {
  std::string unix_path{};
  std::string host{};  // "127.0.0.1", "::1", "localhost", "0.0.0.0"
  uint16_t port = 0;   // 0: one that is free
};

// "unix:/run/disk.sock", "127.0.0.1:10809", "[::1]:10809".
std::string ToString(const StreamAddress& address);

class StreamListener;

class Streams {
 public:
  virtual ~Streams() = default;
  virtual Executor& executor() = 0;
  // A socket at a path is only its owner's (mode 0600). One that a dead process left there is replaced; one that
  // somebody listens at is AlreadyExists. It is removed with the listener.
  virtual absl::StatusOr<std::unique_ptr<StreamListener>> Listen(const StreamAddress& address) = 0;
};

class StreamListener {
 public:
  virtual ~StreamListener() = default;

  // Calls `on_connection` while there is something to accept.
  virtual absl::Status Start(Callback on_connection) = 0;
  // Leaves connections where they are until the next Start.
  virtual void Pause() = 0;
  // For `owner`, which is of the same kind as the listener's own. Null: there is none now.
  virtual std::unique_ptr<Stream> Accept(Streams& owner) = 0;

  // With the port that was chosen.
  virtual const StreamAddress& address() const = 0;
  // Nobody on another machine can reach it.
  virtual bool is_local() const = 0;
};

// Makes streams safe from others, and says who we are: TLS, to whom need not know it. Any thread.
class StreamGuard {
 public:
  virtual ~StreamGuard() = default;
  // The server's side over a plain stream that was started; the handshake is part of its reads and writes.
  // The handler of the plain stream is from now on called for the new one.
  virtual absl::StatusOr<std::unique_ptr<Stream>> Protect(std::unique_ptr<Stream> plain) = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_STREAM_H_
