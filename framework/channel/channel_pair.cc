#include "framework/channel/channel_pair.h"

#include <utility>
#include <vector>

#include "platform/linux/memfd_memory.h"

namespace vmbuskit {
namespace {

std::unique_ptr<GuestMemory> MakeMemory(uint64_t data_bytes) {
  absl::StatusOr<std::unique_ptr<MemfdMemory>> memory =
      MemfdMemory::Create({.page_count = 2 + data_bytes / kPageSize});
  return std::move(memory).value();
}

Channel::Options Fill(Channel::Options options, const char* name, const RingMemory& incoming,
                      const RingMemory& outgoing, Callback signal, bool guest_end) {
  if (options.name.empty()) options.name = name;
  options.incoming = incoming;
  options.outgoing = outgoing;
  options.signal_peer = signal;
  options.guest_end = guest_end;
  return options;
}

void CloseAndDestroy(std::unique_ptr<Channel>& channel) {
  if (channel == nullptr) return;
  channel->Close(absl::CancelledError("the channel pair ends"));
  channel.reset();
}

}  // namespace

ChannelPair::ChannelPair() : ChannelPair(Options()) {}
ChannelPair::ChannelPair(Options options)
    : ChannelPair(std::make_unique<Own>(options.seed), std::move(options)) {}
ChannelPair::ChannelPair(std::unique_ptr<Own> own, Options options)
    : ChannelPair(own->guest, own->host, std::move(options)) {
  own_ = std::move(own);
}

ChannelPair::ChannelPair(Executor& guest, Executor& host, Options options)
    : guest_executor_(guest),
      host_executor_(host),
      memory_(MakeMemory(uint64_t{options.up_bytes} + options.down_bytes)),
      up_(MapRing(0, options.up_bytes, up_mapping_)),
      down_(MapRing(1 + options.up_bytes / kPageSize, options.down_bytes, down_mapping_)),
      to_guest_(guest),
      to_host_(host) {
  guest_ = std::make_unique<Channel>(
      guest, Fill(options.guest, "guest end", down_, up_, to_host_.raise(), /*guest_end=*/true));
  to_guest_.Connect(guest_.get());
  if (!options.with_host) return;
  host_ = std::make_unique<Channel>(
      host, Fill(options.host, "host end", up_, down_, to_guest_.raise(), /*guest_end=*/false));
  to_host_.Connect(host_.get());
}

ChannelPair::~ChannelPair() {
  DestroyGuest();
  DestroyHost();
}

void ChannelPair::DestroyGuest() {
  CloseAndDestroy(guest_);
  to_guest_.Connect(nullptr);
}

void ChannelPair::DestroyHost() {
  CloseAndDestroy(host_);
  to_host_.Connect(nullptr);
}

RingMemory ChannelPair::MapRing(Pfn control, uint32_t data_bytes, Mapping& mapping) {
  std::vector<Pfn> pages = {control};
  const uint64_t data_pages = data_bytes / kPageSize;
  for (uint64_t i = 0; i < 2 * data_pages; ++i) pages.push_back(control + 1 + i % data_pages);
  mapping = memory_->Map(pages).value();
  return {mapping.bytes().data(), mapping.bytes().data() + kPageSize, data_bytes};
}

}  // namespace vmbuskit
