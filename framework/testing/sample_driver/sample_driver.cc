#include "framework/testing/sample_driver/sample_driver.h"

namespace vmbuskit {

const DeviceClass& SampleDriverClass() {
  static constexpr DeviceClass kClass{.name = "sample driver", .class_ids = {}};
  return kClass;
}

}  // namespace vmbuskit
