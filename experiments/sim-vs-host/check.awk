# cells.csv summary.csv: is the grid balanced, was enough measured, and are the errors within the limits?
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 {
    cells++
    class[get("bound")]++
    if (get("disturbed") == "false") { calm++; calm_of[get("bound")]++ }
    next
}
get("cells") == "all" {
    mean[get("predictor"), get("quantity")] = get("mean")
    p95[get("predictor"), get("quantity")] = get("p95")
    if (get("predictor") == "measured again") again = get("mean")
}

# An error of a predictor; without a judged cell there is none.
function error_of(predictor, what) {
    if (mean[predictor, "time"] == "")
        return what " unknown, because no cell was judged"
    return sprintf("%s %.1f %%", what, 100 * mean[predictor, "time"])
}
function misses(predictor) {
    return mean[predictor, "time"] > 0.04 || p95[predictor, "time"] > 0.10
}

END {
    if (aborted) exit 2
    split("gpu link cpu", names, " ")
    split("native + bytes/link|slowest lane", naive, "|")
    printf "\n"
    require(cells >= (full ? 80 : 30), cells " cells, at least " (full ? 80 : 30))
    for (c = 1; c <= 3; c++)
        require(class[names[c]] >= 0.3 * cells, \
            sprintf("%d of %d cells are bound by the %s, about a third", class[names[c]], cells, names[c]))
    # Cells that were always disturbed do not count, because they measure other processes; too few others are
    # inconclusive.
    require(calm >= 0.75 * cells && min(min(calm_of["gpu"], calm_of["link"]), calm_of["cpu"]) >= 0.2 * cells, \
        sprintf("%d of %d cells were measured undisturbed, at least three quarters, and 20 %% of all in each class",
            calm, cells))
    require(verdict == 0, \
        "the thresholds of lspo validate hold (" error_of("lspo", "mean error") \
            (again == "" ? "" : sprintf("; a second measurement differs by %.1f %%", 100 * again)) ")")
    for (n = 1; n <= 2; n++)
        require(misses(naive[n]),
            "'" naive[n] "' misses them (" error_of(naive[n], "mean error") ")")
    finish()
}
