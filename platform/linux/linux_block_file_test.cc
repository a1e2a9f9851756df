#include "platform/linux/linux_block_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/linux/executor.h"
#include "platform/linux/file_vectors.h"

namespace vmbuskit {
namespace {

using testing::HasSubstr;

constexpr size_t kMebi = 1 << 20;

class ImageFile {
 public:
  explicit ImageFile(size_t bytes) {
    path_ = (std::getenv("TEST_TMPDIR") != nullptr ? std::getenv("TEST_TMPDIR") : "/tmp") +
            std::string("/imageXXXXXX");
    const int fd = mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0);
    close(fd);
  }
  ~ImageFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct TestOperation final : FileOperation {
  void OnDone(int with) override {
    EXPECT_FALSE(submitting) << "OnDone from inside Submit";
    error = with;
    ++ended;
  }
  int error = -1;
  int ended = 0;
  bool submitting = false;
};

class LinuxBlockFileTest : public testing::TestWithParam<LinuxBlockFile::Engine> {
 protected:
  LinuxBlockFileTest() : executor_(*LinuxExecutor::Create({})) {}

  std::unique_ptr<LinuxBlockFile> Open(const std::string& path,
                                       LinuxBlockFile::Options options = {}) {
    options.engine = GetParam();
    absl::StatusOr<std::unique_ptr<LinuxBlockFile>> file = LinuxBlockFile::Open(path, options);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }
  void Submit(FileQueue& queue, TestOperation& operation) {
    operation.submitting = true;
    queue.Submit(operation);
    operation.submitting = false;
  }
  int Run(FileQueue& queue, TestOperation& operation) {
    Submit(queue, operation);
    while (operation.ended == 0) executor_->RunOnce(/*may_sleep=*/true);
    return operation.error;
  }
  int Move(FileQueue& queue, FileOperation::Kind kind, uint64_t offset,
           std::span<std::byte> bytes) {
    TestOperation operation;
    iovec vector = {bytes.data(), bytes.size()};
    operation.kind = kind;
    operation.offset = offset;
    operation.vectors = std::span(&vector, 1);
    return Run(queue, operation);
  }

  // A page each, all submitted in one turn.
  void WriteAndReadMany(LinuxBlockFile& file) {
    constexpr size_t kCount = 200;
    constexpr size_t kBytes = 4096;
    struct alignas(kBytes) Block {
      std::array<std::byte, kBytes> bytes;
    };
    const std::unique_ptr<FileQueue> queue = *file.OpenQueue(*executor_);
    std::vector<Block> blocks(kCount), read(kCount);
    std::vector<iovec> vectors(kCount);
    std::vector<TestOperation> operations(kCount);
    for (size_t i = 0; i < kCount; ++i) {
      blocks[i].bytes.fill(static_cast<std::byte>(i));
      vectors[i] = {blocks[i].bytes.data(), kBytes};
      operations[i].kind = FileOperation::Kind::kWrite;
      operations[i].offset = i * kBytes;
      operations[i].vectors = std::span(&vectors[i], 1);
      Submit(*queue, operations[i]);
    }
    const auto ended = [&operations] {
      return std::accumulate(operations.begin(), operations.end(), 0,
                             [](int sum, const TestOperation& o) { return sum + o.ended; });
    };
    while (ended() < static_cast<int>(kCount)) executor_->RunOnce(true);
    EXPECT_EQ(Move(*queue, FileOperation::Kind::kRead, 0, std::as_writable_bytes(std::span(read))),
              0);
    for (size_t i = 0; i < kCount; ++i) {
      EXPECT_EQ(operations[i].ended, 1);
      EXPECT_EQ(operations[i].error, 0);
      EXPECT_EQ(read[i].bytes, blocks[i].bytes) << i;
    }
  }

  std::unique_ptr<LinuxExecutor> executor_;
};

TEST_P(LinuxBlockFileTest, ReadsWhatWasWritten) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  EXPECT_EQ(file->bytes(), kMebi);
  EXPECT_EQ(file->engine(), GetParam());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  std::vector<std::byte> written(10'000, std::byte{0x5A}), read(10'000);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 513, written), 0);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kRead, 513, read), 0);
  EXPECT_EQ(read, written);
}

TEST_P(LinuxBlockFileTest, ManyAtOnceEndOnceEach) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path(), {.depth = 4});
  WriteAndReadMany(*file);
}

// They go to the kernel a few at a time.
TEST_P(LinuxBlockFileTest, ManyAtOnceEndOnceEachAlsoPastThePageCache) {
  const ImageFile image(kMebi);
  if (const auto direct = LinuxBlockFile::Open(image.path(), {.direct = true}); !direct.ok()) {
    GTEST_SKIP() << "the file system has no O_DIRECT: " << direct.status();
  }
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path(), {.direct = true, .depth = 16});
  WriteAndReadMany(*file);
}

TEST_P(LinuxBlockFileTest, APollingExecutorNeedsNoWakeUp) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  executor_->SetMode(LinuxExecutor::Mode::kPoll);
  std::vector<std::byte> block(4096, std::byte{1});
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 0, block), 0);
  executor_->SetMode(LinuxExecutor::Mode::kSleep);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kRead, 0, block), 0);
}

TEST_P(LinuxBlockFileTest, HolesArePunchedAndFound) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  std::vector<std::byte> data(kMebi, std::byte{7});
  ASSERT_EQ(Move(*queue, FileOperation::Kind::kWrite, 0, data), 0);
  TestOperation punch;
  punch.kind = FileOperation::Kind::kPunchHole;
  punch.offset = 256 * 1024;
  punch.bytes = 512 * 1024;
  ASSERT_EQ(Run(*queue, punch), 0);
  ASSERT_EQ(Move(*queue, FileOperation::Kind::kRead, 0, data), 0);
  EXPECT_EQ(data[256 * 1024 - 1], std::byte{7});
  EXPECT_EQ(data[256 * 1024], std::byte{0});
  EXPECT_EQ(data[768 * 1024], std::byte{7});
  const auto first = *file->FindExtent(0);
  EXPECT_EQ(std::pair(first.bytes, first.data), std::pair(uint64_t{256 * 1024}, true));
  const auto hole = *file->FindExtent(300 * 1024);
  EXPECT_EQ(std::pair(hole.bytes, hole.data), std::pair(uint64_t{468 * 1024}, false));
  EXPECT_EQ(file->FindExtent(kMebi).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_P(LinuxBlockFileTest, ASyncEnds) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  std::vector<std::byte> block(4096, std::byte{1});
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 0, block), 0);
  TestOperation sync;
  sync.kind = FileOperation::Kind::kSync;
  EXPECT_EQ(Run(*queue, sync), 0);
}

TEST_P(LinuxBlockFileTest, AFileThatShrankIsAnErrorAndNoShortRead) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  ASSERT_EQ(truncate(image.path().c_str(), 6000), 0);
  std::vector<std::byte> bytes(8192);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kRead, 0, bytes), ENODATA);
}

TEST_P(LinuxBlockFileTest, TheLimitOfFilesIsAnErrorAndDoesNotEndTheProcess) {
  const ImageFile image(16 * kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 8 * kMebi;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  std::vector<std::byte> bytes(8192);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 8 * kMebi, bytes), EFBIG);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 8 * kMebi - 8192, bytes), 0);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 8 * kMebi, bytes), 0);
}

TEST_P(LinuxBlockFileTest, SignalsAreNotTakenFromTheProgramsThreads) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  // As a program does that hears of Ctrl-C by a descriptor; a thread that leaves it unblocked would end the process.
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  ASSERT_EQ(kill(getpid(), SIGTERM), 0);
  std::vector<std::byte> bytes(8192);
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kRead, 0, bytes), 0);
  int taken = 0;
  EXPECT_EQ(sigwait(&set, &taken), 0);
  EXPECT_EQ(taken, SIGTERM);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_P(LinuxBlockFileTest, ADeviceThatIsNoDiskIsRefused) {
  EXPECT_EQ(LinuxBlockFile::Open("/dev/null", {.engine = GetParam()}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(LinuxBlockFileTest, OneImageIsServedOnce) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  const absl::Status second = LinuxBlockFile::Open(image.path(), {.engine = GetParam()}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.message()), HasSubstr("locked by somebody else"));
}

TEST_P(LinuxBlockFileTest, ReadersShareAnImage) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> first = Open(image.path(), {.read_only = true});
  const std::unique_ptr<LinuxBlockFile> second = Open(image.path(), {.read_only = true});
  EXPECT_TRUE(second->read_only());
  EXPECT_FALSE(LinuxBlockFile::Open(image.path(), {.engine = GetParam()}).ok());
}

// Puts something else under the number of the process's only io_uring.
void ReplaceRing() {
  for (int fd = 3; fd < 1000; ++fd) {
    std::array<char, 64> name{};
    const std::string link = absl::StrCat("/proc/self/fd/", fd);
    if (readlink(link.c_str(), name.data(), name.size() - 1) < 0) continue;
    if (std::string_view(name.data()) != "anon_inode:[io_uring]") continue;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ASSERT_EQ(dup2(null, fd), fd);
    close(null);
    return;
  }
  FAIL() << "there is no io_uring";
}

TEST_P(LinuxBlockFileTest, ARingThatTakesNothingAnyMoreEndsAllWithItsError) {
  const ImageFile image(kMebi);
  const std::unique_ptr<LinuxBlockFile> file = Open(image.path());
  if (GetParam() != LinuxBlockFile::Engine::kIoUring) GTEST_SKIP() << "has no ring";
  const std::unique_ptr<FileQueue> queue = *file->OpenQueue(*executor_);
  std::vector<std::byte> block(4096, std::byte{1});
  ASSERT_EQ(Move(*queue, FileOperation::Kind::kWrite, 0, block), 0);
  ReplaceRing();
  iovec vector = {block.data(), block.size()};
  std::array<TestOperation, 3> operations;
  for (TestOperation& operation : operations) {
    operation.kind = FileOperation::Kind::kWrite;
    operation.vectors = std::span(&vector, 1);
    queue->Submit(operation);
  }
  while (operations[2].ended == 0) executor_->RunOnce(true);
  for (const TestOperation& operation : operations) {
    EXPECT_EQ(operation.ended, 1);
    EXPECT_EQ(operation.error, EOPNOTSUPP);
  }
  EXPECT_EQ(Move(*queue, FileOperation::Kind::kWrite, 0, block), EOPNOTSUPP);
}

INSTANTIATE_TEST_SUITE_P(Engines, LinuxBlockFileTest,
                         testing::Values(LinuxBlockFile::Engine::kIoUring,
                                         LinuxBlockFile::Engine::kThreads),
                         [](const auto& info) {
                           return info.param == LinuxBlockFile::Engine::kIoUring ? "IoUring"
                                                                                 : "Threads";
                         });

TEST(LinuxBlockFileErrorTest, WhatIsWrongIsSaidWithTheName) {
  EXPECT_EQ(LinuxBlockFile::Open("/no/such/image", {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LinuxBlockFile::Open("/no/such/image", {}).status().message()),
              HasSubstr("/no/such/image"));
  EXPECT_EQ(LinuxBlockFile::Open("/", {}).status().code(), absl::StatusCode::kInvalidArgument);
  const ImageFile empty(0);
  EXPECT_EQ(LinuxBlockFile::Open(empty.path(), {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(FileVectorsTest, WhatWasMovedIsTakenOffTheFront) {
  std::byte bytes[30];
  iovec vectors[] = {{bytes, 10}, {bytes + 10, 10}, {bytes + 20, 10}};
  TestOperation operation;
  operation.offset = 100;
  operation.vectors = vectors;
  EXPECT_TRUE(Advance(operation, 13));
  EXPECT_EQ(operation.offset, 113u);
  ASSERT_EQ(operation.vectors.size(), 2u);
  EXPECT_EQ(operation.vectors[0].iov_base, bytes + 13);
  EXPECT_EQ(operation.vectors[0].iov_len, 7u);
  EXPECT_TRUE(Advance(operation, 7));
  EXPECT_EQ(operation.vectors.size(), 1u);
  EXPECT_FALSE(Advance(operation, 10));
}

}  // namespace
}  // namespace vmbuskit
