#!/bin/bash
# mutate.sh changes what stands there exactly once and refuses everything else.
set -uo pipefail

mutate=tests/mutants/mutate.sh
dir=$(mktemp -d "${TEST_TMPDIR:-/tmp}/mutate.XXXXXX")
failures=0

expect() { # expect WHAT CONDITION...
  local what=$1
  shift
  if ! "$@"; then
    echo "FAILED: $what"
    failures=$((failures + 1))
  fi
}
run() { bash "$mutate" "$dir/in" "$dir/out" "$@" 2>"$dir/message"; }
refused() { ! run "$@" && [[ ! -e "$dir/out" ]]; }
becomes() { # becomes EXPECTED FIND REPLACE
  run "$2" "$3" && printf '%s' "$1" | cmp -s - "$dir/out" && rm "$dir/out"
}

printf 'if (a[0] == *b && c) {\n  Wait("$x \\ `y`");\n}\n\n' >"$dir/in"
expect "one place" becomes $'if (true) {\n  Wait("$x \\ `y`");\n}\n\n' 'a[0] == *b && c' 'true'
expect "nothing special in the replacement" \
  becomes $'if (a[0] == *b & \\1 $0 c) {\n  Wait("$x \\ `y`");\n}\n\n' '&& c' '& \1 $0 c'
expect "over line ends" becomes $'if (a[0] == *b && c) {}\n\n' $'{\n  Wait("$x \\ `y`");\n}' '{}'
expect "to nothing" becomes $'if (a[0] == *b && c) {\n  \n}\n\n' 'Wait("$x \ `y`");' ''
expect "missing" refused 'no such text' 'x'
expect "the message says what" grep -q 'in: .*not found:' "$dir/message"
expect "a pattern is not a glob" refused 'if*c' 'x'
expect "twice" refused $'\n' 'x'
true >"$dir/in"
expect "empty file" refused 'a' 'b'
printf 'aaa' >"$dir/in"
expect "overlapping places" refused 'aa' 'b'
expect "no change" refused 'aaa' 'aaa'
expect "empty pattern" refused '' 'b'

exit $((failures != 0))
