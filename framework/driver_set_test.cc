#include "framework/empty_set_for_test.h"
#include "framework/sample_set_for_test.h"
#include "framework/testing/sample_driver/sample_driver.h"
#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(DriverSetTest, ListsExactlyTheNamedClasses) {
  const std::span<const DeviceClass* const> classes = sample_set_for_test::DriverSetClasses();
  ASSERT_EQ(classes.size(), 1u);
  EXPECT_EQ(classes[0], &SampleDriverClass());
  EXPECT_EQ(classes[0]->name, "sample driver");
}

TEST(DriverSetTest, AnEmptySetIsAnEmptyList) {
  EXPECT_TRUE(empty_set_for_test::DriverSetClasses().empty());
}

}  // namespace
}  // namespace vmbuskit
