#!/usr/bin/env bash
# Published GPU steps: predict each one, and draw predicted against measured seconds.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open published
here=$experiments_dir/published
"$LSPO" validate --published "$here/open.csv" --format json > "$out/published.json" ||
    die "lspo validate --published failed"
"$LSPO" validate --published "$here/open.csv" --format csv > "$out/published.csv" ||
    die "lspo validate --published failed"
mkdir "$out/frameworks"
"$LSPO" validate --published "$here/open.csv" --fit "$out/frameworks" --leave-out --bands "$out/bands.csv" \
    --format json > "$out/fit.json" || die "lspo validate --published --fit failed"
rows=$(awk 'END { print NR - 1 }' "$out/published.csv")
plot published "$out/published" note="Predicted against measured: $rows steps that others published"
# value FILE KEY: a number of the JSON object
value() { sed -n "s/^  \"$2\": \(.*\),\$/\1/p" "$out/$1.json"; }
bands_differ=$(awk_csv "$here/same_bands.awk" "$here/bands.csv" "$out/bands.csv" | sort)
awk_csv "$here/check.awk" -v bands_differ="$bands_differ" \
    -v order_pairs="$(value published order_pairs)" -v card_pairs="$(value published card_pairs)" \
    -v card_right="$(value published card_right)" -v fitted_mape="$(value fit mape)" \
    -v left_out="$(value fit leave_out_mean_of_sources)" "$out/published.csv"
