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
# value FILE KEY: a number of the JSON object
value() { sed -n "s/^  \"$2\": \(.*\),\$/\1/p" "$out/$1.json"; }
judge published recorded="$here/bands.csv" --given order_pairs="$(value published order_pairs)" \
    --given card_pairs="$(value published card_pairs)" --given card_right="$(value published card_right)" \
    --given fitted_mape="$(value fit mape)" --given left_out="$(value fit leave_out_mean_of_sources)"
rows=$(query "$out/published.csv" "SELECT count(*) FROM rows")
plot published "$out/published" note="Predicted against measured: $rows steps that others published"
