#!/usr/bin/env python3
"""Turn an lspo trace into the JSON that PyTorch's profiler would write of such a run: make_kineto.py TRACE > JSON

The example of docs/import.md is made by this, so that what an import must find is known.  It is no measurement:

    lspo sim --model gpt-tiny --policy zero --framework lspo --link 6GB/s --iterations 6 --trace t.trace
    make_kineto.py t.trace | gzip -9n > zero-offload.json.gz
"""
import csv
import json
import sys

ORIGIN_NS = 4541015316353111
MAIN, AUTOGRAD, COPIER = 4242, 4300, 4301
FIRST_STEP = 3

events = []
correlation = 0


def event(category, name, pid, tid, start_ns, duration_ns, **args):
    at_ns = ORIGIN_NS + start_ns
    events.append({"ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": at_ns / 1000,
                   "dur": duration_ns / 1000, "args": args})


def work(category, name, stream, start_ns, duration_ns, launch, thread, launch_ns, **args):
    global correlation
    correlation += 1
    event("cuda_runtime", launch, MAIN, thread, launch_ns, 900, **{"External id": correlation,
                                                                   "correlation": correlation})
    event(category, name, 0, stream, start_ns, duration_ns,
          **{"External id": correlation, "device": 0, "context": 1, "stream": stream, "correlation": correlation,
             **args})


def kernels(names, start_ns, end_ns, thread, launch_ns):
    for i, name in enumerate(names):
        first = start_ns + (end_ns - start_ns) * i // len(names)
        last = start_ns + (end_ns - start_ns) * (i + 1) // len(names)
        work("kernel", name, 7, first, last - first, "cudaLaunchKernel", thread, launch_ns + 1000 * i, grid=[32, 16, 1])


def nanoseconds(text):
    whole, fraction = text.split(".")
    return int(whole) * 10**9 + int(fraction)


rows = [row for row in csv.DictReader(line for line in open(sys.argv[1]) if not line.startswith("#"))]
starts = {}
for row in rows:
    row["start"], row["end"] = 50000 + nanoseconds(row["start_s"]), 50000 + nanoseconds(row["end_s"])
    i = int(row["iteration"])
    starts[i] = min(starts.get(i, row["start"]), row["start"])

for i in sorted(starts):
    begin = starts[i] - 20000
    end = starts[i + 1] - 20100 if i + 1 in starts else max(row["end"] for row in rows) + 20000
    event("user_annotation", f"ProfilerStep#{FIRST_STEP + i}", MAIN, MAIN, begin, end - begin,
          **{"Record function id": 0})
    event("gpu_user_annotation", f"ProfilerStep#{FIRST_STEP + i}", 0, 7, starts[i] - 1, end - starts[i])

for row in rows:
    start, end, size = row["start"], row["end"], int(row["bytes"])
    if row["kind"] == "FWD":
        event("cpu_op", "aten::linear", MAIN, MAIN, start - 16000, 9000, **{"Input Dims": [[1024, 256], [256, 256]]})
        kernels(["ampere_sgemm_128x64_tn",
                 "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<float>",
                 "ampere_sgemm_64x64_tn"], start, end, MAIN, start - 15000)
    elif row["kind"] == "BWD":
        event("cpu_op", "autograd::engine::evaluate_function: MmBackward0", MAIN, AUTOGRAD, start - 9000, 5000,
              **{"Sequence number": 7, "Fwd thread id": 1})
        kernels(["ampere_sgemm_64x64_nt", "ampere_sgemm_128x64_nn"], start, end, AUTOGRAD, start - 8000)
    elif row["kind"] == "UPD":
        event("user_annotation", "Optimizer.step#DeepSpeedCPUAdam.step", MAIN, MAIN, start, end - start)
    elif row["kind"] == "APPLY":
        event("user_annotation", "copy parameters", MAIN, COPIER, start - 6000, 4000)
        kernels(["void at::native::unrolled_elementwise_kernel<at::native::direct_copy_kernel_cuda>"], start, end,
                COPIER,
                start - 5000)
    elif row["kind"] in ("D2H", "H2D"):
        name = "Memcpy DtoH (Device -> Pinned)" if row["kind"] == "D2H" else "Memcpy HtoD (Pinned -> Device)"
        thread = AUTOGRAD if row["kind"] == "D2H" else COPIER
        work("gpu_memcpy", name, 20 if row["kind"] == "D2H" else 24, start, end - start, "cudaMemcpyAsync", thread,
             start - 2000, bytes=size)
    else:
        sys.exit(f"{row['kind']} has no counterpart here")

events.sort(key=lambda e: e["ts"])
json.dump({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "a simulated GPU"}], "displayTimeUnit": "ms",
           "baseTimeNanoseconds": 1767189312000000000, "traceEvents": events, "traceName": "zero-offload.json"},
          sys.stdout, indent=0)
