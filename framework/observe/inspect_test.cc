#include "framework/observe/inspect.h"

#include <cstdint>
#include <limits>
#include <string>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(InspectTest, EmptyNodeIsAnEmptyObject) { EXPECT_EQ(InspectNode().ToJson(), "{}"); }

TEST(InspectTest, RendersEveryKindOfValueInTheOrderItWasSet) {
  InspectNode node;
  node.Set("unsigned", std::numeric_limits<uint64_t>::max());
  node.Set("signed", std::numeric_limits<int64_t>::min());
  node.Set("small", uint32_t{7});
  node.Set("int", -1);
  node.Set("yes", true);
  node.Set("no", false);
  node.Set("text", "words");
  node.Child("nested").Set("deep", 1);
  node.Child("empty");
  EXPECT_EQ(node.ToJson(),
            "{\n"
            "  \"unsigned\": 18446744073709551615,\n"
            "  \"signed\": -9223372036854775808,\n"
            "  \"small\": 7,\n"
            "  \"int\": -1,\n"
            "  \"yes\": true,\n"
            "  \"no\": false,\n"
            "  \"text\": \"words\",\n"
            "  \"nested\": {\n"
            "    \"deep\": 1\n"
            "  },\n"
            "  \"empty\": {}\n"
            "}");
}

TEST(InspectTest, EscapesWhatJsonForbids) {
  InspectNode node;
  node.Set("a\"b", std::string("\\ \" \n \r \t \x01 \x1f \x7f / ", 17));
  EXPECT_EQ(node.ToJson(),
            "{\n  \"a\\\"b\": \"\\\\ \\\" \\n \\r \\t \\u0001 \\u001f \\u007f /\"\n}");
}

TEST(InspectTest, KeepsUtf8AndReplacesWhatIsNot) {
  InspectNode node;
  node.Set("good", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  node.Set("bad", "\xff|\xc3|\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82");
  EXPECT_EQ(node.ToJson(),
            "{\n"
            "  \"good\": \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\",\n"
            "  \"bad\": \"\\ufffd|\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|"
            "\\ufffd\\ufffd\\ufffd\\ufffd|\\ufffd\\ufffd\"\n"
            "}");
}

TEST(InspectTest, SettingAgainReplaces) {
  InspectNode node;
  node.Set("state", "starting");
  node.Set("count", 1);
  node.Set("state", "running");
  EXPECT_EQ(node.ToJson(), "{\n  \"state\": \"running\",\n  \"count\": 1\n}");
}

TEST(InspectTest, FindsByPath) {
  InspectNode root;
  InspectNode& channel = root.Child("devices").Child("echo").Child("channel 0");
  EXPECT_EQ(root.Find(""), &root);
  EXPECT_EQ(root.Find("devices/echo/channel 0"), &channel);
  EXPECT_EQ(root.Find("devices/echo/channel 1"), nullptr);
  EXPECT_EQ(root.Find("devices//echo"), nullptr);
  EXPECT_EQ(root.Find("devices/ech"), nullptr);
}

TEST(InspectTest, ChildrenStayWhereTheyAreAndAreMadeOnce) {
  InspectNode root;
  InspectNode* const first = &root.Child("0");
  for (int i = 1; i < 1000; ++i) root.Child(std::to_string(i));
  EXPECT_EQ(&root.Child("0"), first);
  EXPECT_EQ(root.children().size(), 1000u);
}

}  // namespace
}  // namespace vmbuskit
