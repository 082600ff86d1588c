#!/bin/bash
# The files in machines/, models/ and frameworks/: each is compiled in, each value has its source beside it, and a
# source that is a formula gives the value.  A rule is tried on a broken line first, so that a check that finds nothing
# can find something.
set -eu
build=$(cd "$(dirname "${LSPO:-./lspo}")" && pwd)
lspo=$build/lspo
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
LC_ALL=C
export LC_ALL
fail() {
    echo "$*"
    exit 1
}

# Print a line for each value of the file $1 without a source, with too long a one, or one whose formula gives another
# value.  A formula is what stands between "; =" and the next colon, in the unit of the value; products, quotients,
# sums and differences are computed by hand here, from left to right but for the usual precedence and parentheses.
offences() {
    awk '
    function fault(what) { print FILENAME ":" FNR ": " what ": " $0 }
    function skip() { while (substr(text, at, 1) == " ") at++ }
    function factor(   digits, value) {
        skip()
        if (substr(text, at, 1) == "(") {
            at++; value = sum(); skip()
            if (substr(text, at, 1) != ")") bad = 1
            at++
            return value
        }
        digits = ""
        while (substr(text, at, 1) ~ /[0-9.]/) { digits = digits substr(text, at, 1); at++ }
        if (digits == "") bad = 1
        return digits + 0
    }
    function product(   value, sign, right) {
        value = factor()
        while (1) {
            skip(); sign = substr(text, at, 1)
            if (sign != "*" && sign != "/") return value
            at++; right = factor()
            if (sign == "/" && right == 0) { bad = 1; return 0 }
            value = sign == "*" ? value * right : value / right
        }
    }
    function sum(   value, sign, right) {
        value = product()
        while (1) {
            skip(); sign = substr(text, at, 1)
            if (sign != "+" && sign != "-") return value
            at++; right = product()
            value = sign == "+" ? value + right : value - right
        }
    }
    /^#/ || /^\[/ || /^$/ { next }
    /^(name|description|source|evidence|group|pcie|base|card|host|framework) = / { next }
    {
        start = index($0, " ; ")
        if (start == 0) { fault("no source"); next }
        note = substr($0, start + 3)
        if (length(note) < 6) fault("no source")
        if (length(note) > 100) fault("a source above 100 characters")
        if (note ~ /^fit, / && note !~ /^fit, prior [0-9.]+( [A-Za-z\/]+)?: ./) fault("no prior")
        if (substr(note, 1, 2) != "= ") next
        text = substr(note, 3); sub(/:.*/, "", text)
        value = substr($0, 1, start - 1); sub(/^[^=]*= */, "", value); sub(/ .*/, "", value)
        at = 1; bad = 0; computed = sum(); skip()
        if (bad || at <= length(text)) { fault("no formula"); next }
        if (computed - value > 1e-12 * value || value - computed > 1e-12 * value) fault("the formula gives " computed)
    }' "$1"
}

expect() { # 0: no fault, 1: a fault; the line
    printf '[gpu]\n%s\n' "$2" > "$scratch/example.ini"
    found=$(offences "$scratch/example.ini" | wc -l)
    [ "$found" = "$1" ] || fail "$found faults, not $1, in: $2"
}
expect 0 'a = 8.22 G/s ; = 2 * 4.11: twice'
expect 0 'a = 7 ; = 1 + 2 * 3'
expect 0 'a = 7 us ; fit, prior 5 us: measured by others'
expect 1 'a = 7 us ; fit, before 5 us: measured by others'
expect 0 'a = 9.5 ; = (1 + 2) * 3 + 1 / 2: see also: the sheet'
expect 0 'a = 7 ; sheet: = 8'
expect 1 'a = 8.22 G/s'
expect 1 'a = 8.22 G/s ; '
expect 1 'a = 8.23 G/s ; = 2 * 4.11: twice'
expect 1 'a = 8.22 G/s ; = 2 * x: twice'
expect 1 'a = 8.22 G/s ; = 8.22 / 0'
expect 1 "a = 7 ; $(printf '%0101d' 0)"

cd "$source_dir"
for file in machines/*.ini machines/*/*.ini models/*.ini frameworks/*.ini; do
    found=$(offences "$file")
    [ -z "$found" ] || fail "$found"
    grep -qx "name = $(basename "$file" .ini)" "$file" || fail "$file has another name than its file"
done

# Compiled in are all of them, and as they stand there: a file read by its path gives what its name gives.
for list in machines cards hosts models frameworks; do
    case $list in cards | hosts) folder=machines/$list ;; *) folder=$list ;; esac
    "$lspo" list $list --format csv | tail -n +2 | cut -d, -f1 | sort > "$scratch/names"
    [ $list = machines ] && usual=$(grep -l '^host = ' machines/cards/*.ini) || usual=
    for file in "$folder"/*.ini $usual; do basename "$file" .ini; done | sort -u | diff "$scratch/names" - ||
        fail "$folder and \`lspo list $list\` differ: is a file missing from local.am?"
done
for file in machines/*.ini; do
    "$lspo" show machine "$file" > "$scratch/file"
    "$lspo" show machine "$(basename "$file" .ini)" | diff - "$scratch/file" || fail "$file differs from the preset"
    [ "$(grep -c ' ; ' "$scratch/file")" -gt 20 ] || fail "lspo show machine $file has no sources"
done
for file in models/*.ini; do
    name=$(basename "$file" .ini)
    policy=zero
    ! grep -q "^experts = " "$file" || policy=resident # they are not trained
    set -- sim --machine paper-workstation --policy $policy --sequence 128 --format json --model
    "$lspo" "$@" "$file" > "$scratch/file"
    "$lspo" "$@" "$name" | diff - "$scratch/file" ||
        fail "$file differs from the preset"
done

# Every card and host says what it rests on and where it belongs.  Cards and hosts can be joined, but for those that
# stand in for others and for the superchip, whose link is not PCIe.
for file in machines/cards/*.ini machines/hosts/*.ini; do
    grep -q '^base = ' "$file" && continue
    for key in evidence group pcie host; do
        case $key/$file in
        pcie/*/host-core.ini | pcie/*/gh200.ini | pcie/*/grace-480gb.ini) continue ;;
        host/machines/hosts/* | host/*/host-core.ini | host/*/gh200.ini) continue ;;
        esac
        grep -q "^$key = " "$file" || fail "$file has no $key"
    done
done
for file in machines/cards/*.ini; do
    name=$(basename "$file" .ini)
    grep -q '^host = ' "$file" || continue
    "$lspo" show machine "$name" > "$scratch/file"
    grep -qx "name = $name" "$scratch/file" && [ "$(grep -c ' ; ' "$scratch/file")" -gt 30 ] ||
        fail "lspo show machine $name: another name, or no sources"
    "$lspo" show machine "$name+desktop-ddr4" | grep -qx "name = $name+desktop-ddr4" || fail "$name+desktop-ddr4"
done

# A changed value loses its source.
"$lspo" show machine rtx4090 --link 7GB/s | grep -qx 'h2d_Bps = 7 GB/s' ||
    fail "a value that --link changed has a source"
"$lspo" show machine rtx4090 --link 7GB/s | grep -q '^memory_bytes = .* ; ' || fail "an unchanged value lost its source"
