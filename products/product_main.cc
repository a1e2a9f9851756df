#include "products/product_main.h"

#include <charconv>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "framework/base/string_view.h"

namespace vmbuskit {
namespace {

constexpr uint32_t kTimeoutMaxSeconds = 3600;

constexpr std::string_view kHelp =
    " [--once] [--cpus=N] [--timeout=SECONDS]\n"
    "\n"
    "Runs a guest with this product's drivers, and the embedded host with their devices, until "
    "Ctrl-C.\n"
    "\n"
    "  --once             exit 0 as soon as every device runs and has exchanged packets both ways\n"
    "  --cpus=N           virtual processors of the guest (default: 1 or 2, by the CPUs there "
    "are)\n"
    "  --timeout=SECONDS  with --once: how long to wait (default: 30)\n"
    "  --help             this text\n";

absl::Status TakeNumber(std::string_view argument, std::string_view text, uint32_t max,
                        uint32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= 1 && number <= max) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", ToAbsl(argument), "': want a number from 1 to ", max));
}

}  // namespace

absl::Status TakeProductArgument(std::string_view argument, Session::Options& options) {
  constexpr std::string_view kCpus = "--cpus=";
  constexpr std::string_view kTimeout = "--timeout=";
  if (argument == "--once") {
    options.once = true;
    return absl::OkStatus();
  }
  if (argument.starts_with(kCpus)) {
    return TakeNumber(argument, argument.substr(kCpus.size()), System::kCpusMax,
                      options.system.cpus);
  }
  if (argument.starts_with(kTimeout)) {
    uint32_t seconds = 0;
    absl::Status taken =
        TakeNumber(argument, argument.substr(kTimeout.size()), kTimeoutMaxSeconds, seconds);
    if (taken.ok()) options.timeout = std::chrono::seconds(seconds);
    return taken;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown argument '", ToAbsl(argument), "'; see --help"));
}

int ProductMain(int argc, char** argv, std::string_view name,
                std::span<const DeviceClass* const> classes,
                std::span<const VspClass* const> vsp_classes) {
  Session::Options options;
  options.name = std::string(name);
  options.system.classes.assign(classes.begin(), classes.end());
  options.system.vsp_classes.assign(vsp_classes.begin(), vsp_classes.end());
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--help") {
      PrintText("usage: " + options.name + std::string(kHelp));
      return EXIT_SUCCESS;
    }
    if (absl::Status taken = TakeProductArgument(argv[i], options); !taken.ok()) {
      PrintError(absl::StrCat(options.name, ": ", taken.message(), "\n"));
      return kProductUsageExitCode;
    }
  }
  Session session(std::move(options));
  return session.Run();
}

}  // namespace vmbuskit
