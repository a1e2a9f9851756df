#include "devices/storvsc/host/nbd_fake_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {

// Shared by the processes.
struct FakeNbdDisk {
  std::atomic<uint32_t> flushes = 0;
  std::atomic<bool> held = false;
  std::atomic<bool> holds = false;
  std::atomic<uint8_t> bytes[4096] = {};
};

namespace {

class Session {
 public:
  Session(int socket, int release, FakeNbdDisk& disk, const FakeNbdServer::Options& options)
      : socket_(socket), release_(release), disk_(disk), options_(options) {}

  void Run() {
    if (options_.silent > 0) return Sleep();
    Put(0x4e42444d41474943, 8);  // NBDMAGIC
    Put(0x49484156454f5054, 8);  // IHAVEOPT
    Put(3, 2);                   // fixed newstyle, no zeroes
    Get(4);
    while (good_ && Negotiate()) {
    }
    while (good_ && Serve()) {
    }
  }

 private:
  using Read = FakeNbdServer::Read;

  uint64_t Get(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      uint8_t byte = 0;
      good_ = good_ && read(socket_, &byte, 1) == 1;
      value = value << 8 | byte;
    }
    return value;
  }
  void Put(uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) {
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      good_ = good_ && write(socket_, &byte, 1) == 1;
    }
  }
  void Sleep() {
    while (good_) Get(1);  // until the client leaves
  }
  void Reply(uint32_t option, uint32_t type, uint32_t bytes) {
    Put(0x3e889045565a9, 8);
    Put(option, 4);
    Put(type, 4);
    Put(bytes, 4);
  }
  // Many at a time, so that the client finds more whenever it looks; until it leaves.
  void PutForEver(const std::vector<uint8_t>& one) {
    const int room = 1 << 20;
    setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    std::vector<uint8_t> many;
    for (int i = 0; i < 40000; ++i) many.insert(many.end(), one.begin(), one.end());
    for (size_t put = 0; good_; put %= many.size()) {
      const ssize_t bytes = write(socket_, many.data() + put, many.size() - put);
      good_ = bytes > 0;
      if (good_) put += static_cast<size_t>(bytes);
    }
  }
  // Of a type that nobody knows.
  void PutInfosForEver() {
    PutForEver({0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 2, 0, 77});
  }
  // Of zeros, without an end.
  void PutChunksForEver(uint64_t cookie, uint64_t offset, uint64_t bytes) {
    std::vector<uint8_t> chunk = {0x66, 0x8e, 0x33, 0xef, 0, 0, 0, 2};
    const auto add = [&chunk](uint64_t value, int count) {
      for (int i = count - 1; i >= 0; --i) chunk.push_back(static_cast<uint8_t>(value >> (8 * i)));
    };
    add(cookie, 8);
    add(12, 4);
    add(offset, 8);
    add(bytes, 4);
    PutForEver(chunk);
  }
  // False: the requests begin.
  bool Negotiate() {
    Get(8);
    const auto option = static_cast<uint32_t>(Get(4));
    for (uint64_t left = Get(4); good_ && left > 0; --left) Get(1);
    if (option == 8 && options_.endless_read) {  // structured replies
      Reply(option, 1, 0);
      return true;
    }
    if (option != 7) {  // GO
      Reply(option, 0x80000001, 0);
      return true;
    }
    if (options_.flood) PutInfosForEver();
    Reply(option, 3, 12);
    Put(0, 2);
    Put(options_.bytes, 8);
    Put(1 | 4 | (options_.fua ? 8 : 0), 2);  // flags, flush, FUA
    Reply(option, 1, 0);
    return false;
  }
  // False: hang up.
  bool Serve() {
    Get(6);
    const uint64_t type = Get(2), cookie = Get(8);
    const uint64_t offset = Get(8), bytes = Get(4);
    if (!good_) return false;
    if (type == 0 && options_.endless_read) PutChunksForEver(cookie, offset, bytes);
    if (type == 1) TakeWrite(offset, bytes);
    const bool reads = type == 0;
    Read& planned = reads ? options_.read : options_.flush;
    const Read fault = reads || type == 3 ? planned : Read::kZeros;
    if (fault == Read::kErrorOnce) planned = Read::kZeros;
    if (type == 2 || fault == Read::kHangUp) return false;
    if (fault == Read::kSilent) Sleep();
    if (!good_) return false;
    if (type == 3) ++disk_.flushes;
    const int error = fault == Read::kShutDown ? 108 : fault == Read::kErrorOnce ? 5 : 0;
    Put(0x67446698, 4);
    Put(error, 4);
    Put(cookie, 8);
    for (uint64_t i = 0; reads && error == 0 && i < bytes; ++i) Put(At(offset + i), 1);
    return true;
  }
  std::atomic<uint8_t>& At(uint64_t offset) { return disk_.bytes[offset % sizeof disk_.bytes]; }
  void TakeWrite(uint64_t offset, uint64_t bytes) {
    std::vector<uint8_t> data(bytes);
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(Get(1));
    if (!good_) return;
    const bool holds = options_.hold_write && !disk_.held.exchange(true);
    if (holds) {
      char go = 0;
      disk_.holds = true;
      (void)!read(release_, &go, 1);
    }
    for (uint64_t i = 0; i < bytes; ++i) At(offset + i) = data[i];
    if (holds) disk_.holds = false;
  }

  const int socket_;
  const int release_;
  FakeNbdDisk& disk_;
  FakeNbdServer::Options options_;
  bool good_ = true;
};

}  // namespace

FakeNbdServer::FakeNbdServer(const std::string& path, const Options& options) : path_(path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(listener, 16), 0);
  void* const shared =
      mmap(nullptr, sizeof(FakeNbdDisk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  disk_ = new (shared) FakeNbdDisk;
  int release[2];
  EXPECT_EQ(pipe2(release, O_CLOEXEC), 0);
  release_ = release[1];
  process_ = fork();
  if (process_ == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    for (Options left = options;; left.silent -= left.silent > 0) {
      const int one = accept(listener, nullptr, nullptr);
      if (one < 0) _exit(1);
      const bool serves = !options.hold_write || fork() == 0;
      if (options.hold_write && serves) prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (serves) Session(one, release[0], *disk_, left).Run();
      if (serves && options.hold_write) _exit(0);
      close(one);
    }
  }
  setpgid(process_, process_);
  close(release[0]);
  close(listener);
}

uint32_t FakeNbdServer::flushes() const { return disk_->flushes; }

bool FakeNbdServer::holds() const { return disk_->holds; }

void FakeNbdServer::Release() { EXPECT_EQ(write(release_, "", 1), 1); }

FakeNbdServer::~FakeNbdServer() {
  kill(-process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  close(release_);
  munmap(disk_, sizeof *disk_);
  unlink(path_.c_str());
}

}  // namespace vmbuskit
