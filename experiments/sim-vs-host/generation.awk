# cells.csv summary.csv of grid-generation: are there enough cells, and are times and order predicted?
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 {
    cells++
    calm += get("disturbed") == "false"
    next
}
get("cells") == "all" && get("predictor") == "lspo" {
    mean[get("quantity")] = get("mean")
    if (get("quantity") == "time") tau = get("tau")
}
END {
    if (aborted) exit 2
    require(cells >= 30, cells " cells of generation, at least 30")
    require(calm >= 0.75 * cells, calm " of them were measured undisturbed, at least three quarters")
    require(mean["time"] != "" && mean["time"] <= 0.04,
        sprintf("a token's time is predicted within 4 %% on average (%.1f %%)", 100 * mean["time"]))
    require(tau != "" && tau >= 0.9, sprintf("the order of policies is predicted, tau at least 0.9 (%s)", tau))
    finish()
}
