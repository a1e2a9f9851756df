#include "tests/scenario/disk_model.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr uint64_t kMark = 0x9E3779B97F4A7C15;
constexpr uint64_t kBlockMark = 0xD1B54A32D192ED03;

uint64_t WordOf(uint64_t block, uint64_t content, uint64_t index) {
  const uint64_t word = (content + block * kBlockMark + index) * kMark;
  return word ^ word >> 29;
}

}  // namespace

void DiskModel::Fill(uint64_t block, uint64_t content, std::span<std::byte> bytes) const {
  if (content == 0) {
    std::memset(bytes.data(), 0, bytes.size());
    return;
  }
  for (size_t at = 0; at < bytes.size(); at += sizeof content) {
    const uint64_t word = at == 0 ? content ^ block * kBlockMark : WordOf(block, content, at);
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
}

std::optional<uint64_t> DiskModel::ContentOf(uint64_t block,
                                             std::span<const std::byte> bytes) const {
  uint64_t first = 0;
  std::memcpy(&first, bytes.data(), sizeof first);
  const auto rest = [&](auto word_at) {
    for (size_t at = sizeof first; at < bytes.size(); at += sizeof first) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      if (word != word_at(at)) return false;
    }
    return true;
  };
  if (first == 0 && rest([](size_t) { return uint64_t{0}; })) return 0;
  const uint64_t content = first ^ block * kBlockMark;
  if (content == 0 || content > contents_) return std::nullopt;
  if (!rest([&](size_t at) { return WordOf(block, content, at); })) return std::nullopt;
  return content;
}

std::vector<DiskModel::Value>& DiskModel::ValuesOf(uint64_t block) {
  const auto [entry, fresh] = index_.try_emplace(block, blocks_.size());
  if (fresh) blocks_.push_back({.number = block, .values = {base_}});
  return blocks_[entry->second].values;
}

void DiskModel::Prune(std::vector<Value>& values) const {
  const uint64_t oldest = reads_.empty() ? now_ : *reads_.begin();
  std::erase_if(values, [&](const Value& value) { return value.dead && value.gone <= oldest; });
}

void DiskModel::Supersede(std::vector<Value>& values, uint64_t begun, bool by_end, bool stable) {
  for (Value& value : values) {
    if (value.ended > begun) continue;
    value.gone = std::min(value.gone, now_);
    if (by_end) value.replaced = std::min(value.replaced, now_);
    value.dead |= stable;
  }
  Prune(values);
}

DiskModel::Write DiskModel::BeginWrite(Kind kind, uint64_t first, uint64_t count) {
  Write write = {.begun = ++now_};
  if (kind == Kind::kData) write.content = ++contents_;
  for (uint64_t block = first; block < first + count; ++block) {
    ValuesOf(block).push_back({.content = write.content, .kind = kind, .begun = write.begun});
  }
  return write;
}

void DiskModel::EndWrite(const Write& write, uint64_t first, uint64_t count, End end, bool stable) {
  ++now_;
  for (uint64_t block = first; block < first + count; ++block) {
    std::vector<Value>& values = ValuesOf(block);
    const auto own = std::ranges::find(values, write.begun, &Value::begun);
    if (own == values.end()) continue;
    if (end == End::kLost) {
      own->lost = true;
      continue;
    }
    own->ended = now_;
    const bool discard = own->kind == Kind::kDiscard;
    if (end == End::kDone) Supersede(values, write.begun, true, stable && !discard);
  }
}

uint64_t DiskModel::BeginRead() {
  reads_.insert(++now_);
  return now_;
}

void DiskModel::EndRead(uint64_t read) { reads_.erase(reads_.find(read)); }

std::string DiskModel::CheckBlock(uint64_t block, std::span<const std::byte> bytes, uint64_t read) {
  const std::optional<uint64_t> content = ContentOf(block, bytes);
  std::vector<Value>& values = ValuesOf(block);
  uint32_t matches = 0;
  uint64_t begun = 0;
  for (const Value& value : values) {
    if (value.gone <= read) continue;
    if (value.anything) return {};
    if (!content) continue;
    const bool match = value.kind == Kind::kDiscard || value.content == *content;
    if (!match) continue;
    ++matches;
    begun = value.kind == Kind::kDiscard ? 0 : value.begun;
  }
  if (matches == 1 && begun != 0) {
    ++now_;
    Supersede(values, begun, /*by_end=*/false, /*stable=*/false);
  }
  if (matches != 0) return {};
  std::string text = absl::StrCat("block ", block, " holds ");
  if (!content) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    absl::StrAppend(&text, "no content of its own (",
                    word == 0xA5A5A5A5A5A5A5A5 ? "what the buffer held" : "torn or foreign", ")");
  } else {
    absl::StrAppend(&text, "content ", *content);
  }
  absl::StrAppend(&text, ", may hold");
  for (const Value& value : values) {
    if (value.gone <= read) continue;
    absl::StrAppend(&text, value.kind == Kind::kDiscard ? " discarded" : " ", value.content);
  }
  return text;
}

void DiskModel::EndFlush(uint64_t flush) {
  ++now_;
  for (Block& block : blocks_) {
    for (Value& value : block.values) value.dead |= value.replaced <= flush;
    Prune(block.values);
  }
}

void DiskModel::LosePower() {
  ++now_;
  for (Block& block : blocks_) {
    for (Value& value : block.values) {
      if (value.dead) continue;
      if (!value.lost) value.ended = std::min(value.ended, now_);
      value.gone = value.replaced = kNever;
    }
  }
}

void DiskModel::Settle() {
  ++now_;
  const auto end = [&](Value& value) {
    if (!value.lost) return;
    value.lost = false;
    value.ended = now_;
  };
  end(base_);
  for (Block& block : blocks_) std::ranges::for_each(block.values, end);
  may_be_anything_ = false;
}

void DiskModel::Forget() {
  ++now_;
  if (may_be_anything_) return;
  may_be_anything_ = true;
  base_ = {.anything = true, .lost = true, .begun = now_};
  for (Block& block : blocks_) block.values.push_back(base_);
}

void DiskModel::Cut(uint64_t first) {
  ++now_;
  for (Block& block : blocks_) {
    if (block.number < first) continue;
    block.values.push_back({.kind = Kind::kDiscard, .begun = now_, .ended = now_});
  }
}

}  // namespace vmbuskit
