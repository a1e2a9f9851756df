// The main function of a product: a System of exactly the classes it names, shown until Ctrl-C.
//
//   int main(int argc, char** argv) {
//     return vmbuskit::ProductMain(argc, argv, "disks", vmbuskit::disk_drivers::DriverSetClasses(),
//                                  vmbuskit::disk_devices::HostSetClasses());
//   }
//
// Arguments: --once, --cpus=N, --timeout=SECONDS, --help. Exit codes: those of Session; 2 for a
// wrong command line.
// Thread safety: the main thread.
#ifndef VMBUSKIT_PRODUCTS_PRODUCT_MAIN_H_
#define VMBUSKIT_PRODUCTS_PRODUCT_MAIN_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "framework/bus/device.h"
#include "products/session.h"
#include "transports/embedded_host/vsp.h"

namespace vmbuskit {

inline constexpr int kProductUsageExitCode = 2;

int ProductMain(int argc, char** argv, std::string_view name,
                std::span<const DeviceClass* const> classes,
                std::span<const VspClass* const> vsp_classes);

// One argument into `options`. InvalidArgument says what is wrong with it, or that it is unknown.
absl::Status TakeProductArgument(std::string_view argument, Session::Options& options);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_PRODUCT_MAIN_H_
