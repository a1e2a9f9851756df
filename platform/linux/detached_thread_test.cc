#include "platform/linux/detached_thread.h"

#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <thread>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool go = false;
  bool done = false;
  std::thread::id thread;
  bool takes_interrupts = true;
};

TEST(DetachedThreadTest, RunsElsewhereWithoutTheProcesssSignals) {
  const auto shared = std::make_shared<Shared>();
  ASSERT_TRUE(RunDetached([shared] {
                std::unique_lock lock(shared->mutex);
                shared->changed.wait(lock, [&] { return shared->go; });
                sigset_t blocked;
                pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
                shared->takes_interrupts = sigismember(&blocked, SIGINT) == 0;
                shared->thread = std::this_thread::get_id();
                shared->done = true;
                shared->changed.notify_all();
              }).ok());
  std::unique_lock lock(shared->mutex);
  EXPECT_FALSE(shared->done) << "nobody waits for it";
  shared->go = true;
  shared->changed.notify_all();
  shared->changed.wait(lock, [&] { return shared->done; });
  EXPECT_NE(shared->thread, std::this_thread::get_id());
  EXPECT_FALSE(shared->takes_interrupts);
}

TEST(DetachedThreadTest, TheCallGoesWithItsEnd) {
  const auto shared = std::make_shared<Shared>();
  const auto owned = std::make_shared<int>(1);
  const std::weak_ptr<int> left = owned;
  {
    ASSERT_TRUE(RunDetached([shared, mine = owned] {
                  const std::lock_guard lock(shared->mutex);
                  shared->done = *mine == 1;
                  shared->changed.notify_all();
                }).ok());
  }
  std::unique_lock lock(shared->mutex);
  shared->changed.wait(lock, [&] { return shared->done; });
  lock.unlock();
  while (left.use_count() > 1) std::this_thread::yield();
  EXPECT_EQ(left.use_count(), 1);
}

}  // namespace
}  // namespace vmbuskit
