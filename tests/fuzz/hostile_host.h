// What a hostile host does to a guest over a FakePartition: it can speak correctly, bend what it
// says, say anything, keep silent, and write into every page that it was given. Built on FakeHost,
// which knows the right answers.
//
//   HostileHost host(partition, echo, {.guarded = true});
//   host.SetSilent(0b101);                          // of the asking messages, these get no answer
//   host.AnswerAgain(index, {.offset = 16, .value = 0xC0000001});
//   if (HostileHost::Victim* channel = host.Find(who)) host.Serve(*channel, 8, {});
//
// Guarded, it leaves alone the honest echo device (honest_echo.h), whose messages are always
// answered at once, and the connection as a whole; everything else it may do.
//
// Thread safety: the simulation's thread. Bounded: every call ends, whatever the pages hold.
#ifndef VMBUSKIT_TESTS_FUZZ_HOSTILE_HOST_H_
#define VMBUSKIT_TESTS_FUZZ_HOSTILE_HOST_H_

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "tests/fuzz/honest_echo.h"
#include "tests/fuzz/raw_rings.h"
#include "transports/synic/fake_host.h"
#include "transports/synic/fake_partition.h"

namespace vmbuskit {

class HostileHost {
 public:
  struct Options {
    bool guarded = true;
    uint32_t version_max = kVersion5_3;
    uint32_t features = 0;
    bool offers_at_once = true;  // the usual devices, when the guest asks for offers
    bool bends_contact = false;  // the answer to the first contact, by `contact`
    Bend contact{};
  };
  // A channel that the guest opened.
  struct Victim {
    uint32_t relid = 0;
    uint32_t vp = 0;
    RawRings rings{};
  };

  HostileHost(FakePartition& partition, HonestEcho& honest, const Options& options);

  // ---- Messages.
  void Offer(const Guid& class_id, uint32_t instance, uint32_t relid, uint16_t subchannel = 0,
             uint16_t flags = 0, uint8_t monitor = kNoMonitor);
  void Rescind(uint32_t relid);
  // Bit i: message i of those that ask for an answer goes without.
  void SetSilent(uint32_t mask);
  // The status of answers from now on.
  void SetRefusal(uint32_t status) { refusal_ = status; }
  // Many messages in a row that mean nothing.
  void Storm(uint32_t count);
  // The answer to what the guest said first, second, ...: late, again, or bent.
  void AnswerAgain(uint32_t index, const Bend& bend);
  void SayRaw(uint32_t type, uint32_t first, uint32_t second, uint64_t rest, size_t bytes);
  // Past the queue, into the slot.
  void WriteSlot(uint32_t vp, uint32_t type, uint8_t payload_bytes, uint8_t flags, uint64_t words);
  void WriteFlags(uint32_t vp, uint32_t word, uint64_t bits);
  void WriteMonitor(uint32_t offset, uint64_t value);

  // ---- Rings.
  Victim* Find(uint32_t who);  // null when there is none
  void Interrupt(const Victim& victim) { Interrupt(victim.vp, victim.relid); }
  void Interrupt(uint32_t vp, uint32_t relid);
  // A packet at the host's position, then an interrupt.
  void Send(Victim& victim, uint64_t descriptor, uint64_t transaction,
            std::span<const std::byte> payload);
  // Answers up to `count` packets of the guest, bent.
  void Serve(Victim& victim, uint32_t count, const Bend& bend);

  FakeHost& fake() { return fake_; }
  // The honest device as the guest's bus names it.
  static Guid Instance(uint32_t number);

 private:
  bool IsHonest(std::span<const std::byte> message) const;
  void BeforeAnswer(MessageType type);
  void OnContact();
  void OnGpadlHeader(std::span<const std::byte> message);
  void OnGpadlBody(std::span<const std::byte> message);
  void OnOpen(std::span<const std::byte> message);
  void OnModify(std::span<const std::byte> message);
  void OnEnd(uint32_t relid);
  void ForgetAll();

  FakePartition& partition_;
  HonestEcho& honest_;
  const Options options_;
  FakeHost fake_;
  uint32_t silent_ = 0;
  uint32_t refusal_ = 0;
  uint32_t contacts_ = 0;
  std::map<uint32_t, std::vector<Pfn>> gpadls_;
  std::set<uint32_t> honest_gpadls_;
  std::deque<Victim> victims_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TESTS_FUZZ_HOSTILE_HOST_H_
