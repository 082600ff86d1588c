-- Peak memory of every policy, predicted and measured.
SELECT printf('  %-10s %-16s %-5s %s %4s %9s %9s %9s %7s %9s %9s %7s', 'model', 'policy', 'ckpt', 'acc', 'clip',
    'GPU MB', 'at most', 'measured', 'error', 'total MB', 'measured', 'error');
SELECT printf('  %-10s %-16s %-5s %3d %4s %9.2f %9.2f %9.2f %6.2f%% %9.2f %9.2f %6.2f%%', model, policy, checkpointing,
    accumulation, iif(clip_norm IS NULL, '-', printf('%g', clip_norm)), peak_gpu_bytes / 1e6,
    peak_gpu_bound_bytes / 1e6, measured_peak_gpu_bytes / 1e6, 100 * peak_gpu_error, peak_total_bytes / 1e6,
    measured_peak_total_bytes / 1e6, 100 * peak_total_error) FROM memory;
CREATE VIEW q AS SELECT count(*) AS cells, sum(abs(peak_total_error) <= 0.02) AS total_within,
    avg(abs(peak_total_error)) AS mean, max(abs(peak_total_error)) AS worst,
    every(peak_total_error IS NOT NULL) AS known, sum(abs(peak_gpu_error) <= 0.02) AS gpu_within,
    100 * low95(abs(peak_total_error)) AS low,
    100 * high95(abs(peak_total_error)) AS high,
    sum(measured_peak_gpu_bytes <= peak_gpu_bound_bytes) AS below, avg(peak_gpu_bound_bytes / peak_gpu_bytes - 1) AS
    margin FROM memory;
REQUIRE SELECT total_within >= 0.95 * cells, printf('what the process takes is predicted within 2 %% in %d of %d',
    total_within, cells) FROM q;
REQUIRE SELECT known AND worst <= 0.04 AND mean <= 0.01,
    printf('on average within 1 %% (%.2f), nowhere beyond 4 %% (%.2f)', 100 * mean, 100 * worst), low,
    high, NULL, NULL, '%' FROM q;
REQUIRE SELECT gpu_within >= 0.9 * cells, printf('what the device takes within 2 %% in %d of %d', gpu_within, cells)
    FROM q;
REQUIRE SELECT below >= 0.95 * cells,
    printf('it is at most its bound in %d of %d; the bound is on average %.1f %% above ' || 'the prediction', below,
    cells, 100 * margin) FROM q;
