#include "tests/tidy/includes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace vmbuskit::tidy {
namespace {

constexpr std::string_view kLayersBegin = "A folder includes only from those before it:";

// Every include of the tree's own files for which `advise` has something to say.
template <typename Advise>
Findings ForEachInclude(const Tree& tree, const char* rule, Advise advise) {
  Findings findings;
  for (const auto& [path, file] : tree.sources) {
    for (const SourceText::Include& include : file.includes()) {
      const std::string advice = advise(path, include.path);
      if (!advice.empty()) findings.push_back({path, include.line + 1, rule, advice});
    }
  }
  return findings;
}

bool IsBelow(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
}

// The first `count` parts of a path, or less when it has not so many before the file's name.
std::string Parts(std::string_view path, int count) {
  size_t end = 0;
  for (int i = 0; i < count; ++i) {
    const size_t slash = path.find('/', end == 0 ? 0 : end + 1);
    if (slash == std::string_view::npos) break;
    end = slash;
  }
  return std::string(path.substr(0, end));
}

}  // namespace

std::vector<std::string> LayersIn(std::string_view architecture) {
  std::vector<std::string> layers;
  const size_t begin = architecture.find(kLayersBegin);
  if (begin == std::string_view::npos) return layers;
  const size_t end = std::min(architecture.find('.', begin), architecture.size());
  const std::string_view text = architecture.substr(begin, end - begin);
  for (size_t open = text.find('`'); open != std::string_view::npos;) {
    const size_t close = text.find('`', open + 1);
    if (close == std::string_view::npos) break;
    layers.emplace_back(text.substr(open + 1, close - open - 1));
    open = text.find('`', close + 1);
  }
  return layers;
}

std::string PluginOf(std::string_view path) {
  if (!IsBelow(path, "devices")) return "";
  return Parts(path, IsBelow(path, "devices/util") ? 3 : 2);
}

Findings CheckLayers(const Tree& tree) {
  const auto architecture = tree.texts.find("docs/architecture.md");
  const std::vector<std::string> layers = architecture == tree.texts.end()
                                              ? std::vector<std::string>()
                                              : LayersIn(architecture->second);
  if (layers.empty()) {
    return {{"docs/architecture.md", 0, "layers",
             absl::StrCat("list the layers behind \"", std::string(kLayersBegin), "\"")}};
  }
  const auto rank = [&layers](std::string_view path) {
    return std::find(layers.begin(), layers.end(), LayerOf(path)) - layers.begin();
  };
  return ForEachInclude(
      tree, "layers", [&](const std::string& path, const std::string& include) -> std::string {
        if (rank(include) <= rank(path)) return "";
        if (tree.HasSource(include) || include.find('/') == std::string::npos) {
          return absl::StrCat("\"", include, "\" is not in a layer before ", LayerOf(path),
                              "/; the order is ", absl::StrJoin(layers, ", "));
        }
        return "";
      });
}

Findings CheckPlugins(const Tree& tree) {
  return ForEachInclude(tree, "plugins",
                        [](const std::string& path, const std::string& include) -> std::string {
                          const std::string from = PluginOf(path);
                          const std::string to = PluginOf(include);
                          if (from.empty() || to.empty() || from == to || to == "devices/util/ic")
                            return "";
                          return absl::StrCat("a plugin includes no other plugin: move what ", from,
                                              " needs of ", to, " to framework/ or to a library");
                        });
}

Findings CheckDriversSeeNoTransport(const Tree& tree) {
  return ForEachInclude(
      tree, "drivers", [&](const std::string& path, const std::string& include) -> std::string {
        const bool driver = IsBelow(path, "devices") && path.find("/host/") == std::string::npos;
        if (!driver || IsTestCode(tree, path) || !IsBelow(include, "transports")) return "";
        return "a guest driver stands on framework/ alone; only its host/ knows the embedded host";
      });
}

Findings CheckPlatformChoice(const Tree& tree) {
  return ForEachInclude(tree, "platform-choice",
                        [&](const std::string& path, const std::string& include) -> std::string {
                          const std::string platform = Parts(include, 2);
                          if (platform != "platform/linux" && platform != "platform/sim") return "";
                          const std::string layer = LayerOf(path);
                          if (layer == "products" || layer == "tools" || IsBelow(path, platform))
                            return "";
                          if (IsTestCode(tree, path) || IsMeasure(path)) return "";
                          return absl::StrCat("only products, tools, tests and benchmarks choose ",
                                              platform, ": take what it implements as a parameter");
                        });
}

Findings CheckTransports(const Tree& tree) {
  return ForEachInclude(tree, "transports",
                        [&](const std::string& path, const std::string& include) -> std::string {
                          const std::string from = Parts(path, 2);
                          const std::string to = Parts(include, 2);
                          if (!IsBelow(from, "transports") || !IsBelow(to, "transports")) return "";
                          if (from == to || to == "transports/protocol" || IsTestCode(tree, path))
                            return "";
                          return absl::StrCat("a transport includes no other: what ", from, " and ",
                                              to, " share belongs to transports/protocol");
                        });
}

}  // namespace vmbuskit::tidy
