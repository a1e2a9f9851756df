#include "devices/storvsc/export/nbd_handshake.h"

#include <gtest/gtest.h>

#include "devices/storvsc/export/nbd_testing.h"

namespace vmbuskit {
namespace {

using State = NbdHandshake::State;
using ReplyTypes = std::vector<uint32_t>;

constexpr uint32_t kModern = nbd::kClientFixedNewstyle | nbd::kClientNoZeroes;

class Catalog final : public NbdCatalog {
 public:
  std::optional<NbdExportInfo> Find(std::string_view name) override {
    for (const NbdExportInfo& info : exports) {
      if (info.name == name || name.empty()) return info;
    }
    return std::nullopt;
  }
  std::vector<NbdExportInfo> List() override { return exports; }

  std::vector<NbdExportInfo> exports = {
      {.name = "disk", .description = "a disk", .bytes = 1 << 20, .flags = 0x123},
      {.name = "other", .description = "", .bytes = 4096, .flags = 1, .block_bytes = 4096}};
};

class NbdHandshakeTest : public testing::Test {
 protected:
  explicit NbdHandshakeTest(NbdTls tls = NbdTls::kNone) : handshake_(catalog_, tls) {}

  size_t Send(const Wire& wire) { return handshake_.Receive(wire.bytes()); }

  // After the greeting and the client's flags.
  void Greet(uint32_t flags = kModern) {
    Send(Wire().Flags(flags));
    handshake_.output().clear();
  }

  Replies::OptionReply Ask(uint32_t option, const Wire& data = {}) {
    handshake_.output().clear();
    Send(Wire().Option(option, data));
    return Replies(handshake_.output()).TakeOptionReply();
  }

  ReplyTypes TypesOf(uint32_t option, const Wire& data = {}) {
    handshake_.output().clear();
    Send(Wire().Option(option, data));
    ReplyTypes types;
    for (Replies replies(handshake_.output()); replies.remaining() > 0;) {
      types.push_back(replies.TakeOptionReply().type);
    }
    return types;
  }

  Catalog catalog_;
  NbdHandshake handshake_;
};

class NbdTlsHandshakeTest : public NbdHandshakeTest {
 protected:
  NbdTlsHandshakeTest() : NbdHandshakeTest(NbdTls::kRequired) {}
};

TEST_F(NbdHandshakeTest, GreetsWithTheMagicsAndFixedNewstyle) {
  Replies replies(handshake_.output());
  EXPECT_EQ(replies.TakeText(16), "NBDMAGICIHAVEOPT");
  EXPECT_EQ(replies.Take<nbd::Be16>(), 3);
  EXPECT_EQ(replies.remaining(), 0u);
}

TEST_F(NbdHandshakeTest, GoEntersTransmissionWithSizeFlagsAndLimits) {
  Greet();
  Send(Wire().Option(nbd::kOptGo, GoData("disk", {nbd::kInfoBlockSize, nbd::kInfoName,
                                                  nbd::kInfoDescription, 77})));
  Replies replies(handshake_.output());
  const auto size = replies.TakeOptionReply();
  EXPECT_EQ(size.type, nbd::kRepInfo);
  EXPECT_EQ(size.data, std::string("\0\0\0\0\0\0\0\x10\0\0\x01\x23", 12));
  EXPECT_EQ(replies.TakeOptionReply().data, std::string("\0\1disk", 6));
  EXPECT_EQ(replies.TakeOptionReply().data, std::string("\0\2a disk", 8));
  EXPECT_EQ(replies.TakeOptionReply().data, std::string("\0\3\0\0\2\0\0\0\x10\0\2\0\0\0", 14));
  const auto end = replies.TakeOptionReply();
  EXPECT_EQ(end.option, nbd::kOptGo);
  EXPECT_EQ(end.type, nbd::kRepAck);
  EXPECT_EQ(replies.remaining(), 0u);
  EXPECT_EQ(handshake_.state(), State::kTransmission);
  EXPECT_EQ(handshake_.agreement().info.name, "disk");
  EXPECT_FALSE(handshake_.agreement().structured_replies);
}

TEST_F(NbdHandshakeTest, BytesBehindGoAreLeftForTransmission) {
  Greet();
  const Wire wire = Wire().Option(nbd::kOptGo, GoData("disk")).Text("request");
  EXPECT_EQ(Send(wire), wire.bytes().size() - 7);
  EXPECT_EQ(handshake_.state(), State::kTransmission);
}

TEST_F(NbdHandshakeTest, EverythingByteByByteIsTheSame) {
  const Wire wire = Wire()
                        .Flags(kModern)
                        .Option(nbd::kOptStructuredReply)
                        .Option(nbd::kOptSetMetaContext, MetaData("disk", {"base:allocation"}))
                        .Option(nbd::kOptGo, GoData("disk"));
  for (const std::byte& byte : wire.bytes()) EXPECT_EQ(handshake_.Receive({&byte, 1}), 1u);
  EXPECT_EQ(handshake_.state(), State::kTransmission);
  EXPECT_TRUE(handshake_.agreement().structured_replies);
  EXPECT_TRUE(handshake_.agreement().base_allocation);
}

TEST_F(NbdHandshakeTest, TheEmptyNameIsTheDefaultExport) {
  Greet();
  EXPECT_EQ(TypesOf(nbd::kOptGo, GoData("")),
            (ReplyTypes{nbd::kRepInfo, nbd::kRepInfo, nbd::kRepAck}));
  EXPECT_EQ(handshake_.agreement().info.name, "disk");
}

TEST_F(NbdHandshakeTest, InfoTellsTheSameAndStays) {
  Greet();
  EXPECT_EQ(TypesOf(nbd::kOptInfo, GoData("other")),
            (ReplyTypes{nbd::kRepInfo, nbd::kRepInfo, nbd::kRepAck}));
  EXPECT_EQ(handshake_.state(), State::kHaggling);
  EXPECT_EQ(Ask(nbd::kOptInfo, GoData("nothing")).type, nbd::kRepErrUnknown);
  EXPECT_EQ(Ask(nbd::kOptGo, GoData("nothing")).type, nbd::kRepErrUnknown);
  EXPECT_EQ(handshake_.state(), State::kHaggling);
}

TEST_F(NbdHandshakeTest, LargeBlocksMustBeAskedFor) {
  Greet();
  EXPECT_EQ(TypesOf(nbd::kOptGo, GoData("other")),
            (ReplyTypes{nbd::kRepInfo, nbd::kRepInfo, nbd::kRepErrBlockSizeReqd}));
  EXPECT_EQ(handshake_.state(), State::kHaggling);
  EXPECT_EQ(TypesOf(nbd::kOptGo, GoData("other", {nbd::kInfoBlockSize})).back(), nbd::kRepAck);
  EXPECT_EQ(handshake_.state(), State::kTransmission);
}

TEST_F(NbdHandshakeTest, MalformedInfoRequestsAreInvalid) {
  Greet();
  const Wire cases[] = {
      Wire(),                                             // nothing
      Wire().Put(nbd::Be32(100)).Text("short"),           // a name past the end
      Wire().String("disk"),                              // no count
      Wire().String("disk").Put(nbd::Be16(2)),            // requests missing
      Wire().String("disk").Put(nbd::Be16(0)).Text("x"),  // bytes too many
      Wire().String(std::string(4097, 'n')).Put(nbd::Be16(0)),
  };
  for (const Wire& data : cases) {
    EXPECT_EQ(Ask(nbd::kOptGo, data).type, nbd::kRepErrInvalid) << data.bytes().size();
  }
  EXPECT_EQ(handshake_.state(), State::kHaggling);
}

TEST_F(NbdHandshakeTest, ExportNameAnswersWithPaddingUnlessBothWantNone) {
  Greet(nbd::kClientFixedNewstyle);
  Send(Wire().Option(nbd::kOptExportName, Wire().Text("disk")));
  Replies replies(handshake_.output());
  EXPECT_EQ(replies.Take<nbd::Be64>(), 1u << 20);
  EXPECT_EQ(replies.Take<nbd::Be16>(), 0x123);
  EXPECT_EQ(replies.TakeText(124), std::string(124, '\0'));
  EXPECT_EQ(replies.remaining(), 0u);
  EXPECT_EQ(handshake_.state(), State::kTransmission);
}

TEST_F(NbdHandshakeTest, ExportNameWithoutPadding) {
  Greet(0 | nbd::kClientNoZeroes);  // also a client without fixed newstyle may say this
  Send(Wire().Option(nbd::kOptExportName));
  EXPECT_EQ(handshake_.output().size(), 10u);
  EXPECT_EQ(handshake_.agreement().info.name, "disk");
}

TEST_F(NbdHandshakeTest, ExportNameOfNothingEndsTheConnection) {
  Greet();
  Send(Wire().Option(nbd::kOptExportName, Wire().Text("nothing")));
  EXPECT_EQ(handshake_.state(), State::kClosed);
  EXPECT_EQ(handshake_.error().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(handshake_.output().empty());
}

TEST_F(NbdHandshakeTest, ListNamesEveryExport) {
  Greet();
  Send(Wire().Option(nbd::kOptList));
  Replies replies(handshake_.output());
  EXPECT_EQ(replies.TakeOptionReply().data, std::string("\0\0\0\4diska disk", 14));
  EXPECT_EQ(replies.TakeOptionReply().data, std::string("\0\0\0\5other", 9));
  EXPECT_EQ(replies.TakeOptionReply().type, nbd::kRepAck);
  EXPECT_EQ(replies.remaining(), 0u);
}

TEST_F(NbdHandshakeTest, OptionsWithoutDataAreInvalidWithSome) {
  Greet();
  for (const uint32_t option : {nbd::kOptList, nbd::kOptStartTls, nbd::kOptStructuredReply}) {
    EXPECT_EQ(Ask(option, Wire().Text("x")).type, nbd::kRepErrInvalid) << option;
  }
  EXPECT_FALSE(handshake_.agreement().structured_replies);
}

TEST_F(NbdHandshakeTest, AbortIsAnsweredAndEnds) {
  Greet();
  EXPECT_EQ(Ask(nbd::kOptAbort, Wire().Text("ignored")).type, nbd::kRepAck);
  EXPECT_EQ(handshake_.state(), State::kClosed);
  EXPECT_TRUE(handshake_.error().ok());
}

TEST_F(NbdHandshakeTest, UnknownOptionsAreUnsupported) {
  Greet();
  for (const uint32_t option : {0u, 4u, 11u, 0xffffffffu}) {
    const auto reply = Ask(option, Wire().Text("whatever"));
    EXPECT_EQ(reply.option, option);
    EXPECT_EQ(reply.type, nbd::kRepErrUnsup);
  }
}

TEST_F(NbdHandshakeTest, UnknownClientFlagsEndTheConnection) {
  Send(Wire().Flags(kModern | 4));
  EXPECT_EQ(handshake_.state(), State::kClosed);
  EXPECT_EQ(handshake_.error().message(), "NBD handshake: client flags is 7: unknown ones");
}

TEST_F(NbdHandshakeTest, WrongOptionMagicEndsTheConnection) {
  Greet();
  Send(Wire().Text("IHAVENOT").Put(nbd::Be64(0)));
  EXPECT_EQ(handshake_.state(), State::kClosed);
  EXPECT_EQ(handshake_.error().code(), absl::StatusCode::kDataLoss);
}

TEST_F(NbdHandshakeTest, WithoutFixedNewstyleThereIsOnlyExportName) {
  Greet(0);
  Send(Wire().Option(nbd::kOptList));
  EXPECT_EQ(handshake_.state(), State::kClosed);
}

TEST_F(NbdHandshakeTest, LongOptionsAreSkippedAndRefused) {
  Greet();
  const std::string data(NbdHandshake::kOptionBytesMax + 1, 'x');
  EXPECT_EQ(Ask(nbd::kOptGo, Wire().Text(data)).type, nbd::kRepErrTooBig);
  EXPECT_EQ(Ask(nbd::kOptInfo, GoData("disk")).type, nbd::kRepInfo);  // still in step
}

TEST_F(NbdHandshakeTest, AbsurdlyLongOptionsEndTheConnection) {
  Greet();
  nbd::OptionHeader header;
  header.option = nbd::kOptGo;
  header.bytes = 0xffffffff;
  Send(Wire().Put(header));
  EXPECT_EQ(handshake_.state(), State::kClosed);
}

TEST_F(NbdHandshakeTest, NamesOfExportNameLongerThanStringsMayBeEndTheConnection) {
  Greet();
  Send(Wire().Option(nbd::kOptExportName, Wire().Text(std::string(4097, 'n'))));
  EXPECT_EQ(handshake_.state(), State::kClosed);
}

TEST_F(NbdHandshakeTest, AFloodOfOptionsEndsTheConnection) {
  Greet();
  for (uint32_t i = 0; i < NbdHandshake::kOptionsMax; ++i) {
    ASSERT_EQ(Ask(nbd::kOptList, Wire().Text("x")).type, nbd::kRepErrInvalid);
  }
  Send(Wire().Option(nbd::kOptList));
  EXPECT_EQ(handshake_.state(), State::kClosed);
}

TEST_F(NbdHandshakeTest, WhoDoesNotReadIsNotListenedTo) {
  Greet();
  for (int i = 0; i < 100; ++i) catalog_.exports.push_back(catalog_.exports[0]);
  Wire wire;
  for (int i = 0; i < 1000; ++i) wire.Option(nbd::kOptList);
  const size_t taken = Send(wire);
  EXPECT_LT(taken, wire.bytes().size());
  EXPECT_LT(handshake_.output().size(), NbdHandshake::kOutputBytesMax + 8192);
  handshake_.output().clear();
  EXPECT_GT(handshake_.Receive(std::span(wire.bytes()).subspan(taken)), 0u);
}

TEST_F(NbdHandshakeTest, MetaContextsNeedStructuredReplies) {
  Greet();
  EXPECT_EQ(Ask(nbd::kOptSetMetaContext, MetaData("disk", {"base:allocation"})).type,
            nbd::kRepErrInvalid);
  EXPECT_EQ(Ask(nbd::kOptListMetaContext, MetaData("disk", {})).type, nbd::kRepErrInvalid);
}

TEST_F(NbdHandshakeTest, MetaContextsAreListed) {
  Greet();
  Ask(nbd::kOptStructuredReply);
  const std::string zero_id("\0\0\0\0base:allocation", 19);
  EXPECT_EQ(Ask(nbd::kOptListMetaContext, MetaData("disk", {})).data, zero_id);
  EXPECT_EQ(Ask(nbd::kOptListMetaContext, MetaData("disk", {"base:"})).data, zero_id);
  EXPECT_EQ(Ask(nbd::kOptListMetaContext, MetaData("disk", {"qemu:", "base:allocation"})).data,
            zero_id);
  EXPECT_EQ(TypesOf(nbd::kOptListMetaContext, MetaData("disk", {"qemu:x", "base:none"})),
            ReplyTypes{nbd::kRepAck});
  EXPECT_EQ(Ask(nbd::kOptListMetaContext, MetaData("nothing", {})).type, nbd::kRepErrUnknown);
}

TEST_F(NbdHandshakeTest, AMetaContextHoldsForItsExportOnly) {
  Greet();
  Ask(nbd::kOptStructuredReply);
  const auto reply = Ask(nbd::kOptSetMetaContext, MetaData("other", {"base:allocation"}));
  EXPECT_EQ(reply.type, nbd::kRepMetaContext);
  EXPECT_EQ(reply.data, std::string("\0\0\0\1base:allocation", 19));
  Send(Wire().Option(nbd::kOptGo, GoData("disk")));
  EXPECT_FALSE(handshake_.agreement().base_allocation);
}

TEST_F(NbdHandshakeTest, TheLastSetOfMetaContextsHolds) {
  Greet();
  Ask(nbd::kOptStructuredReply);
  Ask(nbd::kOptSetMetaContext, MetaData("disk", {"base:allocation"}));
  // A wildcard selects nothing, and a failure forgets what was selected.
  EXPECT_EQ(TypesOf(nbd::kOptSetMetaContext, MetaData("disk", {"base:"})),
            ReplyTypes{nbd::kRepAck});
  Send(Wire().Option(nbd::kOptGo, GoData("disk")));
  EXPECT_FALSE(handshake_.agreement().base_allocation);
}

TEST_F(NbdHandshakeTest, MalformedQueriesAreInvalid) {
  Greet();
  Ask(nbd::kOptStructuredReply);
  const Wire cases[] = {
      Wire().String("disk"),
      Wire().String("disk").Put(nbd::Be32(0xffffffff)),
      Wire().String("disk").Put(nbd::Be32(1)).Put(nbd::Be32(99)).Text("base:"),
      Wire().String("disk").Put(nbd::Be32(1)).String("no colon"),
      Wire().String("disk").Put(nbd::Be32(0)).Text("more"),
  };
  for (const Wire& data : cases) {
    EXPECT_EQ(Ask(nbd::kOptSetMetaContext, data).type, nbd::kRepErrInvalid);
  }
}

TEST_F(NbdHandshakeTest, WithoutACertificateThereIsNoTls) {
  Greet();
  EXPECT_EQ(Ask(nbd::kOptStartTls).type, nbd::kRepErrPolicy);
  EXPECT_EQ(handshake_.state(), State::kHaggling);
}

TEST_F(NbdTlsHandshakeTest, NothingIsToldBeforeTls) {
  Greet();
  for (const uint32_t option : {nbd::kOptList, nbd::kOptInfo, nbd::kOptGo, nbd::kOptStructuredReply,
                                nbd::kOptListMetaContext, nbd::kOptSetMetaContext}) {
    EXPECT_EQ(TypesOf(option, GoData("disk")), ReplyTypes{nbd::kRepErrTlsReqd}) << option;
  }
  EXPECT_EQ(TypesOf(99), ReplyTypes{nbd::kRepErrTlsReqd});
}

TEST_F(NbdTlsHandshakeTest, ExportNameBeforeTlsEndsTheConnection) {
  Greet();
  Send(Wire().Option(nbd::kOptExportName, Wire().Text("disk")));
  EXPECT_EQ(handshake_.state(), State::kClosed);
  EXPECT_EQ(handshake_.error().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(NbdTlsHandshakeTest, InsideTlsEverythingIsAskedAnew) {
  Greet();
  EXPECT_EQ(Ask(nbd::kOptStartTls).type, nbd::kRepAck);
  EXPECT_EQ(handshake_.state(), State::kStartTls);
  EXPECT_EQ(Send(Wire().Text("taken by nobody")), 0u);
  handshake_.TlsStarted();
  EXPECT_EQ(Ask(nbd::kOptStartTls).type, nbd::kRepErrInvalid);
  EXPECT_EQ(Ask(nbd::kOptStructuredReply).type, nbd::kRepAck);
  EXPECT_EQ(TypesOf(nbd::kOptGo, GoData("disk")).back(), nbd::kRepAck);
  EXPECT_TRUE(handshake_.agreement().structured_replies);
}

TEST_F(NbdTlsHandshakeTest, AbortNeedsNoTls) {
  Greet();
  EXPECT_EQ(Ask(nbd::kOptAbort).type, nbd::kRepAck);
  EXPECT_EQ(handshake_.state(), State::kClosed);
}

TEST(NbdOfferedTls, WhatWasAgreedOnBeforeTlsIsForgotten) {
  Catalog catalog;
  NbdHandshake handshake(catalog, NbdTls::kOffered);
  handshake.Receive(Wire()
                        .Flags(kModern)
                        .Option(nbd::kOptStructuredReply)
                        .Option(nbd::kOptSetMetaContext, MetaData("disk", {"base:allocation"}))
                        .Option(nbd::kOptStartTls)
                        .bytes());
  ASSERT_EQ(handshake.state(), State::kStartTls);
  handshake.TlsStarted();
  handshake.Receive(Wire().Option(nbd::kOptGo, GoData("disk")).bytes());
  EXPECT_EQ(handshake.state(), State::kTransmission);
  EXPECT_FALSE(handshake.agreement().structured_replies);
  EXPECT_FALSE(handshake.agreement().base_allocation);
}

}  // namespace
}  // namespace vmbuskit
