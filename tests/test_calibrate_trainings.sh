#!/bin/sh
# Where a host's cache ends and how fast kernels are in a training come from trainings: twelve are measured, each has a
# predicted time beside it, half of them above the measured one and half below (what is within 1e-4 of it counts for neither:
# the speed that halves them is rounded), and the end is within the range that is tried.
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
awk -F, '$1 == "training" && $4 > 0 && $5 > 0 && $6 > -0.9 && $6 < 9 { n++; above += $6 > 1e-4; below += $6 < -1e-4 }
    END { exit !(n == 12 && above <= 6 && below <= 6) }' host.samples.csv ||
    fail "not twelve trainings about their median: $(grep training host.samples.csv || true)"
awk -F' = ' 'function mib(text) { return (text + 0) * (text ~ /GiB/ ? 1024 : 1) }
    /^\[/ { gpu = /gpu/ } gpu && $1 == "near_bytes" { near = mib($2) } gpu && $1 == "cache_bytes" { end = mib($2) }
    END { exit !(near > 0 && end >= 1.2 * near && end <= 65 * near) }' host.ini || fail "$(grep _bytes host.ini)"
