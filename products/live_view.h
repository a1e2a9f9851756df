// Shows a text that changes: in place on a terminal, as a fresh copy elsewhere.
//
//   LiveView view({.terminal = isatty(1) == 1, .columns = 80, .rows = 24});
//   Write(view.Update(table_text));   // bytes to write; empty when nothing is to be shown
//
// On a terminal each update overwrites the one before: lines are cut at the terminal's width (a
// wrapped line would break the count of lines to go up) and at its height. Thread safety: none; no
// system calls.
#ifndef VMBUSKIT_PRODUCTS_LIVE_VIEW_H_
#define VMBUSKIT_PRODUCTS_LIVE_VIEW_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace vmbuskit {

class LiveView {
 public:
  struct Options {
    bool terminal = false;
    size_t columns = 80;
    size_t rows = 24;
  };

  explicit LiveView(const Options& options) : options_(options) {}

  // The bytes that show `text`, which ends with a newline. `gist` is what has to change for a new
  // copy where there is no terminal: counters that always move are no reason to fill a log.
  std::string Update(std::string_view text, std::string_view gist);
  std::string Update(std::string_view text) { return Update(text, text); }

  // The window has a new size.
  void Resize(size_t columns, size_t rows);

  bool terminal() const { return options_.terminal; }

 private:
  std::string Redraw(std::string_view text);

  Options options_;
  size_t lines_shown_ = 0;
  std::string last_gist_;
};

}  // namespace vmbuskit

#endif  // VMBUSKIT_PRODUCTS_LIVE_VIEW_H_
