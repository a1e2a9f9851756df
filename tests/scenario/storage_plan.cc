#include "tests/scenario/storage_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kControllersMax = 3;
constexpr uint32_t kDisksMax = 3;  // of a controller

Guid InstanceOf(uint32_t controller) {
  Guid guid = Guid::Parse("00000000-0000-4000-8000-73746f726167");
  guid.bytes[0] = static_cast<uint8_t>(controller + 1);
  return guid;
}

StorvspOptions DrawHost(Random& random, bool ide) {
  StorvspOptions host;
  if (ide) host.kind = StorvspOptions::Kind::kIde;
  host.version_max = storvsc::kVersions[random.Below(storvsc::kVersions.size())];
  host.max_transfer_bytes = static_cast<uint32_t>(4096 * (1 + random.Below(8)));
  host.max_subchannels = static_cast<uint16_t>(random.OneIn(2) ? 0 : random.Below(4));
  host.requests_max = static_cast<uint32_t>(1 + random.Below(random.OneIn(2) ? 4 : 24));
  host.reset = random.OneIn(2) ? StorvspOptions::Reset::kNothing : StorvspOptions::Reset::kAbort;
  host.ide_path = static_cast<uint8_t>(ide ? random.Below(2) : 0);
  return host;
}

StoragePlan::Disk DrawDisk(Random& random, const std::string& name) {
  StoragePlan::Disk drawn;
  SimDisk::Options& storage = drawn.disk.options;
  storage.block_bytes = random.OneIn(4) ? 4096 : 512;
  const uint64_t kinds[] = {16, 64 + random.Below(1000), (uint64_t{1} << 32) + random.Below(1000)};
  storage.blocks = kinds[random.Below(3)];
  if (random.OneIn(8)) storage.room_blocks = random.Below(100);
  storage.volatile_cache = !random.OneIn(4);
  storage.force_unit_access = random.OneIn(2);
  storage.discard = random.OneIn(2);
  storage.write_zeroes = random.OneIn(2);
  storage.status = random.OneIn(2);
  storage.id = name;
  storage.seed = random.Next();
  drawn.disk.name = name;
  drawn.disk.changes_size = random.OneIn(4);
  if (random.OneIn(4)) drawn.options.write_cache = random.OneIn(2);
  if (storage.block_bytes == 512 && storage.blocks % 8 == 0 && random.OneIn(4)) {
    drawn.options.sector_bytes = 4096;
  }
  return drawn;
}

}  // namespace

StoragePlan StoragePlan::Draw(Random& random, const FaultPlan& faults) {
  StoragePlan plan;
  const auto ring_bytes = [&] {
    const uint32_t spread = faults.ring_pages_max - faults.ring_pages_min + 1;
    return static_cast<uint32_t>(4096 * (faults.ring_pages_min + random.Below(spread)));
  };
  plan.send_ring_bytes = ring_bytes();
  plan.receive_ring_bytes = ring_bytes();
  plan.requests_max = static_cast<uint32_t>(2 + random.Below(random.OneIn(2) ? 4 : 32));
  plan.scsi.topology = {.paths = 1,
                        .first_target = 0,
                        .targets = static_cast<uint8_t>(1 + random.Below(2)),
                        .luns = 4,
                        .report_luns = true};
  plan.scsi.subchannels_before_end = random.OneIn(2);
  // Half of the guests have less of it than their users ask for at a time.
  if (random.OneIn(2)) {
    plan.scsi.queue_depth = static_cast<uint32_t>(1 + random.Below(4));
    plan.scsi.bounce_bytes = static_cast<uint32_t>(kPageSize * (8 + random.Below(8)));
  }
  // Shorter than many a stall of a back end.
  if (random.OneIn(2)) plan.scsi.timeout_seconds = static_cast<uint32_t>(1 + random.Below(4));
  plan.controllers.resize(1 + random.Below(kControllersMax));
  for (uint32_t i = 0; i < plan.controllers.size(); ++i) {
    Controller& controller = plan.controllers[i];
    controller.instance = InstanceOf(i);
    // The last one of three is an IDE channel.
    const bool ide = i == kControllersMax - 1;
    controller.host = DrawHost(random, ide);
    const uint64_t disks = ide ? 1 : 1 + random.Below(kDisksMax);
    for (uint64_t d = 0; d < disks; ++d) {
      Disk disk = DrawDisk(random, absl::StrCat("c", i, "d", d));
      disk.disk.address = {
          .path = controller.host.ide_path,
          .target = ide ? controller.instance.bytes[4]
                        : static_cast<uint8_t>(random.Below(plan.scsi.topology.targets)),
          .lun = static_cast<uint8_t>(d)};
      controller.disks.push_back(std::move(disk));
    }
  }
  return plan;
}

}  // namespace vmbuskit
