# The FLOP/s of the native step, by both counts: -v model=NAME, what `lspo show model NAME --format csv` prints, and
# fig7.csv.
# N are the weights that stand in a product: the linear ones of the blocks and the output, which may be the embedding.
FNR == 1 { file++; csv_header($0); next }
file == 1 {
    csv_row($0)
    if (get("linear") == "true") weights += get("stages") * get("elements")
    if (get("tensor") == "token") token = get("elements")
    if (get("tensor") == "output") output = get("elements")
}
file == 2 {
    csv_row($0)
    if (get("label") == model " native") { step_s = get("iteration_s"); tokens = get("batch") * get("sequence") }
}
END {
    n = weights + (output > 0 ? output : token)
    if (step_s > 0)
        printf "  native: N = %.4g weights in products, %d tokens in %.4f s: %.1f TFLOP/s by 8 N per token (as run, " \
            "with recomputation), %.1f by 6 N (without)\n", n, tokens, step_s, 8e-12 * n * tokens / step_s,
            6e-12 * n * tokens / step_s
    finish()
}
