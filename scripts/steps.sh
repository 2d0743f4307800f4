# shellcheck shell=bash
# Sourced by scripts/test and scripts/test-full: named steps, how long each took, and the table at the end.

rows=()
failures=0

# Runs `step NAME COMMAND...`; a failure is counted and the next step runs all the same.
step() {
  local name=$1 start=$SECONDS verdict=ok
  shift
  printf '\n==> %s\n' "$name"
  "$@" || {
    verdict=FAILED
    failures=$((failures + 1))
  }
  rows+=("$(printf '%-44s %6d s  %s' "$name" $((SECONDS - start)) "$verdict")")
}

# Adds a line below the last step, for parts that it measured itself.
detail() {
  rows+=("$(printf '  %-42s %6s s  %s' "$@")")
}

# Prints the table and succeeds if every step did.
report() {
  printf '\n%-44s %8s  %s\n' step time result
  printf '%s\n' "${rows[@]}"
  printf '%-44s %6d s  %s\n' total "$SECONDS" "$([ "$failures" -eq 0 ] && echo ok || echo "$failures FAILED")"
  [ "$failures" -eq 0 ]
}

# The folder that cargo builds into.
target() {
  cargo metadata --no-deps --format-version=1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# Stops with a sentence that says what to install, unless `need COMMAND HINT` finds the command.
need() {
  command -v "$1" >/dev/null || {
    printf '%s is missing; %s\n' "$1" "$2" >&2
    exit 1
  }
}
