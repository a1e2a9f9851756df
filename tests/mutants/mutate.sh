#!/bin/bash
# mutate.sh SOURCE OUTPUT FIND REPLACE: copies SOURCE with FIND, which must stand there exactly once, replaced.
set -euo pipefail
export LC_ALL=C

source=$1 output=$2 find=$3 replace=$4
if [[ -z "$find" || "$find" == "$replace" ]]; then
  echo "$source: nothing to change" >&2
  exit 1
fi
text=$(cat "$source" && printf x) # the x keeps the line ends at the end of the file
text=${text%x}
behind=${text#*"$find"}
if [[ "$behind" == "$text" ]]; then
  printf '%s: this mutant does not apply any more, not found:\n%s\n' "$source" "$find" >&2
  exit 1
fi
if [[ "$behind" != "${text##*"$find"}" ]]; then
  printf '%s: this mutant is ambiguous, found more than once:\n%s\n' "$source" "$find" >&2
  exit 1
fi
before=${text:0:${#text}-${#behind}-${#find}}
printf '%s%s%s' "$before" "$replace" "$behind" >"$output"
