// Packets of any content: extensions of transfer pages and of guest pages, pipe headers, wire structures. What is taken
// stays inside its bytes and its limits; what this side builds is taken too and reads back the same.
#include <algorithm>
#include <array>
#include <vector>

#include "framework/base/bytes.h"
#include "framework/base/fuzzing.h"
#include "framework/channel/packet.h"
#include "framework/channel/packet_ranges.h"
#include "framework/channel/payload.h"
#include "framework/channel/pipe_header.h"

namespace vmbuskit {
namespace {

class Fuzz {
 public:
  explicit Fuzz(FuzzedDataProvider& input) : input_(input) {}

  void Run() {
    switch (Below(8)) {
      case 0:
        return CheckTransferPages(AnyExtension(8), Below(0x20000));
      case 1:
        return CheckGuestPages(AnyExtension(16));
      case 2:
        return BuiltTransferPages();
      case 3:
        return BuiltPageBuffers();
      case 4:
        return BuiltMultiPage();
      case 5:
        return AnyPipe();
      case 6:
        return ReadsAnything();
      default:
        return WritesAnything();
    }
  }

 private:
  uint32_t Below(uint32_t bound) { return input_.ConsumeIntegralInRange<uint32_t>(0, bound - 1); }
  template <typename T>
  T Rarely(T other, T usual) {
    return Below(16) == 0 ? other : usual;
  }

  // A range list that is right but for what the input makes wrong; or bytes as they come.
  std::vector<std::byte> AnyExtension(size_t range_bytes) {
    if (Below(4) == 0) return input_.ConsumeRemainingBytes<std::byte>();
    std::vector<std::byte> bytes(512);
    ByteWriter writer(bytes);
    const uint32_t count = Below(5);
    writer.Write<uint32_t>(Below(0x10000));
    writer.Write<uint32_t>(Rarely(input_.ConsumeIntegral<uint32_t>(), count));
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t length = Rarely(input_.ConsumeIntegral<uint32_t>(), Below(0x8000));
      const uint32_t offset = Rarely(input_.ConsumeIntegral<uint32_t>(), Below(4096));
      writer.Write(length);
      writer.Write(offset);
      if (range_bytes == 8) continue;
      Pfn pfn = Rarely(input_.ConsumeIntegral<uint64_t>(), uint64_t{Below(0x1000)});
      for (uint64_t pages = std::min<uint64_t>(PagesSpanned(offset, length), 64); pages > 0;
           --pages) {
        writer.Write(pfn);
        pfn += Below(4) == 0 ? 2 : 1;
      }
    }
    bytes.resize(writer.position() - std::min<size_t>(writer.position(), Rarely(Below(32), 0u)));
    bytes.shrink_to_fit();
    return bytes;
  }

  static void CheckTransferPages(const std::vector<std::byte>& extension, uint64_t buffer_bytes) {
    const auto pages = TransferPages::Parse(extension, buffer_bytes);
    if (!pages) return;
    Require(pages->size() > 0 && TransferPagesBytes(pages->size()) <= extension.size());
    std::vector<TransferRange> ranges;
    for (uint32_t i = 0; i < pages->size(); ++i) {
      ranges.push_back((*pages)[i]);
      Require(uint64_t{ranges.back().offset} + ranges.back().length <= buffer_bytes);
    }
    std::vector<std::byte> space(extension.size());
    const auto built = BuildTransferPages(space, pages->set_id(), ranges);
    Require(built.size() == TransferPagesBytes(ranges.size()));
    Require(
        std::ranges::equal(built.subspan(4), std::span(extension).subspan(4, built.size() - 4)));
  }

  static void CheckGuestPages(const std::vector<std::byte>& extension) {
    const auto ranges = GpaDirectRanges::Parse(extension);
    if (!ranges) return;
    Require(ranges->range_count() > 0 && ranges->range_count() <= extension.size() / 16);
    // Each page of the list is walked at most once.
    Require(ranges->total_bytes() <= extension.size() / 8 * kPageSize);
    uint64_t total = 0;
    GpaSegment segment;
    for (GpaCursor cursor(*ranges); cursor.Next(segment);) {
      Require(segment.length > 0 && segment.gpa <= ~uint64_t{0} - segment.length + 1);
      total += segment.length;
      Require(total <= ranges->total_bytes());
    }
    Require(total == ranges->total_bytes());
  }

  void BuiltTransferPages() {
    std::vector<TransferRange> ranges(Below(6));
    for (TransferRange& range : ranges) range = {.length = Below(64), .offset = Below(64)};
    std::vector<std::byte> space(Below(64));
    const auto id = static_cast<uint16_t>(Below(0x10000));
    const auto built = BuildTransferPages(space, id, ranges);
    Require(built.empty() == (ranges.empty() || TransferPagesBytes(ranges.size()) > space.size()));
    if (built.empty()) return;
    const auto pages = TransferPages::Parse(built, 128);
    Require(pages && pages->set_id() == id && pages->size() == ranges.size());
    for (uint32_t i = 0; i < pages->size(); ++i) Require((*pages)[i] == ranges[i]);
  }

  void BuiltPageBuffers() {
    std::vector<PageBuffer> buffers(Below(40));
    uint64_t total = 0;
    for (PageBuffer& buffer : buffers) {
      buffer = {.pfn = Below(64),
                .offset = Rarely(Below(5000), Below(2048)),
                .length = Rarely(Below(5000), 1 + Below(2048))};
      total += buffer.length;
    }
    std::vector<std::byte> space(Rarely(Below(700), 700u));
    const auto built = BuildPageBuffers(space, buffers);
    if (built.empty()) return;
    const auto ranges = GpaDirectRanges::Parse(built);
    Require(ranges && ranges->range_count() == buffers.size() && ranges->total_bytes() == total);
    GpaCursor cursor(*ranges);
    for (const PageBuffer& buffer : buffers) {
      GpaSegment segment;
      Require(cursor.Next(segment));
      Require(segment == GpaSegment{buffer.pfn * kPageSize + buffer.offset, buffer.length});
    }
    CheckGuestPages({built.begin(), built.end()});
  }

  void BuiltMultiPage() {
    const uint32_t offset = Rarely(Below(5000), Below(4096));
    const uint32_t length = Rarely(input_.ConsumeIntegral<uint32_t>(), Below(0x10000));
    std::vector<Pfn> pfns(
        Rarely<uint64_t>(Below(20), std::min<uint64_t>(PagesSpanned(offset, length), 32)));
    Pfn last = Below(64);
    for (Pfn& pfn : pfns) last = pfn = last + 1 + Below(2);
    std::vector<std::byte> space(Rarely(Below(300), 300u));
    const auto built = BuildMultiPage(space, offset, length, pfns);
    if (built.empty()) return;
    const auto ranges = GpaDirectRanges::Parse(built);
    Require(ranges && ranges->range_count() == 1 && ranges->total_bytes() == length);
    CheckGuestPages({built.begin(), built.end()});
  }

  void AnyPipe() {
    std::vector<std::byte> payload;
    const PipeHeader header{.type = Below(8),
                            .size = Rarely(input_.ConsumeIntegral<uint32_t>(), Below(64))};
    const bool whole = Below(16) != 0;
    if (whole) payload.assign(AsBytes(header).begin(), AsBytes(header).end());
    const auto rest = input_.ConsumeSpan(Rarely(20000u, Below(64)));
    payload.insert(payload.end(), rest.begin(), rest.end());
    for (const PipeMode mode : {PipeMode::kByte, PipeMode::kMessage}) {
      const auto message = ParsePipe(payload, mode);
      if (!message) continue;
      Require(message->data.size() <= kMaxPipeDataBytes);
      Require(message->data.size() + sizeof header <= payload.size());
      Require(message->data.empty() || message->data.data() == payload.data() + sizeof header);
      Require(!message->end_of_stream || (mode == PipeMode::kByte && message->data.empty()));
    }
    // A stream, cut and put together again.
    std::span<const std::byte> left = payload;
    std::vector<std::byte> joined;
    while (!left.empty()) {
      const auto chunk = TakePipeChunk(left);
      const PipeHeader data = PipeDataHeader(chunk.size());
      std::vector<std::byte> packet(AsBytes(data).begin(), AsBytes(data).end());
      packet.insert(packet.end(), chunk.begin(), chunk.end());
      const auto message = ParsePipe(packet, PipeMode::kByte);
      Require(message && !message->end_of_stream && std::ranges::equal(message->data, chunk));
      joined.insert(joined.end(), message->data.begin(), message->data.end());
    }
    Require(joined == payload);
  }

  // Every access stays inside, whatever was asked before; failure sticks.
  void ReadsAnything() {
    const std::vector<std::byte> bytes = input_.ConsumeBytes<std::byte>(Below(64));
    ByteReader reader(bytes);
    for (int step = 0; step < 64 && input_.remaining_bytes() > 0; ++step) {
      const bool ok = reader.ok();
      const size_t before = reader.position();
      switch (Below(6)) {
        case 0:
          Require(reader.Read<uint8_t>() == 0 || reader.ok());
          break;
        case 1:
          Require(reader.Read<uint64_t>() == 0 || reader.ok());
          break;
        case 2: {
          const size_t count = Below(40);
          const auto taken = reader.Bytes(count);
          Require(taken.size() == (reader.ok() ? count : 0));
          break;
        }
        case 3:
          reader.Skip(Rarely<size_t>(input_.ConsumeIntegral<size_t>(), Below(8)));
          break;
        case 4:
          reader.Seek(Rarely<size_t>(input_.ConsumeIntegral<size_t>(), Below(64)));
          break;
        default:
          CheckStructures(bytes, Below(64));
      }
      Require(reader.position() + reader.remaining() == bytes.size());
      Require(ok || (!reader.ok() && reader.position() == before));
    }
  }
  static void CheckStructures(std::span<const std::byte> bytes, size_t offset) {
    using Words = std::array<uint64_t, 3>;
    const Packet packet{.payload = bytes};
    const auto here = packet.PayloadAs<Words>(offset);
    Require(here.has_value() == (offset + sizeof(Words) <= bytes.size()));
    auto first = ReadAs<Words>(bytes);
    Require(first.has_value() == (sizeof(Words) <= bytes.size()));
    if (!first) return;
    Require(std::ranges::equal(BytesOf(*first), bytes.first(sizeof(Words))));
    WritableBytesOf(*first)[0] ^= std::byte{1};
    Require(!std::ranges::equal(BytesOf(*first), bytes.first(sizeof(Words))));
  }

  void WritesAnything() {
    std::vector<std::byte> space(Below(64), std::byte{0xEE});
    const size_t end = space.size() - std::min<size_t>(space.size(), Below(8));
    ByteWriter writer{std::span(space).first(end)};
    const std::array<std::byte, 40> source{};
    for (int step = 0; step < 64 && input_.remaining_bytes() > 0; ++step) {
      const bool ok = writer.ok();
      const size_t before = writer.position();
      switch (Below(5)) {
        case 0:
          writer.Write<uint8_t>(1);
          break;
        case 1:
          writer.Write<uint64_t>(2);
          break;
        case 2:
          writer.Bytes(std::span(source).first(Below(40)));
          break;
        case 3:
          writer.Zeros(Rarely<size_t>(input_.ConsumeIntegral<size_t>(), Below(16)));
          break;
        default:
          writer.AlignTo(size_t{1} << Below(4));
      }
      Require(writer.position() + writer.remaining() == end && writer.position() >= before);
      Require(writer.written().size() == writer.position());
      Require(ok || (!writer.ok() && writer.position() == before));
    }
    Require(std::ranges::all_of(std::span(space).subspan(end),
                                [](std::byte b) { return b == std::byte{0xEE}; }));
  }

  FuzzedDataProvider& input_;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  vmbuskit::Fuzz(input).Run();
  return 0;
}
