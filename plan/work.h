/* work.h - the cost of an op independent of any machine: the kernels that it runs and the bytes that it moves.
 *
 * A plan has few distinct works (a block's forward is the same work in every block and iteration), and each op refers
 * to one of them, so that a cost model computes the time of each work only once.
 */
#ifndef LSPO_PLAN_WORK_H
#define LSPO_PLAN_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/optimizer_state.h"

/* Kernel classes that have a rate of their own. */
typedef enum {
    LSPO_KERNEL_GEMM,       /* dense matrix product                                                     */
    LSPO_KERNEL_ATTENTION,  /* scores, softmax, weighted sum of all heads (and their backward)          */
    LSPO_KERNEL_NORM,       /* layer norm / RMS norm, forward or backward                               */
    LSPO_KERNEL_ACTIVATION, /* GELU, gated SiLU                                                         */
    LSPO_KERNEL_LOSS,       /* softmax cross-entropy over the vocabulary                                */
    LSPO_KERNEL_STREAM,     /* copies, residual adds, bias gradients, packing: bound by memory bandwidth */
    LSPO_KERNEL_EXPAND,     /* packed weights to the workload's precision: bound by memory bandwidth         */
    LSPO_KERNEL_COLUMNS,    /* columns copied out of a matrix, or back into it                          */
    LSPO_KERNEL_ROWS,       /* products with rows that each token chooses: kernels/keys.h               */
    LSPO_KERNEL_FEW_ROWS,   /* products of few rows, which read a weight once: kernels/few_rows.h, kernels/int4.h */
    LSPO_KERNEL_CACHE,      /* attention of few tokens, which reads a cache once: kernels/cached_attention.h */
    LSPO_KERNEL_GATHER,     /* X P and dY Q with r nonzeros per row                                     */
    LSPO_KERNEL_SCATTER,    /* W -= eta P D Q^T                                                         */
    LSPO_KERNEL_ADAM,       /* optimizer, counted in parameters                                         */
    LSPO_KERNEL_MAP,  /* CPU: `elements` chunks of memory mapped, all together `bytes`, `of_elements` of them made, ...
                               ... by `count` calls that give access */
    LSPO_KERNEL_COPY, /* a message on a link                                                      */
    LSPO_KERNEL_CLASS_COUNT
} lspo_kernel_class_t;

/* The layout of the operands of C (m x n) = A B in memory, row by row: A m x k and B k x n (a forward pass, Y = X W); B
 * as n x k (dX = dY W^T); A as k x m (dW = X^T dY). */
typedef enum { LSPO_LAYOUT_NN, LSPO_LAYOUT_NT, LSPO_LAYOUT_TN, LSPO_LAYOUT_COUNT } lspo_layout_t;

/* TERNARY: a product that decodes; its bytes are the codes and those that the weights had in 16 bits. */
typedef enum { LSPO_EXPAND_NF4, LSPO_EXPAND_BITMAP, LSPO_EXPAND_CSR, LSPO_EXPAND_TERNARY } lspo_expansion_t;

/* `count` equal kernels of one class.  flop and bytes are totals over all of them. */
typedef struct {
    lspo_kernel_class_t kernel_class;
    lspo_layout_t layout; /* GEMM                                                                  */
    uint32_t count;       /* launches                                                              */
    uint64_t m, n,
        k; /* GEMM: (m x k)(k x n); ATTENTION, CACHE: m = queries of a sequence, n = heads x batch, k = head width;
                           else 0 */
    uint64_t elements;    /* ADAM: parameters updated, all launches together; COLUMNS of a message: numbers sent */
    uint64_t of_elements; /* ADAM: of an update in parts, all of it; UINT64_MAX: none stays in cache; 0: `elements` */
    double flop;
    double inner_flop; /* SCATTER: the part of flop for P D, with rows of D in any order */
    uint64_t bytes;    /* memory traffic: each operand read and each result written once; COPY: bytes on the link */
    bool adapter;      /* GEMM: of a low-rank adapter */
    bool packed;       /* GEMM, FEW_ROWS: the weight is in 4 bits, for which a GPU's kernel of products has tiles of few
                          rows (kernels/int4_cuda.cu) */
    lspo_expansion_t expansion;   /* EXPAND: of what */
    lspo_optimizer_state_t state; /* ADAM: of m and v, and the precision of the weights */
    lspo_precision_t weights;
    uint64_t far_bytes; /* the bytes not touched recently; GEMM: B, and in dW = X^T dY all but B; EXPAND: the codes;
                           ROWS: each row once; FEW_ROWS, CACHE: the weight, K and V */
} lspo_kernel_t;

enum { LSPO_WORK_KERNELS_MAX = 192 };

typedef struct {
    uint32_t kernel_count;
    bool backward;               /* a backward pass: its kernels also lose gpu.backward_loss, see plan/machine.h */
    bool writes;                 /* on an SSD lane: writes to it */
    uint16_t from_kind, to_kind; /* of peers that differ: 1 + whose kind it runs on, and of whom it sends to; 0: the
                                    machine's (plan/place.h) */
    lspo_kernel_t kernels[LSPO_WORK_KERNELS_MAX];
} lspo_work_t;

/* No kernels yet, no flags; kernels[kernel_count ..] are left as they are, and nobody reads them. */
void lspo_work_clear(lspo_work_t *work);

/* Sums over the kernels. */
double lspo_work_flop(const lspo_work_t *work);
/* Bytes of the COPY kernels only: what crosses the link. */
uint64_t lspo_work_link_bytes(const lspo_work_t *work);

/* "nn", "nt", "tn". */
const char *lspo_layout_name(lspo_layout_t layout);

#endif
