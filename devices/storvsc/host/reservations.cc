#include "devices/storvsc/host/reservations.h"

#include <algorithm>
#include <array>

#include "devices/storvsc/scsi.h"

namespace vmbuskit {
namespace {

constexpr ScsiOutcome kInvalidField = outcome::IllegalRequest(scsi_asc::kInvalidFieldInCdb);
constexpr uint32_t kParameterBytes = 24;
constexpr uint32_t kInitiatorIdBytes = 4;
constexpr uint32_t kFullStatusBytes = 24 + kInitiatorIdBytes;
constexpr uint8_t kHolderFlag = 1;

bool IsType(uint8_t type) { return type == 1 || type == 3 || (type >= 5 && type <= 8); }

// Commands that a reservation of somebody else never stops (SPC-3 table 31): they tell, or they are about the
// reservation itself.
bool IsAlwaysAllowed(const ScsiTask& task) {
  switch (task.cdb[0]) {
    case scsi::kInquiry:
    case scsi::kRequestSense:
    case scsi::kTestUnitReady:
    case scsi::kReadCapacity10:
    case scsi::kPersistentReserveIn:
    case scsi::kPersistentReserveOut:  // has rules of its own
      return true;
    case scsi::kServiceActionIn16:
      return (task.cdb[1] & 0x1F) == scsi::kReadCapacity16Action;
    default:
      return false;
  }
}

bool Writes(uint8_t opcode) {
  switch (opcode) {
    case scsi::kRead6:
    case scsi::kRead10:
    case scsi::kRead12:
    case scsi::kRead16:
    case scsi::kVerify10:
    case scsi::kVerify12:
    case scsi::kVerify16:
    case scsi::kServiceActionIn16:
      return false;
    default:
      return true;
  }
}

}  // namespace

bool Reservations::IsHolder(uint32_t initiator) const {
  if (!held_ || !keys_.contains(initiator)) return false;
  return IsAllRegistrants(held_->type) || held_->initiator == initiator;
}

bool Reservations::ConflictsWithHolder(uint32_t initiator, const ScsiTask& task) const {
  if (IsHolder(initiator) || IsAlwaysAllowed(task)) return false;
  switch (held_->type) {
    case kWriteExclusive:
      return Writes(task.cdb[0]);
    case kExclusiveAccess:
      return true;
    case kWriteExclusiveRegistrantsOnly:
    case kWriteExclusiveAllRegistrants:
      return !keys_.contains(initiator) && Writes(task.cdb[0]);
    default:
      return !keys_.contains(initiator);
  }
}

bool Reservations::In(ScsiTask& task) const {
  const uint32_t allocation = scsi::ReadBig16(&task.cdb[7]);
  if (allocation > task.data_bytes || allocation < 8) return task.End(kInvalidField);
  switch (task.cdb[1] & 0x1F) {
    case 0:
      return EndReadKeys(task, allocation);
    case 1:
      return EndReadReservation(task, allocation);
    case 2: {
      // ATP_C, CRH; TMV; all six types.
      constexpr std::array<uint8_t, 8> kCapabilities = {0, 8, 0x14, 0x80, 0xEA, 0x01, 0, 0};
      return EndWithData(task, std::as_bytes(std::span(kCapabilities)), allocation);
    }
    case 3:
      return EndReadFullStatus(task, allocation);
    default:
      return task.End(kInvalidField);
  }
}

bool Reservations::EndReadKeys(ScsiTask& task, uint32_t allocation) const {
  std::array<std::byte, 8 + 8 * kRegistrationsMax> answer{};
  uint32_t bytes = 8;
  for (const auto& [initiator, key] : keys_) {
    scsi::WriteBig64(&answer[bytes], key);
    bytes += 8;
  }
  scsi::WriteBig32(answer.data(), generation_);
  scsi::WriteBig32(&answer[4], bytes - 8);
  return EndWithData(task, std::span(answer).first(bytes), allocation);
}

bool Reservations::EndReadReservation(ScsiTask& task, uint32_t allocation) const {
  std::array<std::byte, 24> answer{};
  scsi::WriteBig32(answer.data(), generation_);
  if (!held_) return EndWithData(task, std::span(answer).first(8), allocation);
  scsi::WriteBig32(&answer[4], 16);
  const auto key = keys_.find(held_->initiator);
  if (!IsAllRegistrants(held_->type) && key != keys_.end()) {
    scsi::WriteBig64(&answer[8], key->second);
  }
  answer[21] = std::byte{held_->type};
  return EndWithData(task, answer, allocation);
}

bool Reservations::EndReadFullStatus(ScsiTask& task, uint32_t allocation) const {
  std::array<std::byte, 8 + kFullStatusBytes * kRegistrationsMax> answer{};
  uint32_t bytes = 8;
  for (const auto& [initiator, key] : keys_) {
    std::byte* const at = &answer[bytes];
    scsi::WriteBig64(at, key);
    if (IsHolder(initiator)) {
      at[12] = std::byte{kHolderFlag};
      at[13] = std::byte{held_->type};
    }
    scsi::WriteBig16(at + 18, 1);  // relative target port
    scsi::WriteBig32(at + 20, kInitiatorIdBytes);
    scsi::WriteBig32(at + 24, initiator);
    bytes += kFullStatusBytes;
  }
  scsi::WriteBig32(answer.data(), generation_);
  scsi::WriteBig32(&answer[4], bytes - 8);
  return EndWithData(task, std::span(answer).first(bytes), allocation);
}

// Section 7.3 gives the order: scope, buffer, SPEC_I_PT, list length, type.
bool Reservations::Out(uint32_t initiator, ScsiTask& task) {
  const uint8_t action = task.cdb[1] & 0x1F;
  const uint8_t scope = task.cdb[2] >> 4;
  Parameters parameters = {.action = static_cast<Action>(action),
                           .type = static_cast<uint8_t>(task.cdb[2] & 0xF)};
  const bool ignores_scope = action == 0 || action == 3 || action == 6 || action == 7;
  if (scope != 0 && !ignores_scope) return task.End(kInvalidField);
  std::array<std::byte, kParameterBytes> list;
  if (task.data_bytes < kParameterBytes || !CopyFromData(task, 0, list)) {
    return task.End(kInvalidField);
  }
  constexpr std::byte kSpecifyInitiatorPorts{1 << 3};
  if ((list[20] & kSpecifyInitiatorPorts) != std::byte{0}) {
    return task.End(outcome::IllegalRequest(scsi_asc::kInvalidFieldInParameterList));
  }
  if (scsi::ReadBig16(&task.cdb[7]) != kParameterBytes) {
    return task.End(outcome::IllegalRequest(scsi_asc::kParameterListLength));
  }
  if (action > static_cast<uint8_t>(Action::kRegisterAndIgnore)) return task.End(kInvalidField);
  const bool has_type = action == 1 || action == 2 || action == 4 || action == 5;
  if (has_type && !IsType(parameters.type)) return task.End(kInvalidField);
  parameters.key = scsi::ReadBig64(&list[0]);
  parameters.action_key = scsi::ReadBig64(&list[8]);
  ScsiOutcome end = Carry(initiator, parameters);
  if (end.good()) end.transferred = kParameterBytes;
  return task.End(end);
}

ScsiOutcome Reservations::Carry(uint32_t initiator, const Parameters& parameters) {
  const auto registered = keys_.find(initiator);
  const bool key_fits = registered != keys_.end() && registered->second == parameters.key;
  switch (parameters.action) {
    case Action::kRegister:
    case Action::kRegisterAndIgnore:
      return Register(initiator, parameters);
    default:
      if (!key_fits) return outcome::Conflict();
  }
  switch (parameters.action) {
    case Action::kReserve:
      return Reserve(initiator, parameters);
    case Action::kRelease:
      return Release(initiator, parameters);
    case Action::kClear:
      keys_.clear();
      held_.reset();
      ++generation_;
      return outcome::Good();
    default:
      return Preempt(initiator, parameters);
  }
}

ScsiOutcome Reservations::Register(uint32_t initiator, const Parameters& parameters) {
  const auto registered = keys_.find(initiator);
  if (parameters.action == Action::kRegister) {
    const uint64_t present = registered == keys_.end() ? 0 : registered->second;
    if (present != parameters.key) return outcome::Conflict();
  }
  if (parameters.action_key == 0) {
    if (registered != keys_.end()) Unregister(initiator);
  } else if (registered == keys_.end() && keys_.size() >= kRegistrationsMax) {
    return outcome::Check(storvsc::kSrbInvalidRequest, {scsi::kIllegalRequest, 0x55, 0x04});
  } else {
    keys_[initiator] = parameters.action_key;
  }
  ++generation_;
  return outcome::Good();
}

ScsiOutcome Reservations::Reserve(uint32_t initiator, const Parameters& parameters) {
  if (held_ && (!IsHolder(initiator) || held_->type != parameters.type)) {
    return outcome::Conflict();
  }
  held_ = Holder{.initiator = initiator, .type = parameters.type};
  return outcome::Good();
}

ScsiOutcome Reservations::Release(uint32_t initiator, const Parameters& parameters) {
  if (!IsHolder(initiator)) return outcome::Good();  // nothing of its own
  if (held_->type != parameters.type) {
    // INVALID RELEASE OF PERSISTENT RESERVATION
    return outcome::Check(storvsc::kSrbInvalidRequest, {scsi::kIllegalRequest, 0x26, 0x04});
  }
  held_.reset();
  return outcome::Good();
}

void Reservations::Unregister(uint32_t initiator) {
  const bool was_holder = IsHolder(initiator);
  keys_.erase(initiator);
  if (!was_holder) return;
  if (!IsAllRegistrants(held_->type) || keys_.empty()) held_.reset();
}

// Nothing is aborted (reservations.h).
ScsiOutcome Reservations::Preempt(uint32_t initiator, const Parameters& parameters) {
  const uint64_t victim = parameters.action_key;
  const bool all = held_ && IsAllRegistrants(held_->type);
  const auto holder = held_ ? keys_.find(held_->initiator) : keys_.end();
  const bool takes_over =
      held_ && (all ? victim == 0 : holder != keys_.end() && holder->second == victim);
  if (victim == 0 && !all) {
    return outcome::IllegalRequest(scsi_asc::kInvalidFieldInParameterList);
  }
  const bool any =
      std::ranges::any_of(keys_, [&](const auto& entry) { return entry.second == victim; });
  if (!takes_over && !any) return outcome::Conflict();
  std::erase_if(keys_, [&](const auto& entry) {
    return entry.first != initiator && (entry.second == victim || (takes_over && all));
  });
  if (takes_over) held_ = Holder{.initiator = initiator, .type = parameters.type};
  if (!takes_over && victim == keys_[initiator]) Unregister(initiator);
  ++generation_;
  return outcome::Good();
}

template <typename Archive>
void Reservations::Exchange(Archive& archive) {
  archive(generation_);
  const size_t count = archive.Count("registrations", keys_.size(), kRegistrationsMax);
  if constexpr (Archive::kLoading) {
    keys_.clear();
    for (size_t i = 0; i < count; ++i) {
      uint32_t initiator = 0;
      archive(initiator);
      archive(keys_[initiator]);
    }
  } else {
    for (auto& [initiator, key] : keys_) {
      archive(initiator);
      archive(key);
    }
  }
  bool is_held = held_.has_value();
  archive(is_held);
  if (!is_held) return held_.reset();
  if (!held_) held_ = Holder{};
  archive(held_->initiator);
  archive.AtMost("reservation type", held_->type, kExclusiveAccessAllRegistrants);
  if constexpr (Archive::kLoading) {
    if (!IsType(held_->type)) archive.Fail("reservation type", held_->type, "unknown");
  }
}

template void Reservations::Exchange(StateWriter& archive);
template void Reservations::Exchange(StateReader& archive);

}  // namespace vmbuskit
