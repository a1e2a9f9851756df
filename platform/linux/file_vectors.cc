#include "platform/linux/file_vectors.h"

namespace vmbuskit {

bool Advance(FileOperation& operation, size_t moved) {
  operation.offset += moved;
  while (!operation.vectors.empty() && moved >= operation.vectors.front().iov_len) {
    moved -= operation.vectors.front().iov_len;
    operation.vectors = operation.vectors.subspan(1);
  }
  if (operation.vectors.empty()) return false;
  iovec& front = operation.vectors.front();
  front.iov_base = static_cast<std::byte*>(front.iov_base) + moved;
  front.iov_len -= moved;
  return true;
}

}  // namespace vmbuskit
