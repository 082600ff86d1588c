# cells.csv summary.csv of a grid with gates of its own: are there enough cells, and are times and order predicted?  Of
# `what`, at least `least` cells; the limit of the mean error; the least tau, or 0 where no order is judged.
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
    require(cells >= least, cells " cells of " what ", at least " least)
    require(calm >= 0.75 * cells, calm " of them were measured undisturbed, at least three quarters")
    require(mean["time"] != "" && mean["time"] <= limit,
        sprintf("the time of %s is predicted within %g %% on average (%.1f %%)", what, 100 * limit, 100 * mean["time"]))
    if (tau_least > 0)
        require(tau != "" && tau >= tau_least,
            sprintf("the order of policies is predicted, tau at least %g (%s)", tau_least, tau))
    finish()
}
