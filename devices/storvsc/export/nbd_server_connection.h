// One client of an NBD server: moves bytes between its stream and its session until both are at an end.
//
//   auto connection = std::make_unique<NbdServerConnection>(owner, std::move(stream), options);
//   connection->Start();
//   connection->Stop();                // answers what is in flight, then ends; Drop() does not wait for the client
//
// Thread safety: its owner's executor. Lifetime: ends by OnConnectionEnded, from inside of which the owner destroys
// it; not before, because requests may be in flight. Buffers are read into and written from where they are.
// Errors: error() after the end; ok when both sides wanted it.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_CONNECTION_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_session.h"
#include "platform/executor.h"
#include "platform/stream.h"
#include "platform/time.h"

namespace vmbuskit {

class NbdServerConnection;

class NbdServerConnectionOwner : public NbdCatalog {
 public:
  virtual std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo& info) = 0;
  // Destroys it.
  virtual void OnConnectionEnded(NbdServerConnection& connection) = 0;
};

class NbdServerConnection final : private NbdSessionOwner {
 public:
  struct Options {
    NbdLimits limits{};
    NbdTls tls = NbdTls::kNone;
    StreamGuard* guard = nullptr;   // for TLS
    Duration handshake_deadline{};  // for everything before the choice of an export
  };

  NbdServerConnection(NbdServerConnectionOwner& owner, Executor& executor,
                      std::unique_ptr<Stream> stream, const Options& options);
  ~NbdServerConnection() override;

  void Start();
  void Stop();
  void Drop(absl::Status reason);

  // Empty until it chose one.
  const std::string& export_name() const { return session_.export_info().name; }
  bool in_transmission() const { return session_.in_transmission(); }
  NbdCounters counters() const { return session_.counters(); }
  const absl::Status& error() const { return error_; }

 private:
  std::optional<NbdExportInfo> Find(std::string_view name) override { return owner_.Find(name); }
  std::vector<NbdExportInfo> List() override { return owner_.List(); }
  std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo& info) override {
    return owner_.OpenDisk(info);
  }
  void OnProgress() override { pump_.Signal(); }

  void OnDeadline();
  void Pump();
  // Whether anything moved.
  bool WriteSome();
  bool ReadSome();
  bool StartTls();
  bool AtEnd();

  static constexpr int kRoundsMax = 16;  // of one turn; others want theirs

  NbdServerConnectionOwner& owner_;
  const Options options_;
  std::unique_ptr<Stream> stream_;  // null: dropped
  Event pump_;
  Timer deadline_;
  NbdSession session_;
  absl::Status error_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_SERVER_CONNECTION_H_
