// What a disk may hold, told from outside: from what was asked of it, when, and what it answered. Every write has a
// content of its own, which says in each block what it is, so that a read knows at a glance what it got.
//
//   DiskModel model;
//   const DiskModel::Write write = model.BeginWrite(DiskModel::Kind::kData, first, count);
//   model.Fill(block, write.content, bytes);              // what is to be written there
//   model.EndWrite(write, first, count, DiskModel::End::kDone, /*stable=*/false);
//   const uint64_t read = model.BeginRead();
//   std::string wrong = model.CheckBlock(block, bytes, read);      // empty: it may be that
//   model.EndRead(read);
//
// The rules, each for one block:
// * a content may be read while its write runs and afterwards, until a write that began after its end has ended well;
// * a write that failed may have happened, but not after its end, unless it is `kLost`: then until Settle;
// * once somebody read a content, what ended before its write began is not read any more;
// * what was written (or ended well) before a flush began that ended well, or written with stable=true, survives a loss
//   of power: then nothing older comes back. Everything else may come back or be gone.
// * a discarded block reads as anything that it ever held, or zeros, until it is written.
//
// Thread safety: none; one owner. Units: blocks. Moments are numbers of a clock that ticks with every call.
#ifndef VMBUSKIT_TESTS_SCENARIO_DISK_MODEL_H_
#define VMBUSKIT_TESTS_SCENARIO_DISK_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace vmbuskit {

class DiskModel {
 public:
  // What a write leaves behind.
  enum class Kind : uint8_t { kData, kZeros, kDiscard };
  enum class End : uint8_t {
    kDone,
    kFailed,  // it may have happened in part
    kLost,    // ... or is still going to
  };
  struct Write {
    uint64_t content = 0;  // 0 for zeros
    uint64_t begun = 0;
  };

  DiskModel() { base_.ended = 0; }

  Write BeginWrite(Kind kind, uint64_t first, uint64_t count);
  void EndWrite(const Write& write, uint64_t first, uint64_t count, End end, bool stable);

  uint64_t BeginRead();
  void EndRead(uint64_t read);
  // While the read runs: `bytes` are what it got for `block`. Says what is wrong with them.
  std::string CheckBlock(uint64_t block, std::span<const std::byte> bytes, uint64_t read);

  uint64_t BeginFlush() { return ++now_; }
  // It ended well.
  void EndFlush(uint64_t flush);

  // The cache of the disk is gone. Nothing of the past but what is lost runs.
  void LosePower();
  // What was lost does not happen any more.
  void Settle();
  // Foreign bytes: every block may hold anything, until it is written by somebody who begins after the next Settle.
  void Forget();
  // Everything from `block` on is cut off.
  void Cut(uint64_t block);

  // The content `content` of `block`, and whether `bytes` are exactly that.
  void Fill(uint64_t block, uint64_t content, std::span<std::byte> bytes) const;

  // Calls `call(block)` for each block that the model knows something of, in the order of their first writes.
  template <typename Call>
  void EachBlock(Call call) const {
    for (const Block& block : blocks_) call(block.number);
  }

 private:
  static constexpr uint64_t kNever = UINT64_MAX;

  // Something that the block may hold.
  struct Value {
    uint64_t content = 0;
    Kind kind = Kind::kZeros;
    bool anything = false;  // foreign bytes
    bool lost = false;      // ended, and may still happen
    uint64_t begun = 0;
    uint64_t ended = kNever;
    uint64_t gone = kNever;      // since then it is not what is read
    uint64_t replaced = kNever;  // since then a write that ended well stands in its place
    bool dead = false;           // ... on stable storage: it never comes back
  };
  struct Block {
    uint64_t number = 0;
    std::vector<Value> values;
  };

  std::vector<Value>& ValuesOf(uint64_t block);
  // What ended before `begun` is not there any more.
  void Supersede(std::vector<Value>& values, uint64_t begun, bool by_end, bool stable);
  void Prune(std::vector<Value>& values) const;
  // What `bytes` say that they are; nothing when they are torn, or of another block.
  std::optional<uint64_t> ContentOf(uint64_t block, std::span<const std::byte> bytes) const;

  uint64_t now_ = 1;
  uint64_t contents_ = 0;
  Value base_;  // of a block that nobody wrote
  bool may_be_anything_ = false;
  std::multiset<uint64_t> reads_;
  std::unordered_map<uint64_t, size_t> index_;
  std::vector<Block> blocks_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_SCENARIO_DISK_MODEL_H_
