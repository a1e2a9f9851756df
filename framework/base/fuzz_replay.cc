// A fuzzer as an ordinary test: its committed corpus, mutations of that and inputs at random, the same in every run.
// The one argument is the corpus folder. Each input is named before it runs, so that the last name is the one that
// ended the program.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "platform/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace vmbuskit {
namespace {

constexpr int kMutations = 400;
constexpr int kRandomInputs = 400;
constexpr size_t kRandomBytesMax = 512;

using Bytes = std::vector<uint8_t>;

std::string corpus_folder;

void RunInput(const std::string& name, const Bytes& input) {
  std::printf("%s\n", name.c_str());
  std::fflush(stdout);
  EXPECT_EQ(LLVMFuzzerTestOneInput(input.data(), input.size()), 0);
}

struct NamedInput {
  std::string name;
  Bytes bytes;
};

std::vector<NamedInput> ReadCorpus() {
  std::vector<NamedInput> corpus;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(corpus_folder, error)) {
    std::ifstream file(entry.path(), std::ios::binary);
    EXPECT_TRUE(file.is_open()) << entry.path();
    corpus.push_back({entry.path().filename().string(), Bytes(std::istreambuf_iterator<char>(file),
                                                              std::istreambuf_iterator<char>())});
  }
  EXPECT_FALSE(error) << corpus_folder << ": " << error.message();
  std::ranges::sort(corpus, {}, &NamedInput::name);
  return corpus;
}

Bytes RandomBytes(Random& random, size_t most) {
  Bytes bytes(random.Below(most + 1));
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Next());
  return bytes;
}

void Mutate(Random& random, const Bytes& other, Bytes& bytes) {
  const size_t at = random.Below(bytes.size() + 1);
  switch (random.Below(5)) {
    case 0:
      if (at < bytes.size()) bytes[at] ^= static_cast<uint8_t>(1 << random.Below(8));
      return;
    case 1:
      if (at < bytes.size()) bytes[at] = static_cast<uint8_t>(random.Next());
      return;
    case 2:
      return bytes.resize(at);
    case 3: {
      const Bytes inserted = RandomBytes(random, 16);
      bytes.insert(bytes.begin() + static_cast<ptrdiff_t>(at), inserted.begin(), inserted.end());
      return;
    }
    default: {  // begins as this one, ends as the other
      bytes.resize(at);
      const size_t from = std::min(at, other.size());
      bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(from), other.end());
    }
  }
}

TEST(Fuzzer, HoldsOnItsCorpus) {
  const std::vector<NamedInput> corpus = ReadCorpus();
  ASSERT_FALSE(corpus.empty()) << "no corpus in " << corpus_folder;
  for (const NamedInput& input : corpus) RunInput(input.name, input.bytes);
}

TEST(Fuzzer, HoldsOnMutationsOfItsCorpus) {
  const std::vector<NamedInput> corpus = ReadCorpus();
  ASSERT_FALSE(corpus.empty()) << "no corpus in " << corpus_folder;
  Random random(1);
  for (int i = 0; i < kMutations; ++i) {
    const NamedInput& base = corpus[random.Below(corpus.size())];
    const NamedInput& other = corpus[random.Below(corpus.size())];
    Bytes bytes = base.bytes;
    for (uint64_t count = 1 + random.Below(4); count > 0; --count) {
      Mutate(random, other.bytes, bytes);
    }
    RunInput("mutation " + std::to_string(i) + " of " + base.name, bytes);
  }
}

TEST(Fuzzer, HoldsOnRandomInputs) {
  RunInput("nothing", {});
  Random random(2);
  for (int i = 0; i < kRandomInputs; ++i) {
    RunInput("random input " + std::to_string(i), RandomBytes(random, kRandomBytesMax));
  }
}

}  // namespace
}  // namespace vmbuskit

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  vmbuskit::corpus_folder = argv[1];
  return RUN_ALL_TESTS();
}
