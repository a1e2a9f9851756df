// A device class for the test of framework/driver_set.bzl. Thread safety: a constant.
#ifndef VMBUSKIT_FRAMEWORK_TESTING_SAMPLE_DRIVER_SAMPLE_DRIVER_H_
#define VMBUSKIT_FRAMEWORK_TESTING_SAMPLE_DRIVER_SAMPLE_DRIVER_H_

#include "framework/bus/device.h"

namespace vmbuskit {

const DeviceClass& SampleDriverClass();

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_TESTING_SAMPLE_DRIVER_SAMPLE_DRIVER_H_
