#!/usr/bin/env bash
# Prints the size of every product and device class, and the shared libraries each product links.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

[[ $# -eq 0 ]] || { echo "size: takes no arguments" >&2; exit 2; }
mode=(-c opt --config=bench)
quiet=(--noshow_progress)
products=$(bazel query "${quiet[@]}" 'attr(tags, product, //...)' 2>/dev/null | sort)
classes=$(bazel query "${quiet[@]}" 'attr(tags, device_class, //...)' 2>/dev/null | sort)
# shellcheck disable=SC2086
bazel build "${quiet[@]}" --ui_event_filters=-info "${mode[@]}" --strip=always $products $classes >&2
bin=$(bazel info "${mode[@]}" --strip=always bazel-bin 2>/dev/null)

print_row() { printf '%-44s %10s %9s %9s  %s\n' "$@" | sed 's/ *$//'; }
path_of() { sed 's|^//||; s|:|/|' <<<"$1"; }

print_row "product" text data bss "shared libraries"
for label in $products; do
  file=$bin/$(path_of "$label")
  read -r text data bss _ < <(size "$file" | tail -n 1)
  libraries=$(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
  print_row "$label" "$text" "$data" "$bss" "$libraries"
done

echo
print_row "device class" text data bss ""
for label in $classes; do
  path=$(path_of "$label")
  archive=$bin/$(dirname "$path")/lib$(basename "$path").a
  read -r text data bss _ < <(size -t "$archive" | tail -n 1)
  print_row "$label" "$text" "$data" "$bss" ""
done
