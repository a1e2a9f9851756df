#include "tests/fuzz/hostile_host.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "devices/echo/protocol.h"
#include "devices/util/heartbeat/protocol.h"
#include "framework/channel/ring_memory.h"
#include "tests/fuzz/chatter.h"

namespace vmbuskit {
namespace {

constexpr MessageType kAsking[] = {
    MessageType::kInitiateContact, MessageType::kRequestOffers, MessageType::kGpadlHeader,
    MessageType::kGpadlBody,       MessageType::kOpenChannel,   MessageType::kGpadlTeardown,
    MessageType::kModifyChannel,   MessageType::kUnload,
};
constexpr MessageType kTelling[] = {MessageType::kCloseChannel, MessageType::kRelidReleased};
constexpr size_t kVictimsMax = 16;

uint32_t WordAt(std::span<const std::byte> bytes, size_t offset) {
  uint32_t word = 0;
  if (bytes.size() >= offset + sizeof word) std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

}  // namespace

HostileHost::HostileHost(FakePartition& partition, HonestEcho& honest, const Options& options)
    : partition_(partition), honest_(honest), options_(options), fake_(partition) {
  fake_.offers.clear();
  fake_.version_max = options.version_max;
  fake_.features = options.features;
  for (const MessageType type : kAsking) fake_.before[type] = [this, type] { BeforeAnswer(type); };
  for (const MessageType type : kTelling) {
    fake_.before[type] = [this, type] { BeforeAnswer(type); };
  }
  partition.on_signal = [this](uint32_t connection) { honest_.OnGuestSignal(connection); };
}

Guid HostileHost::Instance(uint32_t number) {
  Guid guid = Guid::Parse("00000000-0000-4000-8000-0000000000f2");
  guid.bytes[0] = static_cast<uint8_t>(number);
  return guid;
}

// ---- What the guest says.

bool HostileHost::IsHonest(std::span<const std::byte> message) const {
  switch (static_cast<MessageType>(WordAt(message, 0))) {
    case MessageType::kGpadlBody:
      return honest_gpadls_.contains(WordAt(message, 12));
    case MessageType::kGpadlHeader:
    case MessageType::kGpadlTeardown:
    case MessageType::kOpenChannel:
    case MessageType::kCloseChannel:
    case MessageType::kModifyChannel:
    case MessageType::kRelidReleased:
      return WordAt(message, 8) == HonestEcho::kRelid;
    default:
      return false;
  }
}

void HostileHost::BeforeAnswer(MessageType type) {
  const std::span<const std::byte> message(fake_.received.back());
  const bool honest = IsHonest(message);
  const auto* const asking = std::find(std::begin(kAsking), std::end(kAsking), type);
  const auto bit = static_cast<uint32_t>(asking - std::begin(kAsking));
  const bool silent = (silent_ >> bit & 1) != 0 && asking != std::end(kAsking);
  if (silent && !(options_.guarded && honest)) {
    fake_.silent.insert(type);
  } else {
    fake_.silent.erase(type);
  }
  fake_.status = options_.guarded && honest ? 0 : refusal_;
  switch (type) {
    case MessageType::kInitiateContact:
      return OnContact();
    case MessageType::kRequestOffers:
      if (!options_.offers_at_once) return;
      Offer(echo::kClassId, 1, HonestEcho::kRelid);
      Offer(echo::kClassId, 2, 2);
      Offer(heartbeat::kClassId, 3, 3, 0, 0, 5);
      return Offer(kChatterClassId, 4, 4);
    case MessageType::kGpadlHeader:
      return OnGpadlHeader(message);
    case MessageType::kGpadlBody:
      return OnGpadlBody(message);
    case MessageType::kOpenChannel:
      return OnOpen(message);
    case MessageType::kModifyChannel:
      return OnModify(message);
    case MessageType::kCloseChannel:
    case MessageType::kRelidReleased:
      return OnEnd(WordAt(message, 8));
    case MessageType::kUnload:
      return ForgetAll();
    default:
      return;
  }
}

void HostileHost::OnContact() {
  if (options_.guarded || !options_.bends_contact || contacts_ != 0) return;
  contacts_ = 1;
  fake_.bend = [this](std::vector<std::byte>& answer) {
    if (contacts_++ == 1) options_.contact.Apply(answer, kMessagePayloadMax);
  };
}

void HostileHost::OnGpadlHeader(std::span<const std::byte> message) {
  const uint32_t handle = WordAt(message, 12);
  if (WordAt(message, 8) == HonestEcho::kRelid) honest_gpadls_.insert(handle);
  std::vector<Pfn>& pages = gpadls_[handle];
  pages.clear();
  for (size_t at = 28; at + 8 <= message.size(); at += 8) {
    pages.push_back(FakeHost::As<Pfn>(message.subspan(at)));
  }
}

void HostileHost::OnGpadlBody(std::span<const std::byte> message) {
  std::vector<Pfn>& pages = gpadls_[WordAt(message, 12)];
  for (size_t at = 16; at + 8 <= message.size(); at += 8) {
    pages.push_back(FakeHost::As<Pfn>(message.subspan(at)));
  }
}

void HostileHost::OnOpen(std::span<const std::byte> message) {
  const auto open = FakeHost::As<OpenChannelMessage>(message);
  const std::vector<Pfn>& pages = gpadls_[open.ring_gpadl];
  RawRings rings(partition_.memory(), pages, open.downstream_page, RawRings::End::kHost);
  if (!rings.valid()) return;
  const uint32_t vp =
      std::min(open.target_vp - FakePartition::first_vp_index, partition_.vp_count() - 1);
  if (open.relid == HonestEcho::kRelid) {
    honest_.Open(pages, open.downstream_page, vp);
    if (options_.guarded) return;
  }
  victims_.push_back({.relid = open.relid, .vp = vp, .rings = std::move(rings)});
  if (victims_.size() > kVictimsMax) victims_.pop_front();
}

void HostileHost::OnModify(std::span<const std::byte> message) {
  const auto modify = FakeHost::As<ModifyChannelMessage>(message);
  const uint32_t vp =
      std::min(modify.target_vp - FakePartition::first_vp_index, partition_.vp_count() - 1);
  if (modify.relid == HonestEcho::kRelid) honest_.Retarget(vp);
  for (Victim& victim : victims_) {
    if (victim.relid == modify.relid) victim.vp = vp;
  }
}

void HostileHost::OnEnd(uint32_t relid) {
  if (relid == HonestEcho::kRelid) honest_.Close();
  if (options_.guarded) {
    std::erase_if(victims_, [relid](const Victim& victim) { return victim.relid == relid; });
  }
}

void HostileHost::ForgetAll() {
  honest_.Close();
  if (options_.guarded) victims_.clear();
}

// ---- What the host says.

void HostileHost::Offer(const Guid& class_id, uint32_t instance, uint32_t relid,
                        uint16_t subchannel, uint16_t flags, uint8_t monitor) {
  fake_.Say(OfferChannelMessage{.class_id = class_id,
                                .instance_id = Instance(instance),
                                .flags = flags,
                                .subchannel_index = subchannel,
                                .relid = relid,
                                .monitor_id = monitor,
                                .monitor_allocated = monitor != kNoMonitor,
                                .connection_id = 0x2000 + relid});
}

void HostileHost::Rescind(uint32_t relid) {
  if (relid == HonestEcho::kRelid) {
    if (options_.guarded) return;
    honest_.Close();
  }
  if (options_.guarded) OnEnd(relid);
  fake_.Rescind(relid);
}

void HostileHost::Storm(uint32_t count) {
  for (; count > 0; --count) fake_.Say(AllOffersDeliveredMessage{});
}

void HostileHost::SetSilent(uint32_t mask) { silent_ = mask; }

void HostileHost::AnswerAgain(uint32_t index, const Bend& bend) {
  if (fake_.received.empty()) return;
  // From a copy: nothing that is said here makes the guest speak before its turn, but nothing
  // should depend on that.
  const std::vector<std::byte> question = fake_.received[index % fake_.received.size()];
  if (options_.guarded && IsHonest(question)) return;
  fake_.bend = [this, &bend](std::vector<std::byte>& answer) {
    bend.Apply(answer, kMessagePayloadMax);
    const bool rescinds =
        WordAt(answer, 0) == static_cast<uint32_t>(MessageType::kRescindChannelOffer);
    // Bent into one that takes the honest device away, it says nothing.
    if (options_.guarded && rescinds && WordAt(answer, 8) == HonestEcho::kRelid) answer.clear();
  };
  fake_.Answer(question);
  fake_.bend = nullptr;
}

void HostileHost::SayRaw(uint32_t type, uint32_t first, uint32_t second, uint64_t rest,
                         size_t bytes) {
  if (options_.guarded && type == static_cast<uint32_t>(MessageType::kRescindChannelOffer)) {
    return Rescind(first);
  }
  std::vector<std::byte> message(std::min<size_t>(bytes, kMessagePayloadMax));
  const uint32_t words[] = {type, 0, first, second};
  for (size_t i = 0; i < message.size(); ++i) {
    message[i] = i < sizeof words ? std::as_bytes(std::span(words))[i]
                                  : static_cast<std::byte>(rest >> 8 * (i % 8));
  }
  fake_.Say(message);
}

void HostileHost::WriteSlot(uint32_t vp, uint32_t type, uint8_t payload_bytes, uint8_t flags,
                            uint64_t words) {
  vp %= partition_.vp_count();
  if (!partition_.page_enabled(vp, kRegSimp)) return;
  SynicMessage& slot = partition_.Slot(vp);
  // A message of the honest device, or one on its way to it, is not lost by the attack on others.
  if (options_.guarded && (slot.type != kMessageTypeNone || partition_.queued(vp) != 0)) return;
  slot.payload_size = payload_bytes;
  slot.flags = flags;
  const uint32_t message[] = {static_cast<uint32_t>(words % (kMessageTypeCount + 2)), 0,
                              static_cast<uint32_t>(words >> 32), static_cast<uint32_t>(words)};
  std::memcpy(slot.payload.data(), message, sizeof message);
  const bool rescinds = message[0] == static_cast<uint32_t>(MessageType::kRescindChannelOffer);
  if (options_.guarded && rescinds) return;
  std::atomic_ref(slot.type).store(type);
  partition_.Raise(vp, static_cast<uint8_t>(partition_.reg(vp, kRegSint0 + kVmbusSint)));
}

void HostileHost::WriteFlags(uint32_t vp, uint32_t word, uint64_t bits) {
  vp %= partition_.vp_count();
  if (!partition_.page_enabled(vp, kRegSiefp)) return;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if ((bits >> bit & 1) != 0) partition_.SetFlag(vp, word % kEventFlagWords * 64 + bit);
  }
}

void HostileHost::WriteMonitor(uint32_t offset, uint64_t value) {
  const auto contact = fake_.LastOf<InitiateContactMessage>();
  const Gpa page = offset % 2 == 0 ? contact.parent_to_child : contact.child_to_parent;
  if (page == 0) return;
  std::byte* const at =
      partition_.memory().Translate(page, kPageSize)->data() + offset / 2 % (kPageSize / 8) * 8;
  RingQword(at).store(value);
}

// ---- Rings.

HostileHost::Victim* HostileHost::Find(uint32_t who) {
  return victims_.empty() ? nullptr : &victims_[who % victims_.size()];
}

void HostileHost::Interrupt(uint32_t vp, uint32_t relid) {
  if (partition_.page_enabled(vp, kRegSiefp)) partition_.SetFlag(vp, relid % kEventFlagCount);
}

void HostileHost::Send(Victim& victim, uint64_t descriptor, uint64_t transaction,
                       std::span<const std::byte> payload) {
  victim.rings.Send(descriptor, transaction, payload);
  Interrupt(victim);
}

void HostileHost::Serve(Victim& victim, uint32_t count, const Bend& bend) {
  victim.rings.Serve(count, bend);
  Interrupt(victim);
}

}  // namespace vmbuskit
