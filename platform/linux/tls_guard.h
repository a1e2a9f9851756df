// TLS for streams, by GnuTLS, with a server's certificate from a folder.
//
//   absl::StatusOr<std::unique_ptr<StreamGuard>> guard = OpenTlsGuard("/etc/vmbuskit/pki");
//   absl::StatusOr<std::unique_ptr<Stream>> safe = (*guard)->Protect(std::move(plain));
//
// The folder has server-cert.pem and server-key.pem (PEM); with ca-cert.pem in it, a client has to show a certificate
// that this authority signed. TLS 1.2 and 1.3, nothing older.
// Thread safety: any thread; its streams as platform/stream.h. Lifetime: the guard outlives its streams. Files are read
// once. Errors: NotFound and InvalidArgument name the file; a stream's error() says what GnuTLS says.
#ifndef VMBUSKIT_PLATFORM_LINUX_TLS_GUARD_H_
#define VMBUSKIT_PLATFORM_LINUX_TLS_GUARD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "platform/stream.h"

namespace vmbuskit {

absl::StatusOr<std::unique_ptr<StreamGuard>> OpenTlsGuard(const std::string& folder);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_TLS_GUARD_H_
