// For tests: tables of SCSI commands and how they have to end.
//
//   CheckRow(guest, {"READ CAPACITY 10", "25 00 00 00 00 00 00 00 00 00", 8, Ok(8), "00 00 0f ff 00 00 02 00"});
//
// Thread safety: one thread.
#ifndef VMBUSKIT_DEVICES_STORVSC_HOST_CONFORMANCE_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_HOST_CONFORMANCE_TESTING_H_

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "devices/storvsc/host/storvsp_testing.h"
#include "framework/base/hex.h"

namespace vmbuskit {

struct ConformanceEnd {
  uint32_t status = 0;
  uint8_t srb_status = storvsc::kSrbSuccess;
  uint8_t scsi_status = scsi::kGood;
  scsi::Sense sense{};
  uint32_t transferred = 0;
  friend bool operator==(const ConformanceEnd&, const ConformanceEnd&) = default;
  friend std::ostream& operator<<(std::ostream& out, const ConformanceEnd& end) {
    return out << std::hex << "status " << end.status << " srb " << int{end.srb_status} << " scsi "
               << int{end.scsi_status} << " sense " << int{end.sense.key} << "/"
               << int{end.sense.asc} << "/" << int{end.sense.ascq} << " transferred " << std::dec
               << end.transferred;
  }
};

inline ConformanceEnd Ok(uint32_t transferred) { return {.transferred = transferred}; }
// `srb_status` with its flags.
inline ConformanceEnd Fails(uint8_t srb_status, const scsi::Sense& sense) {
  return {.status = storvsc::kStatusIoDeviceError,
          .srb_status = srb_status,
          .scsi_status = scsi::kCheckCondition,
          .sense = sense};
}
inline ConformanceEnd Ir(uint8_t asc) { return Fails(0x86, {5, asc, 0}); }
inline ConformanceEnd Overrun() {
  ConformanceEnd end = Fails(0x92, {5, 0x24, 0});
  end.status = storvsc::kStatusDataOverrun;
  return end;
}

inline ConformanceEnd EndOf(const ScsiReply& reply) {
  EXPECT_TRUE(reply.answered);
  EXPECT_EQ(reply.packet.header.operation, storvsc::kCompleteIo);
  return {.status = reply.status(),
          .srb_status = reply.srb_status(),
          .scsi_status = reply.scsi_status(),
          .sense = reply.sense(),
          .transferred = reply.transferred()};
}

struct ConformanceRow {
  const char* name;
  const char* cdb;  // in hex
  uint32_t bytes;   // of the buffer
  ConformanceEnd end;
  std::string answer = {};  // in hex, its beginning
  uint8_t direction = storvsc::kDataIn;
  std::string data = {};  // in hex, what the guest sends
  BlockAddress address = {};
};

inline std::vector<uint8_t> CdbOf(std::string_view hex) {
  std::vector<uint8_t> cdb;
  for (const std::byte byte : FromHex(hex)) cdb.push_back(std::to_integer<uint8_t>(byte));
  return cdb;
}

inline std::string PatternHex(size_t bytes, uint8_t first, uint8_t step = 1) {
  std::vector<std::byte> pattern(bytes);
  for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<std::byte>(first + i * step);
  return ToHex(pattern);
}

// The buffer lies in a page's middle; what is behind it must stay as it is.
inline void CheckRow(StorvspGuest& guest, const ConformanceRow& row) {
  SCOPED_TRACE(row.name);
  constexpr Gpa kAt = 0x20F00;
  constexpr std::byte kUntouched{0xE5};
  const auto memory = guest.data(row.bytes + 64, kAt);
  std::ranges::fill(memory, kUntouched);
  std::ranges::copy(FromHex(row.data), memory.begin());
  const ScsiReply reply = guest.Do({.cdb = CdbOf(row.cdb),
                                    .bytes = row.bytes,
                                    .direction = row.direction,
                                    .address = row.address,
                                    .gpa = kAt});
  EXPECT_EQ(EndOf(reply), row.end);
  const std::vector<std::byte> answer = FromHex(row.answer);
  EXPECT_EQ(ToHex(memory.first(std::min<size_t>(answer.size(), memory.size()))), ToHex(answer));
  const uint32_t end =
      row.direction == storvsc::kDataIn ? std::min(row.end.transferred, row.bytes) : row.bytes;
  EXPECT_TRUE(std::ranges::all_of(memory.subspan(end), [&](std::byte byte) {
    return byte == kUntouched;
  })) << "written behind the answer";
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_HOST_CONFORMANCE_TESTING_H_
