// Rows of text in aligned columns, for terminals and logs.
//
//   TextTable table({{"class"}, {"packets", TextTable::Align::kRight}});
//   table.AddRow({"echo", "12"});
//   std::string text = table.Render();   // "class  packets\necho        12\n"
//
// Cells may hold what a host said: anything that is not printable ASCII comes out as '?', so that a
// cell cannot move the cursor. Thread safety: none; a value.
#ifndef VMBUSKIT_PRODUCTS_TEXT_TABLE_H_
#define VMBUSKIT_PRODUCTS_TEXT_TABLE_H_

#include <string>
#include <string_view>
#include <vector>

namespace vmbuskit {

// `text` with every byte outside 0x20 .. 0x7e replaced by '?'.
std::string Printable(std::string_view text);

class TextTable {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string_view title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns);

  // Missing cells are empty; cells beyond the last column are dropped.
  void AddRow(std::vector<std::string> cells);

  // The title line, then a line for each row; two spaces between columns, none at line ends.
  std::string Render() const;

 private:
  std::string RenderLine(const std::vector<std::string>& cells) const;

  std::vector<Column> columns_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_TEXT_TABLE_H_
