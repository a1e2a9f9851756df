// A saved state as a fuzzer gives it back: as it was, with a few of its bytes changed, or cut short.
//
//   const bool bent = BendState(saved, arguments);   // a record with the fields of kRestoreFields
//   StateReader reader(saved);  server.Exchange(reader);
//   Require(bent || reader.Finish().ok());
//
// Thread safety: none needed. For fuzzers only.
#ifndef VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STATE_BENDING_H_
#define VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STATE_BENDING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "transports/protocol/message_layouts.h"
#include "transports/protocol/message_script.h"

namespace vmbuskit {

// Which state (the fuzzer's to say), in how many places, and for each: where, how many bytes, what.
inline constexpr FuzzField kRestoreFields[] = {
    FuzzField::kSmall, FuzzField::kSmall, FuzzField::kWord,  FuzzField::kSmall,
    FuzzField::kQword, FuzzField::kWord,  FuzzField::kSmall, FuzzField::kQword};

// Takes all but the first of those fields. True when the state is not as it was.
inline bool BendState(std::vector<std::byte>& state, ScriptArguments& arguments) {
  const std::vector<std::byte> before = state;
  const int places = arguments.Take<uint8_t>() % 4;
  for (int i = 0; i < std::min(places, 2) && !state.empty(); ++i) {
    const size_t at = arguments.Take<uint16_t>() % state.size();
    const size_t width = size_t{1} << arguments.Take<uint8_t>() % 4;
    const auto value = arguments.Take<uint64_t>();
    std::memcpy(&state[at], &value, std::min(width, state.size() - at));
  }
  if (places == 3) state.resize(arguments.Take<uint16_t>() % (state.size() + 1));
  return state != before;
}

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_EMBEDDED_HOST_STATE_BENDING_H_
