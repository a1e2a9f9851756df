#include "transports/embedded_host/port_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "transports/protocol/hypervisor.h"

namespace vmbuskit {

absl::Status PortTable::Add(uint32_t connection_id, uintptr_t value) {
  if (connection_id > kConnectionIdMask) {
    return absl::InvalidArgumentError(
        absl::StrCat("connection id 0x", absl::Hex(connection_id), ": more than 24 bits"));
  }
  const std::atomic<uintptr_t>* const found = Find(connection_id);
  if (found != nullptr && found->load() != 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("connection id 0x", absl::Hex(connection_id), ": has a port"));
  }
  const uint32_t top = connection_id >> 16;
  const uint32_t middle = connection_id >> 8 & 0xFF;
  if (owned_[top] == nullptr) {
    owned_[top] = std::make_unique<Middle>();
    middles_[top].store(owned_[top].get());
    ++nodes_;
  }
  Middle& node = *owned_[top];
  if (node.owned[middle] == nullptr) {
    node.owned[middle] = std::make_unique<Leaf>();
    node.leaves[middle].store(node.owned[middle].get());
    ++node.used;
    ++nodes_;
  }
  Leaf& leaf = *node.owned[middle];
  leaf.ports[connection_id & 0xFF].store(value);
  ++leaf.used;
  ++size_;
  return absl::OkStatus();
}

// Sequentially consistent loads: the gate's rule for what is freed after Synchronize.
const std::atomic<uintptr_t>* PortTable::Find(uint32_t connection_id) const {
  if (connection_id > kConnectionIdMask) return nullptr;
  const Middle* node = middles_[connection_id >> 16].load();
  if (node == nullptr) return nullptr;
  const Leaf* leaf = node->leaves[connection_id >> 8 & 0xFF].load();
  return leaf == nullptr ? nullptr : &leaf->ports[connection_id & 0xFF];
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
  const uint32_t top = connection_id >> 16;
  const uint32_t middle = connection_id >> 8 & 0xFF;
  Middle& node = *owned_[top];
  std::unique_ptr<Leaf> empty_leaf;
  std::unique_ptr<Middle> empty_node;
  if (--node.owned[middle]->used == 0) {
    node.leaves[middle].store(nullptr);
    empty_leaf = std::move(node.owned[middle]);
    --nodes_;
    if (--node.used == 0) {
      middles_[top].store(nullptr);
      empty_node = std::move(owned_[top]);
      --nodes_;
    }
  }
  gates_.SynchronizeVps();  // before the nodes go
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
