// Persistent reservations: two controllers that show the same disk.
#include "devices/storvsc/host/reservations.h"

#include <memory>
#include <string>

#include "devices/storvsc/host/conformance_testing.h"
#include "devices/storvsc/host/ram_disk.h"

namespace vmbuskit {
namespace {

constexpr uint8_t kOut = storvsc::kDataOut;
const char* const kRegister = "5f 00 00 00 00 00 00 00 18 00";
const char* const kRead = "28 00 00 00 00 00 00 00 01 00";
const char* const kWrite = "2a 00 00 00 00 00 00 00 01 00";

std::string Keys(uint8_t key, uint8_t action_key, uint8_t flags = 0) {
  std::vector<std::byte> list(24);
  list[7] = std::byte{key};
  list[15] = std::byte{action_key};
  list[20] = std::byte{flags};
  return ToHex(list);
}

ConformanceEnd Conflicts() {
  ConformanceEnd end = Fails(storvsc::kSrbError, {});
  end.scsi_status = scsi::kReservationConflict;
  return end;
}

class ReservationsTest : public ::testing::Test {
 protected:
  ReservationsTest() : one_({.initiator = 1}), two_({.initiator = 2}) {
    const auto shared = std::make_shared<Reservations>();
    for (StorvspGuest* guest : {&one_, &two_}) {
      EXPECT_TRUE(guest->vsp().Attach({}, disk_, {.reservations = shared}).ok());
      guest->Initialize();
    }
  }
  void Out(StorvspGuest& guest, const char* cdb, const std::string& list,
           const ConformanceEnd& end = Ok(24)) {
    CheckRow(guest, {cdb, cdb, 24, end, "", kOut, list});
  }
  void RegisterBoth() {
    Out(one_, kRegister, Keys(0, 0x11));
    Out(two_, kRegister, Keys(0, 0x22));
  }

  std::shared_ptr<RamDisk> disk_ = std::make_shared<RamDisk>(RamDisk::Options{.bytes = 1u << 20});
  StorvspGuest one_;
  StorvspGuest two_;
};

TEST_F(ReservationsTest, RegistrationsAndTheirAnswers) {
  CheckRow(one_,
           {"no keys", "5e 00 00 00 00 00 00 00 ff 00", 255, Ok(8), "00 00 00 00 00 00 00 00"});
  Out(one_, kRegister, Keys(9, 0x11), Conflicts());
  RegisterBoth();
  CheckRow(one_, {"keys", "5e 00 00 00 00 00 00 00 ff 00", 255, Ok(24),
                  "00 00 00 02 00 00 00 10 00 00 00 00 00 00 00 11 00 00 00 00 00 00 00 22"});
  CheckRow(one_, {"nobody holds it", "5e 01 00 00 00 00 00 00 ff 00", 255, Ok(8),
                  "00 00 00 02 00 00 00 00"});
  Out(one_, "5f 01 01 00 00 00 00 00 18 00", Keys(0x11, 0));
  CheckRow(two_, {"one holds it", "5e 01 00 00 00 00 00 00 ff 00", 255, Ok(24),
                  "00 00 00 02 00 00 00 10 00 00 00 00 00 00 00 11 00 00 00 00 00 01 00 00"});
  CheckRow(two_,
           {"full status", "5e 03 00 00 00 00 00 00 ff 00", 255, Ok(64),
            "00 00 00 02 00 00 00 38 00 00 00 00 00 00 00 11 00 00 00 00 01 01 00 00 00 00 00 "
            "01 00 00 00 04 00 00 00 01 00 00 00 00 00 00 00 22 00 00 00 00 00 00"});
  CheckRow(two_,
           {"capabilities", "5e 02 00 00 00 00 00 00 08 00", 8, Ok(8), "00 08 14 80 ea 01 00 00"});
  Out(one_, kRegister, Keys(0x11, 0));  // unregisters, and with it goes the reservation
  CheckRow(two_, {"free", "5e 01 00 00 00 00 00 00 ff 00", 255, Ok(8), "00 00 00 03 00 00 00 00"});
}

TEST_F(ReservationsTest, WriteExclusiveLetsOthersReadOnly) {
  RegisterBoth();
  Out(one_, "5f 01 01 00 00 00 00 00 18 00", Keys(0x11, 0));
  CheckRow(one_, {"holder writes", kWrite, 512, Ok(512), "", kOut});
  CheckRow(two_, {"other reads", kRead, 512, Ok(512)});
  CheckRow(two_, {"other does not write", kWrite, 512, Conflicts(), "", kOut});
  CheckRow(two_, {"UNMAP", "42 00 00 00 00 00 00 00 08 00", 8, Conflicts(), "", kOut});
  CheckRow(two_, {"TEST UNIT READY", "00 00 00 00 00 00", 0, Ok(0)});
  Out(two_, "5f 01 01 00 00 00 00 00 18 00", Keys(0x22, 0), Conflicts());
  Out(two_, "5f 02 01 00 00 00 00 00 18 00", Keys(0x22, 0));  // not its own: nothing happens
  CheckRow(two_, {"still", kWrite, 512, Conflicts(), "", kOut});
  Out(one_, "5f 02 03 00 00 00 00 00 18 00", Keys(0x11, 0), Fails(0x86, {5, 0x26, 4}));
  Out(one_, "5f 02 01 00 00 00 00 00 18 00", Keys(0x11, 0));
  CheckRow(two_, {"released", kWrite, 512, Ok(512), "", kOut});
}

TEST_F(ReservationsTest, ExclusiveAccessAndItsRegistrantsOnly) {
  Out(one_, kRegister, Keys(0, 0x11));
  Out(one_, "5f 01 06 00 00 00 00 00 18 00", Keys(0x11, 0));
  CheckRow(two_, {"not registered", kRead, 512, Conflicts()});
  Out(two_, "5f 06 00 00 00 00 00 00 18 00", Keys(0x77, 0x22));  // whatever the key was
  CheckRow(two_, {"registered", kWrite, 512, Ok(512), "", kOut});
  Out(two_, "5f 03 00 00 00 00 00 00 18 00", Keys(0x22, 0));
  CheckRow(one_, {"cleared", "5e 00 00 00 00 00 00 00 ff 00", 255, Ok(8)});
}

TEST_F(ReservationsTest, PreemptTakesOver) {
  RegisterBoth();
  Out(one_, "5f 01 03 00 00 00 00 00 18 00", Keys(0x11, 0));
  Out(two_, "5f 04 03 00 00 00 00 00 18 00", Keys(0x22, 0x33), Conflicts());
  Out(two_, "5f 04 03 00 00 00 00 00 18 00", Keys(0x22, 0), Ir(0x26));
  Out(two_, "5f 05 03 00 00 00 00 00 18 00", Keys(0x22, 0x11));
  CheckRow(one_, {"preempted", kRead, 512, Conflicts()});
  CheckRow(two_, {"holder", kWrite, 512, Ok(512), "", kOut});
  Out(one_, "5f 02 03 00 00 00 00 00 18 00", Keys(0x11, 0), Conflicts());
}

TEST_F(ReservationsTest, BadParametersInTheirOrder) {
  RegisterBoth();
  Out(one_, "5f 01 11 00 00 00 00 00 18 00", Keys(0x11, 0), Ir(0x24));  // scope
  Out(one_, "5f 00 10 00 00 00 00 00 18 00", Keys(0x11, 0x11));         // without meaning here
  CheckRow(one_, {"short", kRegister, 23, Ir(0x24), "", kOut});
  Out(one_, "5f 01 02 00 00 00 00 00 20 00", Keys(0x11, 0, 8), Ir(0x26));
  Out(one_, "5f 01 02 00 00 00 00 00 20 00", Keys(0x11, 0), Ir(0x1A));
  Out(one_, "5f 01 02 00 00 00 00 00 18 00", Keys(0x11, 0), Ir(0x24));
  Out(one_, "5f 07 00 00 00 00 00 00 18 00", Keys(0x11, 0), Ir(0x24));
  Out(one_, "5f 01 01 00 00 00 00 00 18 00", Keys(0x99, 0), Conflicts());
  CheckRow(one_, {"IN action", "5e 04 00 00 00 00 00 00 08 00", 8, Ir(0x24)});
  CheckRow(one_, {"IN short", "5e 00 00 00 00 00 00 00 07 00", 8, Ir(0x24)});
  CheckRow(one_, {"IN over buffer", "5e 00 00 00 00 00 00 00 09 00", 8, Ir(0x24)});
}

TEST_F(ReservationsTest, ADiskWithoutThemHasNoSuchCommand) {
  ASSERT_TRUE(one_.vsp().Attach({.lun = 1}, disk_, {.reservations_supported = false}).ok());
  for (const char* cdb : {"5e 00 00 00 00 00 00 00 08 00", kRegister}) {
    CheckRow(one_, {cdb, cdb, 24, Ir(0x20), "", kOut, "", {.lun = 1}});
  }
}

TEST_F(ReservationsTest, TheyAreSaved) {
  Reservations before;
  StateWriter empty;
  before.Save(empty);
  RegisterBoth();
  Out(one_, "5f 01 03 00 00 00 00 00 18 00", Keys(0x11, 0));
  two_.SaveAndRestore();
  two_.Run();
  CheckRow(two_, {"still", kRead, 512, Conflicts()});
  CheckRow(one_, {"holder", kRead, 512, Ok(512)});
}

}  // namespace
}  // namespace vmbuskit
