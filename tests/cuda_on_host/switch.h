/* switch.h - switch from one stack to another.  ucontext asks the operating system for the signal mask each time, which
 * takes longer than most CUDA kernels run between two barriers; so x86-64 has its own code. */
#ifndef LSPO_TESTS_SWITCH_H
#define LSPO_TESTS_SWITCH_H

#include <stddef.h>

#ifdef __x86_64__

typedef struct {
    void *stack_pointer;
} context_t;

extern "C" void cuda_on_host_switch(void **from_stack_pointer, void *to_stack_pointer);
asm(".pushsection .text\n"
    ".type cuda_on_host_switch, @function\n"
    "cuda_on_host_switch:\n"
    "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
    "    ret\n"
    ".size cuda_on_host_switch, . - cuda_on_host_switch\n"
    ".popsection\n");

static inline void context_switch(context_t *from, context_t *to)
{
    cuda_on_host_switch(&from->stack_pointer, to->stack_pointer);
}

/* Six registers, the address that `ret` goes to, and none to return to from there. */
static inline void context_prepare(context_t *context, void *stack, size_t size, void (*entry)())
{
    void **const top = (void **)((char *)stack + size);
    for (int i = 1; i <= 8; i++)
        top[-i] = nullptr;
    top[-2] = (void *)entry;
    context->stack_pointer = top - 8;
}

#else
#include <ucontext.h>

typedef ucontext_t context_t;

static inline void context_switch(context_t *from, context_t *to)
{
    swapcontext(from, to);
}

static inline void context_prepare(context_t *context, void *stack, size_t size, void (*entry)())
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = size;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
}

#endif
#endif
