// A whole NBD connection with a client that lies and a disk that fails, as a script: options and requests with bent
// fields, in pieces of any size, answers taken or not, requests that end in any order with any result. What the server
// says is well formed, answers nothing that was not asked and nothing twice; and it always comes to its end.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "devices/storvsc/export/nbd_session.h"
#include "devices/storvsc/export/nbd_testing.h"
#include "framework/base/fuzzing.h"
#include "platform/sim/scheduler.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kOptions[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
constexpr size_t kFillMax = 160 * 1024;

template <typename T, size_t kCount>
T Pick(FuzzInput& input, const T (&values)[kCount]) {
  return values[input.ConsumeIntegralInRange<size_t>(0, kCount - 1)];
}

// Reads what the server said, and holds it against what it was asked.
class Listener {
 public:
  explicit Listener(uint32_t client_flags) : client_flags_(client_flags) {}

  void Asked(uint64_t cookie, uint16_t command, uint32_t bytes) {
    open_[cookie] = {command, bytes};
  }
  void Check(std::span<const std::byte> said) {
    Replies replies(said);
    Require(replies.Take<nbd::Greeting>().magic == nbd::kGreetingMagic);
    said = said.subspan(sizeof(nbd::Greeting));
    while (said.size() >= sizeof(nbd::OptionReply)) {
      const auto reply = Replies(said).Take<nbd::OptionReply>();
      if (reply.magic != nbd::kOptionReplyMagic) break;
      Require(reply.bytes <= 3 * nbd::kStringBytesMax);
      said = said.subspan(std::min(said.size(), sizeof reply + reply.bytes));
    }
    if (IsExportName(said)) {
      const size_t padding =
          (client_flags_ & nbd::kClientNoZeroes) != 0 ? 0 : nbd::kExportNamePadding;
      said = said.subspan(std::min(said.size(), sizeof(nbd::ExportNameReply) + padding));
    }
    while (!said.empty()) {
      const size_t taken = CheckReply(said);
      if (taken == 0) break;
      said = said.subspan(std::min(taken, said.size()));
    }
  }

 private:
  struct Open {
    uint16_t command;
    uint32_t bytes;
  };

  static bool IsExportName(std::span<const std::byte> said) {
    const uint32_t magic = Replies(said).Take<nbd::Be32>();
    return magic != nbd::kSimpleReplyMagic && magic != nbd::kStructuredReplyMagic;
  }

  // How long it is; 0: it goes on behind the end.
  size_t CheckReply(std::span<const std::byte> said) {
    Replies replies(said);
    const uint32_t magic = Replies(said).Take<nbd::Be32>();
    if (magic == nbd::kSimpleReplyMagic) {
      const auto reply = replies.Take<nbd::SimpleReply>();
      if (!replies.ok()) return 0;
      const Open asked = Answered(reply.cookie);
      const bool data = asked.command == nbd::kCmdRead && reply.error == nbd::kOk;
      return sizeof reply + (data ? asked.bytes : 0);
    }
    const auto reply = replies.Take<nbd::StructuredReply>();
    if (!replies.ok()) return 0;
    Require(reply.magic == nbd::kStructuredReplyMagic && reply.flags == nbd::kReplyFlagDone);
    const Open asked = Answered(reply.cookie);
    const uint16_t type = reply.type;
    if (type == nbd::kReplyOffsetData) Require(reply.bytes == sizeof(nbd::Be64) + asked.bytes);
    if (type == nbd::kReplyNone) Require(reply.bytes == 0);
    if (type == nbd::kReplyBlockStatus) Require(reply.bytes >= 12 && reply.bytes % 8 == 4);
    if (type == nbd::kReplyError) Require(reply.bytes >= sizeof(nbd::ErrorPayload));
    return sizeof reply + reply.bytes;
  }

  Open Answered(uint64_t cookie) {
    const auto found = open_.find(cookie);
    Require(found != open_.end());
    const Open asked = found->second;
    open_.erase(found);
    return asked;
  }

  const uint32_t client_flags_;
  std::map<uint64_t, Open> open_;
};

class World final : public NbdSessionOwner {
 public:
  World(FuzzInput& input)
      : input_(input),
        block_(input.ConsumeBool() ? 4096 : 512),
        disk_(std::make_shared<TestDisk>(256 * 1024, block_)),
        client_flags_(Pick(input, kClientFlags)),
        listener_(client_flags_) {
    ConfigureDisk();
    const NbdTls tls = static_cast<NbdTls>(input.ConsumeIntegralInRange<int>(0, 2));
    const NbdLimits limits = {.requests_max = input.ConsumeIntegralInRange<uint32_t>(0, 5),
                              .buffer_bytes_max = input.ConsumeBool() ? 64u << 10 : 256u << 10};
    session_ = std::make_unique<NbdSession>(*this, executor_, tls, limits);
    client_.Flags(client_flags_);
  }

  void Run() {
    for (int step = 0; step < 200 && input_.remaining_bytes() > 0; ++step) {
      Step();
      if (!session_->error().ok()) break;
    }
    Finish();
  }

 private:
  static constexpr uint32_t kClientFlags[] = {3, 1, 0, 2, 7};

  std::optional<NbdExportInfo> Find(std::string_view name) override {
    if (!name.empty() && name != "d") return std::nullopt;
    return DescribeNbdExport(*disk_, {.name = "d", .payload_bytes_max = 1 << 16});
  }
  std::vector<NbdExportInfo> List() override {
    return std::vector<NbdExportInfo>(input_.ConsumeBool() ? 600 : 1, *Find(""));
  }
  std::shared_ptr<BlockDevice> OpenDisk(const NbdExportInfo&) override {
    return gone_ ? nullptr : disk_;
  }
  void OnProgress() override {}

  void ConfigureDisk() {
    const auto bits = input_.ConsumeIntegral<uint16_t>();
    BlockInfo& info = disk_->mutable_info();
    info.read_only = (bits & 1) != 0;
    info.volatile_cache = (bits & 2) != 0;
    info.force_unit_access = (bits & 4) == 0;
    info.discard = (bits & 8) == 0;
    info.write_zeroes = (bits & 16) == 0;
    info.status = (bits & 32) == 0;
    info.rotational = (bits & 64) != 0;
    disk_->hold = (bits & 128) != 0;
    disk_->refuses_queues = (bits & 0xf00) == 0xf00;
    gone_ = (bits & 0xf00) == 0xe00;
    if ((bits & 0x1000) != 0) disk_->buffers_left = bits >> 14;
  }

  void Step() {
    switch (input_.ConsumeIntegralInRange<int>(0, 11)) {
      case 0:
        return AddOption(client_);
      case 1:
        client_.Option(nbd::kOptStructuredReply);
        client_.Option(nbd::kOptSetMetaContext, MetaData("d", {"base:allocation"}));
        client_.Option(nbd::kOptGo, GoData("d", {nbd::kInfoBlockSize, nbd::kInfoName}));
        return;
      case 2:
        client_.Option(nbd::kOptExportName, Wire().Text("d"));
        return;
      case 3:
      case 4:
        return AddRequest();
      case 5:
        AddRequest();
        return Feed(~size_t{0});
      case 6:
        return Feed(input_.ConsumeIntegralInRange<size_t>(1, 64));
      case 7:
        return Feed(~size_t{0});
      case 8:
        return Drain(input_.ConsumeBool() ? input_.ConsumeIntegral<uint8_t>() : kFillMax);
      case 9:
        return EndOne();
      case 10:
        Require(sim_.RunUntilIdle().ok());
        return;
      case 11:
        return Rare();
    }
  }

  void Rare() {
    switch (input_.ConsumeIntegralInRange<int>(0, 5)) {
      case 0:
        client_.Bytes(input_.ConsumeSpan(input_.ConsumeIntegral<uint8_t>()));
        wild_ = true;
        return;
      case 1:
        if (session_->wants_tls()) session_->TlsStarted();
        return;
      case 2:
        return session_->Stop();
      case 3:
        disk_->hold = !disk_->hold;
        return;
      case 4:
        client_.Option(nbd::kOptStartTls);
        return;
      case 5:
        for (int i = 0; i < 300; ++i) client_.Option(nbd::kOptList);
        return;
    }
  }

  void AddOption(Wire& to) {
    const uint32_t option = Pick(input_, kOptions);
    Wire data;
    switch (input_.ConsumeIntegralInRange<int>(0, 5)) {
      case 0:
        break;
      case 1:
        data = GoData(input_.ConsumeBool() ? "d" : "x", {input_.ConsumeIntegral<uint8_t>()});
        break;
      case 2:
        data = MetaData(input_.ConsumeBool() ? "d" : "x",
                        {input_.ConsumeBool() ? "base:" : "base:allocation", "x:y"});
        break;
      case 3:
        data.Bytes(input_.ConsumeSpan(input_.ConsumeIntegral<uint8_t>()));
        break;
      case 4:
        data = MetaData("d", {});
        break;
      case 5: {  // the length lies
        nbd::OptionHeader header;
        header.option = option;
        header.bytes = input_.ConsumeBool() ? input_.ConsumeIntegral<uint32_t>() : 40000;
        to.Put(header).Text(std::string(40000, 'x'));
        wild_ = true;
        return;
      }
    }
    to.Option(option, data);
  }

  void AddRequest() {
    const auto command = input_.ConsumeIntegralInRange<uint16_t>(0, 9);
    const auto flags = input_.ConsumeBool() ? input_.ConsumeIntegralInRange<uint16_t>(0, 63) : 0;
    uint64_t offset = uint64_t{input_.ConsumeIntegralInRange<uint8_t>(0, 70)} * 4096;
    uint32_t bytes = uint32_t{input_.ConsumeIntegralInRange<uint8_t>(0, 33)} * 4096;
    if (input_.ConsumeIntegralInRange<int>(0, 7) == 7) offset += input_.ConsumeIntegral<uint64_t>();
    if (input_.ConsumeIntegralInRange<int>(0, 7) == 7) bytes += input_.ConsumeIntegral<uint32_t>();
    if (command == nbd::kCmdFlush && input_.ConsumeBool()) offset = bytes = 0;
    const uint64_t cookie = next_cookie_++;
    client_.Request(command, cookie, offset, bytes, static_cast<uint16_t>(flags));
    listener_.Asked(cookie, command, bytes);
    if (command != nbd::kCmdWrite) return;
    client_.Text(std::string(std::min<size_t>(bytes, kFillMax), 'w'));
    if (bytes > kFillMax) wild_ = true;  // what follows is its data
  }

  void Feed(size_t at_most) {
    std::array<std::span<std::byte>, 3> targets;
    std::span<const std::byte> rest = std::span(client_.bytes()).subspan(fed_);
    while (!rest.empty() && at_most > 0) {
      const size_t count = session_->ReadTargets(targets);
      if (count == 0) return;
      size_t read = 0;
      for (const std::span<std::byte> target : std::span(targets).first(count)) {
        const size_t part = std::min({target.size(), rest.size(), at_most});
        std::copy_n(rest.begin(), part, target.begin());
        rest = rest.subspan(part);
        at_most -= part;
        read += part;
      }
      fed_ += read;
      session_->Received(read);
    }
  }

  void Drain(size_t at_most) {
    std::array<std::span<const std::byte>, 3> parts;
    while (at_most > 0) {
      const size_t count = session_->Unsent(parts);
      if (count == 0) return;
      size_t sent = 0;
      for (const auto part : std::span(parts).first(count)) {
        const auto taken = part.first(std::min(part.size(), at_most));
        said_.insert(said_.end(), taken.begin(), taken.end());
        at_most -= taken.size();
        sent += taken.size();
      }
      session_->Sent(sent);
    }
  }

  void EndOne() {
    if (disk_->held.empty()) return;
    const auto at = input_.ConsumeIntegralInRange<size_t>(0, disk_->held.size() - 1);
    std::swap(disk_->held[at], disk_->held.front());
    const auto result = input_.ConsumeIntegralInRange<int>(0, 13);
    if (result > static_cast<int>(BlockResult::kLost)) return disk_->Carry();
    disk_->End(static_cast<BlockResult>(result));
  }

  // However it went, everything comes to an end.
  void Finish() {
    session_->Stop();
    disk_->hold = false;
    for (int i = 0; session_->in_flight() > 0; ++i) {
      Require(i < 100);
      while (!disk_->held.empty()) disk_->Carry();
      Require(sim_.RunUntilIdle().ok());
    }
    Drain(~size_t{0});
    if (session_->error().ok()) Require(session_->finished());
    if (!wild_ && client_flags_ != 7) listener_.Check(said_);
  }

  FuzzInput& input_;
  SimScheduler sim_{0};
  SimExecutor& executor_ = sim_.NewExecutor(0);
  const uint32_t block_;
  std::shared_ptr<TestDisk> disk_;
  const uint32_t client_flags_;
  Listener listener_;
  std::unique_ptr<NbdSession> session_;
  Wire client_;
  size_t fed_ = 0;
  std::vector<std::byte> said_;
  uint64_t next_cookie_ = 1;
  bool wild_ = false;
  bool gone_ = false;
};

}  // namespace
}  // namespace vmbuskit

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmbuskit::FuzzInput input(data, size);
  vmbuskit::World(input).Run();
  return 0;
}
