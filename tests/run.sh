#!/usr/bin/env bash
# Installs what the tests need, builds, and runs everything that CI runs.
#   tests/run.sh           all of it
#   tests/run.sh --fast    without ThreadSanitizer and without browsers
# Ends with "N passed, N failed"; fails unless everything passed. Can be run again at any time.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

fast=no
case "${1:-}" in
  "") ;;
  --fast) fast=yes ;;
  *) echo "usage: tests/run.sh [--fast]" >&2; exit 2 ;;
esac

jobs=$(nproc)
passed=0
failed=0
times=()
# The same object file for the same source, wherever the tree lies.
export CCACHE_BASEDIR="${CCACHE_BASEDIR:-$PWD}" CCACHE_NOHASHDIR="${CCACHE_NOHASHDIR:-1}"

finish() {
  printf '\n'
  [ "${#times[@]}" -eq 0 ] || printf '%s\n' "${times[@]}"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

# stage WHAT COMMAND...: runs one stage and notes its time. What is built on a stage that failed
# cannot run, so a failure ends the script, counted as one.
stage() {
  local what=$1 start=$SECONDS
  shift
  printf '\n== %s\n' "$what"
  if ! "$@"; then
    times+=("$(printf '%6d s  %s: FAILED' $((SECONDS - start)) "$what")")
    failed=$((failed + 1))
    finish
  fi
  times+=("$(printf '%6d s  %s' $((SECONDS - start)) "$what")")
}

# run_tests WHAT PRESET CTEST-OPTION...: runs tests, adds them up, and goes on whatever they say.
run_tests() {
  local what=$1 build=build/$2 start=$SECONDS report total bad
  shift 2
  report=$PWD/$build/report.xml
  rm -f "$report"
  printf '\n== %s\n' "$what"
  ctest --test-dir "$build" --output-on-failure --no-tests=error --output-junit "$report" "$@"
  if [ ! -s "$report" ]; then
    echo "ctest left no report" >&2
    failed=$((failed + 1))
    return
  fi
  total=$(attribute tests "$report")
  # A test that did not run has proved nothing.
  bad=$(($(attribute failures "$report") + $(attribute disabled "$report") +
         $(attribute skipped "$report")))
  [ "$total" -gt 0 ] || bad=1
  failed=$((failed + bad))
  passed=$((passed + (total > bad ? total - bad : 0)))
  times+=("$(printf '%6d s  %s: %d of %d' $((SECONDS - start)) "$what" $((total - bad)) "$total")")
}

attribute() {
  local value
  value=$(grep -o -m 1 "\b$1=\"[0-9]*\"" "$2" | head -n 1 | tr -dc 0-9)
  echo "${value:-0}"
}

missing_packages() {
  local name rest
  while read -r name rest; do
    case $name in
      "" | \#*) continue ;;
      nodejs | npm) command -v node >/dev/null && command -v npm >/dev/null && continue ;;
    esac
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
  done <tests/packages.txt
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -eq 0 ]; then
    echo "nothing to install"
    return
  fi
  echo "installing: ${missing[*]}"
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# What is already there and right is left alone, so that a second run needs no network.
install_node_modules() {
  if npm ls --prefix tests/interop >/dev/null 2>&1; then
    echo "nothing to install"
  else
    npm ci --prefix tests/interop --no-audit --no-fund
  fi
}

configure_and_build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build "build/$preset" -j "$jobs" "$@"
}

stage "packages" install_packages
if [ "$fast" = no ]; then stage "node modules" install_node_modules; fi
stage "build with AddressSanitizer" configure_and_build dev
run_tests "unit, simulation, fuzz corpora, tidy" dev -LE interop -j "$jobs"
if [ "$fast" = no ]; then
  stage "build with ThreadSanitizer" configure_and_build tsan --target label_threads
  run_tests "threads" tsan -L threads
  run_tests "interop" dev -L interop
fi
finish
