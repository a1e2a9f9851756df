// The `vmbus` command line.
#include <variant>

#include "products/session.h"
#include "tools/vmbus/bench.h"
#include "tools/vmbus/client_commands.h"
#include "tools/vmbus/command_line.h"
#include "tools/vmbus/demo.h"
#include "tools/vmbus/run.h"

int main(int argc, char** argv) {
  using namespace vmbuskit;
  const CommandLine line = ParseCommandLine(argc, argv);
  if (const auto* demo = std::get_if<DemoCommand>(&line.command)) return RunDemo(*demo);
  if (const auto* run = std::get_if<RunCommand>(&line.command)) return RunMachine(*run);
  if (const auto* bench = std::get_if<BenchCommand>(&line.command)) return RunBenchDisk(*bench);
  if (const auto* list = std::get_if<ListCommand>(&line.command)) return RunList(*list);
  if (const auto* inspect = std::get_if<InspectCommand>(&line.command)) return RunInspect(*inspect);
  PrintText(line.output);
  PrintError(line.error);
  return line.exit_code;
}
