#include "tests/tidy/rules.h"

#include "tests/tidy/exceptions.h"
#include "tests/tidy/form.h"
#include "tests/tidy/includes.h"
#include "tests/tidy/lengths.h"
#include "tests/tidy/platform_access.h"
#include "tests/tidy/thread_tags.h"
#include "tests/tidy/twins.h"

namespace vmbuskit::tidy {
namespace {

std::function<Findings(const Tree&)> ForEachSource(Findings (*check)(const SourceText&)) {
  return [check](const Tree& tree) {
    Findings all;
    for (const auto& [path, file] : tree.sources) {
      for (Finding& finding : check(file)) all.push_back(std::move(finding));
    }
    return all;
  };
}

std::function<Findings(const Tree&)> ForEachText(Findings (*check)(const std::string&,
                                                                   std::string_view)) {
  return [check](const Tree& tree) {
    Findings all;
    for (const auto& [path, text] : tree.texts) {
      for (Finding& finding : check(path, text)) all.push_back(std::move(finding));
    }
    return all;
  };
}

}  // namespace

std::vector<Rule> AllRules() {
  return {
      {"FileLength", ForEachSource(CheckFileLength)},
      {"MedianFileLength", CheckMedianFileLength},
      {"FunctionLength", ForEachSource(CheckFunctionLength)},
      {"LineWidth", ForEachSource(CheckLineWidth)},
      {"Layers", CheckLayers},
      {"Plugins", CheckPlugins},
      {"DriversSeeNoTransport", CheckDriversSeeNoTransport},
      {"PlatformChoice", CheckPlatformChoice},
      {"Transports", CheckTransports},
      {"PlatformAccess", ForEachSource(CheckPlatformAccess)},
      {"Fences", ForEachSource(CheckFences)},
      {"HeaderGuard", ForEachSource(CheckHeaderGuard)},
      {"HeaderOpensWithItsPurpose", ForEachSource(CheckHeaderOpensWithItsPurpose)},
      {"NoUsingNamespaceInHeaders", ForEachSource(CheckNoUsingNamespaceInHeaders)},
      {"OpenWork", ForEachSource(CheckOpenWork)},
      {"OpenWorkInText", ForEachText(CheckOpenWorkInText)},
      {"StaticRegistration", ForEachSource(CheckStaticRegistration)},
      {"Alwayslink", ForEachText(CheckAlwayslink)},
      {"TestTwin", [](const Tree& tree) { return CheckTwins(tree, CoveredElsewhere()); }},
      {"EveryFileIsBuilt", CheckEveryFileIsBuilt},
      {"ThreadTags", CheckThreadTags},
  };
}

}  // namespace vmbuskit::tidy
