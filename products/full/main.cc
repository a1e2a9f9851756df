#include "products/full/full_devices.h"
#include "products/full/full_drivers.h"
#include "products/product_main.h"

int main(int argc, char** argv) {
  return vmbuskit::ProductMain(argc, argv, "full", vmbuskit::full_drivers::DriverSetClasses(),
                               vmbuskit::full_devices::HostSetClasses());
}
