-- What buckets cost and take, the orders of a pipeline, losses of grids.
CREATE VIEW sizes AS SELECT size, pick(iteration_s, slots = 1) AS step, pick(iteration_s, slots = 2) AS step2,
    pick(peak_gpu_bytes, slots = 1) AS peak, pick(peak_gpu_bytes, slots = 2) AS peak2,
    pick(d2h_bytes + h2d_bytes, slots = 1) AS moved, pick(d2h_bytes, slots = 1) / 12 AS updated FROM buckets
    GROUP BY size;
CREATE VIEW largest AS SELECT step AS least FROM sizes ORDER BY size DESC LIMIT 1;
CREATE VIEW cells AS SELECT gpus, micros, network, printf('%d GPUs, %d micro-batches, %s', gpus, micros,
    iif(network = 'none', 'no time on the network', 'messages as long as forward')) AS cell, micros <= gpus AS few,
    pick(iteration_p50_s, "order" = 'message') AS drawn, pick(iteration_p50_s, "order" = '1f1b') AS drawn_1f1b,
    pick(iteration_p50_s, "order" = 'gpipe') AS drawn_gpipe, pick(iteration_s, "order" = 'message') AS time,
    pick(iteration_s, "order" = '1f1b') AS time_1f1b, pick(iteration_s, "order" = 'gpipe') AS time_gpipe,
    pick(peak_gpu_bytes, "order" = 'message') AS bytes, pick(peak_gpu_bytes, "order" = 'gpipe') AS bytes_gpipe
    FROM orders GROUP BY gpus, micros, network ORDER BY min(rowid);
CREATE VIEW grids AS SELECT printf('GPUs of a pipeline: %d, replicas: %d', pipeline, replicas) AS grid,
    count(*) AS runs, min(loss_last) AS loss, max(loss_last) AS largest_loss FROM losses GROUP BY pipeline, replicas
    ORDER BY min(rowid);
WRITE ratios AS SELECT printf('%d GPUs, %d%s', gpus, micros, iif(network = 'none', '', ', network')) AS cell,
    drawn_1f1b / drawn AS drawn_1f1b, drawn_gpipe / drawn AS drawn_gpipe FROM cells;

SELECT printf('  gpt2-1.3b on a V100: %.2fe9 parameters, 16 bytes each natively: %.1f GB', max(updated) / 1e9,
    native.peak_gpu_bytes / 1e9) FROM sizes, native;
SELECT printf('  %12s %12s %14s %12s %14s', 'bucket', 'step, s', 'GPU memory, GB', '2 slots, s', 'GPU memory, GB');
SELECT printf('  %12d %12.3f %14.2f %12.3f %14.2f', size, step, peak / 1e9, step2, peak2 / 1e9) FROM sizes;
SELECT printf('  knee, within 5 %% of the largest: %d parameters', min(size)) FROM sizes, largest
    WHERE step <= 1.05 * least;
SELECT '';
SELECT '  Time relative to message-driven, median of draws and without jitter; memory of it and of gpipe, GB';
SELECT printf('  %-58s %6s %6s   %6s %6s   %6s %6s', '', '1f1b', 'gpipe', '1f1b', 'gpipe', '', 'gpipe');
SELECT printf('  %-58s %6.3f %6.3f   %6.3f %6.3f   %6.2f %6.2f', cell, drawn_1f1b / drawn, drawn_gpipe / drawn,
    time_1f1b / time, time_gpipe / time, bytes / 1e9, bytes_gpipe / 1e9) FROM cells;
SELECT '';
SELECT '  Loss of the last step of gpt-tiny on the host';
SELECT printf('  %-58s %.8f', grid, loss) FROM grids;
SELECT '';

REQUIRE SELECT every(step <= 1.001 * smaller), 'a larger bucket is never slower' FROM
    (SELECT step, lag(step, 1, step) OVER (ORDER BY size) AS smaller FROM sizes);
REQUIRE SELECT step > 1.05 * least, 'the smallest bucket pays for its latencies' FROM sizes, largest
    WHERE size = (SELECT min(size) FROM sizes);
REQUIRE SELECT step < 1.02 * least, 'the authors'' 16e6 are behind the knee' FROM sizes, largest WHERE size = 16e6;
REQUIRE SELECT step2 < 0.7 * step, 'two slots use both directions of the link' FROM sizes WHERE size = 16e6;
REQUIRE SELECT moved = 24 * updated, '24 bytes per parameter cross the link' FROM sizes WHERE size = 16e6;
REQUIRE SELECT every(peak <= 1.02 * (4 * updated + 12 * size) AND peak >= 0.98 * (4 * updated + 6 * size)),
    'GPU memory is 4 phi + 12 bsize (a layer is cut into equal parts) within 2 %' FROM sizes;
REQUIRE SELECT native.peak_gpu_bytes > 3.5 * peak, 'natively the state takes 3.5 times as much or more'
    FROM sizes, native WHERE size = 16e6;
REQUIRE SELECT iif(few, drawn <= 1.001 * min(drawn_1f1b, drawn_gpipe), drawn <= 1.06 * drawn_1f1b), cell ||
    iif(few, ': message-driven is not slower', ': message-driven is at most 6 % slower than 1f1b') FROM cells;
REQUIRE SELECT bytes <= bytes_gpipe, cell || ': in at most the memory of gpipe' FROM cells;
REQUIRE SELECT sum(runs) = 7 AND count(*) = 4, 'seven trainings on four grids' FROM grids;
REQUIRE SELECT every(loss = largest_loss), 'the order of messages changes no digit of the loss' FROM grids;
REQUIRE SELECT abs(grids.loss - one.loss) < 1e-5, grids.grid || ': the loss is that of one GPU to rounding'
    FROM grids, (SELECT * FROM grids LIMIT 1) AS one WHERE grids.grid <> one.grid;
