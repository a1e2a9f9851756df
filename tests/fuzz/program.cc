#include "tests/fuzz/program.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "platform/random.h"

namespace vmbuskit {
namespace {

// Borders of sizes, indices, relids, flags and of the words that stand on the wire.
constexpr uint64_t kBorders[] = {0,
                                 1,
                                 2,
                                 3,
                                 4,
                                 7,
                                 8,
                                 15,
                                 16,
                                 23,
                                 24,
                                 31,
                                 32,
                                 63,
                                 64,
                                 127,
                                 128,
                                 239,
                                 240,
                                 241,
                                 255,
                                 2046,
                                 2047,
                                 2048,
                                 4088,
                                 4095,
                                 4096,
                                 8184,
                                 8192,
                                 12280,
                                 12288,
                                 12296,
                                 0xFFF8,
                                 0xFFFF,
                                 0x10000,
                                 0xFF'FFFF,
                                 0x7FFF'FFFF,
                                 0x8000'0000,
                                 0x8000'0010,
                                 0xFFFF'FFF8,
                                 0xFFFF'FFFE,
                                 0xFFFF'FFFF,
                                 0x0000'0003'0002'0006,
                                 0x0001'0003'0002'0006,
                                 0x0000'0003'0002'000B,
                                 0x7FFF'FFFF'FFFF'FFFF,
                                 0xFFFF'FFFF'FFFF'FFFF};
constexpr uint64_t kCodesMax = 64;  // no fuzzer has more kinds of operations

class Mutation {
 public:
  Mutation(std::vector<Operation> program, size_t operations_max, unsigned seed, RawMutation raw)
      : random_(seed), program_(std::move(program)), operations_max_(operations_max), raw_(raw) {}

  std::vector<Operation> Run() {
    for (uint64_t changes = 1 + random_.Below(4); changes > 0; --changes) Change();
    return std::move(program_);
  }

 private:
  // The first operation is the configuration of the run: it is changed, never moved.
  size_t AnyPlace() { return 1 + random_.Below(program_.size()); }
  Operation& Any() { return program_[random_.Below(program_.size())]; }
  bool full() const { return program_.size() >= operations_max_; }
  auto At(size_t place) { return program_.begin() + static_cast<ptrdiff_t>(place); }

  void Change() {
    if (program_.empty()) program_.push_back(Fresh());
    switch (random_.Below(12)) {
      case 0:
      case 1:
        if (!full()) program_.insert(At(AnyPlace()), Fresh());
        return;
      case 2:
        if (program_.size() > 1) program_.erase(At(1 + random_.Below(program_.size() - 1)));
        return;
      case 3:
        if (!full()) program_.insert(At(AnyPlace()), Operation(Any()));
        return;
      case 4:
        if (program_.size() > 2) {
          std::swap(program_[1 + random_.Below(program_.size() - 1)],
                    program_[1 + random_.Below(program_.size() - 1)]);
        }
        return;
      case 5:
        Any().code = static_cast<uint8_t>(random_.Below(kCodesMax));
        return;
      case 6:
        return Raw();
      default:
        return ChangeField(Any());
    }
  }

  Operation Fresh() {
    Operation fresh{.code = static_cast<uint8_t>(random_.Below(kCodesMax)),
                    .who = static_cast<uint8_t>(random_.Below(8)),
                    .a = static_cast<uint16_t>(random_.Below(64)),
                    .b = static_cast<uint32_t>(random_.Below(16)),
                    .c = Value()};
    if (random_.OneIn(2)) ChangeField(fresh);
    return fresh;
  }

  uint64_t Value() {
    if (random_.OneIn(4)) return random_.Next();
    return kBorders[random_.Below(std::size(kBorders))];
  }
  void ChangeField(Operation& operation) {
    switch (random_.Below(6)) {
      case 0:
        operation.who = static_cast<uint8_t>(Changed(operation.who));
        return;
      case 1:
      case 2:
        operation.a = static_cast<uint16_t>(Changed(operation.a));
        return;
      case 3:
      case 4:
        operation.b = static_cast<uint32_t>(Changed(operation.b));
        return;
      default:
        operation.c = Changed(operation.c);
    }
  }
  uint64_t Changed(uint64_t value) {
    switch (random_.Below(4)) {
      case 0:
        return value + random_.Below(9) - 4;
      case 1:
        return value ^ uint64_t { 1 } << random_.Below(64);
      case 2:
        return random_.Below(32);
      default:
        return Value();
    }
  }
  void Raw() {
    Operation& operation = Any();
    uint8_t bytes[sizeof operation];
    std::memcpy(bytes, &operation, sizeof bytes);
    (void)raw_(bytes, sizeof bytes, sizeof bytes);
    std::memcpy(&operation, bytes, sizeof bytes);
  }

  Random random_;
  std::vector<Operation> program_;
  const size_t operations_max_;
  const RawMutation raw_;
};

size_t Encode(const std::vector<Operation>& program, uint8_t* out) {
  if (!program.empty()) std::memcpy(out, program.data(), program.size() * sizeof(Operation));
  return program.size() * sizeof(Operation);
}

}  // namespace

std::vector<Operation> DecodeProgram(const uint8_t* data, size_t size) {
  size = std::min(size, kProgramOperationsMax * sizeof(Operation));
  std::vector<Operation> program((size + sizeof(Operation) - 1) / sizeof(Operation));
  if (size != 0) std::memcpy(program.data(), data, size);
  return program;
}

size_t MutateProgram(uint8_t* data, size_t size, size_t max_size, unsigned seed, RawMutation raw) {
  const size_t operations_max = std::min(max_size / sizeof(Operation), kProgramOperationsMax);
  if (operations_max == 0) return raw(data, size, max_size);
  std::vector<Operation> program = DecodeProgram(data, size);
  program.resize(std::min(program.size(), operations_max));
  return Encode(Mutation(std::move(program), operations_max, seed, raw).Run(), data);
}

size_t SplicePrograms(const uint8_t* first, size_t first_size, const uint8_t* second,
                      size_t second_size, uint8_t* out, size_t max_size, unsigned seed) {
  Random random(seed);
  std::vector<Operation> program = DecodeProgram(first, first_size);
  const std::vector<Operation> other = DecodeProgram(second, second_size);
  program.resize(random.Below(program.size() + 1));
  const size_t from = random.Below(other.size() + 1);
  program.insert(program.end(), other.begin() + static_cast<ptrdiff_t>(from), other.end());
  program.resize(std::min({program.size(), kProgramOperationsMax, max_size / sizeof(Operation)}));
  return Encode(program, out);
}

}  // namespace vmbuskit
