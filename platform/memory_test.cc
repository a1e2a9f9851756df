#include "platform/memory.h"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

// Notes what is unmapped.
struct Unmapper {
  static void Unmap(std::byte* data, size_t size, void* context) {
    static_cast<Unmapper*>(context)->unmapped.emplace_back(data, size);
  }
  Mapping Map(size_t begin, size_t size) {
    return Mapping({bytes.data() + begin, size}, &Unmapper::Unmap, this);
  }
  std::array<std::byte, 64> bytes{};
  std::vector<std::pair<std::byte*, size_t>> unmapped;
};

TEST(Mapping, DefaultIsEmpty) {
  Mapping mapping;
  EXPECT_TRUE(mapping.bytes().empty());
  mapping.Reset();
}

TEST(Mapping, UnmapsOnceWithWhatWasMapped) {
  Unmapper unmapper;
  {
    Mapping mapping = unmapper.Map(8, 16);
    EXPECT_EQ(mapping.bytes().data(), &unmapper.bytes[8]);
    mapping.Reset();
    EXPECT_TRUE(mapping.bytes().empty());
    ASSERT_EQ(unmapper.unmapped.size(), 1u);
    EXPECT_EQ(unmapper.unmapped[0], std::make_pair(&unmapper.bytes[8], size_t{16}));
  }
  EXPECT_EQ(unmapper.unmapped.size(), 1u);
}

TEST(Mapping, MovingKeepsItMappedAndAssigningUnmapsTheOld) {
  Unmapper unmapper;
  Mapping a = unmapper.Map(0, 8);
  Mapping b = std::move(a);
  EXPECT_TRUE(a.bytes().empty());  // NOLINT: what a moved-from mapping is, is promised
  EXPECT_EQ(b.bytes().size(), 8u);
  EXPECT_TRUE(unmapper.unmapped.empty());
  b = unmapper.Map(32, 4);
  ASSERT_EQ(unmapper.unmapped.size(), 1u);
  EXPECT_EQ(unmapper.unmapped[0].first, &unmapper.bytes[0]);
  Mapping& same = b;
  b = std::move(same);
  EXPECT_EQ(b.bytes().size(), 4u);
  EXPECT_EQ(unmapper.unmapped.size(), 1u);
}

class NotingAllocator : public PageAllocator {
 public:
  absl::StatusOr<PageRun> Allocate(uint32_t count) override { return PageRun(this, 100, count); }
  uint64_t allocated() const override { return 0; }
  uint64_t leaked() const override { return 0; }

  std::vector<std::pair<Pfn, uint32_t>> freed;
  std::vector<std::pair<Pfn, uint32_t>> lost;

 private:
  void Free(Pfn first, uint32_t count) override { freed.emplace_back(first, count); }
  void Leak(Pfn first, uint32_t count) override { lost.emplace_back(first, count); }
};

TEST(PageRun, ReturnsToItsAllocatorOnce) {
  NotingAllocator allocator;
  {
    PageRun run = allocator.Allocate(3).value();
    EXPECT_TRUE(run);
    EXPECT_EQ(run.gpa(), 100u * 4096);
    EXPECT_EQ(run.count(), 3u);
    PageRun moved = std::move(run);
    EXPECT_FALSE(run);  // NOLINT: what a moved-from run is, is promised
    EXPECT_TRUE(allocator.freed.empty());
  }
  EXPECT_EQ(allocator.freed, (std::vector<std::pair<Pfn, uint32_t>>{{100, 3}}));
  EXPECT_TRUE(allocator.lost.empty());
}

TEST(PageRun, LeakedItIsNotFreed) {
  NotingAllocator allocator;
  {
    PageRun run = allocator.Allocate(2).value();
    run.Leak();
    EXPECT_FALSE(run);
    run.Leak();
  }
  EXPECT_TRUE(allocator.freed.empty());
  EXPECT_EQ(allocator.lost, (std::vector<std::pair<Pfn, uint32_t>>{{100, 2}}));
}

}  // namespace
}  // namespace vmbuskit
