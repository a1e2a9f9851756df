// For tests and fuzzers: a client's bytes put together, a server's taken apart, and a disk that does as it is told.
//
//   Wire wire;
//   wire.Flags(nbd::kClientFixedNewstyle).Option(nbd::kOptGo, GoData("disk"));
//   Replies replies(server_bytes);
//   EXPECT_EQ(replies.Take<nbd::Be32>(), 7u);
//
// Thread safety: none.
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TESTING_H_

#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "devices/storvsc/export/nbd_protocol.h"
#include "devices/storvsc/host/ram_disk.h"
#include "framework/base/bytes.h"
#include "framework/interfaces/block_completions.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

// What a client sends.
class Wire {
 public:
  template <WireValue T>
  Wire& Put(const T& value) {
    return Bytes(std::as_bytes(std::span(&value, 1)));
  }
  Wire& Bytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Wire& Text(std::string_view text) { return Bytes(std::as_bytes(std::span(text))); }
  // With its length in front.
  Wire& String(std::string_view text) {
    return Put(nbd::Be32(static_cast<uint32_t>(text.size()))).Text(text);
  }

  Wire& Flags(uint32_t flags) { return Put(nbd::Be32(flags)); }
  Wire& Option(uint32_t option, const Wire& data = {}) {
    nbd::OptionHeader header;
    header.option = option;
    header.bytes = static_cast<uint32_t>(data.bytes_.size());
    return Put(header).Bytes(data.bytes_);
  }
  Wire& Request(uint16_t command, uint64_t cookie, uint64_t offset, uint32_t bytes,
                uint16_t flags = 0) {
    nbd::Request request;
    request.flags = flags;
    request.command = command;
    request.cookie = cookie;
    request.offset = offset;
    request.bytes = bytes;
    return Put(request);
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// The data of GO and INFO.
inline Wire GoData(std::string_view name, std::initializer_list<uint16_t> requests = {}) {
  Wire data;
  data.String(name).Put(nbd::Be16(static_cast<uint16_t>(requests.size())));
  for (const uint16_t request : requests) data.Put(nbd::Be16(request));
  return data;
}

// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
inline Wire MetaData(std::string_view name, std::initializer_list<std::string_view> queries) {
  Wire data;
  data.String(name).Put(nbd::Be32(static_cast<uint32_t>(queries.size())));
  for (const std::string_view query : queries) data.String(query);
  return data;
}

// What a server sent, taken from the front.
class Replies {
 public:
  struct OptionReply {
    uint32_t option = 0;
    uint32_t type = 0;
    std::string data;
  };
  struct Structured {
    uint16_t flags = 0;
    uint16_t type = 0;
    uint64_t cookie = 0;
    std::string payload;
  };
  struct Simple {
    uint32_t error = 0;
    uint64_t cookie = 0;
    friend bool operator==(const Simple&, const Simple&) = default;
  };

  explicit Replies(std::span<const std::byte> bytes) : reader_(bytes) {}

  template <WireValue T>
  T Take() {
    return reader_.Read<T>();
  }
  std::string TakeText(size_t bytes) {
    const auto span = reader_.Bytes(bytes);
    return {reinterpret_cast<const char*>(span.data()), span.size()};
  }
  OptionReply TakeOptionReply() {
    const auto reply = Take<nbd::OptionReply>();
    if (reply.magic != nbd::kOptionReplyMagic) return {};
    return {reply.option, reply.type, TakeText(reply.bytes)};
  }
  Structured TakeStructured() {
    const auto reply = Take<nbd::StructuredReply>();
    if (reply.magic != nbd::kStructuredReplyMagic) return {};
    return {reply.flags, reply.type, reply.cookie, TakeText(reply.bytes)};
  }
  Simple TakeSimple() {
    const auto reply = Take<nbd::SimpleReply>();
    if (reply.magic != nbd::kSimpleReplyMagic) return {.error = ~0u};
    return {reply.error, reply.cookie};
  }
  bool ok() const { return reader_.ok(); }
  size_t remaining() const { return reader_.remaining(); }

 private:
  ByteReader reader_;
};

// A RAM disk whose requests can be held back and ended otherwise, and that says what it is told to say.
class TestDisk final : public BlockDevice {
 public:
  explicit TestDisk(uint64_t bytes = 1 << 20, uint32_t block_bytes = 512)
      : ram_({.bytes = bytes, .block_bytes = block_bytes}), info_(ram_.info()) {}

  const BlockInfo& info() const override { return info_; }
  uint64_t bytes() const override { return ram_.bytes(); }
  std::unique_ptr<BlockQueue> OpenQueue(Executor& executor) override {
    if (refuses_queues) return nullptr;
    return std::make_unique<Queue>(*this, executor);
  }
  absl::StatusOr<BlockBuffer> AllocateBuffer(size_t bytes) override {
    if (buffers_left == 0) return absl::ResourceExhaustedError("no buffers are left");
    --buffers_left;
    return BlockBuffer::OfHeap(bytes);
  }

  // Ends the oldest request that is held.
  void End(BlockResult result) {
    const auto [request, queue] = held.front();
    held.erase(held.begin());
    queue->completions_.End(*request, result);
  }
  // The same by carrying it out.
  void Carry() { End(ram_.Carry(*held.front().first)); }

  struct Seen {
    BlockOperation operation;
    uint64_t offset;
    uint64_t bytes;
    bool force_unit_access;
    bool may_unmap;
    friend bool operator==(const Seen&, const Seen&) = default;
  };

  class Queue final : public BlockQueue {
   public:
    Queue(TestDisk& disk, Executor& executor) : disk_(disk), completions_(executor) {}
    void Submit(BlockRequest& request) override {
      disk_.seen.push_back({request.operation, request.offset, request.bytes,
                            request.force_unit_access, request.may_unmap});
      if (disk_.hold) {
        disk_.held.emplace_back(&request, this);
      } else {
        completions_.End(request, disk_.ram_.Carry(request));
      }
    }

   private:
    friend class TestDisk;
    TestDisk& disk_;
    BlockCompletions completions_;
  };

  RamDisk& ram() { return ram_; }
  BlockInfo& mutable_info() { return info_; }

  bool hold = false;
  bool refuses_queues = false;
  uint32_t buffers_left = ~0u;
  std::vector<Seen> seen;
  std::vector<std::pair<BlockRequest*, Queue*>> held;

 private:
  RamDisk ram_;
  BlockInfo info_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_TESTING_H_
