#include "tools/vmbus/control_messages.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

DeviceRow Echo() {
  return {.device_class = "echo",
          .instance = "6563686f-0002-4000-8000-766d6275736b",
          .relid = 7,
          .state = "running",
          .versions = "2.0",
          .channels = 1,
          .cpus = {1, 0},
          .packets_in = 12,
          .packets_out = 18446744073709551615u,
          .status = ""};
}

InspectNode SomeTree() {
  InspectNode root;
  root.Set("pid", 42);
  root.Child("guest").Set("version", "5.2");
  root.Child("guest").Child("devices").Set("count", 2);
  root.Child("host").Set("healthy", true);
  root.Child("host").Set("name", "a \x1b[2J \xff");
  return root;
}

TEST(ControlRequest, SurvivesTheWire) {
  EXPECT_EQ(EncodeRequest({.command = ControlRequest::Command::kList, .path = ""}),
            R"({"command":"ls"})");
  const std::string json =
      EncodeRequest({.command = ControlRequest::Command::kInspect, .path = "guest/\"x\""});
  EXPECT_EQ(json, R"({"command":"inspect","path":"guest/\"x\""})");
  absl::StatusOr<ControlRequest> request = ParseRequest(json);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->command, ControlRequest::Command::kInspect);
  EXPECT_EQ(request->path, "guest/\"x\"");
  request = ParseRequest(R"({"command":"ls"})");
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->command, ControlRequest::Command::kList);
}

TEST(ControlRequest, OfGarbageIsAnError) {
  for (const char* garbage : {"", "{", "ls", "[]", "7", "\xff\xfe", "{\"command\":\"ls\"", "{]"}) {
    EXPECT_EQ(ParseRequest(garbage).status().message(), "the request is not a JSON object")
        << garbage;
  }
  EXPECT_EQ(ParseRequest("{}").status().message(), "unknown command ''; there are ls, inspect");
  EXPECT_EQ(ParseRequest(R"({"command":7})").status().message(),
            "unknown command ''; there are ls, inspect");
  EXPECT_EQ(ParseRequest("{\"command\":\"rm\\u001b\"}").status().message(),
            "unknown command 'rm?'; there are ls, inspect");
}

TEST(ControlRequest, ThatNestsDeepIsRefused) {
  const std::string deep = "{\"a\":" + std::string(2000, '[') + std::string(2000, ']') + "}";
  EXPECT_EQ(ParseRequest(deep).status().message(), "the request is not a JSON object");
  EXPECT_FALSE(ParseRequest("{\"a\":" + std::string(4000, '[')).ok());
}

TEST(Devices, SurviveTheWire) {
  std::vector<DeviceRow> rows = {Echo(), Echo()};
  rows[1].status = "channel 5: \xff is no UTF-8";
  absl::StatusOr<std::vector<DeviceRow>> parsed = ParseDevices(EncodeDevices(rows));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->size(), 2u);
  EXPECT_EQ(DeviceTable({&(*parsed)[0], 1}), DeviceTable({&rows[0], 1}));
  EXPECT_EQ((*parsed)[1].status, "channel 5: \xef\xbf\xbd is no UTF-8");
  EXPECT_TRUE(ParseDevices(EncodeDevices({}))->empty());
}

TEST(Devices, AreOneLineOfJson) {
  const DeviceRow row = Echo();
  EXPECT_EQ(EncodeDevices({&row, 1}),
            R"({"devices":[{"class":"echo","instance":"6563686f-0002-4000-8000-766d6275736b",)"
            R"("relid":7,"state":"running","versions":"2.0","channels":1,"cpus":[1,0],)"
            R"("packets_in":12,"packets_out":18446744073709551615}]})");
}

TEST(Devices, OfAServerThatSaysNonsenseAreAnError) {
  EXPECT_EQ(ParseDevices("not json").status().message(), "the answer is not a JSON object");
  EXPECT_EQ(ParseDevices("{}").status().message(), "the answer has no \"devices\"");
  EXPECT_EQ(ParseDevices(R"({"devices":3})").status().message(), "\"devices\" is not an array");
  EXPECT_EQ(ParseDevices(R"({"devices":[3]})").status().message(), "a device is not a JSON object");
  absl::StatusOr<std::vector<DeviceRow>> odd =
      ParseDevices(R"({"devices":[{"class":3,"relid":"x","packets_in":-1,"cpus":["y",3]}]})");
  ASSERT_TRUE(odd.ok());
  EXPECT_EQ((*odd)[0].device_class, "");
  EXPECT_EQ((*odd)[0].packets_in, 0u);
  EXPECT_EQ((*odd)[0].cpus, (std::vector<uint32_t>{3}));
}

TEST(Tree, IsShownAsIndentedText) {
  absl::StatusOr<Tree> tree = ParseTree(EncodeTree(SomeTree(), ""));
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->text,
            "pid: 42\n"
            "guest\n"
            "  version: 5.2\n"
            "  devices\n"
            "    count: 2\n"
            "host\n"
            "  healthy: true\n"
            "  name: a ?[2J ???\n");
}

TEST(Tree, IsCutAtAPath) {
  absl::StatusOr<Tree> tree = ParseTree(EncodeTree(SomeTree(), "/guest/devices/"));
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->text, "count: 2\n");
  EXPECT_EQ(tree->json, "{\n  \"count\": 2\n}\n");
}

TEST(Tree, AtAnUnknownPathSaysWhichChildrenThereAre) {
  absl::StatusOr<Tree> tree = ParseTree(EncodeTree(SomeTree(), "guest/nope/deeper"));
  EXPECT_EQ(tree.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(tree.status().message(), "there is no 'guest/nope/deeper'; guest has devices");
  EXPECT_EQ(ParseTree(EncodeTree(SomeTree(), "nope")).status().message(),
            "there is no 'nope'; the tree has guest, host");
  EXPECT_EQ(ParseTree(EncodeTree(SomeTree(), "guest/devices/1")).status().message(),
            "there is no 'guest/devices/1'; guest/devices has no children");
}

TEST(Tree, OfAServerThatSaysNonsenseIsAnError) {
  EXPECT_EQ(ParseTree("{}").status().message(), "the answer has no \"tree\"");
  EXPECT_EQ(ParseTree(R"({"tree":[1]})").status().message(), "\"tree\" is not a JSON object");
  std::string deep = "{}";
  for (int i = 0; i < 1000; ++i) deep = "{\"a\":" + deep + "}";
  EXPECT_EQ(ParseTree("{\"tree\":" + deep + "}").status().message(),
            "the answer is not a JSON object");
}

TEST(Error, ComesBackWithItsText) {
  const absl::Status error =
      ParseTree(EncodeError(absl::InvalidArgumentError("no such thing\n"))).status();
  EXPECT_EQ(error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(error.message(), "no such thing?");
}

}  // namespace
}  // namespace vmbuskit
