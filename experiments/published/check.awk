# Prints the errors by framework and source, and judges their means.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    rows++
    add("framework", get("framework"), get("error"))
    add("source", get("source"), get("error"))
    if (!(get("predicted_s") > 0 && get("measured_s") > 0)) bad_times++
    if (abs(get("predicted_s") / get("measured_s") - 1 - get("error")) > 1e-6) bad_errors++
    if (!(get("peak_gpu_bytes") > 0 && get("peak_gpu_bound_bytes") >= get("peak_gpu_bytes"))) bad_peaks++
    if (get("published_peak_gpu_bytes") != "") peaks++
    sum += get("error")
    size += abs(get("error"))
}
function add(grouping, name, error,    key) {
    key = grouping SUBSEP name
    if (!(key in count)) order[++groups] = key
    count[key]++
    sums[key] += error
    sizes[key] += abs(error)
}
function show(grouping,    i, part) {
    printf "  %-20s %5s %8s %8s\n", grouping, "rows", "error", "bias"
    for (i = 1; i <= groups; i++) {
        split(order[i], part, SUBSEP)
        if (part[1] != grouping) continue
        printf "  %-20s %5d %6.1f %% %+6.1f %%\n", part[2], count[order[i]], 100 * sizes[order[i]] / count[order[i]],
            100 * sums[order[i]] / count[order[i]]
        if (grouping == "source") { sources++; of_sources += sizes[order[i]] / count[order[i]] }
    }
}
END {
    if (aborted) exit 2
    show("framework")
    show("source")
    printf "  %-20s %5d %6.1f %% %+6.1f %%, mean of sources %.1f %%\n", "all", rows, 100 * size / max(rows, 1),
        100 * sum / max(rows, 1), 100 * of_sources / max(sources, 1)
    require(rows == 199 && sources == 15, sprintf("199 rows of 15 sources (%d of %d)", rows, sources))
    require(rows > 0 && bad_times == 0, "every time is a number above 0")
    require(rows > 0 && bad_errors == 0, "errors are predicted / measured - 1")
    require(rows > 0 && bad_peaks == 0, "every predicted peak is above 0 and at most its bound")
    require(order_pairs == 27 && card_pairs == 29,
        sprintf("27 pairs of policies and 29 of cards (%d and %d)", order_pairs, card_pairs))
    require(peaks == 25, sprintf("25 published peaks (%d)", peaks))
    mean = size / max(rows, 1)
    bias = sum / max(rows, 1)
    of_sources /= max(sources, 1)
    require(mean <= 0.15, sprintf("mean error at most 15 %% (%.1f %%)", 100 * mean))
    require(of_sources <= 0.17, sprintf("mean of sources at most 17 %% (%.1f %%)", 100 * of_sources))
    require(abs(bias) <= 0.05, sprintf("bias at most 5 %% either way (%+.1f %%)", 100 * bias))
    require(card_right >= 28, sprintf("28 of 29 pairs of cards in order (%d)", card_right))
    require(left_out > 0 && left_out < 0.2,
        sprintf("mean of sources below 20 %% for sources left out (%.1f %%)", 100 * left_out))
    require(abs(fitted_mape - mean) < 1e-6,
        sprintf("frameworks/ has what the fit finds (%.4f %% and %.4f %%)", 100 * mean, 100 * fitted_mape))
    require(bands_differ == "", "bands.csv has the bands of this version" (bands_differ == "" ? "" : ": " bands_differ))
    finish()
}
