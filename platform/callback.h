// A call to make later: a function and the object that it is about. Trivially copyable, never
// allocates, owns nothing; the object must outlive the last call.
//
//   Callback call = Callback::To<&Channel::Drain>(this);
//   call();
#ifndef VMBUSKIT_PLATFORM_CALLBACK_H_
#define VMBUSKIT_PLATFORM_CALLBACK_H_

namespace vmbuskit {

class Callback {
 public:
  using Function = void (*)(void* context);

  constexpr Callback() = default;
  constexpr Callback(Function function, void* context) : function_(function), context_(context) {}

  // A call of member function `kMethod` on `object`.
  template <auto kMethod, typename T>
  static constexpr Callback To(T* object) {
    return Callback([](void* context) { (static_cast<T*>(context)->*kMethod)(); }, object);
  }

  constexpr explicit operator bool() const { return function_ != nullptr; }
  void operator()() const { function_(context_); }
  // The same function on the same object.
  bool operator==(const Callback&) const = default;

 private:
  Function function_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PLATFORM_CALLBACK_H_
