// Runs a known number of reads, for an instruction counter: the difference of two runs divided by the difference of
// their requests is what one costs the guest's side, from BlockQueue::Submit to OnDone, or the host's.
//
//   valgrind --tool=callgrind --toggle-collect='*StorvscRig::GuestTurn*' storvsc_instructions 128 4096 100000
//   valgrind --tool=callgrind --toggle-collect='*StorvscRig::HostTurn*' storvsc_instructions 128 4096 100000
#include <cstdio>
#include <cstdlib>

#include "devices/storvsc/storvsc_rig.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s DEPTH BYTES REQUESTS\n", argv[0]);
    return 2;
  }
  vmbuskit::StorvscRig rig(vmbuskit::StorvscRig::Threads::kOne);
  rig.Start({.depth = static_cast<uint32_t>(std::atoi(argv[1])),
             .bytes = static_cast<uint32_t>(std::atoi(argv[2])),
             .total = static_cast<uint64_t>(std::atoll(argv[3]))});
  rig.Run();
  std::printf("%llu failed\n", static_cast<unsigned long long>(rig.failed()));
  return rig.failed() == 0 ? 0 : 1;
}
