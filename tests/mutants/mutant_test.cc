// The mutants of this package's BUILD file are what runs here, not the real code.
#include <array>
#include <cstddef>
#include <vector>

#include "framework/channel/pipe_header.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(Mutant, HeaderReplacesTheRealOne) {
  const std::vector<std::byte> data(20000);
  std::span<const std::byte> rest = data;
  EXPECT_EQ(TakePipeChunk(rest).size(), 16385u);
}

TEST(Mutant, SourceReplacesTheLibrarysObject) {
  const std::array<std::byte, 8> header = {std::byte{6}};  // a type that does not exist
  EXPECT_TRUE(ParsePipe(header, PipeMode::kByte).has_value());
}

}  // namespace
}  // namespace vmbuskit
