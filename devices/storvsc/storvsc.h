// The guest driver of synthetic SCSI controllers: many disks, sub-channels, hot plug. Disks come through
// Device::block_controller (framework/interfaces/block_controller.h). Source: protocol 10.
//
//   const DeviceClass* const classes[] = {&StorvscClass()};
//
// Thread safety: any thread; the class is a constant. Its devices: storvsc_controller.h. Units: bytes.
//
// The headers of this folder in the order to read them, from the wire up:
//
//   protocol.h, scsi.h    packets and commands as they lie in memory
//   handshake.h           control messages: version, properties, sub-channels, resets
//   scsi_command.h        one command and its answer; scsi_cdb.h writes it, scsi_result.h judges what came of it
//   scsi_lane.h           commands over one channel; storvsc_lanes.h opens, drains and ends all of a controller's
//   scsi_lanes.h          the same lanes as disks see them, from any thread (scsi_mailbox.h, sender_gate.h)
//   scsi_call.h           a command as an await; lun_probe.h asks with it, disk_facts.h reads the answers
//   scsi_disk.h           a BlockDevice over the lanes
//   scsi_queue.h          its requests as commands: cut by scsi_pieces.h, retried, bounced
//   storvsc_disks.h       which disks there are: scans, hot plug, media
//   storvsc_controller.h  the Device that puts it together; storvsc_ide.h and storvsc_fc.h are other profiles of it
//
// The other side is in host/ (begin at host/storvsp.h), the NBD server in export/ (begin at export/nbd_server.h).
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_H_

#include "devices/storvsc/storvsc_controller.h"
#include "framework/bus/device.h"

namespace vmbuskit {

// What all classes of controllers share: ring sizes and the like. 124 KiB of data is what Linux has (section 8).
constexpr DeviceClass StorvscClassTemplate() {
  DeviceClass device_class;
  device_class.speed = DeviceSpeed::kFast;
  device_class.send_ring_bytes = 124 * 1024;
  device_class.receive_ring_bytes = 60 * 1024;
  device_class.max_requests = 512;
  return device_class;
}

const DeviceClass& StorvscClass();

// The controller that a device of one of these classes (storvsc, storvsc_ide, storvsc_fc) is: for
// StorvscController::Execute. A cast that checks nothing: a device of any other class must not come here. Compare
// RunningDevice::device_class with StorvscClass() and its like first.
StorvscController& StorvscControllerOf(Device& device);

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_H_
