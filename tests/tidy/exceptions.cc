#include "tests/tidy/exceptions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vmbuskit::tidy {
namespace {

bool Excuses(const Exception& exception, const Finding& finding) {
  return exception.rule == finding.rule && exception.file == finding.file;
}

constexpr const char* kAccess = "platform-access";
constexpr const char* kRace = "races a real thread with the code, for ThreadSanitizer";
constexpr const char* kSockets = "libnbd opens the sockets, which a Linux executor has to watch";
const Exception kExceptions[] = {
    {kAccess, "devices/storvsc/host/file_syncs.h", "queues of several executors share syncs"},
    {kAccess, "devices/storvsc/host/file_syncs_test.cc", kRace},
    {kAccess, "devices/storvsc/host/nbd_connection.cc", "libnbd's sockets are real ones"},
    {kAccess, "devices/storvsc/host/nbd_dial.cc", "meets the thread that libnbd blocks"},
    {kAccess, "devices/storvsc/host/nbd_dial_test.cc", "plays the resolver"},
    {kAccess, "devices/storvsc/host/nbd_disk.h", "queues of several executors share connections"},
    {kAccess, "devices/storvsc/host/nbd_disk_test.cc", "starts and kills an NBD server"},
    {kAccess, "devices/storvsc/host/nbd_drain.cc", kSockets},
    {kAccess, "devices/storvsc/host/nbd_drain_test.cc", "a pair of sockets"},
    {kAccess, "devices/storvsc/host/nbd_leave.cc", "a thread of its own waits with a real clock"},
    {kAccess, "devices/storvsc/host/nbd_writes.h", "connections of several executors meet"},
    {kAccess, "devices/storvsc/host/nbd_writes.cc", "keeps a socket that nobody else has"},
    {kAccess, "devices/storvsc/host/nbd_fake_server.cc", "an NBD server in a process of its own"},
    {kAccess, "devices/storvsc/host/nbd_faults_test.cc", "a folder for that server's socket"},
    {kAccess, "devices/storvsc/host/ram_disk_threads_test.cc", kRace},
    {kAccess, "devices/storvsc/scsi_lanes.h", "queues of several executors look up the lanes"},
    {kAccess, "devices/storvsc/storvsc_benchmark.cc",
     "measures how far apart the two threads of a run are"},
    {kAccess, "framework/base/fuzz_replay.cc", "reads the corpus of a fuzzer"},
    {kAccess, "framework/channel/ring_benchmark.cc",
     "measures real time, and the ring between two real threads"},
    {kAccess, "framework/channel/ring_stress_test.cc", kRace},
    {kAccess, "framework/interfaces/persistent_block_device.cc",
     "queues of several executors meet at the disk when the device below it changes"},
    {kAccess, "products/interrupt.cc", "the program's signals arrive here, by signalfd"},
    {kAccess, "products/session.cc", "asks the terminal for its width"},
    {kAccess, "products/session_test.cc", "sends itself the signals that end a session"},
    {kAccess, "tests/clients/client_testing.h", "runs whole programs"},
    {kAccess, "tests/clients/run_testing.h", "makes image files, runs whole programs"},
    {kAccess, "tests/scenario/campaign_board.cc", "shares the board between worker processes"},
    {kAccess, "tests/scenario/campaign_main.cc", "asks the terminal for its width"},
    {kAccess, "tests/scenario/campaign_process.cc", "starts, watches and ends worker processes"},
    {kAccess, "tests/scenario/campaign_process.h", "starts, watches and ends worker processes"},
    {kAccess, "tests/scenario/campaign_test.cc", "kills worker processes"},
    {kAccess, "tests/scenario/scenario_memory.cc", "makes no use of what a fork inherits"},
    {kAccess, "tests/tidy/tidy_test.cc", "finds the source tree"},
    {kAccess, "tests/tidy/tree.cc", "reads the source tree"},
    {kAccess, "tools/vmbus/bench.cc", "asks whether there is a terminal for the bar"},
    {kAccess, "tools/vmbus/control_client.cc", "the tool's socket"},
    {kAccess, "tools/vmbus/control_server.cc", "the tool's socket"},
    {kAccess, "tools/vmbus/control_server_test.cc", "the tool's socket, in a folder of its own"},
    {kAccess, "tools/vmbus/control_session.cc", "names its control socket by the process"},
    {kAccess, "tools/vmbus/demo_disk.cc", "makes an image file for another program"},
    {kAccess, "tools/vmbus/demo_disk.h", "disks come up on several executors"},
    {kAccess, "tools/vmbus/file_descriptor.h", "closes the tool's descriptors"},
    {kAccess, "tools/vmbus/machine_arguments.cc", "reads the machine file"},
    {kAccess, "tools/vmbus/machine_arguments_test.cc", "makes a machine file"},
    {kAccess, "tools/vmbus/machine_disks.h", "disks come up on several executors"},
    {kAccess, "tools/vmbus/process_testing.h", "runs whole programs"},
    {kAccess, "tools/vmbus/run_process_test.cc", "runs whole programs"},
    {kAccess, "tools/vmbus/socket_directory.cc", "the folder of the tool's sockets"},
    {kAccess, "tools/vmbus/socket_directory_test.cc", "the folder of the tool's sockets"},
    {kAccess, "tools/vmbus/vmbus_process_test.cc", "runs whole programs"},
    {kAccess, "transports/embedded_host/partition_registers.h",
     "registers of one processor may be set from another one's thread"},
    {kAccess, "transports/embedded_host/partition_threads_test.cc", kRace},
    {kAccess, "transports/embedded_host/ports_test.cc", kRace},
    {kAccess, "transports/embedded_host/reference_clock_test.cc", kRace},
    {kAccess, "transports/embedded_host/synic.h", "host and processor threads meet at a SynIC"},
    {kAccess, "transports/embedded_host/synic_test.cc", kRace},
    {kAccess, "transports/embedded_host/synthetic_timers.h",
     "set by the processor, fired by the host's thread"},
    {kAccess, "transports/embedded_host/virtual_processor.h",
     "host and processor threads meet at a virtual processor"},
    {kAccess, "transports/synic/reference_time_test.cc", kRace},
    {kAccess, "transports/synic/synic_transport_threads_test.cc", kRace},
    {"platform-choice", "devices/storvsc/host/nbd_connection.cc", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_connection.h", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_dial.cc", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_disk.cc", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_leave.cc", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_drain.h", kSockets},
    {"platform-choice", "devices/storvsc/host/nbd_drain.cc", kSockets},
    {"static-registration", "platform/BUILD",
     "the allocation counter replaces operator new, which nothing names"},
};

const Covered kCovered[] = {
    {"devices/storvsc/export/nbd_server_connection.cc",
     "devices/storvsc/export/nbd_server_test.cc"},
    {"devices/storvsc/export/nbd_slot.cc", "devices/storvsc/export/nbd_transmission_test.cc"},
    {"devices/storvsc/export/nbd_worker.cc", "devices/storvsc/export/nbd_server_test.cc"},
    {"devices/storvsc/host/disk_buffer.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/disk_control.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/disk_io.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/disk_provision.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/disk_target.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/dvd_information.cc", "devices/storvsc/host/dvd_conformance_test.cc"},
    {"devices/storvsc/host/dvd_target.cc", "devices/storvsc/host/dvd_conformance_test.cc"},
    {"devices/storvsc/host/inquiry.cc", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/null_disk.cc", "devices/storvsc/host/disks_test.cc"},
    {"devices/storvsc/host/scsi_outcome.h", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/scsi_target.h", "devices/storvsc/host/disk_conformance_test.cc"},
    {"devices/storvsc/host/storvsc_fc_host.cc", "tests/system/storvsc_test.cc"},
    {"devices/storvsc/host/storvsc_host.cc", "tests/system/storvsc_test.cc"},
    {"devices/storvsc/host/storvsc_ide_host.cc", "tests/system/storvsc_test.cc"},
    {"devices/storvsc/host/storvsp_channel.cc", "devices/storvsc/host/storvsp_flow_test.cc"},
    {"devices/storvsc/host/storvsp_controller.cc", "devices/storvsc/host/storvsp_test.cc"},
    {"devices/storvsc/host/storvsp_luns.cc", "devices/storvsc/host/storvsp_test.cc"},
    {"devices/storvsc/host/storvsp_saved.h", "devices/storvsc/host/storvsp_flow_test.cc"},
    {"devices/storvsc/scsi_cdb.h", "devices/storvsc/scsi_disk_test.cc"},
    {"devices/storvsc/scsi_lanes.cc", "devices/storvsc/scsi_queue_test.cc"},
    {"devices/storvsc/scsi_mailbox.h", "devices/storvsc/scsi_queue_test.cc"},
    {"devices/storvsc/scsi_pieces.cc", "devices/storvsc/scsi_disk_test.cc"},
    {"devices/util/ic/host/ic_vsp.cc", "devices/util/heartbeat/host/heartbeat_host_test.cc"},
    {"devices/util/ic/ic_device.cc", "devices/util/heartbeat/heartbeat_test.cc"},
    {"devices/util/ic/negotiation.cc", "devices/util/ic/message_test.cc"},
    {"framework/bus/class_registry.cc", "framework/bus/bus_life_test.cc"},
    {"framework/bus/describe.cc", "framework/bus/bus_inspect_test.cc"},
    {"framework/bus/device_capture.cc", "framework/bus/bus_capture_test.cc"},
    {"framework/bus/device_channels.cc", "framework/bus/bus_subchannel_test.cc"},
    {"framework/bus/device_info.h", "framework/bus/bus_inspect_test.cc"},
    {"framework/bus/device_instance.cc", "framework/bus/bus_rescind_test.cc"},
    {"framework/bus/device_node.cc", "framework/bus/bus_life_test.cc"},
    {"framework/channel/ring_copy.h", "framework/channel/ring_test.cc"},
    {"framework/channel/ring_mapping.cc", "transports/synic/ring_setup_test.cc"},
    {"framework/channel/writable_wait.cc", "framework/channel/channel_flow_test.cc"},
    {"framework/observe/pcapng.cc", "framework/observe/capture_test.cc"},
    {"framework/task/deadline.cc", "framework/task/wait_test.cc"},
    {"framework/task/gate.cc", "framework/task/wait_test.cc"},
    {"framework/task/spawn.cc", "framework/task/task_test.cc"},
    {"framework/task/waiter.cc", "framework/task/wait_test.cc"},
    {"devices/storvsc/host/file_disk_queue.cc", "devices/storvsc/host/file_disk_test.cc"},
    {"devices/storvsc/host/segment_copy.h", "devices/storvsc/host/nbd_disk_test.cc"},
    {"devices/storvsc/host/nbd_connection.cc", "devices/storvsc/host/nbd_disk_test.cc"},
    {"devices/storvsc/host/nbd_leave.cc", "devices/storvsc/host/nbd_faults_test.cc"},
    {"devices/storvsc/host/nbd_writes.cc", "devices/storvsc/host/nbd_drain_test.cc"},
    {"platform/linux/epoll_set.cc", "platform/linux/executor_test.cc"},
    {"platform/linux/file_vectors.cc", "platform/linux/linux_block_file_test.cc"},
    {"platform/linux/thread_file_queue.cc", "platform/linux/linux_block_file_test.cc"},
    {"platform/linux/uring_file_queue.cc", "platform/linux/linux_block_file_test.cc"},
    {"platform/linux/socket_stream.cc", "platform/linux/linux_streams_test.cc"},
    {"platform/linux/tls_stream.cc", "platform/linux/tls_guard_test.cc"},
    {"platform/spin_wait.cc", "platform/access_gate_test.cc"},
    {"platform/tsc.h", "platform/linux/tsc_frequency_test.cc"},
    {"products/interrupt.cc", "products/session_test.cc"},
    {"products/live_view.cc", "products/text_table_test.cc"},
    {"products/product_main.cc", "products/session_test.cc"},
    {"tools/vmbus/back_end.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/bench.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/bench_report.cc", "tools/vmbus/disk_load_test.cc"},
    {"tools/vmbus/chaos.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/client_commands.cc", "tools/vmbus/vmbus_process_test.cc"},
    {"tools/vmbus/control_client.cc", "tools/vmbus/control_server_test.cc"},
    {"tools/vmbus/control_session.cc", "tools/vmbus/vmbus_process_test.cc"},
    {"tools/vmbus/disk_session.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/io_pattern.cc", "tools/vmbus/disk_load_test.cc"},
    {"tools/vmbus/load_runner.cc", "tools/vmbus/disk_load_test.cc"},
    {"tools/vmbus/machine_disks.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/machine_host.cc", "tools/vmbus/run_process_test.cc"},
    {"tools/vmbus/plugins.cc", "tools/vmbus/vmbus_process_test.cc"},
    {"transports/embedded_host/gpadl_table.cc", "transports/embedded_host/server_tables_test.cc"},
    {"transports/embedded_host/host_channel.cc", "transports/embedded_host/embedded_host_test.cc"},
    {"transports/embedded_host/mapped_pages.h", "transports/embedded_host/embedded_host_test.cc"},
    {"transports/embedded_host/message_inbox.h", "transports/embedded_host/ports_test.cc"},
    {"transports/embedded_host/offer_table.cc", "transports/embedded_host/server_tables_test.cc"},
    {"transports/embedded_host/partition_registers.cc",
     "transports/embedded_host/embedded_partition_test.cc"},
    {"transports/embedded_host/port_table.cc", "transports/embedded_host/ports_test.cc"},
    {"transports/embedded_host/register_file.cc", "transports/embedded_host/hypercalls_test.cc"},
    {"transports/embedded_host/server_action_queue.cc",
     "transports/embedded_host/server_tables_test.cc"},
    {"transports/embedded_host/throttle.h", "transports/embedded_host/monitor_pages_test.cc"},
    {"transports/embedded_host/virtual_processor.cc",
     "transports/embedded_host/embedded_partition_test.cc"},
    {"transports/embedded_host/virtual_processor_state.cc",
     "transports/embedded_host/embedded_host_state_test.cc"},
    {"transports/embedded_host/vsp_host_state.cc",
     "transports/embedded_host/embedded_host_state_test.cc"},
    {"transports/embedded_host/vsp_host.cc", "transports/embedded_host/embedded_host_test.cc"},
    {"transports/protocol/versions.cc", "transports/protocol/contact_test.cc"},
    {"transports/synic/channel_port.cc", "transports/synic/synic_transport_channels_test.cc"},
    {"transports/synic/hypervisor_guest.cc", "transports/synic/synic_vp_test.cc"},
    {"transports/synic/synthetic_timer.cc", "transports/synic/synic_vp_test.cc"},
};

}  // namespace

std::span<const Exception> Exceptions() { return kExceptions; }

std::span<const Covered> CoveredElsewhere() { return kCovered; }

Findings WithoutExcused(const Findings& findings, std::span<const Exception> exceptions) {
  Findings open;
  for (const Finding& finding : findings) {
    const bool excused =
        std::any_of(exceptions.begin(), exceptions.end(),
                    [&finding](const Exception& exception) { return Excuses(exception, finding); });
    if (!excused) open.push_back(finding);
  }
  return open;
}

Findings CheckExceptionsAreUsed(const Findings& findings, std::span<const Exception> exceptions) {
  Findings stale;
  for (const Exception& exception : exceptions) {
    const bool used =
        std::any_of(findings.begin(), findings.end(),
                    [&exception](const Finding& finding) { return Excuses(exception, finding); });
    if (used) continue;
    stale.push_back({exception.file, 0, exception.rule,
                     "needs no entry in tests/tidy/exceptions.cc any more: remove it"});
  }
  return stale;
}

}  // namespace vmbuskit::tidy
