#include "tools/vmbus/frame.h"

#include <string>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

using std::literals::string_literals::operator""s;

TEST(Frame, IsALengthAndABody) {
  EXPECT_EQ(EncodeFrame("{}"), "\x02\0\0\0{}"s);
  EXPECT_EQ(EncodeFrame(""), "\0\0\0\0"s);
  EXPECT_EQ(EncodeFrame(std::string(0x1234, 'x')).substr(0, 5), "\x34\x12\0\0x"s);
}

TEST(Frame, ComesBackWhole) {
  FrameReader reader("request", kRequestBytesMax);
  EXPECT_FALSE(reader.complete());
  ASSERT_TRUE(reader.Feed(EncodeFrame("{\"a\":1}")).ok());
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.body(), "{\"a\":1}");
  EXPECT_TRUE(reader.End().ok());
}

TEST(Frame, ComesBackByteByByte) {
  FrameReader reader("request", kRequestBytesMax);
  const std::string frame = EncodeFrame("hello");
  for (size_t i = 0; i < frame.size(); ++i) {
    EXPECT_FALSE(reader.complete()) << i;
    ASSERT_TRUE(reader.Feed(frame.substr(i, 1)).ok()) << i;
  }
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.body(), "hello");
}

TEST(Frame, OfLengthZeroIsComplete) {
  FrameReader reader("request", kRequestBytesMax);
  ASSERT_TRUE(reader.Feed("\0\0\0\0"s).ok());
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.body(), "");
}

TEST(Frame, TruncatedInItsLengthSaysHowFarItCame) {
  FrameReader reader("request", kRequestBytesMax);
  ASSERT_TRUE(reader.Feed("\x05\0\0"s).ok());
  EXPECT_EQ(reader.End().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader.End().message(), "request: ended after 3 of 4 bytes of its length");
}

TEST(Frame, TruncatedInItsBodySaysHowFarItCame) {
  FrameReader reader("answer", kResponseBytesMax);
  ASSERT_TRUE(reader.Feed("\x05\0\0\0he"s).ok());
  EXPECT_FALSE(reader.complete());
  EXPECT_EQ(reader.End().message(), "answer: ended after 2 of 5 bytes");
}

TEST(Frame, AtTheLimitIsTakenAboveItIsRefusedBeforeItsBodyCame) {
  FrameReader at_limit("request", 4);
  EXPECT_TRUE(at_limit.Feed(EncodeFrame("1234")).ok());
  EXPECT_TRUE(at_limit.complete());
  FrameReader above("request", 4);
  const absl::Status refused = above.Feed("\x05\0\0\0"s);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(), "request: length is 5 bytes, the limit is 4");
}

TEST(Frame, OfGarbageIsRefusedByItsLength) {
  FrameReader reader("request", kRequestBytesMax);
  EXPECT_EQ(reader.Feed("GET / HTTP/1.1\r\n").message(),
            "request: length is 542393671 bytes, the limit is 4096");
  FrameReader huge("answer", kResponseBytesMax);
  EXPECT_EQ(huge.Feed("\xff\xff\xff\xff"s).message(),
            "answer: length is 4294967295 bytes, the limit is 16777216");
}

TEST(Frame, WithBytesAfterItsEndIsRefused) {
  FrameReader reader("request", kRequestBytesMax);
  EXPECT_EQ(reader.Feed(EncodeFrame("{}") + "xy").message(), "request: 2 bytes after its end");
  FrameReader later("request", kRequestBytesMax);
  ASSERT_TRUE(later.Feed(EncodeFrame("{}")).ok());
  EXPECT_EQ(later.Feed("z").message(), "request: 1 bytes after its end");
}

}  // namespace
}  // namespace vmbuskit
