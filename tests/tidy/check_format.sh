#!/usr/bin/env bash
# Fails, naming the places, when a C++ file is not as .clang-format would have it.
set -euo pipefail
cd "$(dirname "$0")/../.."

mapfile -d '' files < <(find gateway tests benchmarks \
  \( -name node_modules -o -name build \) -prune -o \
  \( -name '*.cc' -o -name '*.h' \) -print0)
if [ "${#files[@]}" -eq 0 ]; then
  echo "no C++ file found: this check would pass on anything" >&2
  exit 1
fi
clang-format --dry-run -Werror "${files[@]}"
echo "${#files[@]} files are formatted"
