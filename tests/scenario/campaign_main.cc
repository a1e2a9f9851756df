// The campaign of the whole system: see --help.
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "absl/status/statusor.h"
#include "platform/linux/affinity.h"
#include "tests/scenario/campaign.h"
#include "tests/scenario/campaign_command_line.h"
#include "tests/scenario/campaign_replay.h"
#include "tests/scenario/campaign_report.h"
#include "tests/scenario/scenario.h"

namespace vmbuskit {
namespace {

constexpr Duration kLogInterval = std::chrono::seconds(10);
constexpr size_t kColumnsDefault = 80;

// On a terminal a bar that is redrawn in place, elsewhere a line now and then.
class Display {
 public:
  explicit Display(const CampaignOptions& options) : options_(options) {}

  void Show(const CampaignProgress& progress) {
    if (terminal_) {
      std::cerr << "\r\033[K";
      if (!progress.last) std::cerr << ProgressBar(options_, progress, Columns());
      std::cerr << std::flush;
    } else if (progress.wall_time >= next_line_ && !progress.last) {
      std::cerr << ProgressLine(options_, progress) << std::flush;
      next_line_ = progress.wall_time + kLogInterval;
    }
  }

 private:
  static size_t Columns() {
    winsize window;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col < 2) return kColumnsDefault;
    return window.ws_col - 1;  // the last one would make the line wrap
  }

  const CampaignOptions& options_;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  Duration next_line_ = kLogInterval;
};

int Main(int argc, char** argv) {
  const CampaignCommandLine line =
      ParseCampaignCommandLine(argc, argv, static_cast<uint32_t>(AllowedCpus().size()));
  if (!line.run) {
    std::cout << line.output;
    std::cerr << line.error;
    return line.exit_code;
  }
  const CampaignOptions& options = line.options;
  absl::StatusOr<CampaignResult> result = CampaignResult();
  if (line.trace || options.seeds == 1) {
    std::ostream& trace = line.json ? std::cerr : std::cout;
    trace << std::unitbuf;  // the last line before a crash counts
    result = ReplaySeeds(options, RunScenario, line.trace ? &trace : nullptr);
  } else {
    Display display(options);
    result = RunCampaign(options, RunScenario,
                         [&display](const CampaignProgress& progress) { display.Show(progress); });
  }
  if (!result.ok()) {
    std::cerr << "campaign: " << std::string(result.status().message()) << "\n";
    return kExitFailure;
  }
  std::cout << (line.json ? SummaryJson(options, *result) : SummaryText(options, *result))
            << std::flush;
  return ExitCode(options, *result);
}

}  // namespace
}  // namespace vmbuskit

int main(int argc, char** argv) { return vmbuskit::Main(argc, argv); }
