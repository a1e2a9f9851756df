// The guest's channels as the client sees them: which relids are offered, what each waits for, when
// a rescinded one may be given back. Source: protocol 02 sections 4 and 5.
//
//   channels.OnOffer(checked);                       // validated against what is held already
//   channels.Open(operation, {.relid = 5, ...});     // until OPEN_CHANNEL_RESULT or the rescind
//   channels.Close(5);
//   channels.Release(5);                             // RELID_RELEASED, once nothing of it is left
//
// Guest states: Offered -> Opening -> Opened -> (Close) -> Offered; rescinded comes on top of each.
// An open that was given up (deadline) is undone when its answer comes after all.
//
// Thread safety: the client's executor. Bounded: one entry per relid, 2047 in all. Errors: commands
// return why they did not start; offers and answers that fit nothing are counted and change
// nothing.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_CHANNELS_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_CHANNELS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "framework/bus/offer.h"
#include "transports/synic/client_gpadls.h"
#include "transports/synic/client_link.h"

namespace vmbuskit {

struct ClientOpen {
  uint32_t relid = 0;
  uint32_t ring_gpadl = 0;
  uint32_t target_vp = 0;
  uint32_t downstream_page = 0;
  std::array<std::byte, 120> user_data{};
};

class ClientChannels {
 public:
  // `isolated`: only classes that are safe against the host are accepted (section 6).
  ClientChannels(ClientLink& link, ClientGpadls& gpadls, bool isolated)
      : link_(link), gpadls_(gpadls), isolated_(isolated) {}

  void OnOffer(const CheckedMessage& message);
  void OnRescind(uint32_t relid);
  void OnOpenResult(const OpenChannelResultMessage& message);
  void OnModifyResponse(const ModifyChannelResponseMessage& message);
  void OnConnectionEnd(const absl::Status& reason);

  absl::Status Open(OperationId operation, const ClientOpen& request);
  // Afterwards the ring's GPADL may be torn down; no answer exists.
  absl::Status Close(uint32_t relid);
  // Below 5.3 it ends at once, and the old VP may be interrupted for ever. One at a time. An answer
  // does not say to which MODIFY_CHANNEL it is: after one that was given up, each answer that may be
  // to it makes the next one be asked again, and only the one behind them ends it.
  absl::Status Modify(OperationId operation, uint32_t relid, uint32_t target_vp);
  // At once, or when the last of the channel's GPADLs is gone.
  absl::Status Release(uint32_t relid);
  // After a GPADL of `relid` went away: releases what waits for that.
  void ReleaseIfDone(uint32_t relid);
  bool GiveUp(OperationId operation);

  // Ok when GPADLs may be made for `relid`.
  absl::Status CheckUsable(uint32_t relid) const;
  // True while an open channel (or one that may yet open) uses GPADL `handle` of `relid` for its
  // rings.
  bool UsesRing(uint32_t relid, uint32_t handle) const;
  bool IsRescinded(uint32_t relid) const;
  uint32_t count() const { return count_; }

 private:
  enum class State {
    kOffered,
    kOpening,
    kOpened,
    kUndoing,  // the open was given up before its answer
  };
  struct Entry {
    Offer offer;
    State state = State::kOffered;
    bool rescinded = false;
    bool release_wanted = false;
    uint16_t opens = 0;
    uint32_t open_id = 0;
    uint32_t ring_gpadl = 0;
    OperationId open = kNoOperation;
    OperationId modify = kNoOperation;
    uint32_t modify_target_vp = 0;
    // Answers that may come before the one to `modify`, and those that may come when it has ended.
    uint32_t modify_answers_before = 0;
    uint32_t modify_answers_owed = 0;
  };

  Entry* Find(uint32_t relid) const {
    return relid < entries_.size() ? entries_[relid].get() : nullptr;
  }
  absl::Status Admit(const OfferChannelMessage& offer) const;
  void Reject(absl::Status reason);
  void EndOpen(Entry& entry, const OpenChannelResultMessage& message);
  void UndoOpen(Entry& entry, bool opened);
  void PostModify(const Entry& entry);
  // Nobody waits for the answer any more.
  static void LeaveModify(Entry& entry);
  // Those that may hold something: hosts number channels from 1 on, and every offer looks at all of
  // them.
  std::span<std::unique_ptr<Entry>> entries() { return std::span(entries_).first(entries_end_); }
  std::span<const std::unique_ptr<Entry>> entries() const {
    return std::span(entries_).first(entries_end_);
  }

  ClientLink& link_;
  ClientGpadls& gpadls_;
  const bool isolated_;
  std::array<std::unique_ptr<Entry>, kRelidMax + 1> entries_;
  uint32_t entries_end_ = 0;  // above the highest relid of this connection
  uint32_t count_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_CLIENT_CHANNELS_H_
