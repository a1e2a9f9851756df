// The bytes that a file operation still has to move. Thread safety: pure functions.
#ifndef VMBUSKIT_PLATFORM_LINUX_FILE_VECTORS_H_
#define VMBUSKIT_PLATFORM_LINUX_FILE_VECTORS_H_

#include <cstddef>

#include "platform/block_file.h"

namespace vmbuskit {

// `moved` bytes were read or written: takes them off the front. Whether anything is left.
bool Advance(FileOperation& operation, size_t moved);

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_LINUX_FILE_VECTORS_H_
