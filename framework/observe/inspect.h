// The inspect tree: every object live, as names and values, rendered as JSON or text.
//
//   void Channel::Inspect(InspectNode& node) const {
//     node.Set("packets_in", counters_.packets_in);
//     node.Child("request_table").Set("outstanding", requests_.outstanding());
//   }
//
// Thread safety: a tree is built on the executor of the objects it describes, then handed over as a
// value.
#ifndef VMBUSKIT_FRAMEWORK_OBSERVE_INSPECT_H_
#define VMBUSKIT_FRAMEWORK_OBSERVE_INSPECT_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace vmbuskit {

class InspectNode {
 public:
  using Value = std::variant<uint64_t, int64_t, bool, std::string>;

  // Sets `name`, or replaces what it was set to.
  void Set(std::string_view name, uint64_t value) { Assign(name, value); }
  void Set(std::string_view name, int64_t value) { Assign(name, value); }
  void Set(std::string_view name, uint32_t value) { Set(name, uint64_t{value}); }
  void Set(std::string_view name, int value) { Set(name, int64_t{value}); }
  void Set(std::string_view name, bool value) { Assign(name, value); }
  void Set(std::string_view name, std::string value) { Assign(name, std::move(value)); }
  void Set(std::string_view name, std::string_view value) { Set(name, std::string(value)); }
  void Set(std::string_view name, const char* value) { Set(name, std::string(value)); }

  // The child of that name, made when there is none. References stay valid.
  InspectNode& Child(std::string_view name);
  // The node at "a/b/c"; null when there is none. An empty path is this node.
  const InspectNode* Find(std::string_view path) const;

  const std::vector<std::pair<std::string, Value>>& values() const { return values_; }
  const std::deque<std::pair<std::string, InspectNode>>& children() const { return children_; }

  // Indented JSON: values in the order they were first set, then children. Bytes that are not UTF-8
  // come out as U+FFFD.
  std::string ToJson() const;

 private:
  void Assign(std::string_view name, Value value);

  std::vector<std::pair<std::string, Value>> values_;
  std::deque<std::pair<std::string, InspectNode>> children_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_FRAMEWORK_OBSERVE_INSPECT_H_
