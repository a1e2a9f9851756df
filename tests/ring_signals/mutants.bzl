"""The planted bugs: name -> (file in framework/channel, what is replaced, by what).

Not among them, because nothing changes: Publish's load of read_index and CrossedPending's of feature_bits may be
relaxed (the load of interrupt_mask before the first has acquired the commit before the unmask; the second is constant),
and Mask's store is relaxed already. Channel::Retry publishes before it waits, but all users of this check end their
batch when a ring is full, which publishes too.
"""

_PUBLISH_STORE = "RingWord(words.write_index).store(now, std::memory_order_seq_cst);"
_REQUEST_STORE = "RingWord(words_.pending_send_sz).store(total, std::memory_order_seq_cst);"
_COMMIT_STORE = "RingWord(words.read_index).store(position, std::memory_order_seq_cst);"
_UNMASK_STORE = "RingWord(words_.interrupt_mask).store(0, std::memory_order_seq_cst);"
_REFRESH_LOAD = "RingWord(words_.write_index).load(std::memory_order_seq_cst);"
_PENDING_LOAD = "RingWord(words.pending_send_sz).load(std::memory_order_seq_cst);"
_MASK_LOAD = "RingWord(words.interrupt_mask).load(std::memory_order_seq_cst) != 0)"
_RECHECK_SPACE = "if (RingWord(words_.read_index).load(std::memory_order_seq_cst) == read_index_) return false;"
_DECISION = "return RingWord(words.read_index).load(std::memory_order_seq_cst) == before;"
_REFRESH_ROOM = "RefreshRoom() {\n  if (violation_) return false;\n" + \
                "  const uint32_t read_index = RingWord(words_.read_index).load(std::memory_order_acquire);"

def _weaker(statement, order):
    return statement.replace("memory_order_seq_cst", "memory_order_" + order)

RING_MUTANTS = {
    # A store without its full fence.
    "publish_release": ("ring_writer.h", _PUBLISH_STORE, _weaker(_PUBLISH_STORE, "release")),
    "publish_relaxed": ("ring_writer.h", _PUBLISH_STORE, _weaker(_PUBLISH_STORE, "relaxed")),
    "request_release": ("ring_writer.cc", _REQUEST_STORE, _weaker(_REQUEST_STORE, "release")),
    "request_relaxed": ("ring_writer.cc", _REQUEST_STORE, _weaker(_REQUEST_STORE, "relaxed")),
    "commit_release": ("ring_reader.h", _COMMIT_STORE, _weaker(_COMMIT_STORE, "release")),
    "commit_relaxed": ("ring_reader.h", _COMMIT_STORE, _weaker(_COMMIT_STORE, "relaxed")),
    "unmask_release": ("ring_reader.cc", _UNMASK_STORE, _weaker(_UNMASK_STORE, "release")),
    "unmask_relaxed": ("ring_reader.cc", _UNMASK_STORE, _weaker(_UNMASK_STORE, "relaxed")),
    # A load that may pass the store before it. x86 does not, arm64 does (ldapr).
    "mask_load_acquire": ("ring_writer.h", _MASK_LOAD, _weaker(_MASK_LOAD, "acquire")),
    "recheck_space_acquire": ("ring_writer.cc", _RECHECK_SPACE, _weaker(_RECHECK_SPACE, "acquire")),
    "pending_load_acquire": ("ring_reader.h", _PENDING_LOAD, _weaker(_PENDING_LOAD, "acquire")),
    "recheck_data_acquire": ("ring_reader.h", _REFRESH_LOAD, _weaker(_REFRESH_LOAD, "acquire")),
    # A load that lets go of what it hands over.
    "refresh_relaxed": ("ring_reader.h", _REFRESH_LOAD, _weaker(_REFRESH_LOAD, "relaxed")),
    "room_relaxed": ("ring_writer.cc", _REFRESH_ROOM, _REFRESH_ROOM.replace("acquire", "relaxed")),
    # A look too few.
    "unmask_without_recheck": ("ring_reader.cc", "return !Refresh() || available_ != 0;", "return false;"),
    "request_without_recheck": ("ring_writer.cc", _RECHECK_SPACE, "return false;"),
    "crossing_without_refresh": ("ring_reader.cc", "  if (!Refresh()) return false;\n", ""),
    # In the wrong order.
    "recheck_before_unmask": (
        "ring_reader.cc",
        _UNMASK_STORE + "\n  return !Refresh() || available_ != 0;",
        "const bool more = !Refresh() || available_ != 0;\n  " + _UNMASK_STORE + "\n  return more;",
    ),
    "pending_before_commit": (
        "ring_reader.h",
        _COMMIT_STORE + "\n  const uint32_t pending = " + _PENDING_LOAD,
        "const uint32_t pending = " + _PENDING_LOAD + "\n  " + _COMMIT_STORE,
    ),
    "decide_before_publish": (
        "ring_writer.h",
        _PUBLISH_STORE + "\n  if (" + _MASK_LOAD + " return false;\n  " + _DECISION,
        "const bool masked = RingWord(words.interrupt_mask).load(std::memory_order_seq_cst) != 0;\n" +
        "const bool edge = RingWord(words.read_index).load(std::memory_order_seq_cst) == before;\n" +
        _PUBLISH_STORE + "\n  return !masked && edge;",
    ),
    # The wrong comparison.
    "decide_on_new_index": ("ring_writer.h", _DECISION, _DECISION.replace("before", "now")),
    "decide_on_cached_index": ("ring_writer.h", _DECISION, "return read_index_ == before;"),
    "strict_crossing": ("ring_reader.cc", "old_free <= pending &&", "old_free < pending &&"),
    "crossing_needs_more": ("ring_reader.cc", "new_free > pending;", "new_free > pending + 8;"),
    "crossing_at_equal": ("ring_reader.cc", "new_free > pending;", "new_free >= pending;"),
    "any_free_space": ("ring_reader.cc", "return old_free <= pending && new_free > pending;", "return true;"),
    "crossing_forgets_consumed": ("ring_reader.cc", "new_free - std::min(consumed, new_free)", "new_free"),
    "room_to_the_last_byte": ("ring_writer.cc", "data_bytes_ - used - 8;", "data_bytes_ - used;"),
    # Something forgotten.
    "pending_not_cleared": (
        "ring_writer.cc",
        "  RingWord(words_.pending_send_sz).store(0, std::memory_order_relaxed);\n}",
        "}",
    ),
    "never_cancels": ("ring_writer.cc", "  if (pending_ != 0 && space >= pending_) CancelSpaceRequest();\n", ""),
    "mask_ignored": ("ring_writer.h", "if (" + _MASK_LOAD + " return false;", ""),
    "never_masks": (
        "ring_reader.h",
        "void Mask() { RingWord(words_.interrupt_mask).store(1, std::memory_order_relaxed); }",
        "void Mask() {}",
    ),
    "edge_ignored": ("ring_writer.h", _DECISION, "return true;"),
    "commit_forgets_position": ("ring_reader.h", "  committed_ = position;\n", ""),
}

_OFFER = "    if (!closed() && WantsSpace()) OfferSpace();\n"
_AGAIN = "    masked_ = reader_.Unmask();\n  } while (masked_);"
_BUDGET = "      masked_ = reader_.Readable() || reader_.Unmask();\n      if (masked_) WakeSelf();\n"
_SIGNAL = "    if (freed || sent) SignalPeer();\n"

CHANNEL_MUTANTS = {
    "drain_once": ("channel_drain.cc", _AGAIN, "    masked_ = reader_.Unmask();\n  } while (false);"),
    "drain_stays_masked": ("channel_drain.cc", _AGAIN, "    masked_ = reader_.Readable();\n  } while (masked_);"),
    "drain_offers_no_space": ("channel_drain.cc", _OFFER, ""),
    "drain_keeps_freed_space_secret": ("channel_drain.cc", _SIGNAL, "    if (sent) SignalPeer();\n"),
    "drain_keeps_answers_secret": ("channel_drain.cc", _SIGNAL, "    if (freed) SignalPeer();\n"),
    "drain_without_commit": ("channel_drain.cc", "const bool freed = reader_.Commit();", "const bool freed = false;"),
    "budget_forgets_the_rest": ("channel_drain.cc", _BUDGET, ""),
    "budget_stays_masked": ("channel_drain.cc", _BUDGET, "      masked_ = reader_.Readable();\n      if (masked_) WakeSelf();\n"),
    "budget_unmasks_only": ("channel_drain.cc", _BUDGET, "      masked_ = reader_.Unmask();\n"),
    "own_wake_reads_nothing": ("channel_drain.cc", "  if (masked_) return (void)Drain();\n", ""),
    "stall_forgets_the_packet": ("channel_drain.cc", "stalled_ = reader_.Readable();", ""),
    "stall_asks_for_no_room": (
        "channel_drain.cc",
        "  if (!stalled_) return wanted_bytes_;\n",
        "  if (true) return wanted_bytes_;\n",
    ),
    "full_ring_not_asked_for": ("channel.cc", "      wanted_bytes_ = bytes;\n", ""),
}
