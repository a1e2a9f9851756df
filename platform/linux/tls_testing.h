// For tests: a folder with a certificate authority, and certificates of a server and a client that it signed.
//
//   WriteTestCertificates(folder);  // ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem
//
// The server is "localhost", also as 127.0.0.1. Made anew each time, valid for a day.
// Thread safety: free functions.
#ifndef VMBUSKIT_PLATFORM_LINUX_TLS_TESTING_H_
#define VMBUSKIT_PLATFORM_LINUX_TLS_TESTING_H_

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <cstdio>
#include <ctime>
#include <string>

namespace vmbuskit {

class TestCertificate {
 public:
  // Without `issuer`: an authority, signed by itself.
  TestCertificate(const char* name, const TestCertificate* issuer, const char* purpose) {
    gnutls_x509_privkey_init(&key_);
    gnutls_x509_privkey_generate(key_, GNUTLS_PK_ECDSA,
                                 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    gnutls_x509_crt_init(&certificate_);
    gnutls_x509_crt_set_version(certificate_, 3);
    const std::string dn = std::string("CN=") + name;
    gnutls_x509_crt_set_dn(certificate_, dn.c_str(), nullptr);
    const unsigned char serial[] = {1, static_cast<unsigned char>(name[0])};
    gnutls_x509_crt_set_serial(certificate_, serial, sizeof serial);
    const time_t now = time(nullptr);
    gnutls_x509_crt_set_activation_time(certificate_, now - 3600);
    gnutls_x509_crt_set_expiration_time(certificate_, now + 24 * 3600);
    gnutls_x509_crt_set_key(certificate_, key_);
    gnutls_x509_crt_set_basic_constraints(certificate_, issuer == nullptr ? 1 : 0, -1);
    if (issuer == nullptr) {
      gnutls_x509_crt_set_key_usage(certificate_, GNUTLS_KEY_KEY_CERT_SIGN);
    } else {
      gnutls_x509_crt_set_subject_alt_name(certificate_, GNUTLS_SAN_DNSNAME, name,
                                           static_cast<unsigned>(std::string(name).size()),
                                           GNUTLS_FSAN_SET);
      const unsigned char loopback[] = {127, 0, 0, 1};
      gnutls_x509_crt_set_subject_alt_name(certificate_, GNUTLS_SAN_IPADDRESS, loopback, 4,
                                           GNUTLS_FSAN_APPEND);
      gnutls_x509_crt_set_key_purpose_oid(certificate_, purpose, 0);
      gnutls_x509_crt_set_key_usage(certificate_, GNUTLS_KEY_DIGITAL_SIGNATURE);
    }
    const TestCertificate& signer = issuer == nullptr ? *this : *issuer;
    gnutls_x509_crt_sign2(certificate_, signer.certificate_, signer.key_, GNUTLS_DIG_SHA256, 0);
  }
  ~TestCertificate() {
    gnutls_x509_crt_deinit(certificate_);
    gnutls_x509_privkey_deinit(key_);
  }
  TestCertificate(const TestCertificate&) = delete;
  TestCertificate& operator=(const TestCertificate&) = delete;

  void WriteCertificate(const std::string& path) const {
    gnutls_datum_t text{};
    gnutls_x509_crt_export2(certificate_, GNUTLS_X509_FMT_PEM, &text);
    Write(path, text);
  }
  void WriteKey(const std::string& path) const {
    gnutls_datum_t text{};
    gnutls_x509_privkey_export2(key_, GNUTLS_X509_FMT_PEM, &text);
    Write(path, text);
  }

 private:
  static void Write(const std::string& path, gnutls_datum_t& text) {
    FILE* const file = fopen(path.c_str(), "w");
    if (file != nullptr) {
      fwrite(text.data, 1, text.size, file);
      fclose(file);
    }
    gnutls_free(text.data);
  }

  gnutls_x509_privkey_t key_ = nullptr;
  gnutls_x509_crt_t certificate_ = nullptr;
};

inline void WriteTestCertificates(const std::string& folder) {
  const TestCertificate authority("authority", nullptr, "");
  authority.WriteCertificate(folder + "/ca-cert.pem");
  const TestCertificate server("localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
  server.WriteCertificate(folder + "/server-cert.pem");
  server.WriteKey(folder + "/server-key.pem");
  const TestCertificate client("client", &authority, GNUTLS_KP_TLS_WWW_CLIENT);
  client.WriteCertificate(folder + "/client-cert.pem");
  client.WriteKey(folder + "/client-key.pem");
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_TLS_TESTING_H_
