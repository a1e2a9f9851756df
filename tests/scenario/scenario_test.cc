#include "tests/scenario/scenario.h"

#include <chrono>
#include <cstring>
#include <iostream>

#include "gtest/gtest.h"

int main(int argc, char** argv) {
  using namespace vmbuskit;
  uint64_t first = argc > 1 ? strtoull(argv[1], nullptr, 10) : 0;
  uint64_t n = argc > 2 ? strtoull(argv[2], nullptr, 10) : 10;
  bool trace = argc > 3 && strchr(argv[3], 't');
  bool calm = argc > 3 && strchr(argv[3], 'c');
  uint64_t turns = 0, packets = 0, signals = 0, needless = 0, bad = 0, faults = 0;
  double virt = 0;
  for (uint64_t s = first; s < first + n; ++s) {
    auto r = RunScenario({.seed = s, .faults = !calm, .trace = trace ? &std::cout : nullptr});
    turns += r.turns;
    packets += r.packets;
    signals += r.signals;
    needless += r.needless_signals;
    faults += r.faults;
    virt += std::chrono::duration<double>(r.virtual_time).count();
    if (!r.status.ok()) {
      ++bad;
      std::cout << s << ": " << r.status.message() << std::endl;
    }
  }
  std::cout << bad << " bad, turns " << turns << " packets " << packets << " signals " << signals
            << " needless " << needless << " faults " << faults << " virtual s " << virt
            << std::endl;
}
