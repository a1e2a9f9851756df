#include "platform/sim/reused_memory.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "platform/linux/memfd_memory.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kPageCount = 130;  // ends inside a word of bits

class ReusedMemoryTest : public testing::Test {
 protected:
  Mapping Map(const std::vector<Pfn>& pages) { return memory_.Map(pages).value(); }
  std::byte& ByteOf(Pfn page) { return memory_.Translate(page * kPageSize, 1).value()[0]; }

  const std::unique_ptr<MemfdMemory> inner_ = *MemfdMemory::Create({.page_count = kPageCount});
  ReusedMemory memory_{*inner_, /*pieces_max=*/10};
};

TEST_F(ReusedMemoryTest, ShowsTheInnerMemory) {
  EXPECT_EQ(memory_.page_count(), kPageCount);
  ByteOf(7) = std::byte{42};
  EXPECT_EQ(inner_->Translate(7 * kPageSize, 1).value()[0], std::byte{42});
  const Mapping mapping = Map({3, 7, 7});
  EXPECT_EQ(mapping.bytes().size(), 3 * kPageSize);
  EXPECT_EQ(mapping.bytes()[kPageSize], std::byte{42});
  EXPECT_EQ(mapping.bytes()[2 * kPageSize], std::byte{42});
}

TEST_F(ReusedMemoryTest, RefusesWhatIsNotThere) {
  EXPECT_EQ(memory_.Translate(kPageCount * kPageSize, 1).status().code(),
            absl::StatusCode::kOutOfRange);
  const std::vector<Pfn> pages = {1, kPageCount};
  EXPECT_EQ(memory_.Map(pages).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(memory_.mapped_pages(), 0u);
  EXPECT_EQ(memory_.Map({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ReusedMemoryTest, GivesTheSameMappingForTheSamePages) {
  Mapping mapping = Map({1, 2, 2});
  const std::byte* const at = mapping.bytes().data();
  EXPECT_EQ(memory_.mapped_pages(), 3u);
  mapping.Reset();
  EXPECT_EQ(memory_.mapped_pages(), 0u);
  EXPECT_EQ(memory_.idle_mappings(), 1u);
  const Mapping again = Map({1, 2, 2});
  EXPECT_EQ(again.bytes().data(), at);
  EXPECT_EQ(memory_.idle_mappings(), 0u);
  EXPECT_EQ(memory_.mapped_pages(), 3u);
  EXPECT_EQ(inner_->mapped_pages(), 3u);
}

TEST_F(ReusedMemoryTest, GivesMappingsThatAreInUseToNobodyElse) {
  const Mapping one = Map({5});
  const Mapping other = Map({5});
  EXPECT_NE(one.bytes().data(), other.bytes().data());
  one.bytes()[9] = std::byte{1};
  EXPECT_EQ(other.bytes()[9], std::byte{1});
}

TEST_F(ReusedMemoryTest, DropsIdleMappingsAboveItsLimitOfPieces) {
  const Mapping kept = Map({1});
  for (Pfn page = 0; page < 18; page += 2) Map({page + 20});
  EXPECT_EQ(memory_.idle_mappings(), 9u);
  Map({50, 52});  // two pieces more: twelve
  EXPECT_EQ(memory_.idle_mappings(), 1u);
  EXPECT_EQ(inner_->mapped_pages(), 3u);
  EXPECT_EQ(memory_.mapped_pages(), 1u);
}

TEST_F(ReusedMemoryTest, IsZeroAfterRenew) {
  ByteOf(0) = std::byte{1};
  ByteOf(kPageCount - 1) = std::byte{2};
  std::memset(memory_.Translate(63 * kPageSize + 4095, 2).value().data(), 3, 2);
  Map({77}).bytes()[4000] = std::byte{4};
  memory_.Renew();
  const std::span<std::byte> all = inner_->Translate(0, kPageCount * kPageSize).value();
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], std::byte{0}) << i;
  // A mapping that is used again can be written again.
  Map({77}).bytes()[4000] = std::byte{5};
  memory_.Renew();
  EXPECT_EQ(all[77 * kPageSize + 4000], std::byte{0});
}

}  // namespace
}  // namespace vmbuskit
