#include "transports/protocol/message_mutator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "platform/random.h"
#include "transports/protocol/message_script.h"

// Of AddressSanitizer, which asks for it. These fuzzers allocate small things all the time: with less freed memory
// held back and shorter stacks remembered they run half as fast again.
extern "C" const char* __asan_default_options() {
  return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=4";
}

namespace vmbuskit {
namespace {

constexpr size_t kRecordBytesMax = 255;
constexpr size_t kRecordsMax = 300;
constexpr size_t kOtherValuesMax = 64;

struct Record {
  uint8_t kind = 0;  // kFuzzFilledUp included
  std::vector<uint8_t> bytes;
};

// Where in a record's bytes a field stands.
struct Place {
  FuzzField field;
  size_t offset;
  size_t size;
};

constexpr uint64_t kBoundaries[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    7,
                                    8,
                                    15,
                                    16,
                                    27,
                                    28,
                                    127,
                                    128,
                                    255,
                                    256,
                                    2047,
                                    2048,
                                    4095,
                                    4096,
                                    0x7FFF,
                                    0x8000,
                                    0xFFFF,
                                    0x10000,
                                    0xFFFFFF,
                                    1 << 24,
                                    0x7FFFFFFF,
                                    0x80000000,
                                    0xFFFFFFFE,
                                    0xFFFFFFFF,
                                    uint64_t{1} << 32,
                                    uint64_t{1} << 62,
                                    uint64_t{1} << 63,
                                    ~uint64_t{0} - 1,
                                    ~uint64_t{0}};
// A class that an isolated guest accepts (protocol 02 section 6).
constexpr Guid kScsi = Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f");

class Mutator {
 public:
  Mutator(const FuzzGrammar& grammar, uint32_t seed) : grammar_(grammar), random_(seed) {}

  void Read(std::span<const uint8_t> bytes);
  size_t Write(std::span<uint8_t> buffer) const;
  void Change();
  void Splice(Mutator& other);

 private:
  size_t Below(size_t bound) { return random_.Below(bound); }
  std::span<const FuzzField> FieldsOf(uint8_t kind) const;
  std::vector<Place> PlacesOf(const Record& record) const;
  uint8_t AnyKind();
  Record NewRecord();
  uint64_t AnyValue(FuzzField field);
  uint64_t Boundary(FuzzField field);
  bool ValueElsewhere(FuzzField field, uint64_t& value);
  void Set(Record& record, const Place& place);
  void ChangeRecord(Record& record);
  void ChangeField(Record& record);
  void Resize(Record& record);
  void ChangeBytes(std::vector<uint8_t>& bytes);
  void Arrange();

  const FuzzGrammar grammar_;
  Random random_;
  std::array<uint8_t, kFuzzOptionCount> options_{};
  std::vector<Record> records_;
};

void Mutator::Read(std::span<const uint8_t> bytes) {
  MessageScript input(bytes);
  for (size_t i = 0; i < options_.size(); ++i) options_[i] = input.Option(i);
  while (records_.size() < kRecordsMax) {
    const std::optional<ScriptRecord> record = input.Next();
    if (!record.has_value()) return;
    records_.push_back(
        {static_cast<uint8_t>(record->kind | (record->filled_up ? kFuzzFilledUp : 0)),
         {record->bytes.begin(), record->bytes.end()}});
  }
}

size_t Mutator::Write(std::span<uint8_t> buffer) const {
  if (buffer.size() < options_.size()) return 0;
  std::ranges::copy(options_, buffer.begin());
  size_t size = options_.size();
  for (const Record& record : records_) {
    if (record.bytes.size() + 2 > buffer.size() - size) break;
    buffer[size++] = record.kind;
    buffer[size++] = static_cast<uint8_t>(record.bytes.size());
    std::ranges::copy(record.bytes, buffer.begin() + static_cast<ptrdiff_t>(size));
    size += record.bytes.size();
  }
  return size;
}

std::span<const FuzzField> Mutator::FieldsOf(uint8_t kind) const {
  kind &= ~kFuzzFilledUp;
  if (kind < kFuzzOperationMin) {
    const FuzzLayout* layout = LayoutOf(kind);
    return layout != nullptr ? layout->fields : std::span<const FuzzField>();
  }
  for (const FuzzLayout& layout : grammar_.operations) {
    if (layout.kind == kind) return layout.fields;
  }
  return {};
}

std::vector<Place> Mutator::PlacesOf(const Record& record) const {
  std::vector<Place> places;
  size_t offset = 0;
  const std::span<const FuzzField> fields = FieldsOf(record.kind);
  for (FuzzField field : fields) {
    const bool tail = field == FuzzField::kTail;
    // The rest counts as page numbers.
    for (size_t size = tail ? 8 : SizeOf(field); offset + size <= record.bytes.size();) {
      places.push_back({tail ? FuzzField::kPage : field, offset, size});
      offset += size;
      if (!tail) break;
    }
  }
  return places;
}

uint8_t Mutator::AnyKind() {
  const bool operation = !grammar_.operations.empty() && (!grammar_.messages || Below(2) == 0);
  if (operation) return grammar_.operations[Below(grammar_.operations.size())].kind;
  // Rarely one of the other direction, or one that does not exist.
  for (int tries = 0; tries < 16; ++tries) {
    const auto kind = static_cast<uint8_t>(Below(kMessageTypeCount + 2));
    const MessageRow* row = FindMessage(kind);
    if (row == nullptr ? Below(8) == 0 : row->direction == grammar_.direction || Below(16) == 0) {
      return kind | (Below(8) != 0 ? kFuzzFilledUp : 0);
    }
  }
  return kFuzzRawMessage;
}

Record Mutator::NewRecord() {
  Record record{.kind = AnyKind(), .bytes = {}};
  size_t size = 0;
  for (FuzzField field : FieldsOf(record.kind)) {
    const bool tail = field == FuzzField::kTail;
    // What nobody looks at needs no bytes: the message is filled up.
    if (field == FuzzField::kUserData && (record.kind & kFuzzFilledUp) != 0 && Below(4) != 0) break;
    size += tail ? 8 * (Below(4) != 0 ? Below(6) : Below(29)) : SizeOf(field);
  }
  if (FieldsOf(record.kind).empty() && Below(16) == 0) size = Below(kRecordBytesMax);
  record.bytes.resize(std::min(size, kRecordBytesMax));
  for (const Place& place : PlacesOf(record)) {
    if (Below(4) != 0) Set(record, place);
  }
  return record;
}

uint64_t Mutator::Boundary(FuzzField field) {
  switch (field) {
    case FuzzField::kRelid:
    case FuzzField::kHandle:
      return Below(8) != 0 ? 1 + Below(6) : kBoundaries[Below(std::size(kBoundaries))];
    case FuzzField::kOpenId:
      return (1 + Below(4)) | Below(3) << 16;
    case FuzzField::kStatus:
      return Below(3) != 0 ? kStatusSuccess : Below(2) == 0 ? kStatusUnsuccessful : Below(4);
    case FuzzField::kVersion:
      return Below(8) != 0 ? kVersionsNewestFirst[Below(kVersionsNewestFirst.size())]
                           : Below(7) << 16 | Below(16);
    case FuzzField::kFeatures:
      return Below(4) != 0 ? Below(256) : uint64_t{1} << Below(32);
    case FuzzField::kVp:
      return Below(8) != 0 ? Below(5) : kNoTargetVp;
    case FuzzField::kPage:
      return Below(8) != 0 ? Below(64) : kBoundaries[Below(std::size(kBoundaries))];
    case FuzzField::kGpa:
      return Below(8) != 0 ? Below(64) * 4096 + (Below(8) == 0 ? Below(4096) : 0)
                           : kBoundaries[Below(std::size(kBoundaries))];
    case FuzzField::kSmall:
      return Below(8);
    default:
      return Below(4) == 0 ? Below(8) : kBoundaries[Below(std::size(kBoundaries))];
  }
}

bool Mutator::ValueElsewhere(FuzzField field, uint64_t& value) {
  std::array<uint64_t, kOtherValuesMax> values;
  size_t count = 0;
  // From a random record on, so that the last ones of a long input have their chance.
  const size_t start = records_.empty() ? 0 : Below(records_.size());
  for (size_t i = 0; i < records_.size() && count < values.size(); ++i) {
    const Record& record = records_[(start + i) % records_.size()];
    for (const Place& place : PlacesOf(record)) {
      if (place.field != field || count == values.size()) continue;
      values[count] = 0;
      std::memcpy(&values[count], &record.bytes[place.offset], std::min<size_t>(place.size, 8));
      ++count;
    }
  }
  if (count != 0) value = values[Below(count)];
  return count != 0;
}

uint64_t Mutator::AnyValue(FuzzField field) {
  uint64_t value = 0;
  const size_t dice = Below(16);
  if (dice < 6 && ValueElsewhere(field, value)) return value;
  if (dice == 15) return random_.Next();
  return Boundary(field);
}

void Mutator::Set(Record& record, const Place& place) {
  uint8_t* const at = &record.bytes[place.offset];
  if (place.field == FuzzField::kUserData) {
    at[Below(place.size)] = static_cast<uint8_t>(random_.Next());
  } else if (place.field == FuzzField::kGuid) {
    Guid guid = Below(4) == 0 ? kScsi : Guid{};
    if (guid == Guid{}) guid.bytes[0] = static_cast<uint8_t>(Below(4));
    std::memcpy(at, guid.bytes.data(), place.size);
  } else {
    const uint64_t value = AnyValue(place.field);
    std::memcpy(at, &value, place.size);
  }
}

void Mutator::ChangeField(Record& record) {
  const std::vector<Place> places = PlacesOf(record);
  if (places.empty()) return Resize(record);
  const Place& place = places[Below(places.size())];
  if (place.size <= 8 && Below(8) == 0) {
    // One more, one less, or one bit.
    uint64_t value = 0;
    std::memcpy(&value, &record.bytes[place.offset], place.size);
    const size_t dice = Below(3);
    value = dice == 0 ? value + 1 : dice == 1 ? value - 1 : value ^ uint64_t { 1 } << Below(64);
    std::memcpy(&record.bytes[place.offset], &value, place.size);
  } else {
    Set(record, place);
  }
}

void Mutator::Resize(Record& record) {
  const size_t full = kRecordBytesMax + 1;
  const size_t size = record.bytes.size();
  switch (Below(4)) {
    case 0:
      return record.bytes.resize(size == 0 ? 0 : Below(size));
    case 1:
      return record.bytes.resize(std::min(size + 1 + Below(16), kRecordBytesMax));
    case 2:
      return record.bytes.resize(Below(full));
    default:
      record.kind ^= kFuzzFilledUp;
  }
}

void Mutator::ChangeBytes(std::vector<uint8_t>& bytes) {
  if (LLVMFuzzerMutate != nullptr && Below(4) != 0) {
    size_t size = bytes.size();
    bytes.resize(kRecordBytesMax);
    size = LLVMFuzzerMutate(bytes.data(), size, bytes.size());
    return bytes.resize(size);
  }
  if (bytes.empty()) bytes.resize(1 + Below(8));
  bytes[Below(bytes.size())] ^= static_cast<uint8_t>(1 + Below(255));
}

void Mutator::ChangeRecord(Record& record) {
  const size_t dice = Below(16);
  if (dice < 11) return ChangeField(record);
  if (dice < 13) return Resize(record);
  if (dice < 15) return ChangeBytes(record.bytes);
  record.kind = Below(4) == 0 ? static_cast<uint8_t>(random_.Next()) : AnyKind();
}

void Mutator::Arrange() {
  const size_t count = records_.size();
  const auto at = [&](size_t index) { return records_.begin() + static_cast<ptrdiff_t>(index); };
  const size_t first = Below(count);
  switch (Below(4)) {
    case 0: {
      const Record copy = records_[first];
      records_.insert(at(Below(count + 1)), copy);
      return;
    }
    case 1:
      std::swap(records_[first], records_[Below(count)]);
      return;
    case 2: {
      const size_t gone = Below(4) == 0 ? 1 + Below(count - first) : 1;
      records_.erase(at(first), at(first + gone));
      return;
    }
    default: {
      // A stretch of them once more, later.
      const size_t length = 1 + Below(std::min<size_t>(count - first, 8));
      const std::vector<Record> stretch(at(first), at(first + length));
      records_.insert(at(first + length + Below(count - first - length + 1)), stretch.begin(),
                      stretch.end());
    }
  }
}

void Mutator::Change() {
  const size_t changes = 1 + (Below(2) == 0 ? Below(5) : 0);
  for (size_t i = 0; i < changes; ++i) {
    const size_t dice = Below(32);
    if (dice == 0) {
      options_[Below(options_.size())] = static_cast<uint8_t>(random_.Next());
    } else if (records_.empty() || (dice < 12 && records_.size() < kRecordsMax)) {
      // Mostly at the end, where everything before it has happened.
      const size_t index = Below(2) == 0 ? records_.size() : Below(records_.size() + 1);
      Record record = NewRecord();
      records_.insert(records_.begin() + static_cast<ptrdiff_t>(index), std::move(record));
    } else if (dice < 26 || records_.size() >= kRecordsMax) {
      ChangeRecord(records_[Below(records_.size())]);
    } else {
      Arrange();
    }
  }
}

void Mutator::Splice(Mutator& other) {
  const size_t keep = Below(records_.size() + 1);
  const size_t from = Below(other.records_.size() + 1);
  const size_t to = from + Below(other.records_.size() - from + 1);
  const auto at = records_.begin() + static_cast<ptrdiff_t>(keep);
  if (Below(2) == 0) records_.erase(at, records_.end());
  records_.insert(records_.begin() + static_cast<ptrdiff_t>(keep),
                  other.records_.begin() + static_cast<ptrdiff_t>(from),
                  other.records_.begin() + static_cast<ptrdiff_t>(to));
}

}  // namespace

size_t MutateMessages(const FuzzGrammar& grammar, std::span<uint8_t> buffer, size_t size,
                      uint32_t seed) {
  if (LLVMFuzzerMutate != nullptr && seed % 32 == 0) {
    return LLVMFuzzerMutate(buffer.data(), size, buffer.size());
  }
  Mutator mutator(grammar, seed);
  mutator.Read(buffer.first(size));
  mutator.Change();
  return mutator.Write(buffer);
}

size_t CrossMessages(std::span<const uint8_t> first, std::span<const uint8_t> second,
                     std::span<uint8_t> output, uint32_t seed) {
  Mutator mutator({}, seed);
  Mutator other({}, seed);
  mutator.Read(first);
  other.Read(second);
  mutator.Splice(other);
  return mutator.Write(output);
}

}  // namespace vmbuskit
