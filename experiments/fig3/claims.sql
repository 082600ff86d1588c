-- The simulated and the measured time of each schedule, and their order.
SELECT printf('  %-16s %12s %12s', 'policy', 'simulated ms', 'measured ms');
SELECT printf('  %-16s %12.1f %12.1f', policy, 1000 * predicted.iteration_s, 1000 * measured.iteration_s)
    FROM predicted JOIN measured USING (policy);
CREATE VIEW q AS SELECT whose, pick(iteration_s, policy = 'zero') AS zero, pick(iteration_s, policy = 'zero-layerwise')
    AS layerwise, pick(iteration_s, policy = 'zero-delayed') AS delayed, pick(iteration_s, policy = 'lsp') AS lsp,
    pick(iteration_s, policy = 'swap') AS swap,
    pick(gpu_busy_s + d2h_busy_s + h2d_busy_s + cpu_busy_s, policy = 'zero-layerwise') AS busy FROM
    (SELECT 'simulated: ' AS whose, policy, iteration_s, gpu_busy_s, d2h_busy_s, h2d_busy_s, cpu_busy_s FROM predicted
    UNION ALL SELECT 'measured: ', policy, iteration_s, gpu_busy_s, d2h_busy_s, h2d_busy_s, cpu_busy_s FROM measured)
    GROUP BY whose ORDER BY whose DESC;
REQUIRE SELECT layerwise < zero, whose || 'zero-layerwise is faster than zero' FROM q;
REQUIRE SELECT delayed < zero, whose || 'zero-delayed is faster than zero' FROM q;
REQUIRE SELECT lsp < layerwise, whose || 'lsp is faster than zero-layerwise' FROM q;
REQUIRE SELECT swap > zero, whose || 'swap is slower than zero' FROM q;
REQUIRE SELECT busy > 1.25 * layerwise, whose || 'lanes work at the same time in zero-layerwise' FROM q;
