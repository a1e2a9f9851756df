// Where the functions of a file begin and end, by their braces: enough to measure them, without a
// compiler. A function is what opens a brace behind a parameter list, outside of any other function;
// lambdas and local classes belong to the function around them.
//
//   for (const FunctionText& f : FindFunctions(file)) Measure(f.name, f.last - f.first + 1);
//
// Thread safety: free functions.
#ifndef VMBUSKIT_TESTS_TIDY_FUNCTIONS_H_
#define VMBUSKIT_TESTS_TIDY_FUNCTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "tests/tidy/source_text.h"

namespace vmbuskit::tidy {

struct FunctionText {
  std::string name;  // as written: "Bus::Start"
  size_t first;      // of the declaration, from 0
  size_t last;       // of the closing brace
};

std::vector<FunctionText> FindFunctions(const SourceText& file);

}  // namespace vmbuskit::tidy

#endif  // VMBUSKIT_TESTS_TIDY_FUNCTIONS_H_
