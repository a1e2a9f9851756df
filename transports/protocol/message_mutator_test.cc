#include "transports/protocol/message_mutator.h"

#include <algorithm>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit {
namespace {

constexpr FuzzField kFields[] = {FuzzField::kRelid, FuzzField::kVp};
constexpr FuzzLayout kOperations[] = {{32, kFields}, {33, {}}};
constexpr FuzzGrammar kGrammar{.direction = Direction::kGuestToHost, .operations = kOperations};
constexpr size_t kSizeMax = 512;

using Bytes = std::vector<uint8_t>;

Bytes Mutated(Bytes bytes, uint32_t seed, const FuzzGrammar& grammar = kGrammar) {
  const size_t size = bytes.size();
  bytes.resize(kSizeMax);
  bytes.resize(MutateMessages(grammar, bytes, size, seed));
  return bytes;
}

// From nothing, by that many mutations.
Bytes Grown(uint32_t seed, int mutations, const FuzzGrammar& grammar = kGrammar) {
  Bytes bytes;
  for (int i = 0; i < mutations; ++i) {
    bytes = Mutated(std::move(bytes), seed * 1000 + static_cast<uint32_t>(i), grammar);
  }
  return bytes;
}

std::vector<ScriptRecord> RecordsOf(const Bytes& bytes) {
  std::vector<ScriptRecord> records;
  MessageScript script(bytes);
  while (const auto record = script.Next()) records.push_back(*record);
  return records;
}

TEST(MessageMutator, SameSeedSameOutput) {
  EXPECT_EQ(Grown(7, 20), Grown(7, 20));
  EXPECT_NE(Grown(7, 20), Grown(8, 20));
}

TEST(MessageMutator, OutputIsWholeRecordsAndNeverTooLong) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Bytes bytes = Grown(seed, 40);
    ASSERT_LE(bytes.size(), kSizeMax);
    ASSERT_GE(bytes.size(), kFuzzOptionCount);
    size_t size = kFuzzOptionCount;
    for (const ScriptRecord& record : RecordsOf(bytes)) size += 2 + record.bytes.size();
    EXPECT_EQ(size, bytes.size()) << "seed " << seed;
  }
}

TEST(MessageMutator, EveryMessageOfItsDirectionAndEveryOperationComes) {
  std::set<uint32_t> kinds;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    const Bytes bytes = Grown(seed, 20);
    for (const ScriptRecord& record : RecordsOf(bytes)) kinds.insert(record.kind);
  }
  for (const MessageRow& row : kMessageTable) {
    if (row.direction != Direction::kGuestToHost) continue;
    EXPECT_TRUE(kinds.contains(static_cast<uint32_t>(row.type))) << row.name;
  }
  EXPECT_TRUE(kinds.contains(32));
  EXPECT_TRUE(kinds.contains(33));
  EXPECT_TRUE(kinds.contains(kFuzzRawMessage));
}

TEST(MessageMutator, WithoutMessagesMostlyOperations) {
  const FuzzGrammar grammar{.messages = false, .operations = kOperations};
  size_t operations = 0;
  size_t others = 0;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Bytes bytes = Grown(seed, 10, grammar);
    for (const ScriptRecord& record : RecordsOf(bytes)) {
      ++(record.kind == 32 || record.kind == 33 ? operations : others);
    }
  }
  EXPECT_GT(operations, 20 * others);
}

TEST(MessageMutator, MessagesAreOftenValid) {
  size_t valid = 0;
  size_t all = 0;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    const Bytes bytes = Grown(seed, 10);
    for (const ScriptRecord& record : RecordsOf(bytes)) {
      if (!record.IsMessage()) continue;
      const Negotiated negotiated{.version = kVersion6_0, .features = 0xFF};
      ++all;
      valid += CheckMessage(Direction::kGuestToHost, negotiated, record.Message(negotiated).bytes())
                   .ok();
    }
  }
  EXPECT_GT(valid * 10, all * 6) << valid << " of " << all;
  EXPECT_LT(valid, all);
}

TEST(MessageMutator, FieldsTakeWhatFieldsOfTheirMeaningHoldElsewhere) {
  // RELID_RELEASED of a relid that no boundary value is; how often does another message name it?
  constexpr uint32_t kRelid = 0x2AB;
  Bytes bytes(kFuzzOptionCount);
  for (uint8_t byte : {13, 4, 0xAB, 0x02, 0, 0}) bytes.push_back(byte);
  int found = 0;
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    const Bytes mutated = Mutated(bytes, seed);
    for (const ScriptRecord& record : RecordsOf(mutated)) {
      if (record.kind == 13) continue;
      if (record.kind == 7 || record.kind == 11 || record.kind == 32) {
        ScriptArguments arguments(record.bytes);
        found += arguments.Take<uint32_t>() == kRelid;
      }
    }
  }
  EXPECT_GT(found, 20);
}

TEST(MessageMutator, RecordsAreRepeatedDroppedAndCutShort) {
  Bytes bytes(kFuzzOptionCount);
  for (int i = 0; i < 4; ++i) {
    for (uint8_t byte : {13, 4, i, 0, 0, 0}) bytes.push_back(byte);
  }
  bool repeated = false, dropped = false, cut = false, longer = false;
  for (uint32_t seed = 1; seed <= 500; ++seed) {
    const Bytes mutated = Mutated(bytes, seed);
    const std::vector<ScriptRecord> records = RecordsOf(mutated);
    repeated |= records.size() > 4;
    dropped |= records.size() < 4;
    for (const ScriptRecord& record : records) {
      if (record.kind != 13) continue;
      cut |= record.bytes.size() < 4;
      longer |= record.bytes.size() > 4;
    }
  }
  EXPECT_TRUE(repeated);
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(cut);
  EXPECT_TRUE(longer);
}

TEST(MessageMutator, CrossingTakesRecordsOfBoth) {
  Bytes first(kFuzzOptionCount, 1);
  Bytes second(kFuzzOptionCount, 2);
  for (int i = 0; i < 3; ++i) {
    first.insert(first.end(), {32, 1, 0xAA});
    second.insert(second.end(), {33, 1, 0xBB});
  }
  bool mixed = false;
  for (uint32_t seed = 1; seed <= 50; ++seed) {
    Bytes output(kSizeMax);
    output.resize(CrossMessages(first, second, output, seed));
    EXPECT_EQ(output[0], 1) << "the options are the first one's";
    const std::vector<ScriptRecord> records = RecordsOf(output);
    EXPECT_LE(records.size(), 6u);
    const auto count = [&](int kind) {
      return std::ranges::count(records, kind, [](const ScriptRecord& r) { return int{r.kind}; });
    };
    mixed |= count(32) > 0 && count(33) > 0;
  }
  EXPECT_TRUE(mixed);
}

TEST(MessageMutator, NoRoomNoOutput) {
  Bytes bytes(kFuzzOptionCount - 1);
  EXPECT_EQ(MutateMessages(kGrammar, bytes, bytes.size(), 1), 0u);
}

}  // namespace
}  // namespace vmbuskit
