#include "transports/embedded_host/raw_guest.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "transports/protocol/gpadl_messages.h"
#include "transports/protocol/message_buffer.h"

namespace vmbuskit {

std::optional<FetchedMessage> FetchMessage(SynicMessage& slot) {
  std::atomic_ref type(slot.type);
  const uint32_t seen = type.load(std::memory_order_acquire);
  if (seen == kMessageTypeNone) return std::nullopt;
  FetchedMessage message;
  message.type = seen;
  const size_t size = std::min<size_t>(slot.payload_size, kMessagePayloadMax);
  message.payload.assign(slot.payload.begin(), slot.payload.begin() + size);
  uint32_t expected = seen;
  type.compare_exchange_strong(expected, kMessageTypeNone);
  message.pending = (std::atomic_ref(slot.flags).load() & kMessageFlagPending) != 0;
  return message;
}

void RawGuest::ConnectInterrupts(const std::array<Event*, kVps>& handlers) {
  for (uint32_t vp = 0; vp < kVps; ++vp) partition().ConnectInterrupt(vp, kVector, handlers[vp]);
}

absl::Status RawGuest::EnableHypercalls() {
  absl::Status status = Write(0, kRegGuestOsId, OpenSourceGuestOsId(1, 0, 0x060100, 0));
  status.Update(Write(0, kRegHypercall, PageRegister(kHypercallGpa)));
  return status;
}

absl::Status RawGuest::BringUpSynic(uint32_t vp) {
  absl::Status status = Write(vp, kRegSimp, PageRegister(SimpGpa(vp)));
  status.Update(Write(vp, kRegSiefp, PageRegister(SiefpGpa(vp))));
  std::memset(At(SimpGpa(vp)), 0, kPageSize);
  std::memset(At(SiefpGpa(vp)), 0, kPageSize);
  status.Update(Write(vp, kRegSint0 + kVmbusSint, kVector));
  status.Update(Write(vp, kRegScontrol, kScontrolEnable));
  return status;
}

absl::Status RawGuest::BringUp() {
  absl::Status status = EnableHypercalls();
  for (uint32_t vp = 0; vp < kVps; ++vp) status.Update(BringUpSynic(vp));
  return status;
}

absl::Status RawGuest::SwitchOff() {
  absl::Status status;
  for (uint32_t vp = 0; vp < kVps; ++vp) {
    status.Update(Write(vp, kRegSint0 + kVmbusSint, kSintMasked));
    status.Update(Write(vp, kRegSimp, 0));
    status.Update(Write(vp, kRegSiefp, 0));
  }
  status.Update(Write(0, kRegGuestOsId, 0));
  status.Update(Write(0, kRegHypercall, 0));
  return status;
}

HypercallStatus RawGuest::PostBytes(std::span<const std::byte> message, uint32_t connection_id,
                                    uint32_t type) {
  PostMessageInput input{};
  input.connection_id = connection_id;
  input.message_type = type;
  input.payload_size = static_cast<uint32_t>(message.size());
  std::memcpy(input.payload.data(), message.data(), std::min(message.size(), input.payload.size()));
  std::memcpy(At(kInputGpa), &input, sizeof input);
  return ResultStatus(partition().Hypercall(0, kCallPostMessage, kInputGpa, 0));
}

HypercallStatus RawGuest::PostContact(const Contact& contact) {
  return PostBytes(EmitContact(contact).bytes(), ContactConnectionId(contact.version));
}

HypercallStatus RawGuest::PostGpadl(uint32_t relid, uint32_t handle, std::span<const Pfn> pages) {
  const GpadlRange range = GpadlRange::Pages(pages);
  auto messages = GpadlMessages::Create(relid, handle, std::span(&range, 1));
  if (!messages.ok()) return HypercallStatus::kInvalidParameter;
  MessageBuffer message;
  HypercallStatus first = HypercallStatus::kSuccess;
  while (messages->Next(message)) {
    const HypercallStatus status = PostBytes(message.bytes(), kMessageConnection);
    if (first == HypercallStatus::kSuccess) first = status;
  }
  return first;
}

std::optional<FetchedMessage> RawGuest::FetchSlot(uint32_t vp, uint32_t sint) {
  const absl::StatusOr<uint64_t> simp = partition().ReadRegister(vp, kRegSimp);
  if (!simp.ok() || (*simp & kPageRegisterEnable) == 0) return std::nullopt;
  const auto page = partition().memory().Translate(*simp & kPageRegisterPageMask, kPageSize);
  if (!page.ok()) return std::nullopt;
  auto& slot = reinterpret_cast<SynicMessagePage*>(page->data())->slot[sint];
  std::optional<FetchedMessage> message = FetchMessage(slot);
  if (message && message->pending) (void)Write(vp, kRegEom, 0);
  return message;
}

bool RawGuest::TakeFlag(uint32_t vp, uint32_t flag, uint32_t sint) {
  auto& page = *reinterpret_cast<SynicEventFlagsPage*>(At(SiefpGpa(vp)));
  const uint64_t bit = uint64_t{1} << flag % 64;
  std::atomic_ref word(page.flags[sint][flag / 64]);
  return (word.fetch_and(~bit) & bit) != 0;
}

}  // namespace vmbuskit
