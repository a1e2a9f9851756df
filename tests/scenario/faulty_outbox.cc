#include "tests/scenario/faulty_outbox.h"

#include <algorithm>
#include <cstring>

#include "transports/protocol/messages.h"

namespace vmbuskit {
namespace {

uint32_t WordAt(std::span<const std::byte> message, size_t offset) {
  uint32_t word = 0;
  if (message.size() >= offset + sizeof word) {
    std::memcpy(&word, message.data() + offset, sizeof word);
  }
  return word;
}

// Of the messages that are about a channel.
uint32_t RelidOf(std::span<const std::byte> message) {
  const bool offer = WordAt(message, 0) == static_cast<uint32_t>(MessageType::kOfferChannel);
  return WordAt(message,
                offer ? offsetof(OfferChannelMessage, relid) : offsetof(RescindMessage, relid));
}

}  // namespace

FaultyOutbox::Lane FaultyOutbox::LaneOf(std::span<const std::byte> message) {
  switch (static_cast<MessageType>(WordAt(message, 0))) {
    case MessageType::kOfferChannel: {
      const Lane lane = WordAt(message, offsetof(OfferChannelMessage, instance_id));
      devices_[RelidOf(message)] = lane;
      return lane;
    }
    case MessageType::kRescindChannelOffer:
    case MessageType::kOpenChannelResult:
    case MessageType::kGpadlCreated:
    case MessageType::kModifyChannelResponse: {
      const auto device = devices_.find(RelidOf(message));
      return device == devices_.end() ? kEverything : device->second;
    }
    default:
      return kEverything;
  }
}

void FaultyOutbox::NoteSent(const char* how, std::span<const std::byte> message) {
  if (!faults_.tracing()) return;
  faults_.Note("host ", how, " ", MessageName(WordAt(message, 0)), " ", RelidOf(message));
}

bool FaultyOutbox::Drops(std::span<const std::byte> message) {
  if (dropped_ >= faults_.plan().messages_dropped_max) return false;
  if (!faults_.Happens(faults_.plan().message_dropped)) return false;
  ++dropped_;
  NoteSent("never sends", message);
  if (on_dropped_) on_dropped_();
  return true;
}

bool FaultyOutbox::IsLeftUnanswered(std::span<const std::byte> message) {
  uint32_t relid = RelidOf(message);
  switch (static_cast<MessageType>(WordAt(message, 0))) {
    case MessageType::kOfferChannel:
      rescinded_.erase(relid);
      return false;
    case MessageType::kRescindChannelOffer:
      rescinded_.insert(relid);
      return false;
    case MessageType::kGpadlCreated:
      gpadls_[WordAt(message, offsetof(GpadlCreatedMessage, gpadl))] = relid;
      break;
    case MessageType::kGpadlTorndown:
      relid = gpadls_[WordAt(message, offsetof(GpadlTorndownMessage, gpadl))];
      break;
    case MessageType::kModifyChannelResponse:
      break;
    default:
      return false;
  }
  if (!faults_.plan().rescinded_unanswered || !rescinded_.contains(relid)) return false;
  NoteSent("leaves unanswered, after the RESCIND,", message);
  return true;
}

void FaultyOutbox::Watch(MessageType type, uint32_t count) {
  watched_type_ = type;
  watched_left_ = count;
  watched_.reset();
}

void FaultyOutbox::Observe(Lane lane, std::span<const std::byte> message) {
  if (watched_left_ == 0 || lane == kEverything) return;
  if (static_cast<MessageType>(WordAt(message, 0)) != watched_type_) return;
  if (--watched_left_ == 0) watched_ = static_cast<uint32_t>(lane);
}

// Another processor may read the answer before the host's turn ends.
void FaultyOutbox::CheckNothingIsHeld(std::span<const std::byte> message) {
  const auto type = static_cast<MessageType>(WordAt(message, 0));
  if (type != MessageType::kUnloadResponse && type != MessageType::kVersionResponse) return;
  const EmbeddedHost::SharedPages pages = host_->shared_pages();
  if (pages.gpadls == 0 && pages.mapped == 0) return;
  faults_.Report(absl::InternalError(absl::StrCat("the host says ", MessageName(WordAt(message, 0)),
                                                  " and still has ", pages.gpadls,
                                                  " pages by GPADLs, ", pages.mapped, " mapped")));
}

void FaultyOutbox::Take(MessageTarget target, std::span<const std::byte> message) {
  CheckNothingIsHeld(message);
  if (IsLeftUnanswered(message)) return;
  if (Drops(message)) return;
  const FaultPlan& plan = faults_.plan();
  const Instant now = executor_.Now();
  Held held{.lane = LaneOf(message), .due = now, .target = target};
  Observe(held.lane, message);
  if (faults_.Happens(plan.message_late)) {
    held.lane = kEverything;
    held.due += DrawUpTo(faults_.random(), plan.message_late_max);
  } else if (held.lane != kEverything && faults_.Happens(plan.message_reordered)) {
    held.due += DrawUpTo(faults_.random(), plan.message_late_max);
  }
  bool waits = false;  // behind one that may be due already, if the host had no turn since
  for (const Held& before : held_) {
    const bool ordered =
        before.lane == held.lane || before.lane == kEverything || held.lane == kEverything;
    if (!ordered) continue;
    waits = true;
    held.due = std::max(held.due, before.due);
  }
  if (!waits && held.due == now) {
    NoteSent("sends", message);
    return host_->Deliver(target, message);
  }
  NoteSent("holds back", message);
  held.message.assign(message.begin(), message.end());
  held_.push_back(std::move(held));
  ArmDue();
}

void FaultyOutbox::OnDue() {
  const Instant now = executor_.Now();
  for (size_t i = 0; i < held_.size();) {
    if (held_[i].due > now) {
      ++i;
      continue;
    }
    const Held held = std::move(held_[i]);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(i));
    NoteSent("sends late", held.message);
    host_->Deliver(held.target, held.message);
  }
  ArmDue();
}

void FaultyOutbox::ArmDue() {
  Instant due = kInfiniteFuture;
  for (const Held& held : held_) due = std::min(due, held.due);
  due_.Arm(due);
}

void FaultyOutbox::Forget() {
  held_.clear();
  due_.Disarm();
}

}  // namespace vmbuskit
