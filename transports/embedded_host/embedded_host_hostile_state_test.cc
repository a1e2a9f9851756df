// Restoring a host from bytes that no Save wrote.
#include <algorithm>

#include "framework/base/string_view.h"
#include "platform/random.h"
#include "transports/embedded_host/embedded_host_state_testing.h"
#include "transports/protocol/gpadl_messages.h"

namespace vmbuskit {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kBodyAt = 8 + 4 + 4 + 8 + 8 + 4;
constexpr size_t kChecksumAt = 8 + 4 + 4 + 8;

// So that not the checksum finds it.
void FixChecksum(Bytes& bytes) {
  uint64_t sum = 0xCBF29CE484222325;
  for (size_t i = kBodyAt; i < bytes.size(); ++i) {
    sum = (sum ^ std::to_integer<uint8_t>(bytes[i])) * 0x100000001B3;
  }
  std::memcpy(bytes.data() + kChecksumAt, &sum, sizeof sum);
  const auto size = static_cast<uint32_t>(bytes.size() - kBodyAt);
  std::memcpy(bytes.data() + kChecksumAt + 8, &size, sizeof size);
}

class HostileStateTest : public EmbeddedHostStateTest {
 protected:
  // A state with something of everything.
  Bytes Rich() {
    CountingVsp::wanted_subchannels = 1;
    Add(kFirst);
    const OfferChannelMessage offer = ConnectAndGetOffer();
    EXPECT_EQ(OpenPrimary(offer), kStatusSuccess);
    CreateGpadl(offer.relid, 8, {60, 61, 70});
    const DeviceId second = Add(kSecond);
    Run();
    EXPECT_EQ(host_->RemoveDevice(second), absl::OkStatus());
    Add(kSecond);
    std::vector<Pfn> many(100, 61);
    const GpadlRange range = GpadlRange::Pages(many);
    auto messages = GpadlMessages::Create(offer.relid, 9, std::span(&range, 1));
    MessageBuffer message;
    EXPECT_TRUE(messages->Next(message));
    EXPECT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);
    Run();
    EXPECT_TRUE(messages->Next(message));
    EXPECT_EQ(TryPost(message, kMessageConnection), HypercallStatus::kSuccess);  // in the inbox
    Write(0, kRegStimer0Config, kStimerPeriodic | kStimerEnable | StimerDirectVector(kVector));
    Write(0, kRegStimer0Count, 1 << 20);
    return Save();
  }
  uint32_t OpenPrimary(const OfferChannelMessage& offer) {
    CreateGpadl(offer.relid, 7, rings_.pages());
    OpenChannelMessage open = OpenData();
    open.relid = offer.relid;
    open.ring_gpadl = 7;
    open.downstream_page = rings_.downstream_page();
    Post(open);
    EXPECT_EQ(Expect<OfferChannelMessage>().subchannel_index, 1);
    return Expect<OpenChannelResultMessage>().status;
  }
  // Whatever was restored: the host works, and can start over.
  void Shake(bool restored) {
    std::string json = Json();
    EXPECT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
    if (restored) {
      (void)TryPost(Emit(UnloadMessage{}, negotiated_), kMessageConnection);
      (void)sim_.RunUntilIdle();
      (void)host_->Save();
      host_->CrashGuest();
    }
    EXPECT_TRUE(sim_.RunFor(std::chrono::milliseconds(1)).ok());
    EXPECT_EQ(host_->shared_pages().mapped, 0u);
  }
};

TEST_F(HostileStateTest, ATruncatedOrSpoiltStateChangesNothing) {
  const Bytes good = Rich();
  const std::string before = Json();
  for (size_t size = 0; size < good.size(); size += size < 2 * kBodyAt ? 1 : 97) {
    const Bytes part(good.begin(), good.begin() + size);
    ASSERT_EQ(host_->Restore(part).code(), absl::StatusCode::kDataLoss) << size;
  }
  for (size_t at = 0; at < good.size(); at += at < 2 * kBodyAt ? 1 : 89) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x10};
    ASSERT_EQ(host_->Restore(bad).code(), absl::StatusCode::kDataLoss) << at;
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(host_->Restore(longer).ok());
  EXPECT_EQ(Json(), before);
  EXPECT_EQ(host_->Restore(good), absl::OkStatus());
  EXPECT_EQ(Json(), before);
}

TEST_F(HostileStateTest, NoForgedByteDoesHarm) {
  const Bytes good = Rich();
  Random random(1);
  int refused = 0;
  int taken = 0;
  for (size_t at = kBodyAt; at < good.size(); at += 1 + random.Below(at < 1500 ? 7 : 60)) {
    Bytes bad = good;
    constexpr uint8_t kValues[] = {0, 1, 2, 4, 5, 7, 8, 0x7F, 0x80, 0xFF};
    bad[at] = static_cast<std::byte>(kValues[random.Below(std::size(kValues))]);
    FixChecksum(bad);
    const absl::Status status = host_->Restore(bad);
    ++(status.ok() ? taken : refused);
    Shake(status.ok());
    ASSERT_FALSE(HasFailure()) << "byte " << at;
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(taken, 100);
}

TEST_F(HostileStateTest, NoForgedLengthDoesHarmAndAFreshGuestIsServedAfterwards) {
  const Bytes good = Rich();
  Random random(2);
  for (int i = 0; i < 400; ++i) {
    Bytes bad = good;
    const size_t at = kBodyAt + random.Below(bad.size() - kBodyAt);
    if (random.Below(2) == 0) {
      bad.erase(bad.begin() + at, bad.begin() + at + std::min<size_t>(8, bad.size() - at));
    } else {
      bad.insert(bad.begin() + at, 1 + random.Below(8), static_cast<std::byte>(random.Below(3)));
    }
    FixChecksum(bad);
    Shake(host_->Restore(bad).ok());
    ASSERT_FALSE(HasFailure()) << "change " << i << " at " << at;
  }
  DisconnectInterrupts();
  host_->CrashGuest();
  BringUp();
  Contact(kVersion5_3);
  Post(RequestOffersMessage{});
  EXPECT_EQ(Expect<OfferChannelMessage>().class_id, kFirst.class_id);
}

TEST_F(HostileStateTest, AStateOfAnotherMachineIsRefused) {
  const Bytes good = Rich();
  Bytes bad = good;
  bad[12] = std::byte{3};
  EXPECT_EQ(ToStd(host_->Restore(bad).message()),
            "saved state: processors is 3: another number here");
  bad = good;
  bad[16] = std::byte{1};
  EXPECT_EQ(ToStd(host_->Restore(bad).message()),
            "saved state: guest pages is 257: another number here");
  bad = good;
  for (const uint8_t format : {1, 3}) {  // 1 was that of two layouts
    bad = good;
    bad[8] = std::byte{format};
    EXPECT_EQ(ToStd(host_->Restore(bad).message()),
              "saved state: format is " + std::to_string(format) + ": another version's");
  }
}

}  // namespace
}  // namespace vmbuskit
