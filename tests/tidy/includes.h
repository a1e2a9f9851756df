// The rules about who may include whom, by the layers that docs/architecture.md lists.
//
//   Findings findings = CheckLayers(tree);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_INCLUDES_H_
#define VMBUSKIT_TESTS_TIDY_INCLUDES_H_

#include <string>
#include <string_view>
#include <vector>

#include "tests/tidy/tree.h"

namespace vmbuskit::tidy {

// What stands in backquotes behind "A folder includes only from those before it:", in order.
std::vector<std::string> LayersIn(std::string_view architecture);

// The folder of the plugin that `path` belongs to: "devices/echo", "devices/util/heartbeat"; empty
// outside of devices/.
std::string PluginOf(std::string_view path);

// A folder includes only from those before it.
Findings CheckLayers(const Tree& tree);
// A plugin never includes another plugin; devices/util/ic is a library, not a plugin.
Findings CheckPlugins(const Tree& tree);
// A driver sees the framework: what is not in its folder host/ includes no transport.
Findings CheckDriversSeeNoTransport(const Tree& tree);
// platform/linux and platform/sim are chosen by who composes: products, tools, tests, measures.
Findings CheckPlatformChoice(const Tree& tree);
// One transport does not include another; both may include transports/protocol.
Findings CheckTransports(const Tree& tree);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_INCLUDES_H_
