#include "transports/synic/client_channels.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "framework/base/status.h"
#include "framework/base/string_view.h"
#include "transports/protocol/offer.h"

namespace vmbuskit {
namespace {

std::string Name(uint32_t relid) { return absl::StrCat("channel ", relid); }

absl::Status RescindedError(uint32_t relid, std::string_view when) {
  return absl::CancelledError(absl::StrCat(Name(relid), ": rescinded ", ToAbsl(when)));
}

// What a host may owe is counted no further: it answered none of so many, and each costs one more
// question.
constexpr uint32_t kModifyAnswersOwedMax = 8;

// Protocol 02 section 6, "allowed in isolated VM".
constexpr Guid kIsolatedClasses[] = {
    Guid::Parse("ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"),  // SCSI
    Guid::Parse("f8615163-df3e-46c5-913f-f2d2f965ed0e"),  // NIC
    Guid::Parse("9527e630-d0ae-497b-adce-e80ab0175caf"),  // time sync
    Guid::Parse("57164f39-9115-4e78-ab55-382f3bd5422d"),  // heartbeat
    Guid::Parse("0e0b6031-5213-4934-818b-38d90ced39db"),  // shutdown
};

Offer ToOffer(const OfferChannelMessage& message) {
  return {.class_id = message.class_id,
          .instance_id = message.instance_id,
          .flags = message.flags,
          .subchannel_index = message.subchannel_index,
          .relid = message.relid,
          .connection_id = message.connection_id,
          .monitor_allocated = message.monitor_allocated != 0,
          .monitor_id = message.monitor_id,
          .mmio_megabytes = message.mmio_megabytes,
          .user_defined = message.user_defined};
}

}  // namespace

absl::Status ClientChannels::Admit(const OfferChannelMessage& offer) const {
  if (Find(offer.relid) != nullptr) {
    return Violation("OFFER_CHANNEL", "relid", offer.relid, "in use, and not released");
  }
  if (isolated_ && (offer.flags & kOfferHvSocket) == 0 &&
      std::find(std::begin(kIsolatedClasses), std::end(kIsolatedClasses), offer.class_id) ==
          std::end(kIsolatedClasses)) {
    return absl::PermissionDeniedError(absl::StrCat("OFFER_CHANNEL: class ",
                                                    offer.class_id.ToString(),
                                                    " is not accepted by an isolated guest"));
  }
  // A rescinded channel that still waits for its release does not stand in the way of the same
  // device's return.
  bool has_primary = false;
  for (const std::unique_ptr<Entry>& entry : entries()) {
    if (entry == nullptr || entry->rescinded) continue;
    const Offer& held = entry->offer;
    if (held.class_id != offer.class_id || held.instance_id != offer.instance_id) continue;
    if (held.subchannel_index == offer.subchannel_index) {
      return Violation("OFFER_CHANNEL", "subchannel_index", offer.subchannel_index,
                       absl::StrCat("device ", offer.instance_id.ToString(), " has it as channel ",
                                    held.relid, " already"));
    }
    has_primary |= held.subchannel_index == 0;
  }
  if (offer.subchannel_index != 0 && !has_primary) {
    return Violation(
        "OFFER_CHANNEL", "subchannel_index", offer.subchannel_index,
        absl::StrCat("device ", offer.instance_id.ToString(), " has no primary channel"));
  }
  return absl::OkStatus();
}

void ClientChannels::Reject(absl::Status reason) {
  ++link_.counters.rejected_offers;
  link_.Violated(std::move(reason));
}

void ClientChannels::OnOffer(const CheckedMessage& message) {
  absl::StatusOr<OfferChannelMessage> parsed = ParseOffer(message, link_.negotiated);
  if (!parsed.ok()) return Reject(parsed.status());
  if (absl::Status admitted = Admit(*parsed); !admitted.ok()) return Reject(std::move(admitted));
  auto entry = std::make_unique<Entry>();
  entry->offer = ToOffer(*parsed);
  link_.actions.Add(OfferAction{entry->offer});
  entries_[parsed->relid] = std::move(entry);
  entries_end_ = std::max(entries_end_, parsed->relid + 1);
  ++count_;
}

void ClientChannels::OnRescind(uint32_t relid) {
  Entry* entry = Find(relid);
  if (entry == nullptr || entry->rescinded) {
    ++link_.counters.unknown_relids;
    return;
  }
  entry->rescinded = true;
  // No answer comes to any of these any more.
  if (entry->state == State::kOpening) {
    link_.actions.Finish(entry->open, RescindedError(relid, "while it was opened"));
  }
  if (entry->state != State::kOpened) entry->state = State::kOffered;
  link_.actions.Finish(entry->modify, RescindedError(relid, "while it was moved"));
  gpadls_.OnRescind(relid);
  link_.actions.Add(RescindAction{relid});
}

absl::Status ClientChannels::CheckUsable(uint32_t relid) const {
  const Entry* entry = Find(relid);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat(Name(relid), " is not offered"));
  if (entry->rescinded) return RescindedError(relid, "before");
  return absl::OkStatus();
}

bool ClientChannels::IsRescinded(uint32_t relid) const {
  const Entry* entry = Find(relid);
  return entry == nullptr || entry->rescinded;
}

absl::Status ClientChannels::Open(OperationId operation, const ClientOpen& request) {
  VMBUSKIT_RETURN_IF_ERROR(CheckUsable(request.relid));
  Entry& entry = *Find(request.relid);
  if (entry.state != State::kOffered) {
    return absl::FailedPreconditionError(
        absl::StrCat(Name(request.relid), entry.state == State::kUndoing
                                              ? ": an earlier open is still unanswered"
                                              : ": open already"));
  }
  if (!gpadls_.IsCreated(request.ring_gpadl) ||
      gpadls_.RelidOf(request.ring_gpadl) != request.relid) {
    return absl::FailedPreconditionError(absl::StrFormat("%s: GPADL 0x%x is not one of its own",
                                                         Name(request.relid), request.ring_gpadl));
  }
  // Distinct for each open of a relid, so that the answer to one that was given up is not taken for
  // the next one's.
  entry.open_id = request.relid | uint32_t{entry.opens++} << 16;
  entry.state = State::kOpening;
  entry.ring_gpadl = request.ring_gpadl;
  entry.open = operation;
  link_.Post(OpenChannelMessage{.relid = request.relid,
                                .open_id = entry.open_id,
                                .ring_gpadl = request.ring_gpadl,
                                .target_vp = request.target_vp,
                                .downstream_page = request.downstream_page,
                                .user_data = request.user_data,
                                .connection_id = entry.offer.connection_id,
                                .event_flag = static_cast<uint16_t>(request.relid)});
  return absl::OkStatus();
}

void ClientChannels::OnOpenResult(const OpenChannelResultMessage& message) {
  Entry* entry = Find(message.relid);
  if (entry == nullptr || (entry->state != State::kOpening && entry->state != State::kUndoing)) {
    ++link_.counters.unexpected_answers;
    return;
  }
  if (message.open_id != entry->open_id) {
    link_.Violated(Violation("OPEN_CHANNEL_RESULT", "open_id", message.open_id,
                             absl::StrCat(Name(message.relid), " asked with ", entry->open_id)));
    return;
  }
  EndOpen(*entry, message);
}

void ClientChannels::EndOpen(Entry& entry, const OpenChannelResultMessage& message) {
  if (entry.state == State::kUndoing) {
    return UndoOpen(entry, message.status == kStatusSuccess);
  }
  if (message.status == kStatusSuccess) {
    entry.state = State::kOpened;
    link_.actions.Finish(entry.open, absl::OkStatus());
    return;
  }
  entry.state = State::kOffered;
  // Linux takes any nonzero status as a failure, OpenVMM's host keeps the channel open when the
  // sign bit is clear: a CLOSE satisfies both.
  if (message.status < 0x80000000) link_.Post(CloseChannelMessage{.relid = message.relid});
  link_.actions.Finish(entry.open, absl::UnavailableError(absl::StrFormat(
                                       "%s: the host refused to open it, status 0x%x",
                                       Name(message.relid), message.status)));
}

void ClientChannels::UndoOpen(Entry& entry, bool opened) {
  entry.state = State::kOffered;
  if (opened) link_.Post(CloseChannelMessage{.relid = entry.offer.relid});
  gpadls_.Abandon(entry.ring_gpadl, /*now=*/true);
}

absl::Status ClientChannels::Close(uint32_t relid) {
  Entry* entry = Find(relid);
  if (entry == nullptr || entry->state != State::kOpened) {
    return absl::FailedPreconditionError(absl::StrCat(Name(relid), " is not open"));
  }
  entry->state = State::kOffered;
  // After a RESCIND the host is done with the channel: nothing needs to be said.
  if (!entry->rescinded) link_.Post(CloseChannelMessage{.relid = relid});
  if (entry->modify != kNoOperation) LeaveModify(*entry);
  link_.actions.Finish(entry->modify, absl::CancelledError(absl::StrCat(Name(relid), " closed")));
  ReleaseIfDone(relid);
  return absl::OkStatus();
}

absl::Status ClientChannels::Modify(OperationId operation, uint32_t relid, uint32_t target_vp) {
  if (link_.negotiated.version < kVersion4_1) {
    return absl::UnimplementedError(absl::StrCat("MODIFY_CHANNEL needs version 4.1, the host has ",
                                                 VersionText(link_.negotiated.version)));
  }
  VMBUSKIT_RETURN_IF_ERROR(CheckUsable(relid));
  Entry& entry = *Find(relid);
  if (entry.state != State::kOpened) {
    return absl::FailedPreconditionError(absl::StrCat(Name(relid), " is not open"));
  }
  if (entry.modify != kNoOperation) {
    return absl::FailedPreconditionError(absl::StrCat(Name(relid), " is being moved already"));
  }
  entry.modify_target_vp = target_vp;
  PostModify(entry);
  if (link_.negotiated.version < kVersion5_3) {
    link_.actions.Finish(operation, absl::OkStatus());
    return absl::OkStatus();
  }
  entry.modify = operation;
  entry.modify_answers_before = entry.modify_answers_owed;
  return absl::OkStatus();
}

void ClientChannels::PostModify(const Entry& entry) {
  link_.Post(ModifyChannelMessage{.relid = entry.offer.relid, .target_vp = entry.modify_target_vp});
}

void ClientChannels::LeaveModify(Entry& entry) {
  if (entry.modify_answers_owed < kModifyAnswersOwedMax) ++entry.modify_answers_owed;
}

void ClientChannels::OnModifyResponse(const ModifyChannelResponseMessage& message) {
  Entry* entry = Find(message.relid);
  if (entry == nullptr || entry->modify == kNoOperation) {
    ++link_.counters.unexpected_answers;
    if (entry != nullptr && entry->modify_answers_owed > 0) --entry->modify_answers_owed;
    return;
  }
  if (entry->modify_answers_before > 0) {
    // To one that was given up, or to this one when that was never answered. A host that drops what
    // comes before its answer (OpenVMM, section 5.3) needs to be asked again; to any other the second
    // question says the same.
    ++link_.counters.unexpected_answers;
    --entry->modify_answers_before;
    return PostModify(*entry);
  }
  link_.actions.Finish(entry->modify, message.status == kStatusSuccess
                                          ? absl::OkStatus()
                                          : absl::UnavailableError(absl::StrFormat(
                                                "%s: the host refused to move it, status 0x%x",
                                                Name(message.relid), message.status)));
}

absl::Status ClientChannels::Release(uint32_t relid) {
  Entry* entry = Find(relid);
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat(Name(relid), " is not offered"));
  if (!entry->rescinded) {
    return absl::FailedPreconditionError(absl::StrCat(Name(relid), " was not rescinded"));
  }
  entry->release_wanted = true;
  ReleaseIfDone(relid);
  return absl::OkStatus();
}

void ClientChannels::ReleaseIfDone(uint32_t relid) {
  Entry* entry = Find(relid);
  if (entry == nullptr || !entry->release_wanted || entry->state == State::kOpened) return;
  if (gpadls_.HeldBy(relid) != 0) return;
  // The last word about this relid: the host may offer it again at once.
  link_.Post(RelidReleasedMessage{.relid = relid});
  entries_[relid].reset();
  --count_;
}

bool ClientChannels::GiveUp(OperationId operation) {
  for (const std::unique_ptr<Entry>& entry : entries()) {
    if (entry == nullptr) continue;
    if (entry->open == operation) {
      entry->open = kNoOperation;
      entry->state = State::kUndoing;
      gpadls_.Abandon(entry->ring_gpadl, /*now=*/false);
      return true;
    }
    if (entry->modify == operation) {
      LeaveModify(*entry);
      entry->modify = kNoOperation;
      return true;
    }
  }
  return false;
}

bool ClientChannels::UsesRing(uint32_t relid, uint32_t handle) const {
  const Entry* entry = Find(relid);
  return entry != nullptr && !entry->rescinded && entry->state != State::kOffered &&
         entry->ring_gpadl == handle;
}

void ClientChannels::OnConnectionEnd(const absl::Status& reason) {
  for (std::unique_ptr<Entry>& entry : entries()) {
    if (entry == nullptr) continue;
    link_.actions.Finish(entry->open, reason);
    link_.actions.Finish(entry->modify, reason);
    entry.reset();
  }
  entries_end_ = 0;
  count_ = 0;
}

}  // namespace vmbuskit
