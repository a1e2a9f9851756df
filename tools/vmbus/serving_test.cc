// Where disks are served: what people may write, and what they are told.
#include "tools/vmbus/serving.h"

#include <string>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

TEST(ServingTest, PlacesToListenAt) {
  EXPECT_EQ(ParseListen("unix:/run/d.sock")->unix_path, "/run/d.sock");
  const StreamAddress named = *ParseListen("tcp:localhost:10809");
  EXPECT_EQ(named.host, "localhost");
  EXPECT_EQ(named.port, 10809);
  const StreamAddress bracketed = *ParseListen("tcp:[::1]:0");
  EXPECT_EQ(bracketed.host, "::1");
  EXPECT_EQ(bracketed.port, 0);
  EXPECT_EQ(ParseListen("tcp:10809")->host, "127.0.0.1") << "nobody is served by accident";
}

TEST(ServingTest, WrongPlacesAreNamed) {
  for (const char* wrong : {"", "unix:", "tcp:", "tcp::1", "tcp:host:", "tcp:host:65536",
                            "tcp:host:1x", "/run/d.sock", "udp:1"}) {
    const absl::StatusOr<StreamAddress> address = ParseListen(wrong);
    ASSERT_FALSE(address.ok()) << wrong;
    EXPECT_NE(std::string(address.status().message()).find(wrong), std::string::npos);
    EXPECT_NE(std::string(address.status().message()).find("want unix:PATH"), std::string::npos);
  }
}

TEST(ServingTest, UrisAreWhatClientsTake) {
  EXPECT_EQ(NbdUri({.unix_path = "/run/d.sock"}, false, "disk0"),
            "nbd+unix:///disk0?socket=/run/d.sock");
  EXPECT_EQ(NbdUri({.unix_path = "/a b"}, true, "x/y%"), "nbds+unix:///x%2Fy%25?socket=/a%20b");
  EXPECT_EQ(NbdUri({.host = "127.0.0.1", .port = 10809}, false, "d"), "nbd://127.0.0.1:10809/d");
  EXPECT_EQ(NbdUri({.host = "::1", .port = 1}, true, ""), "nbds://[::1]:1/");
}

TEST(ServingTest, SizesAreShort) {
  EXPECT_EQ(SizeText(512), "512");
  EXPECT_EQ(SizeText(1024), "1K");
  EXPECT_EQ(SizeText(uint64_t{1536} << 20), "1.5G");
  EXPECT_EQ(SizeText((uint64_t{1} << 30) + 1), "1.0G");
  EXPECT_EQ(SizeText(uint64_t{5} << 40), "5T");
}

TEST(ServingTest, ATableHasALineForEachUri) {
  const ServedDisk disks[] = {{.name = "disk0",
                               .bytes = 64 << 20,
                               .block_bytes = 512,
                               .read_only = true,
                               .source = "a.img",
                               .uris = {"nbd://h:1/disk0", "nbd://h:2/disk0"}}};
  EXPECT_EQ(ServingTable(disks),
            "DISK   SIZE  BLOCK  ACCESS  FROM   AT\n"
            "disk0   64M    512  read    a.img  nbd://h:1/disk0\n"
            "                                   nbd://h:2/disk0\n");
  EXPECT_EQ(ServingJson(disks[0]),
            "{\"disk\":\"disk0\",\"bytes\":67108864,\"block_size\":512,\"read_only\":true,"
            "\"from\":\"a.img\",\"uris\":[\"nbd://h:1/disk0\",\"nbd://h:2/disk0\"]}\n");
}

}  // namespace
}  // namespace vmbuskit
