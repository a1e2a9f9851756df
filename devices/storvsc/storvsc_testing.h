// For tests of the controller: one in virtual time, with a FakeStorvsp as its host and a listener that writes down what
// it is told.
//
//   class ScanTest : public StorvscTest {};
//   TEST_F(ScanTest, FindsDisks) {
//     storvsp.luns[{.lun = 1}] = {};
//     Start();
//     EXPECT_EQ(listener.journal, "+0:0:1 ");
//   }
//
// Thread safety: the simulation's thread. One fixture at a time.
#ifndef VMBUSKIT_DEVICES_STORVSC_STORVSC_TESTING_H_
#define VMBUSKIT_DEVICES_STORVSC_STORVSC_TESTING_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/storvsc/fake_storvsp.h"
#include "devices/storvsc/storvsc.h"
#include "framework/bus/driver_testing.h"
#include "framework/interfaces/block_device.h"

namespace vmbuskit {

// "+0:0:1 -0:0:1 =0:0:2 ": added, removed, resized.
class JournalListener : public BlockControllerListener {
 public:
  void OnDiskAdded(const BlockAddress& address, std::shared_ptr<BlockDevice> disk) override {
    Note('+', address);
    EXPECT_FALSE(disks.contains(address)) << "told twice";
    disks[address] = std::move(disk);
  }
  void OnDiskRemoved(const BlockAddress& address) override {
    Note('-', address);
    EXPECT_EQ(disks.erase(address), 1u);
  }
  void OnDiskResized(const BlockAddress& address) override { Note('=', address); }

  std::string journal;
  std::map<BlockAddress, std::shared_ptr<BlockDevice>> disks;

 private:
  void Note(char what, const BlockAddress& address) {
    absl::StrAppend(&journal, std::string(1, what), address.path, ":", address.target, ":",
                    address.lun, " ");
  }
};

class RecordedRequest : public BlockRequest {
 public:
  void OnDone(BlockResult how) override { results.push_back(how); }
  std::vector<BlockResult> results;
};

class StorvscTest : public DriverTest {
 protected:
  StorvscTest() : StorvscTest(Class()) {}
  explicit StorvscTest(const DeviceClass& device_class) : DriverTest(device_class) {
    current_ = this;
    transport.SetHost(kInstance, storvsp);
    storvsp.luns[{}] = {};
  }
  // Before the host and the listener go.
  ~StorvscTest() override { EXPECT_EQ(Await(bus.Stop()), absl::OkStatus()); }

  static const DeviceClass& Class() {
    static constexpr Guid kIds[] = {storvsc::kScsiClassId};
    static const DeviceClass device_class = [] {
      DeviceClass value = StorvscClassTemplate();
      value.name = "storvsc";
      value.class_ids = kIds;
      value.create = &StorvscTest::Create;
      return value;
    }();
    return device_class;
  }
  static std::unique_ptr<Device> Create(DeviceContext& context) {
    auto made = std::make_unique<StorvscController>(context, current_->profile);
    current_->controller = made.get();
    made->SetListener(&current_->listener);
    return made;
  }

  Executor& device_executor() { return transport.executor(0); }
  std::shared_ptr<BlockDevice> Disk(BlockAddress address = {}) {
    return listener.disks.contains(address) ? listener.disks[address] : nullptr;
  }
  // The host says that something about its LUNs changed, and time passes.
  void HostHints(uint32_t operation = storvsc::kEnumerateBus) {
    {
      const SimTurn turn = EnterHost();
      storvsp.wire.Send(*transport.host(kRelid), operation);
    }
    Run();
  }
  void OfferSubchannel(uint16_t index) {
    transport.Offer(
        FakeTransport::MakeOffer(kRelid + 10 + index, storvsc::kScsiClassId, kInstance, index));
  }

  StorvscProfile profile{.topology = {.paths = 8, .targets = 2}};
  FakeStorvsp storvsp{transport.memory()};
  JournalListener listener;
  StorvscController* controller = nullptr;  // the newest

 private:
  static inline StorvscTest* current_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_DEVICES_STORVSC_STORVSC_TESTING_H_
