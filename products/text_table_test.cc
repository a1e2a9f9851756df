#include "products/text_table.h"

#include "gtest/gtest.h"
#include "products/live_view.h"

namespace vmbuskit {
namespace {

TEST(TextTable, AlignsColumnsAndLeavesNoBlanksAtLineEnds) {
  TextTable table({{"class"}, {"packets", TextTable::Align::kRight}, {"state"}});
  table.AddRow({"echo", "12", "Running"});
  table.AddRow({"heartbeat", "123456789", ""});
  EXPECT_EQ(table.Render(),
            "class        packets  state\n"
            "echo              12  Running\n"
            "heartbeat  123456789\n");
}

TEST(TextTable, WithoutRowsShowsItsTitles) {
  EXPECT_EQ(TextTable({{"class"}, {"relid"}}).Render(), "class  relid\n");
}

TEST(TextTable, TakesRowsThatAreTooShortOrTooLong) {
  TextTable table({{"a"}, {"b"}});
  table.AddRow({"1"});
  table.AddRow({"1", "2", "3"});
  EXPECT_EQ(table.Render(), "a  b\n1\n1  2\n");
}

TEST(TextTable, DefusesControlCharacters) {
  TextTable table({{"name"}});
  table.AddRow({"\x1b[2Jx\n\xc3\xa4\x7f"});
  EXPECT_EQ(table.Render(), "name\n?[2Jx????\n");
}

TEST(LiveView, OverwritesInPlaceOnATerminal) {
  LiveView view({.terminal = true, .columns = 80, .rows = 24});
  EXPECT_EQ(view.Update("one\ntwo\n"), "\rone\x1b[K\ntwo\x1b[K\n\x1b[J");
  EXPECT_EQ(view.Update("three\n"), "\x1b[2A\rthree\x1b[K\n\x1b[J");
  EXPECT_EQ(view.Update("three\n"), "\x1b[1A\rthree\x1b[K\n\x1b[J");
}

TEST(LiveView, CutsLinesAtTheWindowsEdges) {
  LiveView view({.terminal = true, .columns = 4, .rows = 3});
  EXPECT_EQ(view.Update("123456\n12\nnever\n"), "\r1234\x1b[K\n12\x1b[K\n\x1b[J");
  view.Resize(2, 1);  // degenerate windows still show a line
  EXPECT_EQ(view.Update("123456\n"), "\x1b[2A\r12\x1b[K\n\x1b[J");
}

TEST(LiveView, PrintsAgainElsewhereOnlyWhenTheGistChanged) {
  LiveView view({.terminal = false});
  EXPECT_EQ(view.Update("echo Running 5\n", "Running"), "echo Running 5\n");
  EXPECT_EQ(view.Update("echo Running 6\n", "Running"), "");
  EXPECT_EQ(view.Update("echo Removed 6\n", "Removed"), "echo Removed 6\n");
  EXPECT_EQ(view.Update("plain\n"), "plain\n");
  EXPECT_EQ(view.Update("plain\n"), "");
}

}  // namespace
}  // namespace vmbuskit
