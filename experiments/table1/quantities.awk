# cells.csv model.csv native.ops.csv zero.ops.csv: the quantities of the table and its arguments, ours and the paper's.
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 {
    cell = get("cell")
    iteration[cell] = get("iteration_s"); gpu[cell] = get("gpu_busy_s"); cpu[cell] = get("cpu_busy_s")
    moved[cell] = get("d2h_bytes") + get("h2d_bytes"); peak[cell] = get("peak_gpu_bytes")
    slowdown[cell] = get("slowdown")
    sequence = get("sequence"); tokens = get("batch") * sequence
}
file == 2 {
    parameters += get("stages") * get("elements")
    if (get("stage") == "block") {
        blocks = get("stages")
        if (get("linear") == "true") linear += get("elements")
        width = width ? width : get("rows")
    }
}
# Ops of the blocks alone: the embedding is layer 0, the head the last.
file >= 3 && get("layer") >= 1 && get("layer") <= blocks {
    kind = file get("kind")
    duration[kind] += get("end_s") - get("start_s")
    ops[kind]++
}

function mean(kind) { return ops[kind] ? duration[kind] / ops[kind] : 0 }
function row(quantity, unit, ours, paper) { printf "%s,%s,%.6g,%s\n", quantity, unit, ours, paper }

END {
    if (aborted) exit 2
    forward = tokens * (2 * linear + 2 * sequence * width) / cpu_flops
    print "quantity,unit,ours,paper"
    row("parameters", "GB", 2 * parameters / 1e9, "14")
    row("all that native keeps", "GB", peak["native"] / 1e9, "")
    row("share of it that fits", "%", 100 * gpu_bytes / peak["native"], "")
    # As the paper counts: fp16 parameters, three times that of optimizer state, and its 8 GB of activations.
    total = 8 * parameters + 8e9
    row("all that the paper counts", "GB", total / 1e9, "64")
    row("share of that which fits", "%", 100 * gpu_bytes / total, "37.5")
    row("FWD of a layer on the GPU", "ms", 1000 * mean("3FWD"), "12.2")
    row("BWD of a layer on the GPU", "ms", 1000 * mean("3BWD"), "28.1")
    row("UPD of a layer on the GPU", "ms", 1000 * mean("3UPD_GPU"), "1")
    row("GPU work per iteration", "s", gpu["native"], "1.32")
    row("what does not fit over 20 GB/s", "s", (total - gpu_bytes) / 20e9, "2")
    row("what does not fit over 10 GB/s", "s", (total - gpu_bytes) / 10e9, "4")
    row("its overhead if overlapped at 20 GB/s", "x", (total - gpu_bytes) / 20e9 / gpu["native"] - 1, "0.5")
    row("its overhead if overlapped at 10 GB/s", "x", (total - gpu_bytes) / 10e9 / gpu["native"] - 1, "2.0")
    row("our swap moves", "GB", moved["swap20"] / 1e9, "")
    row("our swap's overhead at 20 GB/s", "x", slowdown["swap20"] - 1, "")
    row("our swap's overhead at 10 GB/s", "x", slowdown["swap10"] - 1, "")
    row("FWD of a layer on the CPU", "s", forward, "1.61")
    row("FWD and BWD of a layer on the CPU", "s", 3 * forward, "4.91")
    row("the same over the GPU iteration", "x", 3 * forward / gpu["native"], "3.7")
    row("zero moves", "GB", moved["zero"] / 1e9, "28")
    row("zero's traffic over 20 GB/s", "s", moved["zero"] / 20e9, "1.4")
    row("zero's traffic over 10 GB/s", "s", moved["zero"] / 10e9, "2.8")
    row("UPD of a layer on the CPU", "s", mean("4UPD"), "0.06")
    row("zero's CPU update", "s", cpu["zero"], "1.92")
    row("zero's slowdown at 20 GB/s", "x", slowdown["zero20"], "")
    row("zero's slowdown at 10 GB/s", "x", slowdown["zero10"], "")
}
