// Requests of several executors for the same bytes at the same time.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <thread>

#include "devices/storvsc/host/ram_disk.h"

namespace vmbuskit {
namespace {

constexpr size_t kPage = 4096;

// True when each 4 KiB is of one write.
bool IsWhole(std::span<const std::byte> bytes) {
  for (size_t at = 0; at < bytes.size(); at += kPage) {
    const std::span<const std::byte> page = bytes.subspan(at, kPage);
    for (const std::byte each : page) {
      if (each != page[0]) return false;
    }
  }
  return true;
}

TEST(RamDiskThreads, FourKibibytesAreOfOneWrite) {
  RamDisk disk({.bytes = 2 * RamDisk::kChunkBytes});
  std::atomic<int> ready = 0;
  const auto write = [&](unsigned first) {
    std::array<std::byte, 3 * kPage> bytes;
    ready.fetch_add(1);
    while (ready.load() < 3) std::this_thread::yield();
    for (unsigned i = 0; i < 1000; ++i) {
      bytes.fill(std::byte(first + i % 100));
      // Over the border of two chunks.
      EXPECT_TRUE(disk.Poke(RamDisk::kChunkBytes - 2 * kPage, bytes));
    }
  };
  std::thread one(write, 1), other(write, 101);
  std::array<std::byte, 4 * kPage> read;
  ready.fetch_add(1);
  while (ready.load() < 3) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) {
    disk.Peek(RamDisk::kChunkBytes - 2 * kPage, read);
    ASSERT_TRUE(IsWhole(read)) << "in round " << i;
  }
  one.join();
  other.join();
}

}  // namespace
}  // namespace vmbuskit
