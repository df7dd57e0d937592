#!/usr/bin/env bash
# Runs clang-tidy on the C++ sources changed since a commit (default: the main branch), and on the
# sources whose own header changed. Not part of CI: one file takes some seconds.
#   tests/tidy/clang_tidy.sh [--all | COMMIT]      needs a configured build/dev
set -euo pipefail
cd "$(dirname "$0")/../.."

build=build/dev
if [ ! -f "$build/compile_commands.json" ]; then
  echo "run 'cmake --preset dev' first" >&2
  exit 2
fi
if [ "${1:-}" = --all ]; then
  changed=$(git ls-files '*.cc')
else
  changed=$({ git diff --name-only --diff-filter=d "${1:-main}"; \
              git ls-files --others --exclude-standard; } | sort -u)
fi
sources=()
for file in $changed; do
  case $file in
    *.cc) ;;
    *.h) file=${file%.h}.cc ;;
    *) continue ;;
  esac
  # Only what the build knows: generated and optional sources have no flags.
  if [ -f "$file" ] && grep -qF "/$file\"" "$build/compile_commands.json"; then
    sources+=("$file")
  fi
done
if [ "${#sources[@]}" -eq 0 ]; then
  echo "nothing to check"
  exit 0
fi
printf '%s\n' "${sources[@]}" | sort -u | xargs -r -P "$(nproc)" -n 1 clang-tidy -p "$build" --quiet
