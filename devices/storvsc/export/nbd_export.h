// What a disk is called in the language of NBD: its flags and limits, and how its results are told to a client.
//
//   const NbdExportInfo info = DescribeNbdExport(disk, {.name = "disk0", .read_only = true});
//   const nbd::Error error = NbdErrorOf(BlockResult::kNoSpace, nbd::kCmdWrite);
//
// Of a disk whose size is no multiple of its blocks the last part is left out. FUA is always offered: where the disk
// has none, a flush follows the write. Several connections are always allowed: a flush of one covers what was answered
// on all, which is the rule of BlockDevice. Block status is offered for every disk; one that knows nothing is all data.
// FAST_ZERO is offered where the disk says, when it is found, that it writes zeroes without moving them. A disk that
// later refuses its first WRITE SAME (ScsiDisk::ForgetWriteSame) gets zeros over the wire all the same, so a client is
// then not told ENOTSUP and its fast zeroes are as slow as writes; they are right.
//
// Thread safety: free functions; any thread. Units: bytes. Source: "Transmission flags", "Size constraints", "Error
// values".
#ifndef VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_EXPORT_H_
#define VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_EXPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "devices/storvsc/export/nbd_handshake.h"
#include "devices/storvsc/export/nbd_protocol.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

struct NbdExportOptions {
  std::string name{};
  std::string description{};  // empty: vendor and product of the disk
  bool read_only = false;     // also when the disk may be written
  uint32_t payload_bytes_max = nbd::kDefaultPayloadBytesMax;
};

NbdExportInfo DescribeNbdExport(const BlockDevice& disk, const NbdExportOptions& options);

// kOk for kOk.
nbd::Error NbdErrorOf(BlockResult result, uint16_t command);

// What is wrong with a request of a client, before the disk sees it; kOk when it may.
nbd::Error CheckNbdRequest(const nbd::Request& request, const NbdAgreement& agreement);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_EXPORT_NBD_EXPORT_H_
