# memory.csv width.csv tokens.csv rows.csv training.csv: an adapter on the host, the rows in use, and what it learns.
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 { bytes[get("adapters")] = get("peak_gpu_bytes"); step[get("adapters")] = get("iteration_s"); next }
file == 2 {
    widths[++width_count] = get("width")
    busy[width_count] = get("gpu_busy_s"); crossed[width_count] = get("h2d_bytes")
    took[width_count] = get("iteration_s")
    next
}
# With each row comes a number; with each of a token's 64 rows two, and one more for each of 32 blocks.
file == 3 {
    tokens[++token_count] = get("tokens")
    rows[token_count] = (get("h2d_bytes") / 32 - 4 * (2 * 64 * get("tokens") + 1)) / (2 * 4096 * 2 + 4)
    next
}
file == 4 {
    printf "%s  %4d tokens, alike by %.2f: %4.0f rows used, %4.0f expected of such tokens (%+.1f %%), %4.0f of any\n",
        runs++ ? "" : "\n  gpt-tiny on text, 1024 rows:\n", get("tokens"), get("alike"), get("used"),
        get("of_such_tokens"), 100 * (get("of_such_tokens") / get("used") - 1), get("expected")
    error = abs(get("of_such_tokens") / get("used") - 1)
    if (error > worst) worst = error
    next
}
{
    key = get("width") " " get("policy")
    if (!((get("width")) in rank)) trained[++trained_count] = get("width")
    rank[get("width")] = get("rank"); before = get("held_out_before"); planned[key] = get("planned_bytes")
    loss = get("held_out_after")
    if (!(key in best) || loss < best[key]) { best[key] = loss; rate[key] = get("rate") }
}

END {
    if (aborted) exit 2
    printf "\n  LLaMA-7B, 1024 tokens, 944e6 trained parameters: on the host %.1f GB of GPU memory, %.2f s a step;" \
        " on the GPU %.1f GB, %.2f s\n", bytes["host"] / 1e9, step["host"], bytes["gpu"] / 1e9, step["gpu"]
    for (i = 1; i <= width_count; i++)
        printf "  r = %5d: the GPU computes %.3f s, %.2f GB of rows come, %.2f s a step\n", widths[i], busy[i],
            crossed[i] / 1e9, took[i]
    printf "  rows of 3600 in use"
    for (i = 1; i <= token_count; i++) printf ", %d tokens: %.0f", tokens[i], rows[i]
    printf "\n\n  Held-out loss, before %.3f:\n", before
    for (i = 1; i <= trained_count; i++) {
        m = trained[i] " meft"; l = trained[i] " lora"
        printf "  meft r %d %.4f (rate %s, %.2f MB of GPU memory), lora rank %d %.4f (rate %s, %.2f MB)\n", trained[i],
            best[m], rate[m], planned[m] / 1e6, rank[trained[i]], best[l], rate[l], planned[l] / 1e6
    }
    print ""
    require(bytes["host"] < 24e9 && bytes["gpu"] > 24e9, "only with the adapters on the host 7B fits in 24 GB")
    require(bytes["host"] < 0.6 * bytes["gpu"],
        sprintf("GPU memory is about halved: %.2f", bytes["host"] / bytes["gpu"]))
    require(busy[width_count] < 1.01 * busy[1], "the GPU's time does not grow with the width")
    require(crossed[width_count] > 10 * crossed[1], "what crosses the link does")
    require(rows[1] < 0.3 * 3600 && rows[2] < 0.8 * 3600 && rows[token_count] > 0.99 * 3600,
        "rows in use grow with the tokens, up to all")
    require(worst <= 0.05, sprintf("rows used are those expected of tokens so alike: at most %.1f %% off", 100 * worst))
    for (i = 1; i <= trained_count; i++) {
        m = trained[i] " meft"; l = trained[i] " lora"
        require(planned[l] <= planned[m], "lora has no more GPU memory")
        require(best[m] < before && best[l] < before, "both learn")
    }
    finish()
}
