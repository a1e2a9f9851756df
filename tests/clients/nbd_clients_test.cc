// Programs of others at the NBD server, over a disk in memory or a file: they know nothing of VMBus.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "platform/linux/tls_testing.h"
#include "tests/clients/client_testing.h"

namespace vmbuskit {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kImageBytes = "67108864";

// 64 MiB of noise with holes in it.
std::string MakeImage(const std::string& folder) {
  const std::string path = folder + "/image";
  const ProgramResult made = RunShell(
      "truncate -s " + std::string(kImageBytes) + " " + path + " && dd if=/dev/urandom of=" + path +
      " bs=1M count=24 conv=notrunc && dd if=/dev/urandom of=" + path +
      " bs=1M count=9 seek=50 conv=notrunc");
  EXPECT_EQ(made.code, 0) << made.err;
  return path;
}

TEST(NbdInfo, ShowsTheLimitsOfTheDisk) {
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  NbdServerProcess server({"--ram=1073741824", "--block=4096"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult info = RunProgram({"nbdinfo", "--json", server.uri()});
  ASSERT_EQ(info.code, 0) << info.err;
  json about = json::parse(info.out);
  EXPECT_EQ(about["protocol"], "newstyle-fixed");
  EXPECT_EQ(about["structured"], true);
  json disk = about["exports"][0];
  EXPECT_EQ(disk["export-size"], 1073741824);
  EXPECT_EQ(disk["block_size_minimum"], 4096);
  EXPECT_EQ(disk["block_size_preferred"], 4096);
  EXPECT_EQ(disk["block_size_maximum"], 33554432);
  EXPECT_EQ(disk["description"], "vmbuskit RAM disk");
  EXPECT_EQ(disk["contexts"], json({"base:allocation"}));
  for (const char* can : {"can_cache", "can_df", "can_fast_zero", "can_flush", "can_fua",
                          "can_multi_conn", "can_trim", "can_zero"}) {
    EXPECT_EQ(disk[can], true) << can;
  }
  EXPECT_EQ(disk["is_read_only"], false);
  EXPECT_EQ(disk["is_rotational"], false);
  EXPECT_EQ(server.Stop(), 0) << server.err();
  EXPECT_THAT(server.out(), HasSubstr("stopped"));
}

TEST(NbdInfo, ListsTheExportsAndFindsTheDefaultOne) {
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  NbdServerProcess server({"--read-only"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult list = RunProgram({"nbdinfo", "--list", server.uri("")});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("export=\"disk\":"));
  EXPECT_EQ(RunProgram({"nbdinfo", "--size", server.uri("")}).out, "67108864\n");
  EXPECT_EQ(RunProgram({"nbdinfo", "--is", "read-only", server.uri()}).code, 0);
  EXPECT_NE(RunProgram({"nbdinfo", server.uri("nothing")}).code, 0);
}

TEST(NbdInfo, MapShowsWhereTheDataAre) {
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  NbdServerProcess server({});
  ASSERT_TRUE(server.serving()) << server.err();
  ASSERT_EQ(RunProgram({"nbdsh", "-u", server.uri(), "-c", "h.pwrite(b'x'*65536, 1048576)"}).code,
            0);
  const ProgramResult map = RunProgram({"nbdinfo", "--map", "--json", server.uri()});
  ASSERT_EQ(map.code, 0) << map.err;
  json extents = json::parse(map.out);
  ASSERT_EQ(extents.size(), 3u);
  EXPECT_EQ(extents[0]["type"], 3);
  EXPECT_EQ(extents[1]["offset"], 1048576);
  EXPECT_EQ(extents[1]["length"], 65536);
  EXPECT_EQ(extents[1]["type"], 0);
}

class NbdCopy : public testing::TestWithParam<const char*> {};

TEST_P(NbdCopy, ThereAndBackIsTheSame) {
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  TemporaryFolder folder;
  const std::string image = MakeImage(folder.path());
  const std::string back = folder.path() + "/back";
  NbdServerProcess server({"--ram=" + std::string(kImageBytes), "--executors=2", GetParam()});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult to = RunProgram({"nbdcopy", "--flush", image, server.uri()});
  EXPECT_EQ(to.code, 0) << to.err;
  const ProgramResult from = RunProgram({"nbdcopy", server.uri(), back});
  EXPECT_EQ(from.code, 0) << from.err;
  EXPECT_EQ(Sha256Of(image), Sha256Of(back));
  EXPECT_EQ(Sha256Of(back).size(), 64u);
  EXPECT_EQ(server.Stop(), 0) << server.err();
}

INSTANTIATE_TEST_SUITE_P(BlockSizes, NbdCopy, testing::Values("--block=512", "--block=4096"));

TEST(NbdCopyOfAFile, EndsInTheFile) {
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  TemporaryFolder folder;
  const std::string image = MakeImage(folder.path());
  const std::string served = folder.path() + "/served";
  ASSERT_EQ(RunShell("truncate -s " + std::string(kImageBytes) + " " + served).code, 0);
  NbdServerProcess server({"--file=" + served, "--executors=2"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult to =
      RunProgram({"nbdcopy", "--flush", "--connections=4", image, server.uri()});
  EXPECT_EQ(to.code, 0) << to.err;
  EXPECT_EQ(server.Stop(), 0) << server.err();
  EXPECT_EQ(Sha256Of(image), Sha256Of(served));
}

TEST(QemuImg, ConvertsComparesAndChecks) {
  VMBUSKIT_NEEDS_PROGRAM("qemu-img");
  TemporaryFolder folder;
  const std::string image = MakeImage(folder.path());
  const std::string qcow2 = folder.path() + "/image.qcow2";
  NbdServerProcess server({"--ram=134217728"});
  ASSERT_TRUE(server.serving()) << server.err();

  // Raw bytes through the export and back into another format.
  ProgramResult result =
      RunProgram({"qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, server.uri()});
  ASSERT_EQ(result.code, 0) << result.err;
  result = RunProgram({"qemu-img", "compare", "-f", "raw", "-F", "raw", image, server.uri()});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  result = RunProgram({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", server.uri(), qcow2});
  ASSERT_EQ(result.code, 0) << result.err;
  result = RunProgram({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, qcow2});
  EXPECT_EQ(result.code, 0) << result.out << result.err;

  // A format of qemu's inside of the export: many small and odd requests.
  result = RunProgram({"qemu-img", "create", "-f", "qcow2", server.uri(), kImageBytes});
  ASSERT_EQ(result.code, 0) << result.err;
  result =
      RunProgram({"qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", image, server.uri()});
  ASSERT_EQ(result.code, 0) << result.err;
  result = RunProgram({"qemu-img", "check", "-f", "qcow2", server.uri()});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("No errors were found on the image."));
  result = RunProgram({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, server.uri()});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_EQ(server.Stop(), 0) << server.err();
}

TEST(NbdShell, ErrorsAreThoseOfTheProtocol) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  NbdServerProcess server({"--ram=1048576", "--block=4096"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult shell = RunProgram({"nbdsh", "-u", server.uri(), "-c", R"(
import errno
h.set_strict_mode(0)
def fails(code, call):
    try:
        call()
    except nbd.Error as error:
        assert error.errnum == code, (error.errnum, code)
        return
    assert False, "it did not fail"
size = h.get_size()
fails(errno.EINVAL, lambda: h.pread(512, 0))
fails(errno.EINVAL, lambda: h.pread(4096, 512))
fails(errno.EINVAL, lambda: h.pread(4096, size))
fails(errno.ENOSPC, lambda: h.pwrite(b"x" * 4096, size))
fails(errno.ENOSPC, lambda: h.zero(8192, size - 4096))
fails(errno.EINVAL, lambda: h.trim(8192, size - 4096))
fails(errno.ENOTSUP, lambda: h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE))
h.pwrite(b"y" * 8192, 4096, nbd.CMD_FLAG_FUA)
h.zero(4096, 4096, nbd.CMD_FLAG_FAST_ZERO)
assert h.pread(12288, 0) == bytes(8192) + b"y" * 4096
h.trim(4096, 8192)
assert h.pread(4096, 8192) == bytes(4096)
h.cache(4096, 0)
h.flush()
print("all as it should be")
)"});
  EXPECT_EQ(shell.code, 0) << shell.err;
  EXPECT_EQ(shell.out, "all as it should be\n");
}

TEST(NbdShell, AFlushCoversWhatWasWrittenOnOtherConnections) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  NbdServerProcess server({"--executors=2"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult shell = RunProgram({"nbdsh", "-c", "uri = '" + server.uri() + "'", "-c", R"(
handles = [nbd.NBD() for _ in range(8)]
for each in handles:
    each.connect_uri(uri)
for i, each in enumerate(handles):
    each.pwrite(bytes([i + 1]) * 512, i * 512)
handles[0].flush()
assert handles[5].pread(4096, 0) == b"".join(bytes([i + 1]) * 512 for i in range(8))
)"});
  EXPECT_EQ(shell.code, 0) << shell.err;
}

TEST(Fio, VerifiesWhatFourJobsWrote) {
  VMBUSKIT_NEEDS_PROGRAM("fio");
  if (RunProgram({"fio", "--enghelp"}).out.find("nbd") == std::string::npos) {
    GTEST_SKIP() << "this fio has no engine for NBD";
  }
  NbdServerProcess server({"--ram=67108864", "--executors=2"});
  ASSERT_TRUE(server.serving()) << server.err();
  const ProgramResult fio = RunProgram(
      {"fio", "--name=verify", "--ioengine=nbd", "--uri=" + server.uri(), "--rw=randwrite",
       "--bs=4k", "--iodepth=32", "--numjobs=4", "--size=12m", "--offset_increment=16m",
       "--verify=crc32c", "--verify_fatal=1", "--group_reporting"});
  EXPECT_EQ(fio.code, 0) << fio.out << fio.err;
  EXPECT_THAT(fio.out, HasSubstr("err= 0"));
  EXPECT_EQ(server.Stop(), 0) << server.err();
}

TEST(Stop, LetsAClientKnowAndEndsInOrder) {
  VMBUSKIT_NEEDS_PROGRAM("nbdsh");
  NbdServerProcess server({});
  ASSERT_TRUE(server.serving()) << server.err();
  ChildProcess client({FindProgram("nbdsh"), "-u", server.uri(), "-c", R"(
h.pwrite(b"x" * 512, 0)
print("connected", flush=True)
while h.poll(-1) == 1 and not h.aio_is_closed() and not h.aio_is_dead():
    pass
print("disconnected")
)"});
  ASSERT_TRUE(client.WaitForOutput("connected")) << client.err();
  EXPECT_EQ(server.Stop(), 0) << server.err();
  client.Wait();
  EXPECT_THAT(client.out() + client.err(),
              testing::AnyOf(HasSubstr("disconnected"), HasSubstr("server disconnected")));
}

class NbdTlsClients : public testing::Test {
 protected:
  std::string Uri(const std::string& folder) {
    return "nbds://localhost:" + server_->port() + "/disk?tls-certificates=" + folder;
  }
  void Start() {
    WriteTestCertificates(folder_.path());
    server_.emplace(std::vector<std::string>{"--tcp=0.0.0.0:0", "--tls=" + folder_.path()});
    ASSERT_TRUE(server_->serving()) << server_->err();
  }

  TemporaryFolder folder_;
  std::optional<NbdServerProcess> server_;
};

TEST_F(NbdTlsClients, WithACertificateTheyComeIn) {
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  Start();
  const ProgramResult info = RunProgram({"nbdinfo", "--json", Uri(folder_.path())});
  ASSERT_EQ(info.code, 0) << info.err;
  EXPECT_EQ(json::parse(info.out)["TLS"], true);
  const std::string image = MakeImage(folder_.path());
  const std::string back = folder_.path() + "/back";
  ProgramResult copy = RunProgram({"nbdcopy", image, Uri(folder_.path())});
  EXPECT_EQ(copy.code, 0) << copy.err;
  copy = RunProgram({"nbdcopy", Uri(folder_.path()), back});
  EXPECT_EQ(copy.code, 0) << copy.err;
  EXPECT_EQ(Sha256Of(image), Sha256Of(back));
  EXPECT_EQ(server_->Stop(), 0) << server_->err();
}

TEST_F(NbdTlsClients, WithoutTlsOrCertificateTheyDoNot) {
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  Start();
  const ProgramResult plain =
      RunProgram({"nbdinfo", "nbd://localhost:" + server_->port() + "/disk"});
  EXPECT_NE(plain.code, 0);
  EXPECT_THAT(plain.err, HasSubstr("server replied with error to opt_go request"));
  TemporaryFolder other;
  WriteTestCertificates(other.path());  // of another authority
  EXPECT_NE(RunProgram({"nbdinfo", Uri(other.path())}).code, 0);
  EXPECT_EQ(RunProgram({"nbdinfo", Uri(folder_.path())}).code, 0);
}

TEST(Server, RefusesToBeOpenWithoutTls) {
  NbdServerProcess server({"--tcp=0.0.0.0:0"});
  EXPECT_FALSE(server.serving());
  EXPECT_THAT(server.err(), HasSubstr("needs TLS"));
}

}  // namespace
}  // namespace vmbuskit
