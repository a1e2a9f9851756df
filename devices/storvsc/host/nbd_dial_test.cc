#include "devices/storvsc/host/nbd_dial.h"

#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "devices/storvsc/host/nbd_connection.h"
#include "devices/storvsc/host/nbd_fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/linux/executor.h"

namespace vmbuskit {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr std::string_view kName = "disk.invalid";

// The resolver of this program, which answers for one name when the test lets it.
struct Resolver {
  // No test waits for ever: a resolver that was waited for says so.
  bool Resolve() {
    std::unique_lock lock(mutex);
    ++asked;
    changed.notify_all();
    const bool let = changed.wait_for(lock, std::chrono::seconds(5), [this] { return answers; });
    gave_up = gave_up || !let;
    ++answered;
    changed.notify_all();
    return let;
  }
  void WaitUntilAsked(int times) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return asked >= times; });
  }
  // And waits until nobody is in it any more.
  void Answer() {
    std::unique_lock lock(mutex);
    answers = true;
    changed.notify_all();
    changed.wait(lock, [this] { return asked == answered; });
  }
  void Reset() {
    const std::lock_guard lock(mutex);
    asked = answered = 0;
    answers = gave_up = false;
  }

  std::mutex mutex;
  std::condition_variable changed;
  int asked = 0;
  int answered = 0;
  bool answers = false;
  bool gave_up = false;
};
Resolver& TheResolver() {
  static Resolver& resolver = *new Resolver;  // threads may still be in it when the program ends
  return resolver;
}

}  // namespace
}  // namespace vmbuskit

// Instead of the library's.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  if (name != nullptr && name == vmbuskit::kName) {
    (void)vmbuskit::TheResolver().Resolve();
    return EAI_AGAIN;
  }
  const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, result);
}

namespace vmbuskit {
namespace {

const std::string kUri = "nbd://disk.invalid/";

constexpr NbdDeadlines kShort = {.handshake = milliseconds(50),
                                 .answer = milliseconds(10000),
                                 .operation = milliseconds(200),
                                 .pause = milliseconds(10)};

struct Read final : NbdOperation {
  Read() {
    data = memory;
    bytes = sizeof memory;
  }
  void OnDone(int error) override { ended = error; }
  std::byte memory[512] = {};
  std::optional<int> ended;
};

class NbdDialTest : public testing::Test {
 protected:
  NbdDialTest() : executor_(*LinuxExecutor::Create({})) { TheResolver().Reset(); }
  ~NbdDialTest() override { TheResolver().Answer(); }
  std::unique_ptr<LinuxExecutor> executor_;
};

TEST_F(NbdDialTest, ANameThatNobodyResolvesStopsNobodyElse) {
  const auto writes = std::make_shared<NbdWrites>();
  std::optional<NbdConnection> connection;
  connection.emplace(kUri, NbdFacts{.bytes = 4096}, kShort, writes, *executor_);
  TheResolver().WaitUntilAsked(1);
  Read read;
  connection->Submit(read);
  while (!read.ended) executor_->RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(read.ended, ETIMEDOUT);
  EXPECT_EQ(TheResolver().asked, 1) << "another thread would not do better";
  connection.reset();
  EXPECT_EQ(TheResolver().answered, 0) << "waited for the resolver";
}

TEST_F(NbdDialTest, AskingDoesNotWaitForANameLongerThanTheDeadline) {
  const absl::Status status = NbdDial::Ask(kUri, milliseconds(50)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr(kName));
  EXPECT_EQ(TheResolver().answered, 0);
}

TEST_F(NbdDialTest, ANameThatDoesNotExistIsTriedAgain) {
  TheResolver().Answer();
  const absl::Status status = NbdDial::Ask(kUri, std::chrono::seconds(10)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const auto writes = std::make_shared<NbdWrites>();
  NbdConnection connection(kUri, NbdFacts{.bytes = 4096}, kShort, writes, *executor_);
  Read read;
  connection.Submit(read);
  while (!read.ended) executor_->RunOnce(/*may_sleep=*/true);
  EXPECT_EQ(read.ended, ETIMEDOUT);
  EXPECT_GE(TheResolver().asked, 3);
}

class NbdDialServerTest : public testing::Test {
 protected:
  NbdDialServerTest() {
    std::string folder = "/tmp/nbd_dial_testXXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~NbdDialServerTest() override { rmdir(folder_.c_str()); }
  std::string Path() const { return folder_ + "/s"; }
  std::string Uri() const { return "nbd+unix:///?socket=" + Path(); }
  std::string folder_;
};

TEST_F(NbdDialServerTest, TellsWhatTheServerTold) {
  const FakeNbdServer server(Path(), {.bytes = 12345, .fua = true});
  const absl::StatusOr<NbdFacts> facts = NbdDial::Ask(Uri(), std::chrono::seconds(10));
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->bytes, 12345u);
  EXPECT_TRUE(facts->fua && facts->flush);
  EXPECT_FALSE(facts->trim || facts->zero || facts->status || facts->multi_conn);
}

TEST_F(NbdDialServerTest, AHandshakeWithoutEndIsLeftAtTheDeadline) {
  const FakeNbdServer server(Path(), {.flood = true});
  EXPECT_EQ(NbdDial::Ask(Uri(), milliseconds(100)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(NbdDialServerTest, ASilentHandshakeIsLeftAtTheDeadline) {
  const FakeNbdServer server(Path(), {.silent = 100});
  EXPECT_EQ(NbdDial::Ask(Uri(), milliseconds(100)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace vmbuskit
