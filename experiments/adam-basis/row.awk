# The row of a training's result that the experiment keeps, behind `key`.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    print key, get("held_out_before"), get("held_out_after"), get("step_s"), get("peak_gpu_bytes")
}
BEGIN { OFS = "," }
END { if (aborted) exit 2 }
