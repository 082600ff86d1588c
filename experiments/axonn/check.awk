# native.csv buckets.csv orders.csv losses.csv: what buckets cost and take, the orders of a pipeline, losses of grids.
FNR == 1 { file++; csv_header($0); next }
{ csv_row($0) }
file == 1 { native_bytes = get("peak_gpu_bytes"); next }
file == 2 {
    s = get("slots"); z = get("size")
    if (s == 1) size[++count] = z
    step[s, z] = get("iteration_s"); peak[s, z] = get("peak_gpu_bytes")
    moved[s, z] = get("d2h_bytes") + get("h2d_bytes"); updated = get("d2h_bytes") / 12
    next
}
file == 4 {
    grid = "GPUs of a pipeline: " get("pipeline") ", replicas: " get("replicas")
    loss = get("loss_last")
    if (!(grid in loss_of)) { loss_of[grid] = loss; grids[++grid_count] = grid }
    alike += loss == loss_of[grid]
    trained++
    next
}
{
    key = get("gpus") " GPUs, " get("micros") " micro-batches, "
    key = key (get("network") == "none" ? "no time on the network" : "messages as long as forward")
    if (!(key in known)) { known[key] = 1; keys[++cells] = key; all[key] = get("micros") <= get("gpus") }
    time[key, get("order")] = get("iteration_s"); drawn[key, get("order")] = get("iteration_p50_s")
    memory[key, get("order")] = get("peak_gpu_bytes"); network[key] = get("network")
}

END {
    if (aborted) exit 2
    largest = size[count]
    printf "  gpt2-1.3b on a V100: %.2fe9 parameters, 16 bytes each natively: %.1f GB\n", updated / 1e9,
        native_bytes / 1e9
    printf "  %12s %12s %14s %12s %14s\n", "bucket", "step, s", "GPU memory, GB", "2 slots, s", "GPU memory, GB"
    for (i = 1; i <= count; i++)
        printf "  %12d %12.3f %14.2f %12.3f %14.2f\n", size[i], step[1, size[i]], peak[1, size[i]] / 1e9,
            step[2, size[i]], peak[2, size[i]] / 1e9
    for (i = 1; i <= count && step[1, size[i]] > 1.05 * step[1, largest]; i++) ;
    printf "  knee, within 5 %% of the largest: %d parameters\n\n", size[i]
    print "  Time relative to message-driven, median of draws and without jitter; memory of it and of gpipe, GB"
    printf "  %-58s %6s %6s   %6s %6s   %6s %6s\n", "", "1f1b", "gpipe", "1f1b", "gpipe", "", "gpipe"
    for (i = 1; i <= cells; i++) {
        k = keys[i]
        printf "  %-58s %6.3f %6.3f   %6.3f %6.3f   %6.2f %6.2f\n", k, drawn[k, "1f1b"] / drawn[k, "message"],
            drawn[k, "gpipe"] / drawn[k, "message"],
            time[k, "1f1b"] / time[k, "message"], time[k, "gpipe"] / time[k, "message"], memory[k, "message"] / 1e9,
            memory[k, "gpipe"] / 1e9
    }
    print ""
    print "  Loss of the last of ten steps of gpt-tiny on the host"
    for (i = 1; i <= grid_count; i++) printf "  %-58s %.8f\n", grids[i], loss_of[grids[i]]
    print ""
    for (i = 2; i <= count && step[1, size[i]] <= 1.001 * step[1, size[i - 1]]; i++) ;
    require(i > count, "a larger bucket is never slower")
    require(step[1, size[1]] > 1.05 * step[1, largest], "the smallest bucket pays for its latencies")
    require(step[1, 16000000] < 1.02 * step[1, largest], "the authors' 16e6 are behind the knee")
    require(step[2, 16000000] < 0.7 * step[1, 16000000], "two slots use both directions of the link")
    require(moved[1, 16000000] == 24 * updated, "24 bytes per parameter cross the link")
    for (i = 1; i <= count; i++) {
        ledger = 4 * updated + 12 * size[i]
        fits = peak[1, size[i]] <= 1.02 * ledger && peak[1, size[i]] >= 0.98 * (4 * updated + 6 * size[i])
        within += fits
    }
    require(within == count, "GPU memory is 4 phi + 12 bsize (a layer is cut into equal parts) within 2 %")
    require(native_bytes > 3.5 * peak[1, 16000000], "natively the state takes 3.5 times as much or more")
    for (i = 1; i <= cells; i++) {
        k = keys[i]
        if (all[k])
            require(drawn[k, "message"] <= 1.001 * drawn[k, "1f1b"] && drawn[k, "message"] <= 1.001 * drawn[k, "gpipe"],
                k ": message-driven is not slower")
        else
            require(drawn[k, "message"] <= 1.06 * drawn[k, "1f1b"],
                k ": message-driven is at most 6 % slower than 1f1b")
        require(memory[k, "message"] <= memory[k, "gpipe"], k ": in at most the memory of gpipe")
    }
    require(trained == 7 && grid_count == 4, "seven trainings on four grids")
    require(alike == trained, "the order of messages changes no digit of the loss")
    for (i = 2; i <= grid_count; i++) {
        difference = loss_of[grids[i]] - loss_of[grids[1]]
        require(difference < 1e-5 && difference > -1e-5, grids[i] ": the loss is that of one GPU to rounding")
    }
    finish()
}
