#!/usr/bin/env bash
# Runs the fuzzers, and measures which lines of the code that they attack their corpora reach. See usage below.
#
# build/fuzz/NAME/ keeps what a fuzzer found: corpus/ grows from run to run, findings/ holds the inputs that ended one,
# log its last output. tests/fuzz_corpus/NAME/ is the committed corpus, few and small files.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

readonly COVERAGE_MIN=95 CORPUS_FILES_MAX=200 CORPUS_KIB_MAX=200
readonly ROW='%-46s %12s %10s %18s %8s\n'

usage() {
  cat >&2 <<'HELP'
usage: ./dev fuzz SECONDS [NAME]                run every fuzzer, or those whose label contains NAME; print a table
       ./dev fuzz --seconds=S --runs=N [NAME]   the same, each until S seconds or N executions, whichever comes first
       ./dev fuzz --coverage [NAME]             run nothing new; list the lines that the corpora do not reach
       ./dev fuzz --merge [NAME]                take the least of what runs found into tests/fuzz_corpus
options: --jobs=N (default: a fuzzer for each CPU), --no-coverage (leaves out the second build)
HELP
  exit 2
}
die() { printf 'fuzz: %s\n' "$1" >&2; exit 2; }

mode=run seconds=0 runs=-1 jobs=$(nproc) measure=1 positional=()
for argument in "$@"; do
  case "$argument" in
    --seconds=*) seconds=${argument#*=} ;;
    --runs=*) runs=${argument#*=} ;;
    --jobs=*) jobs=${argument#*=} ;;
    --coverage) mode=coverage ;;
    --merge) mode=merge ;;
    --no-coverage) measure=0 ;;
    -*) usage ;;
    *) positional+=("$argument") ;;
  esac
done
if [[ $mode == run && $seconds == 0 && $runs == -1 ]]; then
  seconds=${positional[0]:-}
  positional=("${positional[@]:1}")
  [[ "$seconds" =~ ^[1-9][0-9]*$ ]] || usage
fi
[[ "$seconds" =~ ^[0-9]+$ && "$runs" =~ ^(-1|[0-9]+)$ && "$jobs" =~ ^[1-9][0-9]*$ ]] || usage
[[ ${#positional[@]} -le 1 ]] || usage
filter=${positional[0]:-}

# What vmbuskit_fuzzer wrote into a target's tags.
names=() labels=()
declare -A label_of=() corpus_of=() max_len_of=() covers_of=() path_of=()
find_fuzzers() {
  local label name tag
  while read -r label; do
    [[ "$label" == *"$filter"* ]] || continue
    name=${label##*:}
    labels+=("$label") names+=("$name")
    label_of[$name]=${label#//}
    path_of[$name]=$(sed 's|^//||; s|:|/|' <<<"$label")
    while read -r tag; do
      case "$tag" in
        corpus=*) corpus_of[$name]=tests/fuzz_corpus/${tag#*=} ;;
        max_len=*) max_len_of[$name]=${tag#*=} ;;
        covers=*) covers_of[$name]="${covers_of[$name]:-} ${tag#*=}" ;;
      esac
    done < <(bazel query --noshow_progress --output=build "$label" 2>/dev/null | sed -n 's/^  tags = \[\(.*\)\],$/\1/p' | tr -d '" ' | tr , '\n')
  done < <(bazel query --noshow_progress 'attr(tags, "\bfuzzer\b", //...)' 2>/dev/null)
  [[ ${#names[@]} -gt 0 ]] || die "no fuzzer's label contains '$filter'"
}

# Builds the fuzzers in a configuration; sets `bin`.
build() {
  echo "building ${#labels[@]} fuzzers (--config=$1)" >&2
  bazel build --noshow_progress --ui_event_filters=-info --show_result=0 --config="$1" "${labels[@]}" >&2 || exit 1
  bin=$(bazel info --config="$1" bazel-bin 2>/dev/null)
}

# The folders with inputs for a fuzzer: what earlier runs found, and what is committed.
inputs_of() {
  mkdir -p "build/fuzz/$1/corpus" "build/fuzz/$1/findings"
  inputs=("build/fuzz/$1/corpus")
  [[ -d "${corpus_of[$1]}" ]] && inputs+=("${corpus_of[$1]}")
}

declare -A pid_of=() started_at=() status_of=() coverage_of=()
interrupted=0
start() {
  local name=$1 inputs
  inputs_of "$name"
  "$bin/${path_of[$name]}" -max_total_time="$seconds" -runs="$runs" -max_len="${max_len_of[$name]}" -len_control=20 \
    -timeout=20 -print_final_stats=1 -artifact_prefix="build/fuzz/$name/findings/" "${inputs[@]}" \
    >"build/fuzz/$name/log" 2>&1 &
  pid_of[$name]=$!
  started_at[$name]=$SECONDS
  echo "$name: started" >&2
}

executions_of() {
  local log=build/fuzz/$1/log exact
  [[ -f "$log" ]] || { echo 0; return; }
  exact=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "${exact:-$(grep -ao '^#[0-9]*' "$log" | tail -n 1 | tr -d '#')}"
}

# Takes note of the fuzzers that ended; says how the others stand.
look() {
  local name running=() count
  for name in "${!pid_of[@]}"; do
    if kill -0 "${pid_of[$name]}" 2>/dev/null; then
      count=$(executions_of "$name")
      running+=("$name ${count:-0} executions, $((SECONDS - started_at[$name])) s")
      continue
    fi
    wait "${pid_of[$name]}"
    status_of[$name]=$?
    unset "pid_of[$name]"
    [[ -t 2 ]] && printf '\r\033[K' >&2
    echo "$name: $(executions_of "$name") executions in $((SECONDS - started_at[$name])) s" >&2
  done
  if [[ -t 2 ]]; then
    printf '\r\033[K%s' "$(IFS=';'; echo "${running[*]}" | cut -c "1-$((${COLUMNS:-100} - 1))")" >&2
  elif ((SECONDS >= next_line)) && [[ ${#running[@]} -gt 0 ]]; then
    printf '  %s\n' "${running[@]}" >&2
    next_line=$((SECONDS + 60))
  fi
}

run_all() {
  local waiting=("${names[@]}")
  next_line=$((SECONDS + 60))
  # libFuzzer ends with its statistics on SIGINT.
  trap 'interrupted=1; waiting=(); kill -INT "${pid_of[@]}" 2>/dev/null' INT TERM
  while [[ ${#waiting[@]} -gt 0 || ${#pid_of[@]} -gt 0 ]]; do
    while [[ ${#waiting[@]} -gt 0 && ${#pid_of[@]} -lt $jobs ]]; do
      start "${waiting[0]}"
      waiting=("${waiting[@]:1}")
    done
    sleep 1
    look
  done
  [[ -t 2 ]] && printf '\r\033[K' >&2
  trap - INT TERM
}

# The attacked sources of a fuzzer, one on each line.
covered_sources() {
  local pattern patterns files
  read -r -a patterns <<<"${covers_of[$1]}"
  for pattern in "${patterns[@]}"; do
    mapfile -t files < <(compgen -G "$pattern" | grep -vE '_(test|fuzz|benchmark)\.cc$')
    [[ ${#files[@]} -gt 0 ]] || die "$1 covers $pattern, which matches no file"
    printf '%s\n' "${files[@]}"
  done | sort -u
}

# Replays the corpora of a fuzzer; leaves build/fuzz/NAME/lines with "file lines reached" and "file:line" of the others.
measure_coverage() {
  local name=$1 inputs folder=build/fuzz/$1
  inputs_of "$name"
  rm -f "$folder"/*.profraw
  LLVM_PROFILE_FILE=$folder/run.profraw "$bin/${path_of[$name]}" -runs=0 -max_len="${max_len_of[$name]}" \
    -artifact_prefix="$folder/findings/" "${inputs[@]}" >"$folder/replay.log" 2>&1 ||
    { grep -aE 'requirement|Assertion|ERROR|Test unit' "$folder/replay.log" >&2; echo "fuzz: $name does not survive its corpus" >&2; return 1; }
  llvm-profdata-19 merge -sparse "$folder/run.profraw" -o "$folder/run.profdata" || return 1
  llvm-cov-19 export -format=lcov "$bin/${path_of[$name]}" -instr-profile="$folder/run.profdata" \
    -ignore-filename-regex='^/usr/' >"$folder/lcov" 2>/dev/null || return 1
  # A source without code, such as a header of constants, has no lines; one with code that is not linked is an error.
  covered_sources "$name" | awk -v lcov="$folder/lcov" '
    BEGIN {
      while ((getline line < lcov) > 0) {
        if (line ~ /^SF:/) { file = substr(line, 4); sub(/^\.\//, "", file); sub(/.*\/execroot\/[^\/]*\//, "", file) }
        if (line ~ /^DA:/) { split(substr(line, 4), part, ","); if (part[2] == 0) missed[file] = missed[file] " " part[1] }
        if (line ~ /^LF:/) found[file] = substr(line, 4)
        if (line ~ /^LH:/) reached[file] = substr(line, 4)
      }
    }
    {
      if (!($0 in found)) { if ($0 ~ /\.cc$/) print "absent", $0; next }
      print "file", $0, found[$0], reached[$0]
      count = split(missed[$0], at, " ")
      for (i = 1; i <= count; ++i) print "missed", $0, at[i]
    }' >"$folder/lines"
  if grep '^absent' "$folder/lines" >&2; then echo "fuzz: $name does not link these sources that it covers" >&2; return 1; fi
  coverage_of[$name]=$(awk '$1 == "file" { n += $3; m += $4 } END { printf "%.1f %% (%d/%d)", n ? 100 * m / n : 0, m, n }' "$folder/lines")
}

# True when a measured coverage is enough.
enough() { awk -v min="$COVERAGE_MIN" '{ exit !($1 >= min) }' <<<"${coverage_of[$1]:-0}"; }

list_missed() {
  local name=$1 kind file line reached
  echo "$name: ${coverage_of[$name]}"
  while read -r kind file line reached; do
    if [[ $kind == file ]]; then
      [[ $line == "$reached" ]] || echo "  $file: $reached of $line lines"
    else
      printf '    %s:%s: %s\n' "$file" "$line" "$(sed -n "${line}p" "$file")"
    fi
  done <"build/fuzz/$name/lines"
}

# 72: interrupted.
crashed() { [[ ${status_of[$1]:-72} != 0 && ${status_of[$1]:-72} != 72 ]]; }

row() {
  local name=$1 count rate found=0
  crashed "$name" && found=1
  count=$(executions_of "$name")
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "build/fuzz/$name/log" 2>/dev/null)
  # shellcheck disable=SC2059
  printf "$ROW" "${label_of[$name]}" "${count:-0}" "${rate:-0}" "${coverage_of[$name]:--}" "$found"
}

# Says what is wrong with a fuzzer's run, if anything.
judge() {
  local name=$1
  if crashed "$name"; then
    echo "fuzz: $name ended with status ${status_of[$name]}; build/fuzz/$name/findings has the input, build/fuzz/$name/log says:"
    sed -n '/requirement\|Assertion\|ERROR\|runtime error/,$p' "build/fuzz/$name/log" |
      grep -aE 'requirement|Assertion|ERROR|SUMMARY|runtime error| in .*vmbuskit::|Base64|Test unit' | head -n 20
    return 1
  fi >&2
  [[ $measure -eq 0 || $interrupted -eq 1 ]] || enough "$name" && return
  echo "fuzz: $name reaches less than $COVERAGE_MIN % of the lines that it attacks: ./dev fuzz --coverage $name" >&2
  return 1
}

merge() {
  local name=$1 folder=build/fuzz/$1 inputs files kib
  inputs_of "$name"
  rm -rf "$folder/merged"
  mkdir -p "$folder/merged"
  # By edges only, and of those a least cover: by counters a corpus has many times as many files.
  LLVM_PROFILE_FILE=/dev/null "$bin/${path_of[$name]}" -set_cover_merge=1 -use_counters=0 -max_len="${max_len_of[$name]}" \
    -artifact_prefix="$folder/findings/" "$folder/merged" "${inputs[@]}" >"$folder/merge.log" 2>&1 ||
    { tail -n 20 "$folder/merge.log" >&2; return 1; }
  files=$(find "$folder/merged" -type f | wc -l)
  kib=$(find "$folder/merged" -type f -printf '%s\n' | awk '{ n += $1 } END { print int((n + 1023) / 1024) }')
  echo "$name: $files files, $kib KiB"
  if [[ $files -eq 0 || $files -gt $CORPUS_FILES_MAX || $kib -gt $CORPUS_KIB_MAX ]]; then
    echo "fuzz: a committed corpus has 1 to $CORPUS_FILES_MAX files and at most $CORPUS_KIB_MAX KiB" >&2
    return 1
  fi
  rm -rf "${corpus_of[$name]}"
  mv "$folder/merged" "${corpus_of[$name]}"
}

failed=0
find_fuzzers
case "$mode" in
  coverage)
    build fuzzcov
    for name in "${names[@]}"; do
      measure_coverage "$name" || { failed=1; continue; }
      list_missed "$name"
      enough "$name" || failed=1
    done
    ;;
  merge)
    build fuzzcov
    for name in "${names[@]}"; do merge "$name" || failed=1; done
    ;;
  run)
    build fuzz
    run_all
    if [[ $measure -eq 1 && $interrupted -eq 0 ]]; then
      build fuzzcov
      for name in "${names[@]}"; do measure_coverage "$name"; done
    fi
    # shellcheck disable=SC2059
    printf "$ROW" fuzzer executions per-second "line coverage" crashes
    for name in "${names[@]}"; do row "$name"; done
    for name in "${names[@]}"; do judge "$name" || failed=1; done
    [[ $interrupted -eq 1 ]] && exit 130
    ;;
esac
exit "$failed"
