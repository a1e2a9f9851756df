#include "transports/embedded_host/port_table.h"

#include "absl/strings/str_cat.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

absl::Status PortTable::Add(uint32_t connection_id, uintptr_t value) {
  if (connection_id > kConnectionIdMask) {
    return absl::InvalidArgumentError(
        absl::StrCat("connection id 0x", absl::Hex(connection_id), ": more than 24 bits"));
  }
  const uint32_t top = connection_id >> 16;
  const uint32_t middle = connection_id >> 8 & 0xFF;
  if (owned_[top] == nullptr) {
    owned_[top] = std::make_unique<Middle>();
    middles_[top].store(owned_[top].get(), std::memory_order_release);
  }
  Middle& node = *owned_[top];
  if (node.owned[middle] == nullptr) {
    node.owned[middle] = std::make_unique<Leaf>();
    node.leaves[middle].store(node.owned[middle].get(), std::memory_order_release);
  }
  std::atomic<uintptr_t>& entry = (*node.owned[middle])[connection_id & 0xFF];
  if (entry.load() != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("connection id 0x", absl::Hex(connection_id), ": has a port"));
  }
  entry.store(value);
  ++size_;
  return absl::OkStatus();
}

const std::atomic<uintptr_t>* PortTable::Find(uint32_t connection_id) const {
  if (connection_id > kConnectionIdMask) return nullptr;
  const Middle* node = middles_[connection_id >> 16].load(std::memory_order_acquire);
  if (node == nullptr) return nullptr;
  const Leaf* leaf = node->leaves[connection_id >> 8 & 0xFF].load(std::memory_order_acquire);
  return leaf == nullptr ? nullptr : &(*leaf)[connection_id & 0xFF];
}

absl::Status PortTable::AddEventPort(uint32_t connection_id, Event* target) {
  return Add(connection_id, reinterpret_cast<uintptr_t>(target));
}

absl::Status PortTable::AddMessagePort(uint32_t connection_id) {
  return Add(connection_id, kMessagePort);
}

void PortTable::Remove(uint32_t connection_id) {
  // The table owns what Find shows as constant.
  auto* entry = const_cast<std::atomic<uintptr_t>*>(Find(connection_id));
  if (entry == nullptr || entry->exchange(0) == 0) return;
  --size_;
  gates_.SynchronizeVps();
}

Event* PortTable::FindEvent(uint32_t connection_id) const {
  const std::atomic<uintptr_t>* entry = Find(connection_id);
  const uintptr_t value = entry == nullptr ? 0 : entry->load();
  return value <= kMessagePort ? nullptr : reinterpret_cast<Event*>(value);
}

bool PortTable::IsMessagePort(uint32_t connection_id) const {
  const std::atomic<uintptr_t>* entry = Find(connection_id);
  return entry != nullptr && entry->load() == kMessagePort;
}

}  // namespace vmbuskit
