# The order of held-out losses against the order of biases: the share of pairs of subspaces, alike but for the fit, in
# which the one of lower bias ends lower.
FNR == 1 {
    csv_header($0)
    printf "  %3s %9s %10s %4s %7s %14s\n", "r", "fit steps", "Adam in", "seed", "bias", "held-out loss"
    next
}
{
    csv_row($0)
    n = ++rows
    group[n] = get("nnz") "," get("adam_basis") "," get("seed")
    basis[n] = get("adam_basis"); fit[n] = get("fit_steps"); bias[n] = get("bias"); loss[n] = get("held_out_loss")
    printf "  %3d %9d %10s %4d %7.3f %14.3f\n", get("nnz"), fit[n], basis[n], get("seed"), bias[n], loss[n]
    if (fit[n] == 0) random[group[n]] = n
    if (!(group[n] in learned) || fit[n] > fit[learned[group[n]]]) learned[group[n]] = n
}
END {
    if (aborted) exit 2
    for (i = 1; i <= rows; i++)
        for (k = 1; k < i; k++)
            if (group[i] == group[k]) {
                pairs[basis[i]]++
                agree[basis[i]] += (bias[i] < bias[k]) == (loss[i] < loss[k])
            }
    for (b in pairs)
        printf "  %s: the lower bias has the lower loss in %d of %d pairs\n", b, agree[b], pairs[b]
    lower = gap = 1
    for (g in random) {
        if (bias[learned[g]] >= bias[random[g]]) lower = 0
        split(g, part, ",")
        if (part[2] == "plain" && loss[learned[g]] <= loss[random[g]]) gap = 0
    }
    require(lower, "fits lower the bias")
    require(gap, "a lower bias does not make a lower loss: with plain Adam the best fit ends above random projectors")
    finish()
}
