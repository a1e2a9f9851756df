#include "platform/linux/plugin_loader.h"

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const char kPath[] = "platform/linux/plugin_for_test.so";  // tests run in the root of the run files

TEST(PluginLoaderTest, FindsTheFunction) {
  absl::StatusOr<void*> found = LoadPluginSymbol(kPath, "vmbuskit_test_answer");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(reinterpret_cast<int (*)()>(*found)(), 42);
}

TEST(PluginLoaderTest, AMissingFileIsNamed) {
  const absl::Status status = LoadPluginSymbol("/nowhere/x.so", "vmbuskit_plugin").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("cannot load plugin /nowhere/x.so: "),
                                                   HasSubstr("give the path of a shared object")));
}

TEST(PluginLoaderTest, ANameWithoutFolderIsNotASystemLibrary) {
  EXPECT_EQ(LoadPluginSymbol("libc.so.6", "getpid").status().code(), absl::StatusCode::kNotFound);
}

TEST(PluginLoaderTest, AMissingFunctionIsNamed) {
  const absl::Status status = LoadPluginSymbol(kPath, "vmbuskit_plugin").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("platform/linux/plugin_for_test.so has no function vmbuskit_plugin()"),
            HasSubstr("extern \"C\"")));
}

}  // namespace
}  // namespace vmbuskit
