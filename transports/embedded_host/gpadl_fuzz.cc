// GPADLs from both ends: what the guest's side splits into messages the host's side puts together again, page for
// page; and whatever header and bodies come, assembly takes no more than was announced, believes no page number beyond
// memory, and the table's accounts balance.
#include <algorithm>
#include <utility>
#include <vector>

#include "framework/base/fuzzing.h"
#include "transports/embedded_host/gpadl_assembly.h"
#include "transports/embedded_host/gpadl_table.h"
#include "transports/protocol/gpadl_messages.h"
#include "transports/protocol/message_mutator.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit {
namespace {

constexpr int kRecordsMax = 64;
constexpr uint64_t kGuestPages = 1 << 16;
constexpr size_t kRangesMax = 40;

enum Operation : uint8_t {
  kRange = kFuzzOperationMin,  // one more range of consecutive pages
  kListed,                     // the same, with its pages listed
  kSplit,                      // the ranges so far as messages, put together again
  kRemove,
};

using enum FuzzField;
constexpr FuzzField kRangeFields[] = {kDword, kDword, kPage};
constexpr FuzzField kListedFields[] = {kDword, kDword, kTail};
constexpr FuzzField kSplitFields[] = {kRelid, kHandle, kSmall};
constexpr FuzzField kRemoveFields[] = {kRelid, kHandle};
constexpr FuzzLayout kOperations[] = {{kRange, kRangeFields},
                                      {kListed, kListedFields},
                                      {kSplit, kSplitFields},
                                      {kRemove, kRemoveFields}};

class Fuzz {
 public:
  explicit Fuzz(MessageScript& script) : script_(script) { lists_.reserve(kRangesMax); }

  void Run() {
    for (uint8_t state = 0; state <= 5; ++state) {
      Require((GpadlStateName(static_cast<GpadlState>(state)) == "?") == (state == 5));
    }
    for (int i = 0; i < kRecordsMax; ++i) {
      const std::optional<ScriptRecord> record = script_.Next();
      if (!record.has_value()) break;
      if (record->IsMessage()) {
        Take(record->Message({.version = kVersion5_3}).bytes());
      } else {
        ScriptArguments arguments(record->bytes);
        Act(record->kind, arguments);
      }
      CheckBooks();
    }
    for (auto it = table_.all().begin(); it != table_.all().end(); it = table_.all().begin()) {
      table_.Remove(it->first.first, it->first.second);
    }
    Require(table_.count() == 0 && table_.charged_bytes() == 0 && table_.in_progress_pages() == 0);
  }

 private:
  void Act(uint8_t kind, ScriptArguments& arguments) {
    switch (kind) {
      case kRange:
      case kListed:
        return AddRange(kind == kListed, arguments);
      case kSplit: {
        const auto relid = arguments.Take<uint32_t>();
        const auto handle = arguments.Take<uint32_t>();
        return Split(relid, handle, arguments.Take<uint8_t>());
      }
      case kRemove: {
        const ChannelId channel{arguments.Take<uint32_t>()};
        const std::vector<uint32_t> handles = table_.HandlesOf(channel);
        const auto handle = arguments.Take<uint32_t>();
        table_.Remove(channel, handle);
        Require(table_.Find(channel, handle) == nullptr);
        return Require(table_.HandlesOf(channel).size() + 1 >= handles.size());
      }
    }
  }

  void AddRange(bool listed, ScriptArguments& arguments) {
    if (ranges_.size() == kRangesMax) ranges_.clear(), lists_.clear();
    const auto count = arguments.Take<uint32_t>();
    GpadlRange range{.byte_count = count % 4 == 3 ? count : count & 0x1FFFF,
                     .byte_offset = arguments.Take<uint32_t>() & 0x1FFF};
    if (!listed) {
      range.first_pfn = arguments.Take<uint32_t>();
      if (count % 4 == 2) range = GpadlRange::Pages(range.first_pfn, range.byte_offset);
    } else {
      // As many as it takes, or not.
      std::vector<Pfn>& list = lists_.emplace_back();
      while (!arguments.empty()) list.push_back(arguments.Take<uint32_t>());
      const uint64_t wanted = range.page_count();
      if (count % 8 != 7 && wanted <= 64) list.resize(wanted);
      range.pfns = list;
      if (count % 4 == 2) range = GpadlRange::Pages(list);
    }
    ranges_.push_back(range);
  }

  static bool MayBeSplit(uint32_t handle, std::span<const GpadlRange> ranges) {
    uint64_t qwords = 0;
    for (const GpadlRange& range : ranges) {
      if (range.byte_count == 0 || range.byte_offset >= kPageSize) return false;
      if (!range.pfns.empty() && range.pfns.size() != range.page_count()) return false;
      qwords += 1 + range.page_count();
    }
    return handle != 0 && !ranges.empty() && qwords * 8 <= 0xFFFF;
  }
  void Split(uint32_t relid, uint32_t handle, uint8_t lost) {
    const std::vector<GpadlRange> ranges = std::exchange(ranges_, {});
    absl::StatusOr<GpadlMessages> messages = GpadlMessages::Create(relid, handle, ranges);
    Require(messages.ok() == MayBeSplit(handle, ranges));
    if (!messages.ok()) return;
    MessageBuffer message;
    Require(messages->Next(message));
    const CheckedMessage checked = Checked(message.bytes());
    const auto header = checked.As<GpadlHeaderMessage>();
    Require(header.relid == relid && header.gpadl == handle);
    auto assembly = GpadlAssembly::Begin(header.range_bytes, header.range_count);
    Require(assembly.ok() && assembly->qwords_needed() * 8 == messages->range_bytes());
    assembly->Append(message.bytes().subspan(sizeof(GpadlHeaderMessage)));
    uint32_t count = 1;
    for (; messages->Next(message); ++count) {
      Require(!assembly->complete() &&
              Checked(message.bytes()).As<GpadlBodyMessage>().gpadl == handle);
      assembly->Append(message.bytes().subspan(sizeof(GpadlBodyMessage)));
    }
    Require(count == messages->message_count() && assembly->complete());
    const uint64_t limit = lost == 7 ? 64 : kGuestPages;
    absl::StatusOr<GpadlPages> pages = (*std::move(assembly)).Finish(limit);
    Compare(ranges, pages, limit);
  }
  static CheckedMessage Checked(std::span<const std::byte> bytes) {
    const auto message = CheckMessage(Direction::kGuestToHost, {.version = kVersion5_3}, bytes);
    Require(message.ok());
    return *message;
  }
  static void Compare(std::span<const GpadlRange> ranges, const absl::StatusOr<GpadlPages>& pages,
                      uint64_t limit) {
    bool inside = true;
    for (const GpadlRange& range : ranges) {
      for (uint64_t i = 0; i < range.page_count(); ++i) inside &= range.page(i) < limit;
    }
    Require(pages.ok() == inside);
    if (!inside) return;
    Require(pages->ranges.size() == ranges.size());
    size_t page = 0;
    for (size_t i = 0; i < ranges.size(); ++i) {
      const GpadlPages::Range& range = pages->ranges[i];
      Require(range.byte_count == ranges[i].byte_count &&
              range.byte_offset == ranges[i].byte_offset && range.first_page == page &&
              range.page_count == ranges[i].page_count());
      for (uint64_t k = 0; k < range.page_count; ++k) {
        Require(pages->pfns[page++] == ranges[i].page(k));
      }
    }
    Require(page == pages->pfns.size() && pages->bytes() == page * kPageSize);
    Require(!pages->IsWholePages() || ranges.size() == 1);
    Reassemble(*pages, limit);
  }

  // As a restored host does it: from what was saved, whole or not.
  static void Reassemble(const GpadlPages& pages, uint64_t limit) {
    const std::vector<uint64_t> saved = pages.ToQwords();
    const auto bytes = std::as_bytes(std::span(saved));
    const auto qwords = static_cast<uint32_t>(saved.size());
    const auto count = static_cast<uint32_t>(pages.ranges.size());
    auto part = GpadlAssembly::Restore(qwords, count, bytes.first(bytes.size() / 16 * 8));
    Require(part.ok() && !part->complete() && part->range_count() == count);
    part->Append(bytes.subspan(part->arrived().size()));
    const auto again = (*std::move(part)).Finish(limit);
    Require(again.ok() && again->pfns == pages.pfns);
    Require(!GpadlAssembly::Restore(qwords, count, bytes.first(7)).ok());
  }

  // A message of any content, as a server takes it.
  void Take(std::span<const std::byte> bytes) {
    const auto message = CheckMessage(Direction::kGuestToHost, {.version = kVersion5_3}, bytes);
    if (!message.ok()) return;
    if (message->type() == MessageType::kGpadlHeader) {
      const auto header = message->As<GpadlHeaderMessage>();
      auto assembly = GpadlAssembly::Begin(header.range_bytes, header.range_count);
      if (!assembly.ok()) return;
      const ChannelId channel{header.relid};
      auto entry = table_.Begin(channel, header.gpadl, *std::move(assembly));
      if (!entry.ok()) return;
      Require(table_.FindInProgress(header.gpadl) == channel);
      Append(channel, header.gpadl, bytes.subspan(sizeof header));
    } else if (message->type() == MessageType::kGpadlBody) {
      const uint32_t handle = message->As<GpadlBodyMessage>().gpadl;
      const std::optional<ChannelId> channel = table_.FindInProgress(handle);
      if (channel.has_value()) Append(*channel, handle, bytes.subspan(sizeof(GpadlBodyMessage)));
    }
  }
  void Append(ChannelId channel, uint32_t handle, std::span<const std::byte> bytes) {
    GpadlEntry& entry = *table_.Find(channel, handle);
    entry.assembly->Append(bytes);
    if (!entry.assembly->complete()) return;
    const size_t qwords = entry.assembly->qwords_needed();
    absl::StatusOr<GpadlPages> pages = (*std::move(entry.assembly)).Finish(kGuestPages);
    if (!pages.ok()) return table_.Remove(channel, handle);
    Require(!pages->ranges.empty() && pages->pfns.size() + pages->ranges.size() <= qwords);
    for (Pfn pfn : pages->pfns) Require(pfn < kGuestPages);
    uint64_t listed = 0;
    for (const GpadlPages::Range& range : pages->ranges) {
      Require(range.first_page == listed && range.byte_offset < kPageSize && range.byte_count > 0);
      listed += range.page_count;
    }
    Require(listed == pages->pfns.size());
    const bool charged = !script_.Flag(0, 0);
    if (!table_.Complete(channel, handle, *std::move(pages), charged).ok()) {
      table_.Remove(channel, handle);
    }
  }
  void CheckBooks() const {
    uint64_t bytes = 0;
    uint64_t missing = 0;
    for (const auto& [key, entry] : table_.all()) {
      bytes += entry.charged_bytes;
      if (entry.assembly.has_value()) missing += entry.assembly->qwords_needed();
      Require(entry.assembly.has_value() == (entry.state == GpadlState::kInProgress));
      Require(table_.Find(key.first, key.second) == &entry);
    }
    Require(bytes == table_.charged_bytes() && bytes <= table_.limits().bytes_max);
    Require(missing == table_.in_progress_pages() &&
            missing <= table_.limits().in_progress_pages_max);
    Require(table_.count() <= table_.limits().count_max);
    Require(table_.charged_bytes() <= table_.charged_bytes_peak());
  }

  MessageScript& script_;
  std::vector<GpadlRange> ranges_;
  std::vector<std::vector<Pfn>> lists_;  // never more than reserved: ranges refer to them
  GpadlTable table_{{.bytes_max = 20 * kPageSize, .count_max = 5, .in_progress_pages_max = 100}};
};

}  // namespace
}  // namespace vmbuskit

VMBUSKIT_MESSAGE_MUTATOR(.direction = vmbuskit::Direction::kGuestToHost,
                         .operations = vmbuskit::kOperations)

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmbuskit::MessageScript script({data, size});
  vmbuskit::Fuzz(script).Run();
  return 0;
}
