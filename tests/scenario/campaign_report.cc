#include "tests/scenario/campaign_report.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace vmbuskit {
namespace {

constexpr char kCommand[] = "bazel run -c opt //tests/scenario:campaign --";
constexpr size_t kBarColumns = 24;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double PerSecond(double count, Duration wall_time) {
  const double seconds = Seconds(wall_time);
  return seconds > 0 ? count / seconds : 0;
}

// "95 s", "12 min", "3.2 h".
std::string RoughTime(double seconds) {
  if (seconds < 120) return absl::StrFormat("%.0f s", seconds);
  if (seconds < 120 * 60) return absl::StrFormat("%.0f min", seconds / 60);
  return absl::StrFormat("%.1f h", seconds / 3600);
}

std::string Remaining(const CampaignOptions& options, const CampaignProgress& progress) {
  const uint64_t done = progress.totals.seeds;
  if (done == 0) return "ETA unknown";
  const double left = static_cast<double>(options.seeds - std::min(done, options.seeds));
  return absl::StrCat("ETA ",
                      RoughTime(Seconds(progress.wall_time) * left / static_cast<double>(done)));
}

std::string Figures(const CampaignOptions& options, const CampaignProgress& progress) {
  const CampaignTotals& totals = progress.totals;
  return absl::StrFormat(
      "%d/%d seeds, %.0f seeds/s, %s, %.0f virtual s/s", totals.seeds, options.seeds,
      PerSecond(static_cast<double>(totals.seeds), progress.wall_time),
      Remaining(options, progress), PerSecond(Seconds(totals.virtual_time), progress.wall_time));
}

std::string_view KindName(FailureKind kind) {
  switch (kind) {
    case FailureKind::kInvariant:
      return "failed";
    case FailureKind::kNondeterminism:
      return "is not deterministic";
    case FailureKind::kCrash:
      return "crashed";
    case FailureKind::kHang:
      return "hung";
  }
  return "";
}

std::string_view JsonKind(FailureKind kind) {
  switch (kind) {
    case FailureKind::kInvariant:
      return "invariant";
    case FailureKind::kNondeterminism:
      return "nondeterminism";
    case FailureKind::kCrash:
      return "crash";
    case FailureKind::kHang:
      return "hang";
  }
  return "";
}

std::string_view AloneText(Reproduction alone) {
  switch (alone) {
    case Reproduction::kNotTried:
      return "";
    case Reproduction::kSame:
      return "the same when run alone; ";
    case Reproduction::kOther:
      return "fails otherwise when run alone; ";
    case Reproduction::kNone:
      return "passes when run alone: an earlier seed of its worker left something behind; ";
  }
  return "";
}

std::string_view JsonAlone(Reproduction alone) {
  switch (alone) {
    case Reproduction::kNotTried:
      return "not tried";
    case Reproduction::kSame:
      return "same";
    case Reproduction::kOther:
      return "other";
    case Reproduction::kNone:
      return "none";
  }
  return "";
}

std::string FailureText(const CampaignOptions& options, const CampaignFailure& failure) {
  const auto view = [](std::string_view text) {
    return absl::string_view(text.data(), text.size());
  };
  return absl::StrCat("seed ", failure.seed, " ", view(KindName(failure.kind)), ": ", failure.what,
                      "\n", view(AloneText(failure.alone)), "replay it with\n  ",
                      ReplayCommand(options, failure), "\n");
}

}  // namespace

std::string ProgressBar(const CampaignOptions& options, const CampaignProgress& progress,
                        size_t columns) {
  const uint64_t done = std::min(progress.totals.seeds, options.seeds);
  const double share =
      options.seeds == 0 ? 1 : static_cast<double>(done) / static_cast<double>(options.seeds);
  const auto filled = static_cast<size_t>(share * kBarColumns);
  std::string bar = "[" + std::string(filled, '=') + std::string(kBarColumns - filled, ' ') + "] ";
  bar += Figures(options, progress);
  return bar.substr(0, columns);
}

std::string ProgressLine(const CampaignOptions& options, const CampaignProgress& progress) {
  return absl::StrCat("campaign: ", Figures(options, progress), "\n");
}

std::string ReplayCommand(const CampaignOptions& options, const CampaignFailure& failure) {
  const CampaignOptions defaults;
  std::string command = absl::StrCat(kCommand, " --first=", failure.seed, " --seeds=1 --trace");
  if (options.workload != defaults.workload) {
    absl::StrAppend(&command, " --workload=", options.workload);
  }
  if (!options.faults) command += " --no-faults";
  return command;
}

// Users of disks hold no channels whose signals they could count.
bool IsOfDisks(const CampaignOptions& options) { return options.workload == "storage"; }

std::string EventsText(const CampaignOptions& options, const CampaignTotals& totals) {
  const bool disks = IsOfDisks(options);
  std::string text =
      absl::StrFormat("events     %d turns, %d %s, %d faults injected\n", totals.turns,
                      totals.packets, disks ? "disk requests" : "packets", totals.faults);
  if (disks) {
    absl::StrAppendFormat(&text, "resets     %d of LUNs, %d of buses\n", totals.lun_resets,
                          totals.bus_resets);
  } else {
    absl::StrAppendFormat(&text, "signals    %d sent, %d needless (%.2f %%)\n", totals.signals,
                          totals.needless_signals, totals.needless_percent());
  }
  return text;
}

std::string SummaryText(const CampaignOptions& options, const CampaignResult& result) {
  const CampaignTotals& totals = result.totals;
  std::string text =
      absl::StrFormat("seeds      %d of %d, from %d; %d failed%s\n", totals.seeds, options.seeds,
                      options.first, result.failures, result.interrupted ? "; interrupted" : "");
  absl::StrAppendFormat(&text, "time       %.1f s, %.0f seeds/s, %d %s\n",
                        Seconds(result.wall_time),
                        PerSecond(static_cast<double>(totals.seeds), result.wall_time),
                        options.jobs, options.jobs == 1 ? "job" : "jobs");
  absl::StrAppendFormat(&text, "simulated  %.2f virtual hours, %.0f virtual seconds a second\n",
                        Seconds(totals.virtual_time) / 3600,
                        PerSecond(Seconds(totals.virtual_time), result.wall_time));
  text += EventsText(options, totals);
  absl::StrAppendFormat(&text, "hash       %016x\n", totals.hash);
  if (const auto whole = WholeCampaignFailure(options, result))
    absl::StrAppend(&text, *whole, "\n");
  if (result.failure) text += FailureText(options, *result.failure);
  return text;
}

std::string SummaryJson(const CampaignOptions& options, const CampaignResult& result) {
  const CampaignTotals& totals = result.totals;
  nlohmann::ordered_json json = {
      {"workload", options.workload},
      {"first", options.first},
      {"seeds_wanted", options.seeds},
      {"seeds", totals.seeds},
      {"jobs", options.jobs},
      {"fault_plan", options.faults},
      {"failures", result.failures},
      {"interrupted", result.interrupted},
      {"wall_seconds", Seconds(result.wall_time)},
      {"seeds_per_second", PerSecond(static_cast<double>(totals.seeds), result.wall_time)},
      {"virtual_hours", Seconds(totals.virtual_time) / 3600},
      {"turns", totals.turns},
      {IsOfDisks(options) ? "disk_requests" : "packets", totals.packets},
      {"faults", totals.faults},
      {"hash", absl::StrFormat("%016x", totals.hash)},
      {"exit_code", ExitCode(options, result)},
  };
  if (IsOfDisks(options)) {
    json["lun_resets"] = totals.lun_resets;
    json["bus_resets"] = totals.bus_resets;
  } else {
    json["signals"] = totals.signals;
    json["needless_signals"] = totals.needless_signals;
    json["needless_percent"] = totals.needless_percent();
  }
  if (const auto whole = WholeCampaignFailure(options, result)) json["campaign_failure"] = *whole;
  if (result.failure) {
    json["failure"] = {{"seed", result.failure->seed},
                       {"kind", JsonKind(result.failure->kind)},
                       {"what", result.failure->what},
                       {"alone", JsonAlone(result.failure->alone)},
                       {"replay", ReplayCommand(options, *result.failure)}};
  }
  // What a failure says may hold bytes of a peer that are no UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<std::string> WholeCampaignFailure(const CampaignOptions& options,
                                                const CampaignResult& result) {
  const double percent = result.totals.needless_percent();
  if (options.faults || result.failure || percent < kNeedlessPercentMax) return std::nullopt;
  return absl::StrFormat(
      "%.2f %% of the signals were needless without any fault; the limit is %.2f %%", percent,
      kNeedlessPercentMax);
}

int ExitCode(const CampaignOptions& options, const CampaignResult& result) {
  if (result.failure) return kExitFailure;
  if (result.interrupted) return kExitInterrupted;
  return WholeCampaignFailure(options, result) ? kExitFailure : 0;
}

}  // namespace vmbuskit
