#include "products/heartbeat_only/heartbeat_only_devices.h"
#include "products/heartbeat_only/heartbeat_only_drivers.h"
#include "products/product_main.h"

int main(int argc, char** argv) {
  return vmbuskit::ProductMain(argc, argv, "heartbeat_only",
                               vmbuskit::heartbeat_only_drivers::DriverSetClasses(),
                               vmbuskit::heartbeat_only_devices::HostSetClasses());
}
