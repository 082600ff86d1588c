#include "plan/machine.h"

/* The built-in profiles.  docs/machines.md gives the source of every number and how the fitted ones were fitted. */

#define GIB (1024.0 * 1024.0 * 1024.0)
#define MIB (1024.0 * 1024.0)

/* Shares of a data sheet's peak.  Products: what Table 1 leaves on the RTX 4090, and what the A100 rows leave. */
#define GEMM_SHARE_TABLE1 (156.0 / 165.2)
#define GEMM_SHARE_A100 (270.0 / 312.0)
#define GEMM_SHARE_FP32 0.9
#define ATTENTION_SHARE 0.5
#define MEMORY_SHARE 0.85
#define SPARSE_SHARE 0.25
#define ADAM_BYTES 28.0
/* A CUDA context with few kernels. */
#define CONTEXT_BYTES 320e6
/* Adam on cached state against Adam from memory. */
#define CACHED_GAIN 2.5
/* The 202,383,360 parameters of a llama-7b block in 60 ms, of which the share that 128 MiB of cache holds (4.145 % of
 * 16 bytes a parameter) goes CACHED_GAIN faster: 60 ms = n (0.04145 / 2.5 + 0.95855) / rate. */
#define TABLE1_ADAM_PPS (202383360 / 0.06 * (0.04145 / CACHED_GAIN + 0.95855))
/* What these 92.1 GB/s are of the Threadripper's 102.4 GB/s. */
#define CPU_MEMORY_SHARE 0.9

/* Rates of a GPU from its data sheet: dense fp32 and fp16 FLOP/s (fp32 accumulation), memory bandwidth. */
#define GPU_RATES(gib, fp32, fp16, memory_Bps, gemm_share)                                                             \
    .memory_bytes = (gib)*GIB, .context_bytes = CONTEXT_BYTES,                                                         \
    .gemm_flops = {[LSPO_FP32] = GEMM_SHARE_FP32 * (fp32),                                                             \
                   [LSPO_BF16] = (gemm_share) * (fp16),                                                                \
                   [LSPO_FP16] = (gemm_share) * (fp16)},                                                               \
    .attention_flops = ATTENTION_SHARE * (fp16), .norm_Bps = MEMORY_SHARE * (memory_Bps),                              \
    .activation_Bps = MEMORY_SHARE * (memory_Bps), .loss_Bps = MEMORY_SHARE * (memory_Bps),                            \
    .stream_Bps = MEMORY_SHARE * (memory_Bps), .gather_flops = SPARSE_SHARE * (fp32),                                  \
    .gather_Bps = MEMORY_SHARE * (memory_Bps), .projector_overlap = 1, .scatter_flops = SPARSE_SHARE * (fp32),         \
    .scatter_Bps = MEMORY_SHARE * (memory_Bps)

/* Adam on the GPU as a stream through its memory. */
#define GPU_ADAM(memory_Bps) .adam_pps = MEMORY_SHARE * (memory_Bps) / ADAM_BYTES

/* Efficiency at small sizes and costs a kernel and an op; see docs/machines.md. */
#define GPU_COSTS_TABLE1                                                                                               \
    .gemm_m_half = 64, .gemm_n_half = 64, .gemm_k_half = 64, .backward_loss = 0.1557, .launch_s = 10e-6, .op_s = 10e-6
#define GPU_COSTS_A100 .gemm_m_half = 16, .gemm_n_half = 540, .gemm_k_half = 16, .launch_s = 64e-6, .op_s = 10e-6

#define CPU_FROM_DRAM(gib, dram_Bps, cache_mib, flops)                                                                 \
    {                                                                                                                  \
        .memory_bytes = (gib)*GIB, .adam_pps = CPU_MEMORY_SHARE * (dram_Bps) / ADAM_BYTES,                             \
        .adam_cached_pps = CACHED_GAIN * CPU_MEMORY_SHARE * (dram_Bps) / ADAM_BYTES, .cache_bytes = (cache_mib)*MIB,   \
        .compute_flops = (flops), .op_s = 10e-6                                                                        \
    }

#define PCIE_LINK(h2d, d2h, h2d_loss, d2h_loss, generation, lanes)                                                     \
    {                                                                                                                  \
        .h2d_Bps = (h2d), .d2h_Bps = (d2h), .h2d_latency_s = 10e-6, .d2h_latency_s = 10e-6,                            \
        .h2d_duplex_loss = (h2d_loss), .d2h_duplex_loss = (d2h_loss), .pcie_generation = (generation),                 \
        .pcie_lanes = (lanes)                                                                                          \
    }

static const lspo_machine_t presets[] = {
    {
        .name = "host-reference",
        .description = "two cores of a server CPU: one stands for the GPU, one for the CPU",
        .source = "round numbers of an AVX-512 server core, `lspo calibrate` measures this machine",
        .gpu = {.memory_bytes = 8 * GIB,
                .gemm_flops = {[LSPO_FP32] = 175e9, [LSPO_BF16] = 175e9, [LSPO_FP16] = 175e9},
                .gemm_m_half = 8,
                .gemm_n_half = 8,
                .gemm_k_half = 24,
                .attention_flops = 60e9,
                .norm_Bps = 12e9,
                .activation_Bps = 10e9,
                .loss_Bps = 6e9,
                .stream_Bps = 12e9,
                .gather_flops = 6e9,
                .gather_Bps = 12e9,
                .scatter_flops = 6e9,
                .scatter_Bps = 12e9,
                .adam_pps = 0.8e9,
                .launch_s = 0,
                .op_s = 5e-6},
        .cpu = {.memory_bytes = 8 * GIB,
                .adam_pps = 0.8e9,
                .adam_cached_pps = 2e9,
                .cache_bytes = 1 * MIB,
                .compute_flops = 175e9,
                .op_s = 5e-6},
        .link = {.h2d_Bps = 4e9, .d2h_Bps = 4e9, .h2d_latency_s = 5e-6, .d2h_latency_s = 5e-6},
    },
    {
        .name = "paper-workstation",
        .description = "RTX 4090 24 GB, Threadripper 3970X 252 GB, as in arXiv 2406.10181",
        .source = "fitted to Table 1 of arXiv 2406.10181 only, taken at 8 x 512 tokens, see docs/machines.md",
        .gpu = {GPU_RATES(24, 82.6e12, 165.2e12, 1008e9, GEMM_SHARE_TABLE1), GPU_COSTS_TABLE1,
                .adam_pps = 202383360 / 0.98e-3},
        .cpu = {.memory_bytes = 252e9,
                .adam_pps = TABLE1_ADAM_PPS,
                .adam_cached_pps = CACHED_GAIN * TABLE1_ADAM_PPS,
                .cache_bytes = 128 * MIB,
                .compute_flops = 1.6751e12 / 1.61,
                .op_s = 10e-6},
        .link = PCIE_LINK(15e9, 15e9, 0.27, 0.04, 4, 16),
    },
    {
        .name = "paper-laptop",
        .description = "RTX A1000 Laptop 4 GB, Core i7-12800H 32 GB, as in arXiv 2406.10181",
        .source = "data sheets at the efficiency fitted to paper-workstation, see docs/machines.md",
        .gpu = {GPU_RATES(4, 4.67e12, 18.7e12, 176e9, GEMM_SHARE_TABLE1), GPU_COSTS_TABLE1, GPU_ADAM(176e9)},
        .cpu = CPU_FROM_DRAM(32, 76.8e9, 24, 0.3e12),
        .link = PCIE_LINK(12.5e9, 12.5e9, 0.27, 0.04, 4, 8),
    },
    {
        .name = "rtx4090",
        .description = "GeForce RTX 4090 24 GB in a desktop with two channels of DDR5-5600, 64 GiB",
        .source = "NVIDIA Ada whitepaper, links measured in nvbandwidth issue 15, see docs/machines.md",
        .gpu = {GPU_RATES(24, 82.6e12, 165.2e12, 1008e9, GEMM_SHARE_TABLE1), GPU_COSTS_TABLE1, GPU_ADAM(1008e9)},
        .cpu = CPU_FROM_DRAM(64, 89.6e9, 32, 0.6e12),
        .link = PCIE_LINK(25.2e9, 26.7e9, 0.43, 0.04, 4, 16),
    },
    {
        .name = "rtx3060",
        .description = "GeForce RTX 3060 12 GB in a desktop with two channels of DDR4-3200, 32 GiB",
        .source = "NVIDIA data sheet, Ampere GA102 whitepaper, see docs/machines.md",
        .gpu = {GPU_RATES(12, 12.74e12, 25.5e12, 360e9, GEMM_SHARE_TABLE1), GPU_COSTS_TABLE1, GPU_ADAM(360e9)},
        .cpu = CPU_FROM_DRAM(32, 51.2e9, 32, 0.4e12),
        .link = PCIE_LINK(25e9, 25e9, 0.27, 0.04, 4, 16),
    },
    {
        .name = "a1000-laptop",
        .description = "RTX A1000 Laptop 4 GB with two channels of DDR4-3200, 16 GiB",
        .source = "NVIDIA data sheet, GA107 at 1140 MHz, see docs/machines.md",
        .gpu = {GPU_RATES(4, 4.67e12, 18.7e12, 176e9, GEMM_SHARE_TABLE1), GPU_COSTS_TABLE1, GPU_ADAM(176e9)},
        .cpu = CPU_FROM_DRAM(16, 51.2e9, 24, 0.3e12),
        .link = PCIE_LINK(12.5e9, 12.5e9, 0.27, 0.04, 4, 8),
    },
    {
        .name = "a100-80gb-sxm",
        .description = "A100 SXM4 80 GB in a server with eight channels of DDR4-3200, 512 GiB a GPU",
        .source = "NVIDIA A100 data sheet, efficiency fitted to vTrain's rows, links from nvbandwidth issues 11 and 53",
        .gpu = {GPU_RATES(80, 19.5e12, 312e12, 2039e9, GEMM_SHARE_A100), GPU_COSTS_A100, GPU_ADAM(2039e9)},
        .cpu = CPU_FROM_DRAM(512, 204.8e9, 256, 1.5e12),
        .link = PCIE_LINK(24.8e9, 25e9, 0.55, 0.04, 4, 16),
    },
    {
        .name = "h100-80gb-pcie",
        .description = "H100 PCIe 80 GB in a server with eight channels of DDR5-4800, 512 GiB a GPU",
        .source = "NVIDIA H100 data sheet, efficiency of the A100 fit, Gen5 link as measured on an RTX 5090",
        .gpu = {GPU_RATES(80, 51.2e12, 756e12, 2000e9, GEMM_SHARE_A100), GPU_COSTS_A100, GPU_ADAM(2000e9)},
        .cpu = CPU_FROM_DRAM(512, 307.2e9, 105, 2e12),
        .link = PCIE_LINK(56.3e9, 57.3e9, 0.10, 0.04, 5, 16),
    },
    {
        .name = "h100-80gb-sxm",
        .description = "H100 SXM5 80 GB in a server with eight channels of DDR5-4800, 512 GiB a GPU",
        .source = "NVIDIA H100 data sheet, efficiency of the A100 fit, Gen5 link as measured on an RTX 5090",
        .gpu = {GPU_RATES(80, 66.9e12, 989.4e12, 3352e9, GEMM_SHARE_A100), GPU_COSTS_A100, GPU_ADAM(3352e9)},
        .cpu = CPU_FROM_DRAM(512, 307.2e9, 105, 2e12),
        .link = PCIE_LINK(56.3e9, 57.3e9, 0.10, 0.04, 5, 16),
    },
};

uint32_t lspo_machine_preset_count(void)
{
    return sizeof presets / sizeof presets[0];
}

const lspo_machine_t *lspo_machine_preset(uint32_t index)
{
    return &presets[index];
}
