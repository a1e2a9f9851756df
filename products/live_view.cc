#include "products/live_view.h"

#include <algorithm>

namespace vmbuskit {
namespace {

// Control sequences that every terminal since the VT100 knows.
constexpr std::string_view kClearToEndOfScreen = "\x1b[J";
constexpr std::string_view kClearToEndOfLine = "\x1b[K";

}  // namespace

void LiveView::Resize(size_t columns, size_t rows) {
  options_.columns = columns;
  options_.rows = rows;
}

std::string LiveView::Update(std::string_view text, std::string_view gist) {
  if (options_.terminal) return Redraw(text);
  if (gist == last_gist_) return {};
  last_gist_ = gist;
  return std::string(text);
}

std::string LiveView::Redraw(std::string_view text) {
  std::string out;
  if (lines_shown_ > 0) out = "\x1b[" + std::to_string(lines_shown_) + "A";
  out += '\r';
  // One line stays free for the cursor, or the terminal scrolls.
  const size_t lines_max = std::max<size_t>(options_.rows, 2) - 1;
  lines_shown_ = 0;
  while (!text.empty() && lines_shown_ < lines_max) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += text.substr(0, std::min(end, options_.columns));
    out += kClearToEndOfLine;
    out += "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
    ++lines_shown_;
  }
  out += kClearToEndOfScreen;
  return out;
}

}  // namespace vmbuskit
