#include "platform/linux/tls_guard.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "platform/linux/linux_streams.h"
#include "platform/linux/tls_testing.h"

namespace vmbuskit {
namespace {

// A client of GnuTLS's own on a non-blocking socket.
class Client {
 public:
  Client(int fd, const std::string& folder, bool with_certificate) {
    gnutls_certificate_allocate_credentials(&credentials_);
    gnutls_certificate_set_x509_trust_file(credentials_, (folder + "/ca-cert.pem").c_str(),
                                           GNUTLS_X509_FMT_PEM);
    if (with_certificate) {
      gnutls_certificate_set_x509_key_file(credentials_, (folder + "/client-cert.pem").c_str(),
                                           (folder + "/client-key.pem").c_str(),
                                           GNUTLS_X509_FMT_PEM);
    }
    gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    gnutls_set_default_priority(session_);
    gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_);
    gnutls_session_set_verify_cert(session_, "localhost", 0);
    gnutls_transport_set_int(session_, fd);
  }
  ~Client() {
    gnutls_deinit(session_);
    gnutls_certificate_free_credentials(credentials_);
  }
  gnutls_session_t get() { return session_; }

 private:
  gnutls_session_t session_ = nullptr;
  gnutls_certificate_credentials_t credentials_ = nullptr;
};

class TlsGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/pkiXXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    WriteTestCertificates(folder_);
  }
  void TearDown() override {
    stream_.reset();
    if (peer_ >= 0) close(peer_);
    for (const char* name : {"ca-cert", "server-cert", "server-key", "client-cert", "client-key"}) {
      Remove(name);
    }
    rmdir(folder_.c_str());
  }
  void Remove(const std::string& name) { unlink((folder_ + "/" + name + ".pem").c_str()); }

  void Connect(bool with_certificate) {
    auto guard = OpenTlsGuard(folder_);
    ASSERT_TRUE(guard.ok()) << guard.status();
    guard_ = *std::move(guard);
    std::array<int, 2> fds;
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
    peer_ = fds[1];
    auto plain = LinuxStreams::Adopt(*executor_, fds[0]);
    ASSERT_TRUE(plain->Start(Callback::To<&TlsGuardTest::OnReady>(this)).ok());
    auto stream = guard_->Protect(std::move(plain));
    ASSERT_TRUE(stream.ok());
    stream_ = *std::move(stream);
    client_.emplace(peer_, folder_, with_certificate);
  }

 public:
  void OnReady() { ++ready_; }

 protected:
  StreamResult Read() {
    const std::span<std::byte> part(buffer_);
    return stream_->Read(std::span(&part, 1));
  }

  // Until both sides stand still. The client's last word.
  int Handshake() {
    int code = GNUTLS_E_AGAIN;
    for (int i = 0; i < 20 && code == GNUTLS_E_AGAIN; ++i) {
      code = gnutls_handshake(client_->get());
      result_ = Read();
      if (result_.state == StreamState::kFailed) break;
    }
    return code;
  }

  std::unique_ptr<LinuxExecutor> executor_ = *LinuxExecutor::Create({});
  std::string folder_;
  std::unique_ptr<StreamGuard> guard_;
  std::unique_ptr<Stream> stream_;
  std::optional<Client> client_;
  std::array<std::byte, 65536> buffer_{};
  StreamResult result_;
  int peer_ = -1;
  int ready_ = 0;
};

TEST_F(TlsGuardTest, BytesGoBothWays) {
  Connect(true);
  ASSERT_EQ(Handshake(), GNUTLS_E_SUCCESS);
  EXPECT_EQ(Read().state, StreamState::kLater);
  ASSERT_EQ(gnutls_record_send(client_->get(), "hello", 5), 5);
  executor_->RunOnce();
  EXPECT_GE(ready_, 1);
  EXPECT_EQ(Read(), (StreamResult{StreamState::kOk, 5}));
  const std::array<std::span<const std::byte>, 2> from = {std::as_bytes(std::span("ab", 2)),
                                                          std::as_bytes(std::span("cde", 3))};
  EXPECT_EQ(stream_->Write(from), (StreamResult{StreamState::kOk, 5}));
  std::array<char, 5> got;
  ASSERT_EQ(gnutls_record_recv(client_->get(), got.data(), got.size()), 5);
  EXPECT_EQ(std::string_view(got.data(), 5), "abcde");
}

TEST_F(TlsGuardTest, ARecordThatDoesNotFitIsFinishedLater) {
  Connect(true);
  ASSERT_EQ(Handshake(), GNUTLS_E_SUCCESS);
  const std::span<const std::byte> part(buffer_);
  size_t sent = 0;
  StreamResult result;
  while ((result = stream_->Write(std::span(&part, 1))).state == StreamState::kOk) {
    sent += result.bytes;
  }
  EXPECT_EQ(result.state, StreamState::kLater);
  size_t received = 0;
  std::array<char, 65536> got;
  const auto drain = [&] {
    for (ssize_t n; (n = gnutls_record_recv(client_->get(), got.data(), got.size())) > 0;) {
      received += static_cast<size_t>(n);
    }
  };
  drain();
  result = stream_->Write(std::span(&part, 1));
  EXPECT_EQ(result, (StreamResult{StreamState::kOk, 16 * 1024}));  // the record that waited
  sent += result.bytes;
  drain();
  EXPECT_EQ(received, sent);
}

TEST_F(TlsGuardTest, AClientWithoutACertificateIsRefused) {
  Connect(false);
  Handshake();
  EXPECT_EQ(result_.state, StreamState::kFailed);
  EXPECT_NE(stream_->error().message().find("the client's certificate"), std::string::npos)
      << stream_->error();
  EXPECT_EQ(Read().state, StreamState::kFailed);
}

TEST_F(TlsGuardTest, WithoutAnAuthorityNoneIsAskedFor) {
  const std::string authority = folder_ + "/ca-cert.pem";
  ASSERT_EQ(rename(authority.c_str(), (authority + "x").c_str()), 0);
  auto guard = OpenTlsGuard(folder_);
  ASSERT_EQ(rename((authority + "x").c_str(), authority.c_str()), 0);
  ASSERT_TRUE(guard.ok());
  Connect(false);
  std::array<int, 2> fds;
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()), 0);
  auto plain = LinuxStreams::Adopt(*executor_, fds[0]);
  ASSERT_TRUE(plain->Start(Callback::To<&TlsGuardTest::OnReady>(this)).ok());
  stream_ = *(*guard)->Protect(std::move(plain));
  client_.emplace(fds[1], folder_, false);
  EXPECT_EQ(Handshake(), GNUTLS_E_SUCCESS);
  stream_.reset();
  close(fds[1]);
}

TEST_F(TlsGuardTest, AClientThatSpeaksSomethingElseFails) {
  Connect(true);
  ASSERT_EQ(write(peer_, "NBD is not TLS, and neither is this", 35), 35);
  EXPECT_EQ(Read().state, StreamState::kFailed);
  EXPECT_NE(stream_->error().message().find("TLS handshake"), std::string::npos);
}

TEST_F(TlsGuardTest, EndsAreSeen) {
  Connect(true);
  ASSERT_EQ(Handshake(), GNUTLS_E_SUCCESS);
  stream_->CloseOutput();
  EXPECT_EQ(gnutls_record_recv(client_->get(), buffer_.data(), 1), 0);
  close(std::exchange(peer_, -1));  // without a goodbye
  EXPECT_EQ(Read().state, StreamState::kEnd);
}

TEST_F(TlsGuardTest, MissingAndBrokenFilesAreNamed) {
  EXPECT_EQ(OpenTlsGuard(folder_ + "/nowhere").status().code(), absl::StatusCode::kNotFound);
  const std::string certificate = folder_ + "/server-cert.pem";
  FILE* file = fopen(certificate.c_str(), "w");
  fputs("this is not PEM", file);
  fclose(file);
  const auto broken = OpenTlsGuard(folder_);
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(broken.status().message().find(certificate), std::string::npos);
  WriteTestCertificates(folder_);
  file = fopen((folder_ + "/ca-cert.pem").c_str(), "w");
  fclose(file);
  EXPECT_NE(OpenTlsGuard(folder_).status().message().find("ca-cert.pem"), std::string::npos);
}

}  // namespace
}  // namespace vmbuskit
