// Requests that wait for a completion, by the transaction id that stands on the wire. Source:
// protocol 02 section 8.4.
//
//   class Read : public Request {
//     void OnEnd(RequestEnd end, const Packet* completion) override { ... }
//   };
//   uint64_t id = table.Add(read, DeadlineIn(executor));    // 0: all slots taken
//   TakeResult taken = table.Take(completion.transaction_id);
//   if (taken.request != nullptr) taken.request->OnEnd(RequestEnd::kCompleted, &completion);
//
// The id on the wire is slot + 1; everything else about a slot is private, so the peer cannot make
// this side believe anything. A request past its deadline ends, but its slot stays occupied
// ("abandoned") until the peer answers or the channel closes: a late completion can not finish a
// newer request. Freed slots are used again in the order they were freed, so that an id rests as
// long as possible.
//
// Save and restore: the slots are carried over. What was outstanding counts as abandoned until its user resumes it by
// its id; requests that are resumed keep what was left of their time.
//
// Thread safety: the channel's executor. Lifetime: a Request is its user's and must live until it
// ended. Allocates at construction only.
#ifndef VMBUSKIT_FRAMEWORK_CHANNEL_REQUEST_TABLE_H_
#define VMBUSKIT_FRAMEWORK_CHANNEL_REQUEST_TABLE_H_

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "framework/channel/packet.h"
#include "platform/executor.h"
#include "platform/time.h"

namespace vmbuskit {

class RequestTable;

enum class RequestEnd {
  kCompleted,  // the peer answered
  kDeadline,   // it did not in time; pages that the packet named may still be in its use
  kClosed,     // the channel ended
};

class Request : public boost::intrusive::list_base_hook<> {
 public:
  virtual ~Request() = default;  // the hook asserts that it is not outstanding

  // Called exactly once for each start, on the channel's executor. `completion` is null unless
  // kCompleted and valid until return. The request may be started again, or destroyed, from here.
  virtual void OnEnd(RequestEnd end, const Packet* completion) = 0;

  bool outstanding() const { return is_linked(); }

 private:
  friend class RequestTable;
  uint32_t slot_ = 0;
};

enum class TakeError {
  kNone,            // a request, or null: the late answer to an abandoned one
  kZeroId,          // id 0 means unsolicited; nobody waits for it
  kUnknownId,       // never issued
  kNotOutstanding,  // answered already
};

struct TakeResult {
  TakeError error = TakeError::kNone;
  Request* request = nullptr;
};

// "was never issued" and the like, for the error that fails the channel.
const char* Describe(TakeError error);

class RequestTable {
 public:
  struct Counters {
    uint64_t added = 0;
    uint64_t completed = 0;
    uint64_t deadlines = 0;
    uint64_t closed = 0;        // ended by CloseAll
    uint64_t late_answers = 0;  // to abandoned slots
  };

  RequestTable(Executor& executor, uint32_t slots);
  ~RequestTable();  // nothing may be outstanding
  RequestTable(const RequestTable&) = delete;
  RequestTable& operator=(const RequestTable&) = delete;

  // The id for the wire; 0 when no slot is free or the table was closed. A `deadline` of
  // kInfiniteFuture is for users with a deadline mechanism of their own.
  [[nodiscard]] uint64_t Add(Request& request, Instant deadline);

  // The peer answered `id`: frees the slot and hands out its request, which the caller ends.
  [[nodiscard]] TakeResult Take(uint64_t id);

  // Undoes Add for a packet that never reached the peer; the request does not end.
  void Cancel(uint64_t id);

  // The user gives up on an outstanding request: it does not end any more and may be destroyed; the
  // slot stays taken until the peer answers.
  void Abandon(Request& request);

  // Ends all outstanding requests, oldest first; none can be added afterwards.
  void CloseAll();

  // The id on the wire of an outstanding request; 0 when it is not outstanding.
  uint64_t IdOf(const Request& request) const {
    return request.outstanding() ? uint64_t{request.slot_} + 1 : 0;
  }
  // After a restore: `request` goes on as the one that had `id` when the table was saved. False when none had, or it
  // was answered or resumed since.
  [[nodiscard]] bool Resume(uint64_t id, Request& request);
  // Saves, or takes over what was saved into a new table; with StateWriter or StateReader.
  template <typename Archive>
  void Exchange(Archive& archive);
  // Forgets the outstanding requests, which do not end, and takes no more. For a host whose state is dropped.
  void DropAll();

  bool full() const { return free_count_ == 0; }
  uint32_t outstanding() const { return static_cast<uint32_t>(outstanding_.size()); }
  // Slots that wait for nothing but the peer's late answer.
  uint32_t abandoned() const { return abandoned_; }
  uint32_t slots() const { return static_cast<uint32_t>(slots_.size()); }
  const Counters& counters() const { return counters_; }

 private:
  enum class State : uint8_t { kFree, kOutstanding, kAbandoned, kRestored };

  struct Slot {
    void OnDeadline() { table->OnDeadline(*this); }

    RequestTable* table = nullptr;
    Request* request = nullptr;
    uint64_t generation = 0;  // how often it was taken
    uint32_t next_free = 0;
    State state = State::kFree;
    Instant restored_deadline{};  // kRestored: outstanding when saved, and not resumed yet
    std::optional<Timer> timer;
  };

  // Parts of Exchange.
  template <typename Archive>
  void ExchangeSlot(Archive& archive, Slot& slot);
  template <typename Archive>
  void ExchangeFree(Archive& archive);

  void OnDeadline(Slot& slot);
  Request& Detach(Slot& slot);
  void Free(Slot& slot);

  Executor& executor_;
  std::vector<Slot> slots_;
  boost::intrusive::list<Request> outstanding_;
  uint32_t free_head_ = 0;
  uint32_t free_tail_ = 0;
  uint32_t free_count_ = 0;
  uint32_t abandoned_ = 0;
  bool closed_ = false;
  Counters counters_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_CHANNEL_REQUEST_TABLE_H_
