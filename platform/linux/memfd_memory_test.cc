#include "platform/linux/memfd_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kPages = 16;

std::unique_ptr<MemfdMemory> NewMemory() {
  return MemfdMemory::Create({.page_count = kPages}).value();
}

std::byte& FirstByte(MemfdMemory& memory, Pfn page) {
  return memory.Translate(page * kPageSize, 1).value()[0];
}

TEST(MemfdMemory, StartsZeroedAndKeepsWhatIsWritten) {
  auto memory = NewMemory();
  EXPECT_EQ(memory->page_count(), kPages);
  const std::span<std::byte> all = memory->Translate(0, kPages * kPageSize).value();
  for (std::byte byte : all) ASSERT_EQ(byte, std::byte{0});
  all[kPages * kPageSize - 1] = std::byte{7};
  EXPECT_EQ(memory->Translate(kPages * kPageSize - 1, 1).value()[0], std::byte{7});
}

TEST(MemfdMemory, TranslateChecksBoundsWithoutOverflow) {
  auto memory = NewMemory();
  constexpr uint64_t kEnd = kPages * kPageSize;
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(memory->Translate(kEnd, 0).ok());
  EXPECT_TRUE(memory->Translate(kEnd - 1, 1).ok());
  const std::pair<uint64_t, uint64_t> bad[] = {
      {kEnd, 1}, {kEnd + 1, 0}, {kEnd - 1, 2}, {0, kEnd + 1},
      {kMax, 1}, {1, kMax},     {kMax, kMax},  {kEnd, kMax - kEnd + 1}};
  for (const auto& [gpa, length] : bad) {
    EXPECT_EQ(memory->Translate(gpa, length).status().code(), absl::StatusCode::kOutOfRange)
        << gpa << " " << length;
  }
  EXPECT_EQ(memory->Translate(kEnd - 1, 2).status().message(),
            "guest memory: 2 bytes at address 65535 (page 15) pass the end at page 16");
}

TEST(MemfdMemory, MapShowsPagesInAnyOrderAndMoreThanOnce) {
  auto memory = NewMemory();
  for (Pfn page = 0; page < kPages; ++page) FirstByte(*memory, page) = std::byte(0x40 + page);
  const Pfn order[] = {9, 2, 3, 2, 3, 15};
  Mapping mapping = memory->Map(order).value();
  ASSERT_EQ(mapping.bytes().size(), 6 * kPageSize);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(mapping.bytes()[i * kPageSize], std::byte(0x40 + order[i])) << i;
  }
  // What is written over the seam of the double mapping appears at the beginning of the data.
  std::memcpy(&mapping.bytes()[3 * kPageSize - 4], "wrapped!", 8);
  EXPECT_EQ(std::memcmp(&mapping.bytes()[kPageSize], "ped!", 4), 0);
  EXPECT_EQ(std::memcmp(memory->Translate(2 * kPageSize, 4).value().data(), "ped!", 4), 0);
}

TEST(MemfdMemory, MapNamesThePageThatDoesNotExist) {
  auto memory = NewMemory();
  const Pfn pages[] = {1, 16, 99};
  const auto mapping = memory->Map(pages);
  EXPECT_EQ(mapping.status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(mapping.status().message(), "guest memory: page 16 (number 1 of 3 to map), limit 16");
  EXPECT_EQ(memory->Map({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(memory->mapped_pages(), 0u);
}

// True when [address, address + size) is not in this process's address space at all.
bool NothingMappedAt(std::byte* address, size_t size) {
  void* probe = mmap(address, size, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (probe == MAP_FAILED) return false;
  munmap(probe, size);
  return probe == address;
}

TEST(MemfdMemory, MappingsAreCountedAndUnmappedWithTheirGuard) {
  auto memory = NewMemory();
  const Pfn pages[] = {1, 2, 3};
  Mapping first = memory->Map(pages).value();
  Mapping second = memory->Map({&pages[0], 1}).value();
  EXPECT_EQ(memory->mapped_pages(), 4u);
  Mapping moved = std::move(first);
  EXPECT_EQ(memory->mapped_pages(), 4u);
  std::byte* const at = moved.bytes().data();
  EXPECT_FALSE(NothingMappedAt(at, kPageSize));
  EXPECT_FALSE(NothingMappedAt(at + 3 * kPageSize, kPageSize));  // the guard
  moved.Reset();
  EXPECT_EQ(memory->mapped_pages(), 1u);
  EXPECT_TRUE(NothingMappedAt(at, 4 * kPageSize));
  second.Reset();
  EXPECT_EQ(memory->mapped_pages(), 0u);
}

TEST(MemfdMemoryDeathTest, RunningOverTheEndOfAMappingIsAFault) {
  auto memory = NewMemory();
  const Pfn pages[] = {1};
  Mapping mapping = memory->Map(pages).value();
  volatile std::byte* const behind = mapping.bytes().data() + kPageSize;
  EXPECT_DEATH(*behind = std::byte{1}, "");
}

TEST(MemfdMemory, CreateRefusesImpossibleSizes) {
  EXPECT_EQ(MemfdMemory::Create({.page_count = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MemfdMemory::Create({.page_count = uint64_t{1} << 60}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MemfdMemory, HugePagesAreAWishThatNeverFails) {
  auto memory = MemfdMemory::Create({.page_count = 1024, .huge_pages = true}).value();
  FirstByte(*memory, 1023) = std::byte{5};
  const Pfn pages[] = {1023, 0, 1023};
  Mapping mapping = memory->Map(pages).value();
  EXPECT_EQ(mapping.bytes()[2 * kPageSize], std::byte{5});
}

TEST(MemfdMemory, AdoptedByAPeerItIsTheSameMemory) {
  auto memory = NewMemory();
  auto peer = MemfdMemory::Adopt(dup(memory->fd())).value();
  EXPECT_EQ(peer->page_count(), kPages);
  FirstByte(*memory, 3) = std::byte{9};
  EXPECT_EQ(FirstByte(*peer, 3), std::byte{9});
  const Pfn pages[] = {3};
  EXPECT_EQ(peer->Map(pages).value().bytes()[0], std::byte{9});
  EXPECT_NE(ftruncate(memory->fd(), 0), 0);  // sealed
}

TEST(MemfdMemory, AdoptRefusesWhatCouldShrinkAndWhatIsNoMemory) {
  const int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(unsealed, 4096), 0);
  EXPECT_EQ(MemfdMemory::Adopt(unsealed).status().code(), absl::StatusCode::kFailedPrecondition);
  const int odd = memfd_create("odd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(odd, 4097), 0);
  ASSERT_EQ(fcntl(odd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_EQ(MemfdMemory::Adopt(odd).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MemfdMemory::Adopt(open("/dev/null", O_RDWR | O_CLOEXEC)).status().code(),
            absl::StatusCode::kInvalidArgument);  // EINVAL: not a file with seals
}

TEST(MemfdMemory, ThreadsMapAndUnmapAtTheSameTime) {
  auto memory = NewMemory();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&memory, i] {
      const Pfn pages[] = {Pfn(i), 8, Pfn(i)};
      for (int round = 0; round < 500; ++round) {
        Mapping mapping = memory->Map(pages).value();
        mapping.bytes()[0] = std::byte(round);
        ASSERT_EQ(mapping.bytes()[2 * kPageSize], std::byte(round));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(memory->mapped_pages(), 0u);
}

}  // namespace
}  // namespace vmbuskit
