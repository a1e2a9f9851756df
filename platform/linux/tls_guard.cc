#include "platform/linux/tls_guard.h"

#include <gnutls/gnutls.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "platform/linux/tls_stream.h"

namespace vmbuskit {
namespace {

constexpr const char* kPriorities = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

absl::Status FileError(const std::string& path, int code) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", gnutls_strerror(code)));
}

class TlsGuard final : public StreamGuard {
 public:
  ~TlsGuard() override {
    if (credentials_ != nullptr) gnutls_certificate_free_credentials(credentials_);
    if (priority_ != nullptr) gnutls_priority_deinit(priority_);
  }

  absl::Status Load(const std::string& folder) {
    const std::string certificate = absl::StrCat(folder, "/server-cert.pem");
    const std::string key = absl::StrCat(folder, "/server-key.pem");
    const std::string authority = absl::StrCat(folder, "/ca-cert.pem");
    for (const std::string& path : {certificate, key}) {
      if (access(path.c_str(), R_OK) != 0) return absl::ErrnoToStatus(errno, path);
    }
    int code = gnutls_certificate_allocate_credentials(&credentials_);
    if (code >= 0) code = gnutls_priority_init(&priority_, kPriorities, nullptr);
    if (code < 0) return absl::InternalError(gnutls_strerror(code));
    code = gnutls_certificate_set_x509_key_file(credentials_, certificate.c_str(), key.c_str(),
                                                GNUTLS_X509_FMT_PEM);
    if (code < 0) return FileError(certificate, code);
    if (access(authority.c_str(), F_OK) != 0) return absl::OkStatus();
    code = gnutls_certificate_set_x509_trust_file(credentials_, authority.c_str(),
                                                  GNUTLS_X509_FMT_PEM);
    if (code <= 0) return FileError(authority, code == 0 ? GNUTLS_E_NO_CERTIFICATE_FOUND : code);
    verify_client_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Stream>> Protect(std::unique_ptr<Stream> plain) override {
    return TlsStream::Create(std::move(plain), credentials_, priority_, verify_client_);
  }

 private:
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_priority_t priority_ = nullptr;
  bool verify_client_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<StreamGuard>> OpenTlsGuard(const std::string& folder) {
  auto guard = std::make_unique<TlsGuard>();
  const absl::Status loaded = guard->Load(folder);
  if (!loaded.ok()) return loaded;
  return guard;
}

}  // namespace vmbuskit
