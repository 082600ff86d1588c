-- Which subspaces are free, which models fit, which lane limits.
-- The largest subspace of each link that costs at most 1 % more than on the fastest link; none: 0.
WRITE frontier AS SELECT link_Bps, max(iif(slowdown <= 1.01 * fastest, subspace, 0)) AS subspace FROM
    (SELECT *, first_value(slowdown) OVER (PARTITION BY subspace ORDER BY link_Bps DESC) AS fastest FROM free)
    GROUP BY link_Bps;
-- The most parameters that fit, by policy and memory; 0: not even the fewest.  A block of llama-7b has
-- 4 w^2 + 3 w f + 2 w parameters, embedding and head 2 V w + w, with w = 4096, f = 11008, V = 32000.
WRITE most AS SELECT policy, gpu_memory_bytes / 1073741824 AS gpu_memory_GiB, blocks,
    iif(blocks > 0, blocks * 4096 * (4 * 4096 + 3 * 11008 + 2) + 4096 * (2 * 32000 + 1), 0) AS parameters FROM
    (SELECT policy, gpu_memory_bytes, min(rowid) AS place,
        max(iif(fits = 'true', substr("set", instr("set", 'blocks=') + 7) + 0, 0)) AS blocks
        FROM largest GROUP BY policy, gpu_memory_bytes) ORDER BY place;
-- The lane that limits, as a number: 1 the GPU, 2 the link, 3 the CPU.
WRITE lane AS SELECT policy, link_Bps, cpu_pps, CASE WHEN bound LIKE 'bound by the CPU optimizer%' THEN 3
    WHEN bound LIKE 'bound by the GPU:%' THEN 1 ELSE 2 END AS lane FROM lanes;

SELECT printf('  link %6.2f GB/s: free up to d = %d', link_Bps / 1e9, subspace) FROM frontier;
SELECT '  largest model, billions of parameters, by GiB';
SELECT printf('  %-16s', '') || group_concat(printf(' %6d', gpu_memory_GiB), '') FROM most WHERE policy = 'native';
SELECT printf('  %-16s', policy) || group_concat(printf(' %6.1f', parameters / 1e9), '') FROM most GROUP BY policy
    ORDER BY min(rowid);
-- One per mille: the steady state is read from a few iterations.
REQUIRE SELECT every(slowdown <= 1.001 * slower), 'the slowdown of lsp does not grow with the link at any d' FROM
    (SELECT slowdown, lag(slowdown, 1, slowdown) OVER (PARTITION BY subspace ORDER BY link_Bps) AS slower FROM free);
REQUIRE SELECT every(slowdown >= 0.999 * smaller), 'it does not fall with d at any link' FROM
    (SELECT slowdown, lag(slowdown, 1, slowdown) OVER (PARTITION BY link_Bps ORDER BY subspace) AS smaller FROM free);
REQUIRE SELECT max(subspace) > 0 AND every(subspace >= slower),
    'the largest free d does not fall as the link gets faster' FROM
    (SELECT subspace, lag(subspace, 1, subspace) OVER (ORDER BY link_Bps) AS slower FROM frontier);
REQUIRE SELECT every(blocks >= less), 'the largest model does not shrink with memory' ||
    coalesce(group_concat(iif(blocks < less, ' ' || policy, NULL), ''), '') FROM
    (SELECT policy, blocks, lag(blocks, 1, blocks) OVER (PARTITION BY policy ORDER BY gpu_memory_GiB) AS less
    FROM most);
CREATE VIEW of_native AS SELECT most.*, native.parameters AS native FROM most JOIN most AS native
    USING (gpu_memory_GiB) WHERE native.policy = 'native';
REQUIRE SELECT every(parameters >= native), 'native''s is the smallest' ||
    coalesce(group_concat(iif(parameters < native, ' ' || policy, NULL), ''), '') FROM of_native;
REQUIRE SELECT every(lsp >= 0.95 * zero), 'lsp''s is at least zero''s, less 5 %' FROM
    (SELECT pick(parameters, policy = 'lsp') AS lsp, pick(parameters, policy = 'zero') AS zero FROM most
        GROUP BY gpu_memory_GiB);
REQUIRE SELECT lane = 2, 'the slowest link with the fastest CPU limits zero' FROM lane WHERE policy = 'zero'
    AND link_Bps = (SELECT min(link_Bps) FROM lane) AND cpu_pps = (SELECT max(cpu_pps) FROM lane);
REQUIRE SELECT lane = 3, 'the slowest CPU with the fastest link limits zero' FROM lane WHERE policy = 'zero'
    AND link_Bps = (SELECT max(link_Bps) FROM lane) AND cpu_pps = (SELECT min(cpu_pps) FROM lane);
REQUIRE SELECT lsp > zero, printf('the GPU limits lsp in more cells than zero (%d, %d)', lsp, zero) FROM
    (SELECT sum(policy = 'lsp') AS lsp, sum(policy = 'zero') AS zero FROM lane WHERE lane = 1);
