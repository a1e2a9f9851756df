// An NBD server in a process of its own that misbehaves as a test wants. For nbd_faults_test.cc.
//
//   FakeNbdServer server(path, {.read = FakeNbdServer::Read::kHangUp});
//
// Serves one connection after another (with hold_write all together), until destroyed. Keeps 4 KiB of data.
// Thread safety: none. Errors: a test failure.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_NBD_FAKE_SERVER_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_NBD_FAKE_SERVER_H_

#include <cstdint>
#include <string>

namespace vmbuskit {

class FakeNbdServer {
 public:
  enum class Read : uint8_t { kZeros, kHangUp, kSilent, kShutDown, kErrorOnce };
  struct Options {
    uint32_t silent = 0;  // connections without a handshake, before others
    Read read = Read::kZeros;
    Read flush = Read::kZeros;  // kZeros: answered
    uint64_t bytes = 1 << 20;
    bool fua = false;
    bool hold_write =
        false;           // the first of all, until Release; other connections are served meanwhile
    bool flood = false;  // a handshake that goes on for ever, and never pauses
    bool endless_read = false;  // the same of reads: chunk after chunk of the same bytes
  };

  FakeNbdServer(const std::string& path, const Options& options);
  ~FakeNbdServer();
  FakeNbdServer(const FakeNbdServer&) = delete;
  FakeNbdServer& operator=(const FakeNbdServer&) = delete;

  bool holds() const;
  uint32_t flushes() const;  // that were answered, or are about to be
  void Release();

 private:
  const std::string path_;
  int process_ = -1;
  int release_ = -1;
  struct FakeNbdDisk* disk_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_NBD_FAKE_SERVER_H_
