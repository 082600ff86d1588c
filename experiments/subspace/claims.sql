-- Slowdown and peak by subspace size d and nonzeros per row r.
SELECT printf('  %5s %4s %9s %12s', 'd', 'r', 'slowdown', 'GPU peak GiB');
SELECT printf('  %5d %4d %9.3f %12.2f', subspace, nnz, slowdown, peak_gpu_bytes / 1073741824) FROM subspace;
-- 0.2 %, because the steady state comes from a few iterations.
REQUIRE SELECT every(slowdown >= 0.998 * smaller), 'slowdown does not fall with d at any r' || coalesce(', but does at'
    || group_concat(iif(slowdown < 0.998 * smaller, printf(' d=%d,r=%d', subspace, nnz), NULL), ''), '') FROM
    (SELECT *, lag(slowdown, 1, slowdown) OVER (PARTITION BY nnz ORDER BY subspace) AS smaller FROM subspace);
REQUIRE SELECT every(peak_gpu_bytes >= smaller), 'peak GPU memory does not fall with r at any d' ||
    coalesce(', but does at' || group_concat(iif(peak_gpu_bytes < smaller, printf(' d=%d,r=%d', subspace, nnz), NULL),
    ''), '') FROM (SELECT *, lag(peak_gpu_bytes, 1, peak_gpu_bytes) OVER (PARTITION BY subspace
    ORDER BY nnz) AS smaller FROM subspace);
REQUIRE SELECT max(peak_gpu_bytes) < 1.5 * min(peak_gpu_bytes),
    'projectors are small beside the model: from the least r to the greatest the peak grows by less than half'
    FROM subspace WHERE subspace = 512;
