#include "plan/machine.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/names.h"

enum { FIELDS_MAX = 112, TEXT_WRITTEN_MAX = 180, NOTE_WRITTEN_MAX = 100 };

/* Rates above any machine's, so that no sum or quotient of a simulation overflows. */
#define RATE_LOW 1.0
#define RATE_HIGH 1e21
#define LOSS_HIGH 0.99
#define SIGMA_HIGH 2.0

#define FIELD(section, member, unit, low, high, help)                                                                  \
    {                                                                                                                  \
#section, #member, unit, low, high, help, offsetof(lspo_machine_t, section.member)                             \
    }
#define GPU_FLOPS(member, help) FIELD(gpu, member, LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, help)
#define GPU_BPS(member, help) FIELD(gpu, member, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, help)
#define GPU_BACKWARD(member) FIELD(gpu, member, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "in a backward pass; 0: as forward")
#define GPU_CACHED(member, unit) FIELD(gpu, member, unit, 0.0, RATE_HIGH, "operands in cache; 0: as from memory")
#define PRECISION(name, index)                                                                                         \
    {                                                                                                                  \
        "gpu", "gemm_" name "_flops", LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, "matrix products in " name,                \
            offsetof(lspo_machine_t, gpu.gemm_flops[index])                                                            \
    }
#define LAYOUT_MEMORY(name, index, what)                                                                               \
    {                                                                                                                  \
        "gpu", "gemm_" name "_memory_Bps", LSPO_UNIT_BPS, 0.0, RATE_HIGH,                                              \
            "extra time of products with " what " in memory; 0: none",                                                 \
            offsetof(lspo_machine_t, gpu.gemm_memory_Bps[index])                                                       \
    }
#define CONTENTION(key, slowed, running)                                                                               \
    {                                                                                                                  \
        "contention", key, LSPO_UNIT_NONE, 0.0, LOSS_HIGH,                                                             \
            "fraction of its speed that the first lane loses while the second runs",                                   \
            offsetof(lspo_machine_t, contention[slowed][running])                                                      \
    }
#define NOISE(member, help)                                                                                            \
    FIELD(noise, member, LSPO_UNIT_NONE, 0.0, SIGMA_HIGH, "standard deviation of the log duration " help)

#define YARDSTICK(key, index)                                                                                          \
    {                                                                                                                  \
        "yardstick", key, LSPO_UNIT_SECONDS, 0.0, 1e6, "an iteration of this training in the calibration",             \
            offsetof(lspo_machine_t, yardstick_s[index])                                                               \
    }

const lspo_machine_field_t lspo_machine_fields[] = {
    FIELD(gpu, memory_bytes, LSPO_UNIT_BYTES, 1.0, 0x1p62, "memory; plans may use it less context_bytes"),
    PRECISION("fp32", LSPO_FP32),
    PRECISION("bf16", LSPO_BF16),
    PRECISION("fp16", LSPO_FP16),
    FIELD(gpu, gemm_m_half, LSPO_UNIT_NONE, 0.0, 1e6, "rows of a product at which its rate is halved"),
    FIELD(gpu, gemm_n_half, LSPO_UNIT_NONE, 0.0, 1e6, "columns at which it is halved"),
    FIELD(gpu, gemm_k_half, LSPO_UNIT_NONE, 0.0, 1e6, "length of the sums at which it is halved"),
    LAYOUT_MEMORY("nn", LSPO_LAYOUT_NN, "the W of X W"),
    LAYOUT_MEMORY("nt", LSPO_LAYOUT_NT, "the W of dY W^T"),
    LAYOUT_MEMORY("tn", LSPO_LAYOUT_TN, "the X of X^T dY and the result"),
    GPU_FLOPS(attention_flops, "attention of all heads"),
    FIELD(gpu, attention_sequence_half, LSPO_UNIT_NONE, 0.0, 1e6, "tokens of a sequence at which it is halved"),
    FIELD(gpu, attention_width_half, LSPO_UNIT_NONE, 0.0, 1e6, "width of a head at which it is halved"),
    FIELD(gpu, attention_backward_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "in a backward pass; 0: as forward"),
    GPU_BPS(norm_Bps, "layer and RMS norms"),
    GPU_BPS(activation_Bps, "GELU and gated SiLU"),
    GPU_BPS(loss_Bps, "softmax cross-entropy"),
    GPU_BPS(stream_Bps, "copies, biases, sums"),
    GPU_BACKWARD(norm_backward_Bps),
    GPU_BACKWARD(activation_backward_Bps),
    GPU_BACKWARD(loss_backward_Bps),
    GPU_BACKWARD(stream_backward_Bps),
    FIELD(gpu, columns_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "columns picked out or put back; 0: as streams"),
    GPU_FLOPS(gather_flops, "X P with sparse P, arithmetic"),
    GPU_BPS(gather_Bps, "X P with sparse P, memory"),
    GPU_FLOPS(scatter_flops, "W -= eta P D Q^T, arithmetic"),
    FIELD(gpu, scatter_inner_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "P D of it; 0: as scatter_flops"),
    FIELD(gpu, projector_overlap, LSPO_UNIT_NONE, 0.0, 1.0, "of a projector's arithmetic and memory, the shorter"),
    GPU_BPS(scatter_Bps, "W -= eta P D Q^T, memory"),
    FIELD(gpu, adam_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam on the GPU"),
    GPU_CACHED(attention_cached_flops, LSPO_UNIT_FLOPS),
    GPU_CACHED(attention_backward_cached_flops, LSPO_UNIT_FLOPS),
    GPU_CACHED(norm_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(activation_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(loss_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(stream_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(norm_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(activation_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(loss_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(stream_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(columns_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(gather_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(scatter_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(adam_cached_pps, LSPO_UNIT_PPS),
    FIELD(gpu, near_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "bytes between two uses with which all is in cache"),
    FIELD(gpu, cache_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "bytes with which nothing is; 0: no cache"),
    FIELD(gpu, training_speed, LSPO_UNIT_NONE, 0.0, 10.0, "of kernels in a training over alone; 0: not measured, 1"),
    FIELD(gpu, backward_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of its speed that a backward pass loses"),
    FIELD(gpu, context_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "memory that the driver takes and plans cannot use"),
    FIELD(gpu, launch_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "time of a kernel besides its work"),
    FIELD(gpu, op_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "time of an op besides its kernels"),
    FIELD(cpu, memory_bytes, LSPO_UNIT_BYTES, 1.0, 0x1p62, "memory that plans may use"),
    FIELD(cpu, adam_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam, all threads, from memory"),
    FIELD(cpu, adam_cached_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam, all threads, state in cache"),
    FIELD(cpu, cache_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "optimizer state up to this size stays in cache"),
    FIELD(cpu, process_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "resident besides what plans count"),
    FIELD(cpu, compute_flops, LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, "a block's forward on the CPU (not used by plans)"),
    FIELD(cpu, op_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "time of an op besides its work"),
    FIELD(link, h2d_Bps, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, "CPU to GPU, pinned memory, alone"),
    FIELD(link, d2h_Bps, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, "GPU to CPU, pinned memory, alone"),
    FIELD(link, h2d_latency_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "of a message"),
    FIELD(link, d2h_latency_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "of a message"),
    FIELD(link, h2d_duplex_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of h2d_Bps lost while D2H runs"),
    FIELD(link, d2h_duplex_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of d2h_Bps lost while H2D runs"),
    FIELD(link, pcie_generation, LSPO_UNIT_NONE, 0.0, 99.0, "for information; 0: unknown or no PCIe"),
    FIELD(link, pcie_lanes, LSPO_UNIT_NONE, 0.0, 99.0, "for information; 0: unknown or no PCIe"),
    CONTENTION("gpu_while_d2h", LSPO_LANE_GPU, LSPO_LANE_D2H),
    CONTENTION("gpu_while_h2d", LSPO_LANE_GPU, LSPO_LANE_H2D),
    CONTENTION("gpu_while_cpu", LSPO_LANE_GPU, LSPO_LANE_CPU),
    CONTENTION("d2h_while_gpu", LSPO_LANE_D2H, LSPO_LANE_GPU),
    CONTENTION("d2h_while_cpu", LSPO_LANE_D2H, LSPO_LANE_CPU),
    CONTENTION("h2d_while_gpu", LSPO_LANE_H2D, LSPO_LANE_GPU),
    CONTENTION("h2d_while_cpu", LSPO_LANE_H2D, LSPO_LANE_CPU),
    CONTENTION("cpu_while_gpu", LSPO_LANE_CPU, LSPO_LANE_GPU),
    CONTENTION("cpu_while_d2h", LSPO_LANE_CPU, LSPO_LANE_D2H),
    CONTENTION("cpu_while_h2d", LSPO_LANE_CPU, LSPO_LANE_H2D),
    NOISE(gpu_sigma, "of an op on the GPU"),
    NOISE(d2h_sigma, "of a copy to the CPU"),
    NOISE(h2d_sigma, "of a copy to the GPU"),
    NOISE(cpu_sigma, "of an op on the CPU"),
    NOISE(run_sigma, "of all GPU and CPU work of one run"),
    YARDSTICK("gpt_tiny_native_s", 0),
    YARDSTICK("gpt_tiny_badam_s", 1),
    YARDSTICK("gpt_small_native_s", 2),
    YARDSTICK("gpt_small_badam_s", 3),
};
const size_t lspo_machine_field_count = sizeof lspo_machine_fields / sizeof lspo_machine_fields[0];
_Static_assert(sizeof lspo_machine_fields / sizeof lspo_machine_fields[0] <= FIELDS_MAX, "raise FIELDS_MAX");

static double get_value(const lspo_machine_t *machine, const lspo_machine_field_t *field)
{
    double value;
    memcpy(&value, (const char *)machine + field->offset_bytes, sizeof value);
    return value;
}

static void set_value(lspo_machine_t *machine, const lspo_machine_field_t *field, double value)
{
    memcpy((char *)machine + field->offset_bytes, &value, sizeof value);
}

/* lspo_machine_field_count when there is none. */
static size_t find_field(const char *section, const char *key)
{
    size_t i = 0;
    while (i < lspo_machine_field_count &&
           (strcmp(lspo_machine_fields[i].section, section) != 0 || strcmp(lspo_machine_fields[i].key, key) != 0)) {
        i++;
    }
    return i;
}

static lspo_status_t check_value(const char *what, const lspo_machine_field_t *field, double value)
{
    if (value >= field->low && value <= field->high) {
        return LSPO_OK;
    }
    char text[48], low[48], high[48];
    return lspo_error(LSPO_ERR_INPUT, "%s: %s is outside %s..%s", what,
                      lspo_format_quantity(value, field->unit, text, sizeof text),
                      lspo_format_quantity(field->low, field->unit, low, sizeof low),
                      lspo_format_quantity(field->high, field->unit, high, sizeof high));
}

static lspo_status_t parse_field(const char *what, const lspo_machine_field_t *field, const char *text,
                                 lspo_machine_t *machine)
{
    double value = 0.0;
    lspo_status_t status = lspo_parse_quantity(what, text, field->unit, &value);
    if (status == LSPO_OK) {
        status = check_value(what, field, value);
    }
    if (status == LSPO_OK) {
        set_value(machine, field, value);
    }
    return status;
}

/* A machine file being read. */
typedef struct {
    lspo_machine_t machine;
    bool has_base;
    bool given[FIELDS_MAX];
    bool any_given;
} machine_file_t;

static bool find_preset(const char *name, lspo_machine_t *machine_out)
{
    for (uint32_t i = 0; i < lspo_machine_preset_count(); i++) {
        const lspo_machine_t *preset = lspo_machine_preset(i);
        if (strcmp(preset->name, name) == 0) {
            *machine_out = *preset;
            return true;
        }
    }
    return false;
}

enum { PRESETS_MAX = 64 };

static lspo_status_t refuse_name(const char *what, const char *name, const char *also)
{
    const char *names[PRESETS_MAX];
    uint32_t count = 0;
    for (; count < lspo_machine_preset_count() && count < PRESETS_MAX; count++) {
        names[count] = lspo_machine_preset(count)->name;
    }
    return lspo_name_refuse(what, name, names, count, also);
}

static lspo_status_t take_base(const char *what, const char *value, machine_file_t *file)
{
    lspo_machine_t base;
    if (file->any_given || file->machine.name[0] != '\0') {
        return lspo_error(LSPO_ERR_INPUT, "%s: must be the first key of the file", what);
    }
    if (!find_preset(value, &base)) {
        return refuse_name(what, value, NULL);
    }
    file->machine = base;
    file->machine.name[0] = '\0';
    file->has_base = true;
    return LSPO_OK;
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static lspo_status_t take_text(const char *what, const char *value, char *text, size_t text_bytes)
{
    if (*value == '\0' || strlen(value) >= text_bytes) {
        return lspo_error(LSPO_ERR_INPUT, "%s: needs 1 to %zu characters", what, text_bytes - 1);
    }
    for (const char *c = value; *c != '\0'; c++) {
        if (is_control(*c) && *c != '\t') {
            return lspo_error(LSPO_ERR_INPUT, "%s: '%s' has a control character", what, value);
        }
    }
    memcpy(text, value, strlen(value) + 1);
    return LSPO_OK;
}

static lspo_status_t take_machine_key(const char *what, const char *key, const char *value, machine_file_t *file)
{
    lspo_machine_t *machine = &file->machine;
    if (strcmp(key, "base") == 0) {
        return take_base(what, value, file);
    }
    if (strcmp(key, "name") == 0) {
        return take_text(what, value, machine->name, sizeof machine->name);
    }
    if (strcmp(key, "description") == 0) {
        return take_text(what, value, machine->description, sizeof machine->description);
    }
    if (strcmp(key, "source") == 0) {
        return take_text(what, value, machine->source, sizeof machine->source);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [machine] has base, name, description, source", what);
}

static lspo_status_t take_key(void *context, const char *where, const char *section, const char *key, const char *value)
{
    machine_file_t *file = context;
    char what[640];
    snprintf(what, sizeof what, "%s: [%s] %s", where, section, key);
    if (strcmp(section, "machine") == 0) {
        return take_machine_key(what, key, value, file);
    }
    if (strcmp(section, "products") == 0) {
        file->any_given = true;
        return lspo_products_take(what, key, value, &file->machine.products);
    }
    size_t index = find_field(section, key);
    if (index == lspo_machine_field_count) {
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; `lspo show machine` prints all of them", what);
    }
    file->given[index] = true;
    file->any_given = true;
    return parse_field(what, &lspo_machine_fields[index], value, &file->machine);
}

/* A key that may be 0 is 0 when it is absent; the others come from the file or its base. */
static lspo_status_t check_complete(const char *path, const machine_file_t *file)
{
    if (file->machine.name[0] == '\0') {
        return lspo_error(LSPO_ERR_INPUT, "%s: [machine] name is missing", path);
    }
    for (size_t i = 0; i < lspo_machine_field_count && !file->has_base; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        if (!file->given[i] && field->low > 0.0) {
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s] %s is missing, and there is no [machine] base to take it from",
                              path, field->section, field->key);
        }
    }
    return lspo_products_check(path, &file->machine.products);
}

lspo_status_t lspo_machine_find(const char *name_or_path, lspo_machine_t *machine_out)
{
    machine_file_t file = {0};
    if (find_preset(name_or_path, machine_out)) {
        if (access(name_or_path, F_OK) == 0) {
            lspo_warn("machine %s is the preset; ./%s is the file of that name here", name_or_path, name_or_path);
        }
        return LSPO_OK;
    }
    if (access(name_or_path, F_OK) != 0 && lspo_name_is_path(name_or_path)) {
        return lspo_error(LSPO_ERR_INPUT,
                          "machine: there is no file %s; `lspo calibrate -o %s` measures this machine into one",
                          name_or_path, name_or_path);
    }
    if (access(name_or_path, F_OK) != 0) {
        return refuse_name("machine", name_or_path, ", nor a file here");
    }
    lspo_status_t status = lspo_ini_read(name_or_path, take_key, &file);
    if (status == LSPO_OK) {
        status = check_complete(name_or_path, &file);
    }
    if (status == LSPO_OK) {
        *machine_out = file.machine;
    }
    return status;
}

lspo_status_t lspo_machine_set(lspo_machine_t *machine, const char *assignment)
{
    char section[32], key[64], what[128];
    const char *equals = strchr(assignment, '=');
    const char *dot = strchr(assignment, '.');
    if (equals == NULL || dot == NULL || dot > equals || (size_t)(dot - assignment) >= sizeof section ||
        (size_t)(equals - dot - 1) >= sizeof key) {
        return lspo_error(LSPO_ERR_INPUT, "--set '%s' is not SECTION.KEY=VALUE, such as link.h2d_Bps=12GB/s",
                          assignment);
    }
    snprintf(section, sizeof section, "%.*s", (int)(dot - assignment), assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), dot + 1);
    size_t index = find_field(section, key);
    if (index == lspo_machine_field_count) {
        return lspo_error(LSPO_ERR_INPUT, "--set: a machine has no %s.%s; `lspo show machine NAME` prints all keys",
                          section, key);
    }
    snprintf(what, sizeof what, "--set %s.%s", section, key);
    return parse_field(what, &lspo_machine_fields[index], equals + 1, machine);
}

lspo_status_t lspo_machine_check(const lspo_machine_t *machine)
{
    char what[256];
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        snprintf(what, sizeof what, "machine %s: [%s] %s", machine->name, field->section, field->key);
        lspo_status_t status = check_value(what, field, get_value(machine, field));
        if (status != LSPO_OK) {
            return status;
        }
    }
    snprintf(what, sizeof what, "machine %s", machine->name);
    return lspo_products_check(what, &machine->products);
}

/* One line, cut to what the reader takes, without the blanks at its ends that it drops; what would end the value early
 * for it, a control character or " ;", becomes a space or a comma.  Nothing that could be read back is nothing
 * written. */
static void write_text(const char *key, const char *text, FILE *file)
{
    char line[TEXT_WRITTEN_MAX + 1];
    size_t length = 0;
    for (const char *c = text; *c != '\0' && length < TEXT_WRITTEN_MAX; c++) {
        char written = is_control(*c) ? ' ' : *c;
        if (length == 0 && written == ' ') {
            continue;
        }
        if (written == ';' && (length == 0 || line[length - 1] == ' ')) {
            written = ',';
        }
        line[length++] = written;
    }
    while (length > 0 && line[length - 1] == ' ') {
        length--;
    }
    if (length > 0) {
        fprintf(file, "%s = %.*s\n", key, (int)length, line);
    }
}

static void write_comment(const char *comment, FILE *file)
{
    fputs("# ", file);
    for (const char *c = comment; *c != '\0'; c++) {
        fputc(*c, file);
        if (*c == '\n' && c[1] != '\0') {
            fputs("# ", file);
        }
    }
    fputc('\n', file);
}

/* Behind a value; the reader takes what follows " ;" for a comment. */
static void write_note(const char *note, FILE *file)
{
    if (note != NULL) {
        fprintf(file, " ; %.*s", NOTE_WRITTEN_MAX, note);
    }
}

lspo_status_t lspo_machine_write_noted(const lspo_machine_t *machine, const char *comment, const char *const *notes,
                                       FILE *file)
{
    const char *section = "";
    char value[64];
    if (comment != NULL) {
        write_comment(comment, file);
    }
    fputs("[machine]\n", file);
    write_text("name", machine->name, file);
    write_text("description", machine->description, file);
    write_text("source", machine->source, file);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        double number = get_value(machine, field);
        /* What is not set is not written; so it is read back. */
        if (number <= 0.0 && field->low <= 0.0 && (notes == NULL || notes[i] == NULL)) {
            continue;
        }
        if (strcmp(section, field->section) != 0) {
            section = field->section;
            fprintf(file, "\n[%s]\n", section);
        }
        fprintf(file, "%s = %s", field->key, lspo_format_quantity_exact(number, field->unit, value, sizeof value));
        write_note(notes != NULL ? notes[i] : NULL, file);
        fputc('\n', file);
    }
    lspo_products_write(&machine->products, file);
    if (ferror(file)) {
        return lspo_error(LSPO_ERR_IO, "cannot write the profile of machine %s", machine->name);
    }
    return LSPO_OK;
}

lspo_status_t lspo_machine_write(const lspo_machine_t *machine, const char *comment, FILE *file)
{
    return lspo_machine_write_noted(machine, comment, NULL, file);
}

static void ablate_contention(lspo_machine_t *machine)
{
    memset(machine->contention, 0, sizeof machine->contention);
    machine->link.h2d_duplex_loss = machine->link.d2h_duplex_loss = 0.0;
}

static void ablate_shapes(lspo_machine_t *machine)
{
    machine->products.size_count = 0;
    machine->gpu.gemm_m_half = machine->gpu.gemm_n_half = machine->gpu.gemm_k_half = 0.0;
    machine->gpu.attention_sequence_half = machine->gpu.attention_width_half = 0.0;
}

static void ablate_latency(lspo_machine_t *machine)
{
    machine->gpu.launch_s = machine->gpu.op_s = machine->cpu.op_s = 0.0;
    machine->link.h2d_latency_s = machine->link.d2h_latency_s = 0.0;
}

static void ablate_cache(lspo_machine_t *machine)
{
    machine->gpu.cache_bytes = machine->cpu.cache_bytes = 0.0;
}

lspo_status_t lspo_machine_ablate(lspo_machine_t *machine, const char *part)
{
    static const struct {
        const char *part;
        void (*ablate)(lspo_machine_t *machine);
    } parts[] = {{"contention", ablate_contention},
                 {"shapes", ablate_shapes},
                 {"latency", ablate_latency},
                 {"cache", ablate_cache}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(part, parts[i].part) == 0) {
            parts[i].ablate(machine);
            return LSPO_OK;
        }
    }
    return lspo_error(LSPO_ERR_INPUT, "no part '%s' of the predictions; parts: contention, shapes, latency, cache",
                      part);
}

/* How much faster than 1 a lane runs when it works: 1 when not paced. */
static double pace_fraction(double rate, double pace)
{
    return pace > 0 && pace < rate ? pace / rate : 1.0;
}

static double *loss_of(lspo_machine_t *machine, int slowed, int running)
{
    if (slowed == LSPO_LANE_D2H && running == LSPO_LANE_H2D)
        return &machine->link.d2h_duplex_loss;
    if (slowed == LSPO_LANE_H2D && running == LSPO_LANE_D2H)
        return &machine->link.h2d_duplex_loss;
    return &machine->contention[slowed][running];
}

static void scale_losses(lspo_machine_t *machine, const double fraction[LSPO_LANE_COUNT])
{
    for (int slowed = 0; slowed < LSPO_LANE_COUNT; slowed++)
        for (int running = 0; running < LSPO_LANE_COUNT; running++) {
            double *loss = loss_of(machine, slowed, running);
            double caused = *loss * fraction[running];
            double below_pace = 1.0 - (1.0 - caused) / fraction[slowed];
            *loss = fraction[slowed] < 1.0 ? fmax(0.0, below_pace) : caused;
        }
}

void lspo_machine_pace(lspo_machine_t *machine, double link_Bps, double cpu_pps)
{
    const double fraction[LSPO_LANE_COUNT] = {
        [LSPO_LANE_GPU] = 1.0,
        [LSPO_LANE_D2H] = pace_fraction(machine->link.d2h_Bps, link_Bps),
        [LSPO_LANE_H2D] = pace_fraction(machine->link.h2d_Bps, link_Bps),
        [LSPO_LANE_CPU] = pace_fraction(machine->cpu.adam_pps, cpu_pps),
    };
    scale_losses(machine, fraction);
    if (link_Bps > 0.0)
        machine->link.h2d_Bps = machine->link.d2h_Bps = link_Bps;
    if (fraction[LSPO_LANE_CPU] < 1.0)
        machine->cpu.own_adam_pps = machine->cpu.adam_pps;
    if (cpu_pps > 0.0)
        machine->cpu.adam_pps = machine->cpu.adam_cached_pps = cpu_pps;
}
