#include "platform/callback.h"

#include <type_traits>

#include "gtest/gtest.h"

namespace vmbuskit {
namespace {

static_assert(std::is_trivially_copyable_v<Callback>);  // it travels through lock-free queues
static_assert(sizeof(Callback) == 2 * sizeof(void*));

struct Base {
  virtual ~Base() = default;
  virtual void Step() { calls += 1; }
  int calls = 0;
};
struct Derived : Base {
  void Step() override { calls += 10; }
};

TEST(Callback, CallsTheMemberFunctionOnTheObject) {
  Base object;
  const Callback call = Callback::To<&Base::Step>(&object);
  call();
  call();
  EXPECT_EQ(object.calls, 2);
}

TEST(Callback, VirtualFunctionsStayVirtual) {
  Derived object;
  Base* base = &object;
  Callback::To<&Base::Step>(base)();
  EXPECT_EQ(object.calls, 10);
}

TEST(Callback, DefaultIsNoCall) {
  EXPECT_FALSE(Callback());
  Base object;
  Callback call;
  call = Callback::To<&Base::Step>(&object);
  EXPECT_TRUE(call);
}

TEST(Callback, PlainFunctionsTakeTheContext) {
  int calls = 0;
  Callback call([](void* context) { ++*static_cast<int*>(context); }, &calls);
  const Callback copy = call;
  call();
  copy();
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace vmbuskit
