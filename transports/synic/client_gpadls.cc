#include "transports/synic/client_gpadls.h"

#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "framework/base/status.h"

namespace vmbuskit {
namespace {

std::string Name(uint32_t relid, uint32_t handle) {
  return absl::StrFormat("channel %u GPADL 0x%x", relid, handle);
}

// std::erase_if shows g++ 12's entries as constant.
template <typename Map, typename Predicate>
void EraseIf(Map& map, Predicate erases) {
  for (auto at = map.begin(); at != map.end();) at = erases(*at) ? map.erase(at) : std::next(at);
}

}  // namespace

uint32_t ClientGpadls::NextHandle() {
  // Bounded: fewer handles are in use than there are numbers.
  while (next_handle_ == 0 || gpadls_.contains(next_handle_)) ++next_handle_;
  return next_handle_++;
}

absl::StatusOr<uint32_t> ClientGpadls::Create(OperationId operation, uint32_t relid,
                                              std::span<const GpadlRange> ranges) {
  if (gpadls_.size() >= count_max_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("channel ", relid, ": the limit of ", count_max_, " GPADLs is reached"));
  }
  const uint32_t handle = NextHandle();
  absl::StatusOr<GpadlMessages> messages = GpadlMessages::Create(relid, handle, ranges);
  if (!messages.ok()) return messages.status();
  gpadls_[handle] = {.state = State::kCreating, .relid = relid, .operation = operation};
  MessageBuffer message;
  while (messages->Next(message)) link_.Post(message);
  return handle;
}

absl::Status ClientGpadls::TearDown(OperationId operation, uint32_t handle) {
  auto found = gpadls_.find(handle);
  if (found == gpadls_.end()) {
    return absl::NotFoundError(absl::StrFormat("there is no GPADL 0x%x", handle));
  }
  Gpadl& gpadl = found->second;
  switch (gpadl.state) {
    case State::kCreated:
      gpadl.operation = operation;
      PostTeardown(handle, gpadl, State::kTearingDown);
      return absl::OkStatus();
    case State::kReturned:
      link_.actions.Finish(operation, absl::OkStatus());
      gpadls_.erase(found);
      return absl::OkStatus();
    case State::kLost:
      gpadls_.erase(found);
      return absl::DataLossError(absl::StrFormat(
          "GPADL 0x%x: the connection was lost, the host may still use the pages", handle));
    default:
      // The host would answer neither, and the guest would wait for ever.
      return absl::FailedPreconditionError(
          absl::StrCat(Name(gpadl.relid, handle), ": torn down while it is not at rest"));
  }
}

void ClientGpadls::PostTeardown(uint32_t handle, Gpadl& gpadl, State state) {
  gpadl.state = state;
  link_.Post(GpadlTeardownMessage{.relid = gpadl.relid, .gpadl = handle});
}

void ClientGpadls::OnCreated(const GpadlCreatedMessage& message) {
  auto found = gpadls_.find(message.gpadl);
  if (found == gpadls_.end() ||
      (found->second.state != State::kCreating && found->second.state != State::kOrphanCreating)) {
    ++link_.counters.unexpected_answers;
    return;
  }
  Gpadl& gpadl = found->second;
  if (message.relid != gpadl.relid) {
    link_.Violated(Violation("GPADL_CREATED", "relid", message.relid,
                             absl::StrCat(Name(gpadl.relid, message.gpadl), " was asked for")));
    return;
  }
  if (message.status != kStatusSuccess) {
    link_.actions.Finish(gpadl.operation, absl::UnavailableError(absl::StrFormat(
                                              "%s: the host refused it, status 0x%x",
                                              Name(gpadl.relid, message.gpadl), message.status)));
    gpadls_.erase(found);
    return;
  }
  if (gpadl.state == State::kOrphanCreating) {
    PostTeardown(message.gpadl, gpadl, State::kOrphanTearingDown);
    return;
  }
  gpadl.state = State::kCreated;
  link_.actions.Finish(gpadl.operation, absl::OkStatus());
}

void ClientGpadls::OnTorndown(const GpadlTorndownMessage& message) {
  auto found = gpadls_.find(message.gpadl);
  if (found == gpadls_.end() || (found->second.state != State::kTearingDown &&
                                 found->second.state != State::kOrphanTearingDown)) {
    // Unasked, it says nothing about the pages: only an answer to our question gives them back.
    ++link_.counters.unexpected_answers;
    return;
  }
  link_.actions.Finish(found->second.operation, absl::OkStatus());
  gpadls_.erase(found);
}

void ClientGpadls::OnRescind(uint32_t relid) {
  EraseIf(gpadls_, [&](auto& entry) {
    Gpadl& gpadl = entry.second;
    if (gpadl.relid != relid) return false;
    switch (gpadl.state) {
      case State::kCreating:
        link_.actions.Finish(gpadl.operation,
                             absl::CancelledError(absl::StrCat(Name(relid, entry.first),
                                                               ": rescinded while it was made")));
        return true;
      case State::kCreated:
        gpadl.state = State::kReturned;
        return false;
      case State::kReturned:
      case State::kLost:
        return false;
      default:
        link_.actions.Finish(gpadl.operation, absl::OkStatus());
        return true;
    }
  });
}

void ClientGpadls::OnConnectionEnd(const absl::Status& reason, bool pages_returned) {
  EraseIf(gpadls_, [&](auto& entry) {
    Gpadl& gpadl = entry.second;
    switch (gpadl.state) {
      case State::kCreating:
        link_.actions.Finish(gpadl.operation,
                             pages_returned ? reason
                                            : absl::DeadlineExceededError(absl::StrFormat(
                                                  "%s: the host may use the pages of GPADL 0x%x",
                                                  reason.message(), entry.first)));
        return true;
      case State::kCreated:
        gpadl.state = pages_returned ? State::kReturned : State::kLost;
        [[fallthrough]];
      case State::kReturned:
      case State::kLost:
        gpadl.relid = 0;  // the next connection gives the number to another channel
        return false;
      default:
        link_.actions.Finish(gpadl.operation, pages_returned ? absl::OkStatus() : reason);
        return true;
    }
  });
}

bool ClientGpadls::GiveUp(OperationId operation) {
  for (auto& [handle, gpadl] : gpadls_) {
    if (gpadl.operation != operation) continue;
    gpadl.operation = kNoOperation;
    gpadl.state =
        gpadl.state == State::kCreating ? State::kOrphanCreating : State::kOrphanTearingDown;
    return true;
  }
  return false;
}

void ClientGpadls::Abandon(uint32_t handle, bool now) {
  auto found = gpadls_.find(handle);
  if (found == gpadls_.end()) return;
  Gpadl& gpadl = found->second;
  if (gpadl.state == State::kReturned || gpadl.state == State::kLost) {
    gpadls_.erase(found);
  } else if (gpadl.state == State::kCreated || gpadl.state == State::kOrphanCreated) {
    gpadl.state = State::kOrphanCreated;
    if (now) PostTeardown(handle, gpadl, State::kOrphanTearingDown);
  }
}

uint32_t ClientGpadls::HeldBy(uint32_t relid) const {
  uint32_t count = 0;
  for (const auto& [handle, gpadl] : gpadls_) {
    count += gpadl.relid == relid;
  }
  return count;
}

uint32_t ClientGpadls::RelidOf(uint32_t handle) const {
  auto found = gpadls_.find(handle);
  return found != gpadls_.end() ? found->second.relid : 0;
}

bool ClientGpadls::IsCreated(uint32_t handle) const {
  auto found = gpadls_.find(handle);
  return found != gpadls_.end() && found->second.state == State::kCreated;
}

}  // namespace vmbuskit
