#include "platform/linux/socket_address.h"

#include <gtest/gtest.h>

namespace vmbuskit {
namespace {

TEST(SocketAddress, PathsAreLocal) {
  const auto found = ResolveAddress({.unix_path = "/tmp/x.sock"});
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->front().family(), AF_UNIX);
  EXPECT_TRUE(found->front().is_local());
  EXPECT_EQ(found->front().port(), 0);
}

TEST(SocketAddress, LongPathsAreRefused) {
  const auto found = ResolveAddress({.unix_path = std::string(108, 'x')});
  EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(found.status().message().find("has 108 bytes, at most 107"), std::string::npos);
}

TEST(SocketAddress, LoopbackIsLocalAndNothingElseIs) {
  const auto is_local = [](const char* host) {
    const auto found = ResolveAddress({.host = host, .port = 10809});
    EXPECT_TRUE(found.ok()) << host;
    EXPECT_EQ(found->front().port(), 10809);
    return found->front().is_local();
  };
  EXPECT_TRUE(is_local("127.0.0.1"));
  EXPECT_TRUE(is_local("127.255.1.2"));
  EXPECT_TRUE(is_local("::1"));
  EXPECT_FALSE(is_local("0.0.0.0"));
  EXPECT_FALSE(is_local("::"));
  EXPECT_FALSE(is_local("192.0.2.1"));
}

TEST(SocketAddress, NoHostIsAnError) {
  EXPECT_EQ(ResolveAddress({}).status().code(), absl::StatusCode::kInvalidArgument);
  const auto found = ResolveAddress({.host = "300.300.300.300.invalid"});
  EXPECT_NE(found.status().message().find("'300.300.300.300.invalid'"), std::string::npos);
}

TEST(SocketAddress, AddressesAreToldAsPeopleWriteThem) {
  EXPECT_EQ(ToString(StreamAddress{.unix_path = "/a/b"}), "unix:/a/b");
  EXPECT_EQ(ToString(StreamAddress{.host = "localhost", .port = 1}), "localhost:1");
  EXPECT_EQ(ToString(StreamAddress{.host = "::1", .port = 2}), "[::1]:2");
}

}  // namespace
}  // namespace vmbuskit
