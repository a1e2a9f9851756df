#!/usr/bin/env bash
# Counts lines of source and of tests, and holds the limits: tests at least 0.9 of source lines, no source file
# over 800 lines, median source file at most 150.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

readonly RATIO_MIN=0.90 FILE_LINES_MAX=800 MEDIAN_LINES_MAX=150

# Tests are *_test.cc, the testonly libraries that they stand on, and everything below tests/.
is_test='_test\.(cc|sh)$|_testing\.(h|cc)$|/testing/|(^|/)fake_|^tests/'
is_test+='|/(fuzz_input|fuzzing|hex|recording|signal_line|run_task|executor_contract)\.h$|/(channel_pair|allocation_counter|fuzz_replay)\.(h|cc)$'
measured='_(benchmark|fuzz)\.cc$|_baseline\.'
files=$(git ls-files '*.cc' '*.h')
sources=$(grep -vE "$is_test" <<<"$files" | grep -vE "$measured")
tests=$(git ls-files '*.cc' '*.h' '*_test.sh' | grep -E "$is_test")

count() { xargs wc -l <<<"$1" | awk '$2 != "total" { n += $1 } END { print n }'; }
source_lines=$(count "$sources")
test_lines=$(count "$tests")
lengths=$(xargs wc -l <<<"$sources" | awk '$2 != "total" { print $1, $2 }' | sort -n)
median=$(awk '{ print $1 }' <<<"$lengths" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }')
read -r longest longest_file < <(tail -n 1 <<<"$lengths")

echo "source: $source_lines lines in $(wc -l <<<"$sources") files, median $median, longest $longest ($longest_file)"
echo "tests:  $test_lines lines in $(wc -l <<<"$tests") files, $(awk "BEGIN { printf \"%.2f\", $test_lines / $source_lines }") of the source lines"

bad=0
awk "BEGIN { exit !($test_lines < $RATIO_MIN * $source_lines) }" && { echo "too few test lines: at least $RATIO_MIN of the source lines"; bad=1; }
[[ $longest -gt $FILE_LINES_MAX ]] && { echo "too long: $longest_file has $longest lines, at most $FILE_LINES_MAX"; bad=1; }
[[ $median -gt $MEDIAN_LINES_MAX ]] && { echo "median source file has $median lines, at most $MEDIAN_LINES_MAX"; bad=1; }
exit $bad
