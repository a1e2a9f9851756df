#!/usr/bin/env bash
# Runs every fuzzer for a number of seconds and prints a table: executions, coverage, crashes.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

seconds=$1
filter=${2:-}
labels=$(bazel query --noshow_progress 'attr(tags, fuzzer, //...)' 2>/dev/null | grep -F -- "$filter" || true)
[[ -n "$labels" ]] || { echo "fuzz: no fuzzer's name contains '$filter'" >&2; exit 2; }
# shellcheck disable=SC2086
bazel build --noshow_progress --ui_event_filters=-info --config=fuzz $labels >&2
bin=$(bazel info --config=fuzz bazel-bin 2>/dev/null)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
crashes=0
row='%-52s %12s %10s %10s %8s\n'
results=()
for label in $labels; do
  path=$(sed 's|^//||; s|:|/|' <<<"$label")
  name=$(tr / - <<<"$path")
  mkdir -p "$work/$name" "build/fuzz/$name"
  seeds=()
  [[ -d tests/fuzz_corpus/$name ]] && seeds=("tests/fuzz_corpus/$name")
  echo "fuzzing $label for $seconds s" >&2
  status=0
  "$bin/$path" -max_total_time="$seconds" -len_control=20 -print_final_stats=1 -artifact_prefix="build/fuzz/$name/" \
    "$work/$name" "${seeds[@]}" >"$work/$name.log" 2>&1 || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/$name.log" | tail -n 1)
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$work/$name.log")
  found=0
  if [[ $status -ne 0 ]]; then
    found=1
    crashes=$((crashes + 1))
    tail -n 40 "$work/$name.log" >&2
    echo "the input that did it is in build/fuzz/$name/" >&2
  fi
  # shellcheck disable=SC2059
  results+=("$(printf "$row" "$label" "${executions:-0}" "${rate:-0}" "${coverage:-0}" "$found")")
done
# shellcheck disable=SC2059
printf "$row" fuzzer executions per-second edges crashes
printf '%s\n' "${results[@]}"
[[ $crashes -eq 0 ]]
