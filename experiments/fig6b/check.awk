FNR == 1 {
    csv_header($0)
    printf "  %-5s %3s %3s %-14s %7s %7s %8s %8s %8s %8s\n", "text", "d", "r", "weight", "random", "learned", "galore",
        "formula", "floor", "fit (ms)"
    next
}
{
    csv_row($0)
    d = get("subspace"); r = get("nnz"); learned = get("learned"); random = get("random")
    printf "  %-5s %3d %3d %-14s %7.3f %7.3f %8.3f %8.3f %8.4f %8.0f\n", get("text"), d, r, get("weight"), random,
        learned, get("galore"), get("galore_formula"), get("floor"), 1000 * get("fit_s")
    cells++
    gain = random - learned
    least_gain = cells == 1 ? gain : min(least_gain, gain)
    if (get("floor") > learned + 1e-6 || get("floor") > random + 1e-6) below++
    if (random > 1) above++
    if (get("raw") <= 1) tame++
    beats_bytes += learned < get("galore")
    if (get("galore_formula_rank") > 0) { formula_cells++; beats_formula += learned < get("galore_formula") }
    if (get("text") == "own" && r == 4) { at_four[d] += learned; formula_at_four[d] += get("galore_formula") }
}
END {
    if (aborted) exit 2
    require(least_gain > 0.05,
        "on held-out gradients learned projectors lose less than optimally scaled random ones at equal d and r")
    require(above + 0 == 0, "at its best scale no pair loses more than everything")
    require(tame + 0 == 0, "unscaled random projectors have a bias above 1")
    require(below + 0 == 0, "no pair goes below the SVD floor at its rank")
    for (d in at_four) if (at_four[d] >= formula_at_four[d]) lost = lost " d=" d
    require(lost == "", "own text, r = 4: learned below GaLore on average over the weights, memory counted as the " \
        "paper does" (lost == "" ? "" : ", but not at" lost))
    printf "  learned below GaLore at equal bytes: %d of %d cells; counted in numbers as the paper does: %d of %d\n",
        beats_bytes, cells, beats_formula, formula_cells
    print "  (the paper: everywhere; not gated, see README)"
    finish()
}
