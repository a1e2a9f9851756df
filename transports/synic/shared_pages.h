// Accounting of the pages that the host was told of: how many it may use now, how many are withheld
// from the guest because the host did not answer for them, how many were lost to it.
//
//   shared.Add(handle, 34);
//   shared.Return(handle);        // torn down or refused
//   shared.Withhold(handle);      // no answer: not ours before the connection ended
//   shared.ReturnAll();           // UNLOAD_RESPONSE
//   EXPECT_EQ(shared.now() + shared.withheld(), 0u);
//
// Thread safety: the bus executor. Units: pages of 4096 bytes.
#ifndef VMBUSKIT_TRANSPORTS_SYNIC_SHARED_PAGES_H_
#define VMBUSKIT_TRANSPORTS_SYNIC_SHARED_PAGES_H_

#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace vmbuskit {

class SharedPages {
 public:
  void Add(uint32_t key, uint32_t pages) {
    pages_[key] = pages;
    now_ += pages;
  }
  void Return(uint32_t key) { Take(key); }
  // The host may use them until the connection ends.
  void Withhold(uint32_t key) { withheld_ += Take(key); }
  // The host may use them for ever.
  void Lose(uint32_t key) { lost_ += Take(key); }
  void LoseWithheld() { lost_ += std::exchange(withheld_, 0); }
  void ReturnAll() {
    pages_.clear();
    now_ = 0;
    withheld_ = 0;
  }

  uint64_t now() const { return now_; }
  uint64_t withheld() const { return withheld_; }
  uint64_t lost() const { return lost_; }

 private:
  uint32_t Take(uint32_t key) {
    auto found = pages_.find(key);
    if (found == pages_.end()) return 0;
    const uint32_t pages = found->second;
    pages_.erase(found);
    now_ -= pages;
    return pages;
  }

  absl::flat_hash_map<uint32_t, uint32_t> pages_;
  uint64_t now_ = 0;
  uint64_t withheld_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_TRANSPORTS_SYNIC_SHARED_PAGES_H_
