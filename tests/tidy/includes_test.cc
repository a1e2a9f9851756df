#include "tests/tidy/includes.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kArchitecture =
    "x `y`\nA folder includes only from those before it: `platform`, `framework`,\n"
    "`devices`, `tests`.\nA `plugin`.";

// A tree in which `path` includes `include`, and both exist.
Tree TreeOf(const std::string& path, const std::string& include) {
  Tree tree;
  tree.AddText("docs/architecture.md", kArchitecture);
  tree.AddSource(path, absl::StrCat("// A.\n#include \"", include, "\"\n"));
  tree.AddSource(include, "");
  return tree;
}

TEST(IncludesTest, ReadsTheLayersOutOfTheArchitecture) {
  EXPECT_THAT(LayersIn(kArchitecture), ElementsAre("platform", "framework", "devices", "tests"));
  EXPECT_THAT(LayersIn("no list"), IsEmpty());
}

TEST(IncludesTest, NoLayerIncludesALaterOne) {
  EXPECT_THAT(CheckLayers(TreeOf("framework/a.h", "platform/b.h")), IsEmpty());
  EXPECT_THAT(CheckLayers(TreeOf("framework/a.h", "framework/b/c.h")), IsEmpty());
  const Findings findings = CheckLayers(TreeOf("framework/a.h", "devices/b.h"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(
      ToString(findings[0]),
      "framework/a.h:2: layers: \"devices/b.h\" is not in a layer before framework/; the order "
      "is platform, framework, devices, tests");
}

TEST(IncludesTest, FoldersOutsideOfTheListMayBeIncludedByNobody) {
  EXPECT_EQ(CheckLayers(TreeOf("tests/a.h", "examples/b.h")).size(), 1u);
  Tree other;
  other.AddText("docs/architecture.md", kArchitecture);
  other.AddSource("tests/a.h", "#include \"gtest/gtest.h\"\n");
  EXPECT_THAT(CheckLayers(other), IsEmpty());
}

TEST(IncludesTest, WantsPathsFromTheRoot) {
  Tree tree;
  tree.AddText("docs/architecture.md", kArchitecture);
  tree.AddSource("framework/a.h", "#include \"b.h\"\n");
  EXPECT_EQ(CheckLayers(tree).size(), 1u);
}

TEST(IncludesTest, WantsTheListOfLayers) { EXPECT_EQ(CheckLayers(Tree()).size(), 1u); }

TEST(IncludesTest, APluginIncludesNoOtherPlugin) {
  EXPECT_EQ(PluginOf("devices/echo/host/a.h"), "devices/echo");
  EXPECT_EQ(PluginOf("devices/util/kvp/a.h"), "devices/util/kvp");
  EXPECT_EQ(PluginOf("framework/a.h"), "");
  EXPECT_THAT(CheckPlugins(TreeOf("devices/a/host/x.h", "devices/a/y.h")), IsEmpty());
  EXPECT_THAT(CheckPlugins(TreeOf("devices/util/a/x.h", "devices/util/ic/y.h")), IsEmpty());
  EXPECT_THAT(CheckPlugins(TreeOf("products/x.h", "devices/a/y.h")), IsEmpty());
  const Findings findings = CheckPlugins(TreeOf("devices/util/a/x.h", "devices/util/b/y.h"));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_THAT(findings[0].advice, HasSubstr("devices/util/a needs of devices/util/b"));
  EXPECT_EQ(CheckPlugins(TreeOf("devices/a/x.h", "devices/b/y.h")).size(), 1u);
}

TEST(IncludesTest, AGuestDriverSeesNoTransport) {
  const std::string transport = "transports/embedded_host/vsp.h";
  EXPECT_THAT(CheckDriversSeeNoTransport(TreeOf("devices/a/host/x.h", transport)), IsEmpty());
  EXPECT_THAT(CheckDriversSeeNoTransport(TreeOf("devices/a/x_test.cc", transport)), IsEmpty());
  EXPECT_EQ(CheckDriversSeeNoTransport(TreeOf("devices/a/x.cc", transport)).size(), 1u);
}

TEST(IncludesTest, OnlyWhoComposesChoosesAPlatform) {
  for (const char* path : {"products/a.cc", "tools/a/a.cc", "framework/a_test.cc", "tests/a/a.h",
                           "framework/a_benchmark.cc", "platform/linux/a.h"}) {
    EXPECT_THAT(CheckPlatformChoice(TreeOf(path, "platform/linux/b.h")), IsEmpty()) << path;
  }
  EXPECT_EQ(CheckPlatformChoice(TreeOf("framework/a.cc", "platform/linux/b.h")).size(), 1u);
  EXPECT_EQ(CheckPlatformChoice(TreeOf("framework/a.cc", "platform/sim/b.h")).size(), 1u);
  EXPECT_EQ(CheckPlatformChoice(TreeOf("platform/linux/a.cc", "platform/sim/b.h")).size(), 1u);
}

TEST(IncludesTest, KnowsTestLibrariesByTheirBuildRule) {
  Tree tree = TreeOf("framework/fake.h", "platform/sim/b.h");
  EXPECT_EQ(CheckPlatformChoice(tree).size(), 1u);
  tree.AddText(
      "framework/BUILD",
      "cc_library(\n    name = \"fake\",\n    testonly = True,\n    hdrs = [\"fake.h\"],\n)");
  EXPECT_THAT(CheckPlatformChoice(tree), IsEmpty());
}

TEST(IncludesTest, ATransportIncludesNoOther) {
  EXPECT_THAT(CheckTransports(TreeOf("transports/a/x.h", "transports/protocol/y.h")), IsEmpty());
  EXPECT_THAT(CheckTransports(TreeOf("transports/a/x_test.cc", "transports/b/y.h")), IsEmpty());
  EXPECT_EQ(CheckTransports(TreeOf("transports/a/x.h", "transports/b/y.h")).size(), 1u);
}

}  // namespace
}  // namespace vmbuskit::tidy
