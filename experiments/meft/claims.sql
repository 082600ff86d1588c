-- An adapter on the host, the rows in use, and what it learns.
CREATE VIEW llama AS SELECT pick(peak_gpu_bytes, adapters = 'host') AS host_bytes, pick(peak_gpu_bytes,
    adapters = 'gpu') AS gpu_bytes, pick(iteration_s, adapters = 'host') AS host_s, pick(iteration_s,
    adapters = 'gpu') AS gpu_s FROM memory;
-- With each row comes a number; with each of a token's 64 rows two, and one more for each of 32 blocks.
WRITE used AS SELECT tokens, (h2d_bytes / 32 - 4 * (2 * 64 * tokens + 1)) / (2 * 4096 * 2 + 4) AS "rows"
    FROM tokens;
CREATE VIEW alike AS SELECT *, expected / used - 1 AS off, of_such_tokens / used - 1 AS by_cosine FROM rows;
CREATE VIEW of_seeds AS SELECT *, expected / used - 1 AS off FROM seeds;
CREATE VIEW best AS SELECT width, policy, min(held_out_after) AS loss, rate, planned_bytes, "rank",
    held_out_before AS before FROM training GROUP BY width, policy;
CREATE VIEW pairs AS SELECT meft.width, meft.before, meft.loss AS meft, lora.loss AS lora, meft.rate AS meft_rate,
    lora.rate AS lora_rate, meft.planned_bytes AS meft_bytes, lora.planned_bytes AS lora_bytes, lora."rank"
    FROM best AS meft JOIN best AS lora USING (width) WHERE meft.policy = 'meft' AND lora.policy = 'lora';
CREATE VIEW wider AS SELECT last.gpu_busy_s / first.gpu_busy_s AS busy, last.h2d_bytes / first.h2d_bytes AS crossed
    FROM width AS last, width AS first WHERE last.width = (SELECT max(width) FROM width)
    AND first.width = (SELECT min(width) FROM width);

SELECT '';
SELECT '  Text, 1024 rows, tokens as alike as those of a run on another part of it were:';
SELECT printf('  %-11s alike by %.3f, %4d tokens: %4.0f rows used, expected %+5.1f %%, by the mean cosine %.2f ' ||
    '%+5.1f %%', model, planned, tokens, used, 100 * off, alike, 100 * by_cosine) FROM alike ORDER BY model, tokens;
SELECT '';
SELECT printf('  LLaMA-7B, 1024 tokens, 944e6 trained parameters: on the host %.1f GB of GPU memory, %.2f s a step;' ||
    ' on the GPU %.1f GB, %.2f s', host_bytes / 1e9, host_s, gpu_bytes / 1e9, gpu_s) FROM llama;
SELECT printf('  r = %5d: the GPU computes %.3f s, %.2f GB of rows come, %.2f s a step', width, gpu_busy_s,
    h2d_bytes / 1e9, iteration_s) FROM width;
SELECT '  rows of 3600 in use' || group_concat(printf(', %d tokens: %.0f', tokens, "rows"), '') FROM used;
SELECT '';
SELECT printf('  Held-out loss, before %.3f:', max(before)) FROM pairs;
SELECT printf('  meft r %d %.4f (rate %g, %.2f MB of GPU memory), lora rank %d %.4f (rate %g, %.2f MB)', width, meft,
    meft_rate, meft_bytes / 1e6, "rank", lora, lora_rate, lora_bytes / 1e6) FROM pairs;
SELECT '';

REQUIRE SELECT host_bytes < 24e9 AND gpu_bytes > 24e9, 'only with the adapters on the host 7B fits in 24 GB' FROM llama;
REQUIRE SELECT host_bytes < 0.6 * gpu_bytes, printf('GPU memory is about halved: %.2f', host_bytes / gpu_bytes)
    FROM llama;
REQUIRE SELECT busy < 1.01, 'the GPU''s time does not grow with the width' FROM wider;
REQUIRE SELECT crossed > 10, 'what crosses the link does' FROM wider;
REQUIRE SELECT max("rows") > 0.99 * 3600 AND sum("rows" < 0.3 * 3600) >= 1 AND sum("rows" < 0.8 * 3600) >= 2,
    'rows in use grow with the tokens, up to all' FROM used;
REQUIRE SELECT max(abs(off)) <= 0.05, printf('rows used are those expected from the same model on another part of ' ||
    'the King James Bible: %d of %d within 5 %%, %.1f %% off on average, at most %.1f %%',
    sum(abs(off) <= 0.05), count(*), 100 * avg(abs(off)), 100 * max(abs(off))) FROM alike;
OBSERVE SELECT max(abs(off)) <= 0.05, printf('rows used are those expected from another seed, and so from other ' ||
    'weights, on all of that Bible: %d of %d within 5 %%, %.1f %% off on average, at most %.1f %%',
    sum(abs(off) <= 0.05), count(*), 100 * avg(abs(off)), 100 * max(abs(off))) FROM of_seeds;
REQUIRE SELECT lora_bytes <= meft_bytes, 'lora has no more GPU memory' FROM pairs;
REQUIRE SELECT meft < before AND lora < before, 'both learn' FROM pairs;
