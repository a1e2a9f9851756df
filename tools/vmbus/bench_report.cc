#include "tools/vmbus/bench_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "framework/base/string_view.h"
#include "nlohmann/json.hpp"
#include "products/text_table.h"

namespace vmbuskit {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kBarWidth = 30;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
double PerSecond(uint64_t count, Duration time) {
  return time == Duration::zero() ? 0.0 : static_cast<double>(count) / Seconds(time);
}
std::string Micros(Duration duration) {
  return absl::StrFormat("%.1f", std::chrono::duration<double, std::micro>(duration).count());
}

void AddRow(TextTable& table, const char* name, const DiskLoad::Totals& totals, Duration elapsed) {
  if (totals.operations == 0) return;
  const LatencyHistogram& latencies = totals.latencies;
  table.AddRow({name, absl::StrFormat("%.0f", PerSecond(totals.operations, elapsed)),
                absl::StrFormat("%.3f", PerSecond(totals.bytes, elapsed) / 1e9),
                Micros(latencies.mean()), Micros(latencies.Percentile(50)),
                Micros(latencies.Percentile(90)), Micros(latencies.Percentile(99)),
                Micros(latencies.Percentile(99.9)), Micros(latencies.max())});
}

Json Direction(const DiskLoad::Totals& totals, Duration elapsed) {
  const LatencyHistogram& latencies = totals.latencies;
  return {{"operations", totals.operations},
          {"bytes", totals.bytes},
          {"iops", PerSecond(totals.operations, elapsed)},
          {"bytes_per_second", PerSecond(totals.bytes, elapsed)},
          {"latency_ns",
           {{"mean", latencies.mean().count()},
            {"p50", latencies.Percentile(50).count()},
            {"p90", latencies.Percentile(90).count()},
            {"p99", latencies.Percentile(99).count()},
            {"p99_9", latencies.Percentile(99.9).count()},
            {"max", latencies.max().count()}}}};
}

std::string Bar(double part) {
  const double whole = std::clamp(part, 0.0, 1.0);
  const auto filled = static_cast<size_t>(whole * kBarWidth);
  return absl::StrFormat("[%s%s] %3.0f%%", std::string(filled, '#'),
                         std::string(kBarWidth - filled, '.'), whole * 100);
}
double GigabytesPerSecond(const LoadProgress& progress) {
  return PerSecond(progress.bytes, progress.step) / 1e9;
}

}  // namespace

std::string BenchBar(const LoadProgress& progress, Duration whole) {
  return absl::StrFormat(
      "%s  %.0f IOPS  %.3f GB/s\n", Bar(Seconds(progress.elapsed) / Seconds(whole)),
      PerSecond(progress.operations, progress.step), GigabytesPerSecond(progress));
}

std::string PrefillBar(const LoadProgress& progress, double part) {
  return absl::StrFormat("%s  filling  %.3f GB/s\n", Bar(part), GigabytesPerSecond(progress));
}

std::string BenchText(const BenchSetup& setup, const LoadTotals& totals) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"us"},
                   {"IOPS", kRight},
                   {"GB/s", kRight},
                   {"mean", kRight},
                   {"p50", kRight},
                   {"p90", kRight},
                   {"p99", kRight},
                   {"p99.9", kRight},
                   {"max", kRight}});
  AddRow(table, "read", totals.reads, totals.elapsed);
  AddRow(table, "write", totals.writes, totals.elapsed);
  return absl::StrCat(Printable(setup.disk), " by the ", setup.path, ": ",
                      ToAbsl(ToString(setup.kind)), ", ", setup.block_bytes, " bytes, depth ",
                      setup.depth, ", ", setup.jobs, setup.jobs == 1 ? " job" : " jobs",
                      setup.poll ? ", polling" : "", setup.prefill ? ", filled before, " : ", ",
                      absl::StrFormat("%.1f s\n", Seconds(totals.elapsed)), table.Render());
}

std::string BenchJson(const BenchSetup& setup, const LoadTotals& totals) {
  Json json = {{"disk", setup.disk},
               {"path", setup.path},
               {"rw", std::string(ToString(setup.kind))},
               {"block_size", setup.block_bytes},
               {"depth", setup.depth},
               {"jobs", setup.jobs},
               {"poll", setup.poll},
               {"prefill", setup.prefill},
               {"seconds", Seconds(totals.elapsed)}};
  json["read"] = Direction(totals.reads, totals.elapsed);
  json["write"] = Direction(totals.writes, totals.elapsed);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace vmbuskit
