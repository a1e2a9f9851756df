#include "tests/tidy/reach.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ReachTest, FollowsIncludesAndTheSourcesBehindThem) {
  Tree tree;
  tree.AddSource("x/a_test.cc", "#include \"x/a.h\"\n#include <vector>\n");
  tree.AddSource("x/a.h", "#include \"absl/x.h\"\n");
  tree.AddSource("x/a_part.cc", "#include \"x/b.h\"\n");
  tree.AddSource("x/b.h", "#include \"x/a.h\"\n");
  tree.AddSource("x/c.h", "");
  tree.AddSource("x/c.cc", "");
  tree.AddText("x/BUILD",
               "cc_library(\n    name = \"a\",\n    srcs = [\"a_part.cc\", \"c.cc\"],\n"
               "    hdrs = [\"a.h\", \"c.h\"],\n)\n");
  EXPECT_THAT(Reach(tree, {"x/a_test.cc"}),
              ElementsAre("x/a.h", "x/a_part.cc", "x/a_test.cc", "x/b.h"));
  EXPECT_THAT(Reach(tree, {"x/c.cc"}), ElementsAre("x/c.cc"));
  EXPECT_THAT(Reach(tree, {"x/gone.cc"}), IsEmpty());
}

}  // namespace
}  // namespace vmbuskit::tidy
