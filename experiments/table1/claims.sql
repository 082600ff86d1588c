-- The quantities of the table and its arguments, ours and the paper's.  The embedding is layer 0, the head the last.
CREATE VIEW ops AS SELECT
    (SELECT avg(end_s - start_s) FROM native_ops WHERE kind = 'FWD' AND layer BETWEEN 1 AND blocks) AS forward_s,
    (SELECT avg(end_s - start_s) FROM native_ops WHERE kind = 'BWD' AND layer BETWEEN 1 AND blocks) AS backward_s,
    (SELECT avg(end_s - start_s) FROM native_ops WHERE kind = 'UPD_GPU' AND layer BETWEEN 1 AND blocks) AS update_s,
    (SELECT avg(end_s - start_s) FROM zero_ops WHERE kind = 'UPD' AND layer BETWEEN 1 AND blocks) AS cpu_update_s,
    * FROM (SELECT sum(stages * elements) AS parameters, sum(iif(linear = 'true' AND stage = 'block', elements, 0))
        AS linear, max(iif(stage = 'block', stages, 0)) AS blocks FROM model);
-- As the paper counts: fp16 parameters, three times that of optimizer state, and its 8 GB of activations.
CREATE VIEW q AS SELECT ops.*, 8 * parameters + 8e9 AS counted,
    pick(peak_gpu_bytes, cell = 'native') AS native_bytes, pick(gpu_busy_s, cell = 'native') AS gpu_s,
    pick(d2h_bytes + h2d_bytes, cell = 'swap20') AS swap_bytes, pick(slowdown, cell = 'swap20') AS swap20,
    pick(slowdown, cell = 'swap10') AS swap10, pick(d2h_bytes + h2d_bytes, cell = 'zero') AS zero_bytes,
    pick(cpu_busy_s, cell = 'zero') AS cpu_s, pick(slowdown, cell = 'zero20') AS zero20,
    pick(slowdown, cell = 'zero10') AS zero10,
    (SELECT value FROM machine WHERE "key" = 'gpu.memory_bytes') AS gpu_bytes,
    min(batch * sequence) * (2 * linear + 2 * min(sequence) * 4096)
        / (SELECT value FROM machine WHERE "key" = 'cpu.compute_flops') AS cpu_forward_s
    FROM cells, ops;
WRITE table1 AS
    SELECT 'parameters' AS quantity, 'GB' AS unit, 2 * parameters / 1e9 AS ours, 14 AS paper, NULL AS within FROM q
    UNION ALL SELECT 'all that native keeps', 'GB', native_bytes / 1e9, NULL, NULL FROM q
    UNION ALL SELECT 'share of it that fits', '%', 100 * gpu_bytes / native_bytes, NULL, NULL FROM q
    UNION ALL SELECT 'all that the paper counts', 'GB', counted / 1e9, 64, NULL FROM q
    UNION ALL SELECT 'share of that which fits', '%', 100 * gpu_bytes / counted, 37.5, NULL FROM q
    UNION ALL SELECT 'FWD of a layer on the GPU', 'ms', 1000 * forward_s, 12.2, 0.05 FROM q
    UNION ALL SELECT 'BWD of a layer on the GPU', 'ms', 1000 * backward_s, 28.1, 0.05 FROM q
    UNION ALL SELECT 'UPD of a layer on the GPU', 'ms', 1000 * update_s, 1, 0.05 FROM q
    UNION ALL SELECT 'GPU work per iteration', 's', gpu_s, 1.32, 0.1 FROM q
    UNION ALL SELECT 'what does not fit over 20 GB/s', 's', (counted - gpu_bytes) / 20e9, 2, NULL FROM q
    UNION ALL SELECT 'what does not fit over 10 GB/s', 's', (counted - gpu_bytes) / 10e9, 4, NULL FROM q
    UNION ALL SELECT 'its overhead if overlapped at 20 GB/s', 'x', (counted - gpu_bytes) / 20e9 / gpu_s - 1, 0.5, NULL
        FROM q
    UNION ALL SELECT 'its overhead if overlapped at 10 GB/s', 'x', (counted - gpu_bytes) / 10e9 / gpu_s - 1, 2, NULL
        FROM q
    UNION ALL SELECT 'our swap moves', 'GB', swap_bytes / 1e9, NULL, NULL FROM q
    UNION ALL SELECT 'our swap''s overhead at 20 GB/s', 'x', swap20 - 1, NULL, NULL FROM q
    UNION ALL SELECT 'our swap''s overhead at 10 GB/s', 'x', swap10 - 1, NULL, NULL FROM q
    UNION ALL SELECT 'FWD of a layer on the CPU', 's', cpu_forward_s, 1.61, 0.05 FROM q
    UNION ALL SELECT 'FWD and BWD of a layer on the CPU', 's', 3 * cpu_forward_s, 4.91, NULL FROM q
    UNION ALL SELECT 'the same over the GPU iteration', 'x', 3 * cpu_forward_s / gpu_s, 3.7, NULL FROM q
    UNION ALL SELECT 'zero moves', 'GB', zero_bytes / 1e9, 28, 0.1 FROM q
    UNION ALL SELECT 'zero''s traffic over 20 GB/s', 's', zero_bytes / 20e9, 1.4, NULL FROM q
    UNION ALL SELECT 'zero''s traffic over 10 GB/s', 's', zero_bytes / 10e9, 2.8, NULL FROM q
    UNION ALL SELECT 'UPD of a layer on the CPU', 's', cpu_update_s, 0.06, 0.05 FROM q
    UNION ALL SELECT 'zero''s CPU update', 's', cpu_s, 1.92, 0.1 FROM q
    UNION ALL SELECT 'zero''s slowdown at 20 GB/s', 'x', zero20, NULL, NULL FROM q
    UNION ALL SELECT 'zero''s slowdown at 10 GB/s', 'x', zero10, NULL, NULL FROM q;

SELECT printf('  %-42s %10s %10s', 'llama-7b fp16, 8 x 512, paper-workstation', 'ours', 'paper');
SELECT printf('  %-42s %10.4g %10s %s', quantity, ours, coalesce(paper, '-'), unit) FROM table1;
-- The profile is fitted to Table 1; its consequences must follow.
REQUIRE SELECT abs(ours / paper - 1) <= within, printf('%s is within %d %% of the paper''s', quantity, 100 * within)
    FROM table1 WHERE within IS NOT NULL;
REQUIRE SELECT 2 * gpu_bytes < counted AND 2 * gpu_bytes < native_bytes,
    '1: less than half of what training keeps fits the GPU' FROM q;
REQUIRE SELECT swap20 >= 1.5 AND swap10 >= 3,
    '2: offloading memory alone costs at least 0.5x at 20 GB/s and 2x at 10 GB/s, though overlapped' FROM q;
REQUIRE SELECT 3 * cpu_forward_s > 2 * gpu_s,
    '3: one layer''s FWD and BWD on the CPU take longer than two GPU iterations' FROM q;
REQUIRE SELECT zero_bytes / 20e9 + cpu_s > gpu_s,
    '4: zero''s traffic and CPU update take longer than the GPU''s work' FROM q;
