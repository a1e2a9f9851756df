// File operations by blocking system calls on a few threads, for kernels without io_uring.
//
//   FileThreads threads(fd, 8);
//   std::unique_ptr<FileQueue> queue = threads.OpenQueue(executor);
//
// Thread safety: OpenQueue from any thread; a queue is its executor's. Lifetime: queues go before the threads.
#ifndef VMBUSKIT_PLATFORM_LINUX_THREAD_FILE_QUEUE_H_
#define VMBUSKIT_PLATFORM_LINUX_THREAD_FILE_QUEUE_H_

#include <boost/intrusive/list.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "platform/block_file.h"
#include "platform/executor.h"

namespace vmbuskit {

class FileThreads {
 public:
  FileThreads(int fd, uint32_t threads);
  ~FileThreads();

  std::unique_ptr<FileQueue> OpenQueue(Executor& executor);

 private:
  class Queue;
  struct Job {
    FileOperation* operation;
    Queue* queue;
  };

  void Work();
  void Add(const Job& job);

  const int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // A ring would be faster; this is the fallback, and the calls below it cost far more.
  std::vector<Job> jobs_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_THREAD_FILE_QUEUE_H_
