#include "tests/tidy/exceptions.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vmbuskit::tidy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Finding kWide{"a.cc", 3, "line-width", "advice"};
const Finding kLong{"a.cc", 0, "file-length", "advice"};
const Exception kExcuse[] = {{"line-width", "a.cc", "a table"}};

TEST(ExceptionsTest, ExcuseOneRuleInOneFile) {
  EXPECT_THAT(WithoutExcused({kWide, kLong}, kExcuse), ElementsAre(kLong));
  EXPECT_THAT(WithoutExcused({kWide, kLong}, {}), ElementsAre(kWide, kLong));
}

TEST(ExceptionsTest, AreRemovedWhenTheyExcuseNothing) {
  EXPECT_THAT(CheckExceptionsAreUsed({kWide}, kExcuse), IsEmpty());
  const Findings stale = CheckExceptionsAreUsed({kLong}, kExcuse);
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_EQ(ToString(stale[0]),
            "a.cc: line-width: needs no entry in tests/tidy/exceptions.cc any more: remove it");
}

TEST(ExceptionsTest, EachHasAReason) {
  for (const Exception& exception : Exceptions()) EXPECT_NE(exception.reason, "") << exception.file;
}

}  // namespace
}  // namespace vmbuskit::tidy
