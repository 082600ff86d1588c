#!/bin/sh
# Where a host's cache ends comes from trainings: four are measured, each has a predicted time beside it, and the end is
# within the range that is tried.
set -eu
lspo=${LSPO:-$(command -v lspo)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
"$lspo" calibrate --quick -o host.ini >report 2>errors || fail "$(cat errors)"
awk -F, '$1 == "training" && $4 > 0 && $5 > 0 && $6 > -0.9 && $6 < 9 { n++ } END { exit n != 4 }' host.samples.csv ||
    fail "not four trainings: $(grep training host.samples.csv || true)"
awk -F' = ' 'function mib(text) { return (text + 0) * (text ~ /GiB/ ? 1024 : 1) }
    /^\[/ { gpu = /gpu/ } gpu && $1 == "near_bytes" { near = mib($2) } gpu && $1 == "cache_bytes" { end = mib($2) }
    END { exit !(near > 0 && end >= 1.2 * near && end <= 65 * near) }' host.ini || fail "$(grep _bytes host.ini)"
