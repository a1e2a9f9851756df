#include "devices/storvsc/host/nbd_fake_server.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

class Session {
 public:
  Session(int socket, const FakeNbdServer::Options& options) : socket_(socket), options_(options) {}

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
    for (uint64_t i = 0; type == 1 && good_ && i < bytes; ++i) Get(1);
    const bool reads = type == 0;
    Read& planned = reads ? options_.read : options_.flush;
    const Read fault = reads || type == 3 ? planned : Read::kZeros;
    if (fault == Read::kErrorOnce) planned = Read::kZeros;
    if (type == 2 || fault == Read::kHangUp) return false;
    if (fault == Read::kSilent) Sleep();
    if (!good_) return false;
    const int error = fault == Read::kShutDown ? 108 : fault == Read::kErrorOnce ? 5 : 0;
    Put(0x67446698, 4);
    Put(error, 4);
    Put(cookie, 8);
    for (uint64_t i = 0; reads && error == 0 && i < bytes; ++i) Put(0, 1);
    return true;
  }

  const int socket_;
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
  process_ = fork();
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    for (Options left = options;; left.silent -= left.silent > 0) {
      const int one = accept(listener, nullptr, nullptr);
      if (one < 0) _exit(1);
      Session(one, left).Run();
      close(one);
    }
  }
  close(listener);
}

FakeNbdServer::~FakeNbdServer() {
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  unlink(path_.c_str());
}

}  // namespace vmbuskit
