#!/usr/bin/env bash
# The bands around predictions: what `lspo validate --bands` writes, and that `lspo sim` prints and uses those of
# experiments/published/bands.csv.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
with_lib() { awk -v OFMT=%.12g -f "$source_dir/bundle/lib.awk" "$@"; }
published=$source_dir/experiments/published
"$program" validate --published "$published/open.csv" --format csv --bands "$folder/bands.csv" > "$folder/rows.csv"

# The committed file: the same groups and numbers of steps.  Its bands, of sources left out, take a minute of fits:
# experiments/published compares them.
check "the groups of bands.csv" "$(cut -d, -f 1-4 "$folder/bands.csv")" "$(cut -d, -f 1-4 "$published/bands.csv")"

# One group by hand: the adapters of framework eager; percentiles between the two nearest of sorted values.
cat > "$folder/ratios.awk" <<'AWK'
FNR == 1 { csv_header($0); next }
{ csv_row($0) }
get("kind") == "peft" && get("framework") == "eager" { print get("measured_s") / get("predicted_s") }
AWK
expected=$(with_lib -f "$folder/ratios.awk" "$folder/rows.csv" | sort -g | awk '
    { v[NR] = $1; e = 1 / $1 - 1; sum += e < 0 ? -e : e }
    function at(share,   x, below) {
        x = 1 + share * (NR - 1)
        below = int(x)
        return v[below] + (x - below) * (v[below + 1] - v[below])
    }
    END { printf "%d %.3f %.3f %.3f", NR, sum / NR, at(0.1), at(0.9) }')
check "a group by hand" "$expected" \
    "$(awk -F, '$1 == "peft" && $2 == "eager" { printf "%d %.3f %.3f %.3f", $4, $5, $6, $7 }' "$folder/bands.csv")"

# The sentence and the record have the same band.
sim=(sim --model llama-7b --machine rtx4090 --framework eager --policy lora)
low=$("$program" "${sim[@]}" --format csv > "$folder/sim.csv"
    with_lib -f "$source_dir/bundle/field.awk" -v name=expect_low_s "$folder/sim.csv")
check "low of the record" "$(awk -v s="$(with_lib -f "$source_dir/bundle/field.awk" -v name=iteration_s \
    "$folder/sim.csv")" -F, '$1 == "peft" && $2 == "eager" { printf "%.6g", s * $6 }' "$published/bands.csv")" \
    "$(printf %.6g "$low")"
check "the sentence" 1 "$("$program" "${sim[@]}" --format table | tr '\n' ' ' |
    grep -c "^[^:]*: llama-7b by lora.*Expect $(awk -v s="$low" 'BEGIN { printf "%.0f", 1000 * s }') ms to .*: fitted \
profile; framework eager, .* published peft steps")"
# What explains a measured step is what the same command predicts with these flags.
asked=(sim --model llama-7b --machine rtx4090 --framework deepspeed --policy zero)
check "outside the band" 5 "$(status_of "$program" "${asked[@]}" --measured 25s --format csv)"
explained=$(with_lib -f "$source_dir/bundle/field.awk" -v name=explained_by "$folder/stdout")
check "something explains it" yes "$([ -n "$explained" ] && echo yes)"
echo "$explained" | sed 's/; /\n/g' > "$folder/flags"
while read -r flags; do
    "$program" "${asked[@]}" $flags --format csv > "$folder/sim.csv"
    check "$flags" yes "$(for name in expect_low_s expect_high_s; do
        with_lib -f "$source_dir/bundle/field.awk" -v name=$name "$folder/sim.csv"
    done | tr '\n' ' ' | awk '{ print ($1 <= 25 && 25 <= $2) ? "yes" : "from " $1 " to " $2 }')"
done < "$folder/flags"
check "at half the band's width" 0 "$(status_of "$program" "${asked[@]}" --measured 6s)"
check "bands need steps" 2 "$(status_of "$program" validate --grid g --bands "$folder/b.csv")"
finish bands
