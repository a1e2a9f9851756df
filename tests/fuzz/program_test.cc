#include "tests/fuzz/program.h"

#include <cstring>
#include <set>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

size_t Untouched(uint8_t*, size_t size, size_t) { return size; }
size_t SetsFirst(uint8_t* data, size_t size, size_t) {
  data[0] = 0xA5;
  return size;
}

std::vector<uint8_t> Bytes(const std::vector<Operation>& program) {
  std::vector<uint8_t> bytes(program.size() * sizeof(Operation));
  if (!bytes.empty()) std::memcpy(bytes.data(), program.data(), bytes.size());
  return bytes;
}

// `program` after one call of the mutator.
std::vector<Operation> Mutated(const std::vector<Operation>& program, unsigned seed,
                               size_t max_size = 4096, RawMutation raw = &Untouched) {
  std::vector<uint8_t> bytes = Bytes(program);
  const size_t size = bytes.size();
  bytes.resize(std::max(size, max_size));
  const size_t mutated = MutateProgram(bytes.data(), size, max_size, seed, raw);
  EXPECT_LE(mutated, max_size);
  EXPECT_EQ(mutated % sizeof(Operation), 0u);
  return DecodeProgram(bytes.data(), mutated);
}

const std::vector<Operation> kThree = {{.code = 1, .c = 10}, {.code = 2}, {.code = 3}};

TEST(ProgramTest, ReadsWholeOperationsAndFillsTheLastWithZeros) {
  const uint8_t bytes[] = {7, 1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9};
  const std::vector<Operation> program = DecodeProgram(bytes, sizeof bytes);
  ASSERT_EQ(program.size(), 2u);
  EXPECT_EQ(program[0].code, 7);
  EXPECT_EQ(program[0].who, 1);
  EXPECT_EQ(program[0].a, 2);
  EXPECT_EQ(program[0].b, 3u);
  EXPECT_EQ(program[0].c, 4u);
  EXPECT_EQ(program[1].code, 9);
  EXPECT_EQ(program[1].c, 0u);
  EXPECT_TRUE(DecodeProgram(nullptr, 0).empty());
}

TEST(ProgramTest, AProgramHasAnEnd) {
  const std::vector<uint8_t> bytes((kProgramOperationsMax + 5) * sizeof(Operation), 1);
  EXPECT_EQ(DecodeProgram(bytes.data(), bytes.size()).size(), kProgramOperationsMax);
}

TEST(ProgramTest, TheSameSeedMutatesTheSameWay) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(Bytes(Mutated(kThree, seed)), Bytes(Mutated(kThree, seed)));
  }
}

TEST(ProgramTest, MutationsInsertDeleteMoveAndChange) {
  std::set<size_t> sizes;
  bool moved = false, field = false, code = false, configuration = false;
  for (unsigned seed = 0; seed < 500; ++seed) {
    const std::vector<Operation> program = Mutated(kThree, seed);
    sizes.insert(program.size());
    if (program.size() != kThree.size()) continue;
    moved |= program[1].code == 3 && program[2].code == 2;
    field |= program[1].code == 2 && (program[1].a != 0 || program[1].b != 0 || program[1].c != 0);
    code |= program[1].code > 3;
    configuration |= program[0].c != 10;
  }
  EXPECT_TRUE(sizes.contains(2) && sizes.contains(4) && sizes.contains(5)) << "and several at once";
  EXPECT_TRUE(moved && field && code && configuration);
}

TEST(ProgramTest, StaysWithinTheGivenSizeAndMakesSomethingOfNothing) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    EXPECT_LE(Mutated(kThree, seed, 3 * sizeof(Operation)).size(), 3u);
    EXPECT_GE(Mutated({}, seed).size(), 1u);
  }
}

TEST(ProgramTest, UsesTheRawMutationNowAndThen) {
  int used = 0;
  for (unsigned seed = 0; seed < 500; ++seed) {
    for (const Operation& operation : Mutated(kThree, seed, 4096, &SetsFirst)) {
      used += operation.code == 0xA5;
    }
  }
  EXPECT_GT(used, 20);
}

TEST(ProgramTest, ASpliceIsABeginningAndAnEnd) {
  const std::vector<Operation> other = {{.code = 11}, {.code = 12}, {.code = 13}};
  std::set<size_t> sizes;
  for (unsigned seed = 0; seed < 200; ++seed) {
    uint8_t out[4 * sizeof(Operation)];
    const std::vector<uint8_t> first = Bytes(kThree), second = Bytes(other);
    const size_t size = SplicePrograms(first.data(), first.size(), second.data(), second.size(),
                                       out, sizeof out, seed);
    ASSERT_LE(size, sizeof out);
    const std::vector<Operation> spliced = DecodeProgram(out, size);
    sizes.insert(spliced.size());
    bool tail = false;
    uint8_t last = 0;
    for (const Operation& operation : spliced) {
      tail |= operation.code > 10;
      EXPECT_EQ(operation.code > 10, tail);
      if (last != 0 && last / 10 == operation.code / 10) {
        EXPECT_EQ(operation.code, last + 1);
      }
      last = operation.code;
    }
  }
  EXPECT_TRUE(sizes.contains(0) && sizes.contains(4)) << "cut anywhere, never too long";
}

}  // namespace
}  // namespace vmbuskit
