// What clients are told about disks, other controllers, back ends of others, TLS.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/run_testing.h"

namespace vmbuskit {
namespace {

using nlohmann::json;
using testing::EndsWith;
using testing::HasSubstr;

json InfoOf(const std::string& uri) {
  const ProgramResult info = RunProgram({"nbdinfo", "--json", uri});
  EXPECT_EQ(info.code, 0) << info.err;
  const json about = json::parse(info.out, nullptr, false);
  EXPECT_TRUE(about.is_object()) << info.out;
  EXPECT_EQ(about["protocol"], "newstyle-fixed");
  EXPECT_EQ(about["structured"], true);
  EXPECT_EQ(about["exports"].size(), 1u);
  return about["exports"][0];
}

// The members of `disk` that are also in `like`.
json Same(const json& disk, const json& like) {
  json same;
  for (const auto& item : like.items()) same[item.key()] = disk.value(item.key(), json());
  return same;
}

TEST(RunInfo, ShowsEachDiskAsItIs) {
  VMBUSKIT_NEEDS_PROGRAM("nbdinfo");
  VmbusRun run({"--disk=ram:1G", "--disk=ram:64M,block=4096,export=large blocks",
                "--disk=ram:3M,ro,export=read", "--disk=FOLDER/none,export=x,ro"});
  EXPECT_FALSE(run.serving()) << "one of the images is missing";
  EXPECT_EQ(run.Wait(), 1);

  VmbusRun good(
      {"--disk=ram:1G", "--disk=ram:64M,block=4096,export=large", "--disk=ram:3M,ro,export=read"});
  ASSERT_TRUE(good.serving()) << good.err();
  const json writable = {
      {"export-name", "disk0"},
      {"description", "ram:1073741824"},
      {"export-size", 1073741824},
      {"contexts", {"base:allocation"}},
      {"block_size_minimum", 512},
      {"block_size_preferred", 4096},
      {"block_size_maximum", 32 << 20},
      {"is_read_only", false},
      {"is_rotational", false},
      {"can_cache", true},
      {"can_df", true},
      {"can_fast_zero", true},
      {"can_flush", true},
      {"can_fua", true},
      {"can_multi_conn", true},
      {"can_trim", true},
      {"can_zero", true},
  };
  EXPECT_EQ(Same(InfoOf(good.Uri()), writable), writable);
  json large = writable;
  large.update({{"export-name", "large"},
                {"description", "ram:67108864"},
                {"export-size", 64 << 20},
                {"block_size_minimum", 4096}});
  EXPECT_EQ(Same(InfoOf(good.Uri("large")), large), large);
  json read = writable;
  read.update({{"export-name", "read"},
               {"description", "ram:3145728"},
               {"export-size", 3 << 20},
               {"is_read_only", true},
               {"can_fast_zero", false},
               {"can_trim", false},
               {"can_zero", false}});
  EXPECT_EQ(Same(InfoOf(good.Uri("read")), read), read);
  EXPECT_EQ(RunProgram({"nbdinfo", "--size", good.Uri("")}).out, "1073741824\n");
  EXPECT_EQ(good.Stop(), 0) << good.err();
}

class RunController : public testing::TestWithParam<const char*> {};

TEST_P(RunController, CopiesAnImageThereAndBack) {
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  TemporaryFolder folder;
  const std::string path = folder.path() + "/";
  MakeImage(path + "image", 48 * kMiB);
  MakeSparseFile(path + "disk", 48 * kMiB);
  std::ofstream(path + "machine.json")
      << json({{"cpus", 2},
               {"controllers", {{{"type", GetParam()}, {"disks", {{{"file", path + "disk"}}}}}}}});
  VmbusRun run({"--machine=" + path + "machine.json"});
  ASSERT_TRUE(run.serving()) << run.err();
  ProgramResult copy = RunProgram({"nbdcopy", "--flush", path + "image", run.Uri()});
  EXPECT_EQ(copy.code, 0) << copy.err;
  copy = RunProgram({"nbdcopy", run.Uri(), path + "back"});
  EXPECT_EQ(copy.code, 0) << copy.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_EQ(Sha256Of(path + "back"), Sha256Of(path + "image"));
  EXPECT_EQ(Sha256Of(path + "disk"), Sha256Of(path + "image"));
}

INSTANTIATE_TEST_SUITE_P(Classes, RunController, testing::Values("scsi", "ide", "fc"),
                         [](const auto& one) { return std::string(one.param); });

TEST(RunNbdBackEnd, IsADiskOfAnotherServer) {
  VMBUSKIT_NEEDS_PROGRAM("nbdkit");
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  TemporaryFolder folder;
  const std::string path = folder.path() + "/";
  MakeImage(path + "image", 32 * kMiB);
  NbdkitProcess nbdkit({"memory", "32M"});
  ASSERT_EQ(nbdkit.started().code, 0) << nbdkit.started().err;
  VmbusRun run({"--disk=nbd:" + nbdkit.Uri(), "--cpus=2"});
  ASSERT_TRUE(run.serving()) << run.err();
  const ProgramResult copy = RunProgram({"nbdcopy", "--flush", path + "image", run.Uri()});
  EXPECT_EQ(copy.code, 0) << copy.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  // Past the guest.
  const ProgramResult back = RunProgram({"nbdcopy", nbdkit.Uri(), path + "back"});
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(Sha256Of(path + "back"), Sha256Of(path + "image"));
}

class RunTls : public testing::Test {
 protected:
  // By certtool, as a user would make them.
  void MakeCertificates() {
    const std::string script =
        "set -e; cd " + folder_.path() +
        "\n"
        "printf 'cn = authority\\nca\\ncert_signing_key\\nexpiration_days = 2\\n' > ca\n"
        "printf 'cn = localhost\\ndns_name = localhost\\nip_address = 127.0.0.1\\n"
        "tls_www_server\\nsigning_key\\nencryption_key\\nexpiration_days = 2\\n' > server\n"
        "printf 'cn = client\\ntls_www_client\\nsigning_key\\nexpiration_days = 2\\n' > client\n"
        "certtool --generate-privkey --outfile ca-key.pem\n"
        "certtool --generate-self-signed --load-privkey ca-key.pem --template ca"
        " --outfile ca-cert.pem\n"
        "for who in server client; do\n"
        "  certtool --generate-privkey --outfile $who-key.pem\n"
        "  certtool --generate-certificate --load-privkey $who-key.pem --template $who"
        " --load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem"
        " --outfile $who-cert.pem\n"
        "done\n";
    const ProgramResult made = RunShell(script);
    ASSERT_EQ(made.code, 0) << made.err;
  }
  // Of what it announces, by the name in the certificate.
  std::string Uri(const VmbusRun& run, const std::string& scheme) {
    const json uris = run.FirstDisk()["uris"];
    const std::string tcp = uris.at(1).get<std::string>();
    EXPECT_THAT(tcp, HasSubstr("nbds://0.0.0.0:"));
    const size_t port = tcp.rfind(':');
    return scheme + "://localhost" + tcp.substr(port);
  }

  TemporaryFolder folder_;
};

TEST_F(RunTls, ServesBeyondThisMachineToThoseWithACertificate) {
  VMBUSKIT_NEEDS_PROGRAM("certtool");
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  MakeCertificates();
  const std::string path = folder_.path() + "/";
  MakeImage(path + "image", 32 * kMiB);
  MakeSparseFile(path + "disk", 32 * kMiB);
  VmbusRun run({"--disk=" + path + "disk", "--nbd=tcp:0.0.0.0:0", "--tls=" + folder_.path()});
  ASSERT_TRUE(run.serving()) << run.err();
  const std::string uri = Uri(run, "nbds") + "?tls-certificates=" + folder_.path();
  const ProgramResult info = RunProgram({"nbdinfo", "--json", uri});
  ASSERT_EQ(info.code, 0) << info.err;
  EXPECT_EQ(json::parse(info.out)["TLS"], true);
  ProgramResult copy = RunProgram({"nbdcopy", "--flush", path + "image", uri});
  EXPECT_EQ(copy.code, 0) << copy.err;
  copy = RunProgram({"nbdcopy", uri, path + "back"});
  EXPECT_EQ(copy.code, 0) << copy.err;

  const ProgramResult plain = RunProgram({"nbdinfo", Uri(run, "nbd")});
  EXPECT_NE(plain.code, 0) << plain.out;
  TemporaryFolder nothing;
  EXPECT_EQ(RunShell("cp " + path + "ca-cert.pem " + nothing.path()).code, 0);
  const ProgramResult stranger =
      RunProgram({"nbdinfo", Uri(run, "nbds") + "?tls-certificates=" + nothing.path()});
  EXPECT_NE(stranger.code, 0) << stranger.out;

  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_THAT(run.err(), EndsWith(VmbusRun::kStopped));
  EXPECT_EQ(Sha256Of(path + "back"), Sha256Of(path + "image"));
  EXPECT_EQ(Sha256Of(path + "disk"), Sha256Of(path + "image"));
}

TEST_F(RunTls, AServerThatWantsACertificateIsABackEnd) {
  VMBUSKIT_NEEDS_PROGRAM("certtool");
  VMBUSKIT_NEEDS_PROGRAM("nbdcopy");
  MakeCertificates();
  const std::string path = folder_.path() + "/";
  MakeImage(path + "image", 8 * kMiB);
  MakeSparseFile(path + "disk", 8 * kMiB);
  VmbusRun server({"--disk=" + path + "disk", "--nbd=tcp:0.0.0.0:0", "--tls=" + folder_.path()});
  ASSERT_TRUE(server.serving()) << server.err();
  VmbusRun run({"--disk=" + Uri(server, "nbds") + "?tls-certificates=" + folder_.path()});
  ASSERT_TRUE(run.serving()) << run.err();
  const ProgramResult copy = RunProgram({"nbdcopy", "--flush", path + "image", run.Uri()});
  EXPECT_EQ(copy.code, 0) << copy.err;
  EXPECT_EQ(run.Stop(), 0) << run.err();
  EXPECT_EQ(server.Stop(), 0) << server.err();
  EXPECT_EQ(Sha256Of(path + "disk"), Sha256Of(path + "image"));
}

TEST_F(RunTls, NothingIsServedBeyondThisMachineWithoutIt) {
  VmbusRun run({"--disk=ram:1M", "--nbd=tcp:0.0.0.0:0"});
  EXPECT_FALSE(run.serving());
  EXPECT_EQ(run.Wait(), 1);
  EXPECT_THAT(run.err(), HasSubstr("TLS"));
}

}  // namespace
}  // namespace vmbuskit
