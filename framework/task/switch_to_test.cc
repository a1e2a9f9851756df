// Coroutines that move between executors on threads of their own.
#include "framework/task/switch_to.h"

#include "gtest/gtest.h"
